//! A message on its way to one recipient.

use serde::{Deserialize, Serialize};

use super::channel::{Channel, Subscription, Way};
use super::notice::Notice;
use super::{ChannelId, NoticeId, Timestamp};

/// A message on its way to one recipient: there is one for each, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The message.
    pub notice: NoticeId,
    /// Where to.
    pub to: Recipient,
    /// When it was first due.
    pub begun: Timestamp,
    /// How far it has come.
    pub state: DeliveryState,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// To the e-mail address of the customer.
    Customer,
    /// To a channel.
    Channel(ChannelId),
}

/// How far a delivery has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is to be tried.
    Waiting {
        /// How often it was tried in vain.
        tries: u32,
        /// Why it failed last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// The other side has it.
    Delivered {
        /// Since when.
        at: Timestamp,
    },
    /// It will not be tried again.
    GivenUp {
        /// Since when.
        at: Timestamp,
        /// Why.
        failure: String,
    },
}

impl Recipient {
    /// It as part of names.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Customer => "customer",
            Self::Channel(id) => id.as_str(),
        }
    }
}

impl Delivery {
    /// A delivery that is due now.
    pub fn new(notice: &NoticeId, to: Recipient, now: Timestamp) -> Self {
        let state = DeliveryState::Waiting { tries: 0, failure: None };
        Self { notice: notice.clone(), to, begun: now, state }
    }

    /// What receivers know it by when it comes twice.
    pub fn name(notice: &NoticeId, to: &Recipient) -> String {
        format!("{notice}/{}", to.as_str())
    }

    /// How often it was tried in vain; none when it is not tried any more.
    pub fn tries(&self) -> Option<u32> {
        match self.state {
            DeliveryState::Waiting { tries, .. } => Some(tries),
            DeliveryState::Delivered { .. } | DeliveryState::GivenUp { .. } => None,
        }
    }

    /// The same in another state.
    #[must_use]
    pub fn now_in(self, state: DeliveryState) -> Self {
        Self { state, ..self }
    }
}

/// Who is to have a message: whom it names, else all channels of the customer and their own address, if they are
/// subscribed to what it is about. Nobody has it twice.
pub fn recipients(
    notice: &Notice,
    subscription: &Subscription,
    channels: &[Channel],
    email: Option<&str>,
) -> Vec<Recipient> {
    let to = |channel: &Channel| Recipient::Channel(channel.id.clone());
    if let Some(only) = &notice.only {
        return channels.iter().filter(|channel| only.contains(&channel.id)).map(to).collect();
    }
    if !subscription.takes(notice.topic) {
        return Vec::new();
    }
    let is_own = |channel: &Channel| matches!(&channel.way, Way::Email { address } if Some(address.as_str()) == email);
    let own = email.filter(|_| !channels.iter().any(is_own)).map(|_| Recipient::Customer);
    own.into_iter().chain(channels.iter().map(to)).collect()
}
