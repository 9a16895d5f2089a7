//! Extractors: a request whose signature, nonce, URL and account have been checked is a type.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::jws::{Jws, KeyRef};
use super::problem::Refusal;
use super::{Acme, json};
use crate::actor;
use crate::domain::account::Account;
use crate::domain::key::AccountKey;
use crate::domain::{Error, Kind, Result};
use crate::http::event::{Field, RequestEvent};
use crate::ra::Stored;

/// Longest body that is read: a CSR of a hundred long names with an RSA 4096 key has a third of it.
const MAX_BODY: usize = 64 * 1024;

/// A request of an account.
pub struct Signed<T> {
    /// The account, valid.
    pub account: Stored<Account>,
    /// The payload.
    pub payload: T,
    /// The URL of the request.
    pub url: String,
    /// The URL of the account, as the request named it.
    pub kid: String,
}

/// A request that brings its key: newAccount, and revokeCert with the certificate's key.
pub struct SignedByKey<T> {
    /// The key.
    pub key: AccountKey,
    /// The payload.
    pub payload: T,
    /// The URL of the request.
    pub url: String,
}

/// A request of either kind.
pub enum SignedByEither<T> {
    /// By an account.
    Account(Box<Signed<T>>),
    /// By a key of its own.
    Key(Box<SignedByKey<T>>),
}

/// Something that a payload can be read as.
pub trait Payload: Sized {
    /// Reads it.
    fn read(payload: &[u8]) -> Result<Self>;
}

/// The payload of POST-as-GET: empty (RFC 8555 section 6.3).
pub struct Fetch;

/// A payload that is a JSON object.
pub struct Object<T>(pub T);

/// POST-as-GET, or a JSON object.
pub enum FetchOr<T> {
    /// The payload is empty.
    Fetch,
    /// The payload is an object.
    Object(T),
}

/// The payload as it came.
pub struct Raw(pub Vec<u8>);

impl Payload for Fetch {
    fn read(payload: &[u8]) -> Result<Self> {
        if payload.is_empty() {
            return Ok(Self);
        }
        Err(Error::malformed(
            "This resource is fetched with POST-as-GET: the payload must be empty (RFC 8555 section 6.3).",
        ))
    }
}

impl<T: DeserializeOwned> Payload for Object<T> {
    fn read(payload: &[u8]) -> Result<Self> {
        json::object(payload, "payload").map(Self)
    }
}

impl<T: DeserializeOwned> Payload for FetchOr<T> {
    fn read(payload: &[u8]) -> Result<Self> {
        if payload.is_empty() { Ok(Self::Fetch) } else { json::object(payload, "payload").map(Self::Object) }
    }
}

impl Payload for Raw {
    fn read(payload: &[u8]) -> Result<Self> {
        Ok(Self(payload.to_vec()))
    }
}

/// The variable segments of the path. Those that are not UTF-8 name nothing here.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Acme>> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, acme: &Arc<Acme>) -> Result<Self, Refusal> {
        let read = axum::extract::Path::from_request_parts(parts, acme).await;
        read.map(|axum::extract::Path(segments)| Self(segments))
            .map_err(|fault| Error::not_found("There is no such resource.").because(fault).into())
    }
}

/// Behind what a page of a list begins: the query parameter `cursor`. Others are let pass.
pub struct Cursor(pub Option<String>);

impl FromRequestParts<Arc<Acme>> for Cursor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Acme>) -> Result<Self, Infallible> {
        let mut query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self(query.find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())))
    }
}

impl<T: Payload> FromRequest<Arc<Acme>> for Signed<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, acme: &Arc<Acme>) -> Result<Self, Refusal> {
        match SignedByEither::from_request(request, acme).await? {
            SignedByEither::Account(signed) => Ok(*signed),
            SignedByEither::Key(_) => Err(Refusal(Error::malformed(
                "This request must name its account by \"kid\", not bring a \"jwk\" (RFC 8555 section 6.2).",
            ))),
        }
    }
}

impl<T: Payload> FromRequest<Arc<Acme>> for SignedByKey<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, acme: &Arc<Acme>) -> Result<Self, Refusal> {
        match SignedByEither::from_request(request, acme).await? {
            SignedByEither::Key(signed) => Ok(*signed),
            SignedByEither::Account(_) => Err(Refusal(Error::malformed(
                "This request must bring its key as \"jwk\", not name an account by \"kid\" (RFC 8555 section 6.2).",
            ))),
        }
    }
}

impl<T: Payload> FromRequest<Arc<Acme>> for SignedByEither<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, acme: &Arc<Acme>) -> Result<Self, Refusal> {
        let event = request.extensions().get::<RequestEvent>().cloned().unwrap_or_default();
        let url = request_url(&request, acme);
        check_content_type(request.headers())?;
        let body = read_body(request).await?;
        // RFC 8555 section 6.5: a nonce is used up by its first appearance, whatever becomes of the request.
        let jws = Jws::parse(&body).inspect_err(|_| {
            let _ = super::jws::nonce_in(&body).map(|nonce| acme.nonces.redeem(&nonce));
        })?;
        acme.nonces.redeem(jws.header.required_nonce()?)?;
        check_url(&jws.header.url, &url)?;
        match &jws.header.key {
            KeyRef::Jwk(key) => {
                acme.verifiers.verify(&jws, key)?;
                actor::identified(format!("key {}", key.thumbprint()));
                let payload = T::read(jws.payload())?;
                Ok(Self::Key(Box::new(SignedByKey { key: key.clone(), payload, url })))
            }
            KeyRef::Kid(kid) => {
                let account = account_of(acme, kid).await?;
                event.note(Field::Account, &account.id);
                acme.verifiers.verify(&jws, &account.key)?;
                actor::identified(format!("account {}", account.id));
                let payload = T::read(jws.payload())?;
                Ok(Self::Account(Box::new(Signed { account, payload, url, kid: kid.clone() })))
            }
        }
    }
}

fn request_url(request: &Request, acme: &Acme) -> String {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    acme.links.of_request(uri.path_and_query().map_or("/", |path| path.as_str()))
}

/// RFC 8555 section 6.2: exactly `application/jose+json`; parameters are let pass.
fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/jose+json") {
        return Ok(());
    }
    let shown: String = given.chars().take(80).collect();
    Err(Error::new(
        Kind::UnsupportedMediaType,
        format!("The Content-Type is \"{}\"; it must be application/jose+json.", shown.escape_debug()),
    ))
}

async fn read_body(request: Request) -> Result<Bytes> {
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(fault) if fault.is::<LengthLimitError>() => Err(Error::new(
            Kind::PayloadTooLarge,
            format!("The body is longer than {MAX_BODY} bytes, the most that this server reads."),
        )),
        Err(fault) => Err(Error::malformed("The body ended early.").because(fault)),
    }
}

/// RFC 8555 section 6.4: what was signed must be for this URL, letter for letter.
fn check_url(signed: &str, requested: &str) -> Result<()> {
    if signed == requested {
        return Ok(());
    }
    let shown: String = signed.chars().take(200).collect();
    Err(Error::unauthorized(format!(
        "The request was signed for \"{}\" and sent to \"{requested}\".",
        shown.escape_debug()
    )))
}

async fn account_of(acme: &Acme, kid: &str) -> Result<Stored<Account>> {
    let Some(id) = acme.links.account_id(kid) else {
        let shown: String = kid.chars().take(200).collect();
        return Err(Error::new(
            Kind::AccountDoesNotExist,
            format!("The \"kid\" \"{}\" is not an account URL of this server.", shown.escape_debug()),
        ));
    };
    acme.ra.account(&id).await
}
