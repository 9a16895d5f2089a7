//! The webhook by which a payment provider tells of payments: signed with a shared secret, credited exactly once.

use aws_lc_rs::hmac;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Shared, id};
use crate::domain::money::CURRENCY;
use crate::domain::{CustomerId, EntryId, Error, Money, Timestamp};
use crate::ra::NewPayment;

/// The header with moment and signature: `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body", hexadecimal>`.
const SIGNATURE: &str = "chancery-signature";

/// How far the moment of a signature may be from now, in seconds.
const TOLERANCE: u64 = 300;

/// What payment providers sign with.
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    /// From the text of the file that holds it; none if there is too little to be a secret.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= 16).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }
}

/// A payment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentRequest {
    /// The provider's id of this event: told again, it changes nothing.
    event: String,
    /// Who paid.
    customer: String,
    /// As in `"732.50"`.
    #[schema(value_type = String)]
    amount: Money,
    /// What the amount is in; the catalogue's currency alone is taken.
    currency: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct PaymentObject {
    entry: EntryId,
    customer: CustomerId,
    event: String,
    at: String,
}

/// Takes note of a payment. The header `Chancery-Signature` stands in for a token:
/// `t=<unix seconds>,v1=<HMAC-SHA256 of "t.body" in hexadecimal digits>`.
#[utoipa::path(post, path = "/payments", tag = "billing", request_body = PaymentRequest, responses(
    (status = 200, body = PaymentObject, description = "The event was told before."),
    (status = 201, body = PaymentObject),
    (status = 403, description = "The signature is missing, wrong or too old.", content_type = "application/problem+json")
))]
pub(super) async fn take(State(api): Shared, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    let secret = api.payments.as_ref().ok_or_else(|| {
        Error::not_found("This server takes no payments: [billing] webhook_secret_file is not configured.")
    })?;
    check(secret, headers.get(SIGNATURE).and_then(|value| value.to_str().ok()), &body, api.ra.now())?;
    let asked: PaymentRequest = serde_json::from_slice(&body).map_err(|fault| {
        let shown: String = fault.to_string().chars().take(200).collect();
        Error::malformed(format!("The body can't be read: {shown}."))
    })?;
    if asked.currency.as_deref().is_some_and(|currency| currency != CURRENCY) {
        return Err(Error::malformed(format!("Payments are taken in {CURRENCY} alone.")).into());
    }
    let customer = id("customer", &asked.customer)?;
    let (entry, new) = api.ra.take_payment(NewPayment { event: asked.event, customer, amount: asked.amount }).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let at = entry.at.to_string();
    Ok((status, Json(PaymentObject { entry: entry.id, customer: entry.customer, event: entry.reference, at }))
        .into_response())
}

/// Whether a body comes from the provider, and a short while ago. Signatures are compared in constant time.
fn check(WebhookSecret(key): &WebhookSecret, header: Option<&str>, body: &[u8], now: Timestamp) -> Result<(), Error> {
    let missing = || Error::unauthorized("Send the header Chancery-Signature: t=<unix seconds>,v1=<HMAC-SHA256>.");
    let header = header.ok_or_else(missing)?;
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let at = parts().find(|(name, _)| *name == "t").map(|(_, value)| value).ok_or_else(missing)?;
    let seconds: u64 = at.parse().map_err(|_| missing())?;
    let signed = [at.as_bytes(), b".", body].concat();
    // Several signatures may be there while the provider changes its secret.
    let matches = |(name, digits): (&str, &str)| {
        name == "v1" && octets(digits).is_some_and(|tag| hmac::verify(key, &signed, &tag).is_ok())
    };
    if !parts().any(matches) {
        return Err(Error::unauthorized("The signature is not that of this body and moment with the shared secret."));
    }
    if now.as_secs().abs_diff(seconds) > TOLERANCE {
        return Err(Error::unauthorized(format!(
            "The signature was made at {}, more than {TOLERANCE} seconds from now; send it again with a new one.",
            Timestamp::from_secs(seconds)
        )));
    }
    Ok(())
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> = digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() == 64)?;
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
