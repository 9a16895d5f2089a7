//! Where customers' messages go, and which: channels and subscriptions (NOTIFY-03).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Ra, settle};
use crate::domain::audit::Act;
use crate::domain::channel::{Channel, Subscription, Way};
use crate::domain::delivery::{Delivery, Recipient};
use crate::domain::id::random_text;
use crate::domain::job::{Job, Work};
use crate::domain::notice::{Notice, Topic};
use crate::domain::{ChannelId, CustomerId, Error, Kind, Result};
use crate::post;
use crate::store::records::{Batch, Index, Rows, Stored, target};

/// How many channels a customer has at most.
const MOST: usize = 20;

/// How long a trial of a channel waits for its outcome.
const TRIAL: Duration = Duration::from_secs(5);

/// What a trial says.
const TRIED: &str = "This is a trial of a channel for messages. Nothing is to be done. If you did not ask for it, tell the \
                     operator of this server.";

/// A channel to be made.
#[derive(Debug, Clone)]
pub struct NewChannel {
    /// Whose it is.
    pub customer: CustomerId,
    /// What it is called.
    pub name: String,
    /// How messages go there.
    pub kind: NewWay,
}

/// How messages are to go; secrets are made here.
#[derive(Debug, Clone)]
pub enum NewWay {
    /// By e-mail to this address.
    Email(String),
    /// By a webhook at this URL.
    Webhook(String),
    /// By SMS: to this number through the gateway at this URL.
    SmsGateway(String, String),
}

/// What is to be different about a subscription; none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionChange {
    /// Whether "SSL certificate notifications" is selected.
    pub ssl_certificates: Option<bool>,
    /// Whether "product service notifications" is selected.
    pub product_services: Option<bool>,
    /// What messages are about that are sent.
    pub topics: Option<BTreeSet<Topic>>,
}

/// A subscription, and which of its writings it is; 0 before the first.
#[derive(Debug)]
pub struct Subscribed {
    /// The subscription.
    pub value: Subscription,
    /// Which of its writings it is.
    pub version: u64,
}

impl Ra {
    /// What a customer has sent to their channels.
    pub async fn subscription(&self, customer: &CustomerId) -> Result<Subscribed> {
        let found = self.records.find::<Subscription>(customer).await?;
        Ok(match found {
            Some(read) => Subscribed { version: read.version(), value: read.into_value() },
            None => Subscribed { value: Subscription::usual(customer.clone()), version: 0 },
        })
    }

    /// Changes what a customer has sent.
    pub async fn change_subscription(&self, customer: &CustomerId, change: SubscriptionChange) -> Result<Subscribed> {
        self.customer(customer).await?;
        settle(|| async {
            let read = self.records.find::<Subscription>(customer).await?;
            let old = read.as_ref().map_or_else(|| Subscription::usual(customer.clone()), |read| (**read).clone());
            let new = Subscription {
                customer: customer.clone(),
                ssl_certificates: change.ssl_certificates.unwrap_or(old.ssl_certificates),
                product_services: change.product_services.unwrap_or(old.product_services),
                topics: change.topics.clone().unwrap_or(old.topics),
            };
            let topics = new.topics.iter().map(|topic| topic.as_str().to_owned()).collect();
            let act = Act::SubscriptionChanged { customer: customer.clone(), topics };
            self.records.commit(Batch::of(act, self.now()).set(read.as_ref(), &new)).await?;
            Ok(())
        })
        .await?;
        self.subscription(customer).await
    }

    /// Makes a channel. Its secret is shown this once.
    pub async fn create_channel(&self, asked: NewChannel) -> Result<Channel> {
        let name = super::customers::named("channel", &asked.name)?;
        let way = self.new_way(&asked.kind)?;
        self.customer(&asked.customer).await?;
        if self.channels(&asked.customer).await?.len() >= MOST {
            return Err(Error::malformed(format!("A customer has {MOST} channels at most; delete one first.")));
        }
        let (id, now) = (ChannelId::random(), self.now());
        let channel = Channel { id: id.clone(), customer: asked.customer, name, way, created: now };
        let kind = channel.way.kind().to_owned();
        let act = Act::ChannelCreated { channel: id.clone(), customer: channel.customer.clone(), kind };
        let row = Index::ChannelOfCustomer(&channel.customer, &id);
        self.records.commit(Batch::of(act, now).insert(&channel).claim(&row, id.as_str())).await?;
        Ok(channel)
    }

