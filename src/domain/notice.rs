//! A message to a customer: what happened, told for people and for programs.

use serde::{Deserialize, Serialize};

use super::{CustomerId, NoticeId, OrderId, PurchaseId, Serial, Timestamp};

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
    /// When it was written.
    pub at: Timestamp,
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
            at,
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

    /// It is about a purchase.
    #[must_use]
    pub fn of_purchase(self, purchase: &PurchaseId) -> Self {
        Self { purchase: Some(purchase.clone()), ..self }
    }
}
