//! Where a customer's messages go, and which ones: channels and the subscription.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::notice::Topic;
use super::{ChannelId, CustomerId, Timestamp};

/// Somewhere that messages go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it is called.
    pub name: String,
    /// How messages go there.
    pub way: Way,
    /// When it was made.
    pub created: Timestamp,
}

/// How messages go to a channel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Way {
    /// By e-mail.
    Email {
        /// The address.
        address: String,
    },
    /// By a signed POST.
    Webhook {
        /// Where to.
        url: String,
        /// What it is signed with.
        secret: Zeroizing<String>,
    },
    /// By SMS: a signed POST to a gateway, which sends it on. This server speaks to no telephone network itself.
    SmsGateway {
        /// The telephone number, as in `+8613800000000`.
        number: String,
        /// The gateway.
        url: String,
        /// What it is signed with.
        secret: Zeroizing<String>,
    },
}

impl Way {
    /// Its word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::Webhook { .. } => "webhook",
            Self::SmsGateway { .. } => "sms-gateway",
        }
    }
}

/// Without what is secret or personal.
impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

/// Which messages a customer has sent to the channels. All of them are in the message centre, whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whose it is.
    pub customer: CustomerId,
    /// Whether "SSL certificate notifications" is selected (NOTIFY-03).
    pub ssl_certificates: bool,
    /// Whether "product service notifications" is selected (NOTIFY-03).
    pub product_services: bool,
    /// What messages are about that are sent.
    pub topics: BTreeSet<Topic>,
}

impl Subscription {
    /// What holds until the customer chooses: no messages about expiry, which are asked for (NOTIFY-03), and none about
    /// validation, which clients see for themselves.
    pub fn usual(customer: CustomerId) -> Self {
        let topics = Topic::ALL.into_iter().filter(|topic| *topic != Topic::Validation).collect();
        Self { customer, ssl_certificates: false, product_services: false, topics }
    }

    /// Whether messages about certificates that end are sent (NOTIFY-03: only with both of them selected).
    pub fn tells_expiry(&self) -> bool {
        self.ssl_certificates && self.product_services && self.topics.contains(&Topic::Expiry)
    }

    /// Whether messages about that are sent.
    pub fn takes(&self, topic: Topic) -> bool {
        match topic {
            Topic::Expiry => self.tells_expiry(),
            other => self.topics.contains(&other),
        }
    }
}
