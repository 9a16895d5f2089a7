//! Webhooks: a signed POST of a JSON object to an address of the customer.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, redirect, retry};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::reach::{Shut, Vetted, vet_literal};
use super::{Failure, Outcome, Settings};
use crate::domain::Timestamp;

/// The longest URL of a webhook.
const MAX_URL: usize = 2_000;

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// What signatures are made with.
    pub secret: String,
    /// What receivers know the call by when it comes twice.
    pub id: String,
    /// The JSON object.
    pub body: String,
}

/// The header `Chancery-Signature`: the time, and the HMAC-SHA256 of time, full stop and body under the secret.
pub fn signature(secret: &str, at: Timestamp, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{}.{body}", at.as_secs()).as_bytes());
    let digits: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("t={},v1={digits}", at.as_secs())
}

/// What is wrong with the URL of a webhook as it stands, if anything is. It is not repeated, because many receivers are
/// known by a secret in their URL and refusals stand in the log.
pub fn check_url(text: &str, settings: &Settings) -> Result<(), String> {
    parse(text, settings.allow_private_addresses).map(drop)
}

fn parse(text: &str, allow_private: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|fault| format!("this is not a URL: {fault}"))?;
    let scheme = url.scheme();
    if text.len() > MAX_URL || url.host().is_none() {
        return Err(format!("a webhook's URL names a host and has at most {MAX_URL} characters"));
    }
    if scheme != "https" && !(allow_private && scheme == "http") {
        return Err(format!("this begins with {scheme}; a webhook's URL begins with https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a webhook's URL carries no user name or password; check the signature instead".to_owned());
    }
    vet_literal(&url, allow_private).map_err(|shut| format!("{shut}; webhooks lead to public addresses only"))?;
    Ok(url)
}

/// The client of all webhooks.
pub(super) struct Caller {
    client: Client,
    allow_private: bool,
}

impl Caller {
    pub fn new(settings: &Settings, anchors: &str) -> Result<Self, Failure> {
        let allow_private = settings.allow_private_addresses;
        let client = Client::builder()
            .tls_backend_preconfigured(tls(anchors)?)
            .dns_resolver(Arc::new(Vetted { allow_private }))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            // Each call dials what was judged for it.
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_millis(settings.webhook_timeout_ms))
            .user_agent("chancery")
            .build()?;
        Ok(Self { client, allow_private })
    }

    pub async fn call(&self, webhook: &Webhook, now: Timestamp) -> Outcome {
        let url = match parse(&webhook.url, self.allow_private) {
            Ok(url) => url,
            Err(why) => return Outcome::Refused(why),
        };
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("Chancery-Delivery", &webhook.id)
            .header("Chancery-Signature", signature(&webhook.secret, now, &webhook.body))
            .body(webhook.body.clone());
        // What the answer says beside its status is not read.
        match request.send().await {
            Ok(answer) => judge(answer.status()),
            Err(error) => failed(&error),
        }
    }
}

fn tls(anchors: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for block in pem::parse_many(anchors)? {
        roots.add(CertificateDer::from(block.into_contents()))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// Which answers are for good: the receiver is gone, does not understand the message, or is elsewhere. All else may
/// pass, also a receiver that is not set up yet (401, 403, 404).
fn judge(status: StatusCode) -> Outcome {
    let told = format!("the webhook answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        300..=399 => Outcome::Refused(format!("{told}; redirects are not followed")),
        400 | 405 | 410 | 413 | 415 | 422 => Outcome::Refused(told),
        _ => Outcome::Later(told),
    }
}

fn failed(error: &reqwest::Error) -> Outcome {
    let mut told = String::from("the webhook could not be called");
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(shut) = cause.downcast_ref::<Shut>() {
            return Outcome::Refused(format!("{shut}; webhooks lead to public addresses only"));
        }
        told += &format!(": {cause}");
        next = cause.source();
    }
    Outcome::Later(told)
}