    fn new_way(&self, asked: &NewWay) -> Result<Way> {
        let secret = || Zeroizing::new(random_text::<32>());
        let url = |url: &str| match post::check_url(url, self.post.settings()) {
            Ok(()) => Ok(url.to_owned()),
            Err(why) => Err(Error::malformed(format!("{why}."))),
        };
        match asked {
            NewWay::Email(address) => match post::check_address(address) {
                Ok(()) => Ok(Way::Email { address: address.clone() }),
                Err(why) => Err(Error::malformed(format!("{why}."))),
            },
            NewWay::Webhook(to) => Ok(Way::Webhook { url: url(to)?, secret: secret() }),
            NewWay::SmsGateway(number, to) => {
                let digits = number.strip_prefix('+').unwrap_or_default();
                if !(8..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(Error::malformed(
                        "A telephone number is a plus sign, the country code and the number, 8 to 15 digits: \
                         +8613800000000.",
                    ));
                }
                Ok(Way::SmsGateway { number: number.clone(), url: url(to)?, secret: secret() })
            }
        }
    }

    /// A customer's channels.
    pub async fn channels(&self, customer: &CustomerId) -> Result<Vec<Channel>> {
        let rows = self.records.rows(&Rows::ChannelsOfCustomer(customer), None, 10 * MOST).await?;
        let ids = rows.iter().map(|(_, id)| target::<ChannelId>(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.records.find_all::<Channel>(&ids).await?.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The channel of that id.
    pub async fn channel(&self, id: &ChannelId) -> Result<Channel> {
        Ok(self.stored_channel(id).await?.into_value())
    }

    async fn stored_channel(&self, id: &ChannelId) -> Result<Stored<Channel>> {
        let found = self.records.find::<Channel>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no channel {id}.")))
    }

    /// Removes a channel: nothing goes there any more, also not what is on its way.
    pub async fn delete_channel(&self, id: &ChannelId) -> Result<()> {
        settle(|| async {
            let read = self.stored_channel(id).await?;
            let act = Act::ChannelDeleted { channel: id.clone() };
            let row = Index::ChannelOfCustomer(&read.customer, id);
            Ok(self.records.commit(Batch::of(act, self.now()).remove(&read).unindex(&row)).await?)
        })
        .await
    }

    /// Tries a channel out: a message goes to it alone. A customer does so once a minute at most, whichever the channel, and
    /// the message says nothing of theirs, so that trials are no way to write to strangers. The answer waits a moment for
    /// the outcome.
    pub async fn test_channel(self: &Arc<Self>, id: &ChannelId) -> Result<super::NoticeView> {
        let (notice, job) = settle(|| async {
            let (channel, now) = (self.channel(id).await?, self.now());
            let notice =
                Notice::new(&channel.customer, (Topic::Service, "channel-test"), "A trial message", TRIED, now)
                    .only_to(std::slice::from_ref(id))
                    .once_of(&["channel-test", channel.customer.as_str(), &(now.as_secs() / 60).to_string()]);
            if self.records.find::<Notice>(&notice.id).await?.is_some() {
                let told = "A channel was tried out within the last minute; wait a minute.";
                return Err(Error::new(Kind::RateLimited, told).retry_after(Duration::from_secs(60)).into());
            }
            let to = Recipient::Channel(id.clone());
            let job = Job::new(Work::Deliver { notice: notice.id.clone(), to: to.clone() }, now);
            let batch = Batch::of(Act::ChannelTested { channel: id.clone() }, now)
                .insert(&notice)
                .index(&Index::NoticeOfCustomer(&notice.customer, now, &notice.id), notice.id.as_str())
                .insert(&Delivery::new(&notice.id, to.clone(), now))
                .index(&Index::Waiting(&notice.id, &to), notice.id.as_str())
                .insert(&job);
            self.records.commit(batch).await?;
            Ok((notice, job))
        })
        .await?;
        self.start(job.clone());
        self.worker.wait(&job.id, TRIAL).await;
        self.notice(&notice.id).await
    }
}
