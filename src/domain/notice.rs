//! A message to a customer: what happened, told for people and for programs.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{ChannelId, CustomerId, NoticeId, OrderId, PurchaseId, Serial, Timestamp, UploadId};

/// A message. It is written in the batch of what it tells, and a job sends it: none is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its id, which receivers know it by when it comes twice.
    pub id: NoticeId,
    /// Whom it is for.
    pub customer: CustomerId,
    /// What it is about, by which customers choose what they get.
    pub topic: Topic,
    /// What happened, for programs: `certificate-issued`.
    pub event: String,
    /// What happened, in a line.
    pub subject: String,
    /// What happened and what to do, for people.
    pub text: String,
    /// The order that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The certificate that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Serial>,
    /// The purchase that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseId>,
    /// The uploaded certificate that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
    /// The only channels that it goes to; none: those that the subscription says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<ChannelId>>,
    /// When it was written.
    pub at: Timestamp,
    /// When the customer read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Timestamp>,
}

/// What messages are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Control of names is to be shown, or was not.
    Validation,
    /// A person decided, or waits for something.
    Review,
    /// A certificate was issued, or could not be.
    Issue,
    /// A certificate ends soon.
    Expiry,
    /// Free certificates run out.
    Quota,
    /// Purchases, balances, refunds.
    Billing,
    /// A certificate was revoked, or is going to be.
    Revocation,
    /// The service itself: a channel is tried out.
    Service,
}

impl Topic {
    /// Everything that messages are about.
    pub const ALL: [Self; 8] = [
        Self::Validation,
        Self::Review,
        Self::Issue,
        Self::Expiry,
        Self::Quota,
        Self::Billing,
        Self::Revocation,
        Self::Service,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Review => "review",
            Self::Issue => "issue",
            Self::Expiry => "expiry",
            Self::Quota => "quota",
            Self::Billing => "billing",
            Self::Revocation => "revocation",
            Self::Service => "service",
        }
    }
}

/// The id of the message that is told once of an occasion: the same occasion, the same id.
pub fn once(occasion: &[&str]) -> NoticeId {
    let hash = digest(&SHA256, occasion.join("\n").as_bytes());
    let text = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]);
    text.parse().expect("16 octets are 22 characters of base64url, as every id is")
}

impl Notice {
    /// A message about something that happened; what it is about is added by the methods below.
    pub fn new(
        customer: &CustomerId,
        (topic, event): (Topic, &str),
        subject: impl Into<String>,
        text: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            id: NoticeId::random(),
            customer: customer.clone(),
            topic,
            event: event.to_owned(),
            subject: subject.into(),
            text: text.into(),
            order: None,
            certificate: None,
            purchase: None,
            upload: None,
            only: None,
            at,
            read: None,
        }
    }

    /// It is about an order.
    #[must_use]
    pub fn of_order(self, order: &OrderId) -> Self {
        Self { order: Some(order.clone()), ..self }
    }

    /// It is about a certificate.
    #[must_use]
    pub fn of_certificate(self, serial: Serial) -> Self {
        Self { certificate: Some(serial), ..self }
    }

    /// It is about an uploaded certificate.
    #[must_use]
    pub fn of_upload(self, upload: &UploadId) -> Self {
        Self { upload: Some(upload.clone()), ..self }
    }

    /// It goes to these channels alone, whatever the subscription says.
    #[must_use]
    pub fn only_to(self, channels: &[ChannelId]) -> Self {
        Self { only: Some(channels.to_vec()), ..self }
    }

    /// It is told once of that occasion.
    #[must_use]
    pub fn once_of(self, occasion: &[&str]) -> Self {
        Self { id: once(occasion), ..self }
    }

    /// It is about a purchase.
    #[must_use]
    pub fn of_purchase(self, purchase: &PurchaseId) -> Self {
        Self { purchase: Some(purchase.clone()), ..self }
    }
}
