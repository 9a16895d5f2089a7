//! What each resource does: extract, call `ra` once, render.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::jws::{Binding, external_binding};
use super::pairs;
use super::problem::Refusal;
use super::signed::{Cursor, Fetch, FetchOr, Object, Path, Raw, Signed, SignedByEither, SignedByKey};
use super::wire::{self, AccountObject, AuthzObject, ChallengeObject, OrderObject, Rfc3339};
use super::{Acme, header_value};
use crate::domain::certificate::{CertId, RevocationReason};
use crate::domain::error::Named;
use crate::domain::key::AccountKey;
use crate::domain::order::{OrderStatus, Phase};
use crate::domain::plan::Method;
use crate::domain::{AuthzId, Error, Identifier, Kind, OrderId, Problem, Result, Serial, Timestamp};
use crate::http::Peer;
use crate::ra::{self, Authority, AuthzView, ExternalProof, OrderView, Request};

type Shared = State<Arc<Acme>>;
type Answer = Result<Response, Refusal>;

/// The one header that answers nearly always carry.
type Headers<const N: usize> = AppendHeaders<[(HeaderName, HeaderValue); N]>;

/// Most identifiers of one request, repetitions included; how many names an order may have is the product's rule.
const MOST_SENT: usize = 500;

/// Seconds that a client waits between polls.
const POLL_AFTER: &str = "1";

/// Seconds that a client waits for a certificate that was not made at once (rules section 25.3, ISSUE), and when that is so:
/// most are made within the answer, and clients that wait for those would give up.
const PUT_OFF_AFTER: &str = "30";
const SOON: Duration = Duration::from_secs(30);

/// Seconds that a client waits for a person (rules section 25.3, ISSUE).
const LOOK_AFTER: &str = "3600";

pub async fn directory(State(acme): Shared) -> Json<Value> {
    Json(directory_object(&acme, None))
}

pub async fn directory_signed(State(acme): Shared, _: Signed<Fetch>) -> Json<Value> {
    Json(directory_object(&acme, None))
}

pub async fn product_directory(State(acme): Shared, Path(product): Path<String>) -> Answer {
    known_product(&acme, &product)?;
    Ok(Json(directory_object(&acme, Some(&product))).into_response())
}

pub async fn product_directory_signed(State(acme): Shared, Path(product): Path<String>, _: Signed<Fetch>) -> Answer {
    product_directory(State(acme), Path(product)).await
}

fn known_product(acme: &Acme, product: &str) -> Result<()> {
    match acme.ra.catalog().product(product) {
        Some(_) => Ok(()),
        None => Err(Error::not_found("There is no such product; the directory lists all as profiles.")),
    }
}

/// RFC 8555 section 7.1.1; with a product preset, the same server seen through that product.
fn directory_object(acme: &Acme, preset: Option<&str>) -> Value {
    let (links, catalog, settings) = (&acme.links, acme.ra.catalog(), acme.ra.settings());
    let ordering = |name: &str| match preset {
        Some(product) => links.product_resource(product, name),
        None => links.resource(name),
    };
    let offered = catalog.sold().filter(|product| preset.is_none_or(|only| only == product.id));
    let profiles: BTreeMap<&str, String> = offered
        .map(|product| (product.id.as_str(), product.url.clone().unwrap_or_else(|| text_url(&product.title))))
        .collect();
    let mut meta = json!({
        "caaIdentities": catalog.caa_identities(),
        "externalAccountRequired": settings.external_account_required,
        "profiles": profiles,
    });
    for (member, url) in [("termsOfService", &settings.terms_of_service), ("website", &acme.website)] {
        if let Some(url) = url {
            meta[member] = json!(url);
        }
    }
    let mut directory = json!({
        "newNonce": links.resource("new-nonce"),
        "newAccount": links.resource("new-account"),
        "newOrder": ordering("new-order"),
        "newAuthz": ordering("new-authz"),
        "revokeCert": links.resource("revoke-cert"),
        "keyChange": links.resource("key-change"),
        "renewalInfo": links.resource("renewal-info"),
        "meta": meta,
    });
    // A member that is never the same keeps clients from relying on the list being closed.
    directory[crate::domain::id::random_token()] = json!("https://www.rfc-editor.org/rfc/rfc8555#section-7.1.1");
    directory
}

/// A text as a URL (RFC 2397).
fn text_url(text: &str) -> String {
    let octet = |b: u8| match b {
        b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().fold("data:text/plain;charset=utf-8,".to_owned(), |url, b| url + &octet(b))
}

pub async fn new_nonce(State(acme): Shared, method: axum::http::Method) -> Response {
    // RFC 8555 section 7.2: HEAD is answered with 200, GET with 204.
    let status = if method == axum::http::Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let nonce = header_value(&acme.nonces.issue());
    let headers = [
        (HeaderName::from_static("replay-nonce"), nonce),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, AppendHeaders(headers)).into_response()
}

pub async fn new_nonce_signed(_: Signed<Fetch>) -> StatusCode {
    // The nonce comes with every answer to a POST.
    StatusCode::NO_CONTENT
}

/// An external account binding, with what its verification needs of the request around it.
struct SentBinding<'a> {
    binding: Binding,
    json: &'a str,
    key: &'a AccountKey,
    url: &'a str,
}

impl ExternalProof for SentBinding<'_> {
    fn kid(&self) -> &str {
        &self.binding.kid
    }

    fn verify(&self, mac_key: &[u8]) -> Result<()> {
        self.binding.verify(mac_key, self.key, self.url)
    }

    fn as_json(&self) -> String {
        self.json.to_owned()
    }
}

pub async fn new_account(
    State(acme): Shared,
    peer: Option<Extension<Peer>>,
    request: SignedByKey<Object<wire::NewAccount>>,
) -> Answer {
    let Object(asked) = request.payload;
    let sent = asked.external_account_binding.as_ref().map(|json| json.get());
    let binding = sent.map(|json| {
        external_binding(json).map(|binding| SentBinding { binding, json, key: &request.key, url: &request.url })
    });
    let binding = binding.transpose()?;
    let created = acme
        .ra
        .register(&ra::NewAccount {
            key: &request.key,
            contact: asked.contact.unwrap_or_default(),
            terms_agreed: asked.terms_of_service_agreed,
            from: peer.map(|Extension(Peer(address))| address.ip()),
            only_existing: asked.only_return_existing,
            external: binding.as_ref().map(|binding| binding as &dyn ExternalProof),
        })
        .await?;
    let status = if created.new { StatusCode::CREATED } else { StatusCode::OK };
    let headers = located(&acme.links.account(&created.account.id));
    Ok((status, headers, Json(AccountObject::of(&created.account, &acme.links))).into_response())
}

pub async fn account(
    State(acme): Shared,
    Path(id): Path<String>,
    request: Signed<FetchOr<wire::AccountUpdate>>,
) -> Answer {
    own_account(&request.account.id, &id)?;
    let update = match request.payload {
        FetchOr::Fetch => wire::AccountUpdate { contact: None, status: None },
        FetchOr::Object(update) => update,
    };
    let account = match update {
        // RFC 8555 section 7.3.2: other values of "status" are ignored.
        wire::AccountUpdate { status: Some(status), .. } if status == "deactivated" => {
            acme.ra.deactivate_account(&request.account.id).await?
        }
        wire::AccountUpdate { contact: Some(contact), .. } => acme.ra.update_contact(&request.account, contact).await?,
        wire::AccountUpdate { contact: None, .. } => request.account.into_value(),
    };
    Ok((located(&acme.links.account(&account.id)), Json(AccountObject::of(&account, &acme.links))).into_response())
}

pub async fn orders(
    State(acme): Shared,
    Path(id): Path<String>,
    Cursor(cursor): Cursor,
    request: Signed<Fetch>,
) -> Answer {
    own_account(&request.account.id, &id)?;
    let found = acme.ra.orders(&request.account, cursor.as_deref()).await?;
    let list = wire::OrderList { orders: found.orders.iter().map(|id| acme.links.order(id)).collect() };
    let mut answer = Json(list).into_response();
    if let Some(cursor) = found.next {
        let next = format!("<{}?cursor={cursor}>;rel=\"next\"", acme.links.orders(&request.account.id));
        answer.headers_mut().append(header::LINK, header_value(&next));
    }
    Ok(answer)
}

fn own_account(signer: &crate::domain::AccountId, named: &str) -> Result<()> {
    if signer.as_str() == named {
        return Ok(());
    }
    Err(Error::unauthorized("An account can see and change only itself."))
}

pub async fn key_change(State(acme): Shared, request: Signed<Raw>) -> Answer {
    let change = acme.verifiers.key_change(&request.payload.0, &request.url)?;
    change.check(&request.kid, &request.account.key)?;
    let account = acme.ra.change_key(&request.account.id, &change.old_key, &change.new_key).await?;
    Ok((located(&acme.links.account(&account.id)), Json(AccountObject::of(&account, &acme.links))).into_response())
}

pub async fn new_order(State(acme): Shared, request: Signed<Object<wire::NewOrder>>) -> Answer {
    place_order(&acme, request, None).await
}

pub async fn new_product_order(
    State(acme): Shared,
    Path(product): Path<String>,
    request: Signed<Object<wire::NewOrder>>,
) -> Answer {
    known_product(&acme, &product)?;
    place_order(&acme, request, Some(product)).await
}

async fn place_order(acme: &Acme, request: Signed<Object<wire::NewOrder>>, preset: Option<String>) -> Answer {
    let Object(asked) = request.payload;
    let replaces = asked.replaces.as_deref().map(|text| {
        CertId::parse(text)
            .ok_or_else(|| Error::malformed("\"replaces\" is not a certificate's name (RFC 9773 section 4.1)."))
    });
    let (identifiers, unread) = parse_identifiers(&asked.identifiers)?;
    let order = ra::NewOrder {
        request: Request {
            product: asked_product(asked.profile, preset)?,
            identifiers,
            unread,
            not_before: parse_moment("notBefore", asked.not_before.as_deref())?,
            not_after: parse_moment("notAfter", asked.not_after.as_deref())?,
        },
        replaces: replaces.transpose()?,
        by_server: false,
    };
    let view = acme.ra.create_order(&request.account, order).await?;
    Ok((StatusCode::CREATED, order_answer(acme, &view)).into_response())
}

/// The profile, or else the product that the directory stands for; both only if they are the same.
fn asked_product(profile: Option<String>, preset: Option<String>) -> Result<Option<String>> {
    match (profile, preset) {
        (Some(profile), Some(preset)) if profile != preset => Err(Error::new(
            crate::domain::Kind::InvalidProfile,
            format!("This directory orders \"{preset}\"; for another profile use the main directory."),
        )),
        (profile, preset) => Ok(profile.or(preset)),
    }
}

/// All names that can be read, and what is wrong with the others: they are told together with what the product's rules say
/// of the names (RFC 8555 section 6.7.1).
fn parse_identifiers(sent: &[wire::WireIdentifier]) -> Result<(Vec<Identifier>, Vec<Problem>)> {
    // Judged before any name is, so that an answer is never much longer than a request.
    if sent.len() > MOST_SENT {
        let detail = format!("The request lists {} identifiers; at most {MOST_SENT} are read.", sent.len());
        return Err(Error::new(Kind::RejectedIdentifier, detail));
    }
    let mut names = Vec::with_capacity(sent.len());
    let mut problems = Vec::new();
    for identifier in sent {
        match Identifier::parse(&identifier.r#type, &identifier.value) {
            Ok(name) => names.push(name),
            Err(error) => {
                let cut = |text: &str| text.chars().take(260).collect();
                let named = Named { r#type: cut(&identifier.r#type), value: cut(&identifier.value) };
                problems.push(error.into_problem().of(named));
            }
        }
    }
    Ok((names, problems))
}

fn parse_moment(member: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let read = |text: &str| {
        Timestamp::parse_rfc3339(text)
            .ok_or_else(|| Error::malformed(format!("\"{member}\" is not a moment as RFC 3339 writes it.")))
    };
    text.map(read).transpose()
}

pub async fn new_authz(State(acme): Shared, request: Signed<Object<wire::NewAuthz>>) -> Answer {
    pre_authorize(&acme, request, None).await
}

pub async fn new_product_authz(
    State(acme): Shared,
    Path(product): Path<String>,
    request: Signed<Object<wire::NewAuthz>>,
) -> Answer {
    known_product(&acme, &product)?;
    pre_authorize(&acme, request, Some(&product)).await
}

async fn pre_authorize(acme: &Acme, request: Signed<Object<wire::NewAuthz>>, product: Option<&str>) -> Answer {
    let Object(asked) = request.payload;
    let identifier = Identifier::parse(&asked.identifier.r#type, &asked.identifier.value)?;
    let view = acme.ra.pre_authorize(&request.account, &identifier, product).await?;
    let status = if view.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, authz_answer(acme, &view)).into_response())
}

pub async fn order(State(acme): Shared, Path(id): Path<String>, request: Signed<Fetch>) -> Answer {
    let view = acme.ra.order(&request.account, &order_id(&id)?).await?;
    Ok(order_answer(&acme, &view))
}

pub async fn finalize(State(acme): Shared, Path(id): Path<String>, request: Signed<Object<wire::Finalize>>) -> Answer {
    let csr = decode("csr", &request.payload.0.csr)?;
    let view = acme.ra.finalize(&request.account, &order_id(&id)?, &csr).await?;
    Ok(order_answer(&acme, &view))
}

pub async fn authz(State(acme): Shared, Path(id): Path<String>, request: Signed<FetchOr<wire::AuthzUpdate>>) -> Answer {
    let id: AuthzId = id.parse().map_err(|()| Error::not_found("There is no such authorization."))?;
    let view = match request.payload {
        FetchOr::Fetch => acme.ra.authorization(&request.account, &id).await?,
        FetchOr::Object(update) if update.status.as_deref() == Some("deactivated") => {
            acme.ra.deactivate_authorization(&request.account, &id).await?
        }
        FetchOr::Object(_) => {
            return Err(
                Error::malformed("The only change of an authorization is {\"status\": \"deactivated\"}.").into()
            );
        }
    };
    Ok(authz_answer(&acme, &view))
}

pub async fn challenge(
    State(acme): Shared,
    Path((authz, method)): Path<(String, String)>,
    request: Signed<FetchOr<wire::ChallengeAnswer>>,
) -> Answer {
    let none = || Error::not_found("There is no such challenge.");
    let id: AuthzId = authz.parse().map_err(|()| none())?;
    let method = Method::parse(&method).ok_or_else(none)?;
    let view = match request.payload {
        FetchOr::Fetch => acme.ra.challenge(&request.account, &id, method).await?,
        FetchOr::Object(_) => acme.ra.answer_challenge(&request.account, &id, method).await?,
    };
    let headers = AppendHeaders([
        (header::LINK, header_value(&format!("<{}>;rel=\"up\"", acme.links.authz(&id)))),
        (header::LOCATION, header_value(&acme.links.challenge(&id, method))),
    ]);
    let object = Json(ChallengeObject::of(&view, method, &acme.links));
    Ok((headers, retry_after(view.in_progress()), object).into_response())
}

pub async fn certificate(State(acme): Shared, Path(serial): Path<String>, request: Signed<Fetch>) -> Answer {
    download(&acme, &request, &serial, 0).await
}

pub async fn alternate_certificate(
    State(acme): Shared,
    Path((serial, chain)): Path<(String, String)>,
    request: Signed<Fetch>,
) -> Answer {
    // One spelling for each chain: "+1" and "01" would read as numbers too.
    let number = chain.parse().ok().filter(|n: &usize| n.to_string() == chain);
    download(&acme, &request, &serial, number.ok_or_else(no_certificate)?).await
}

fn no_certificate() -> Error {
    Error::not_found("This account has no such certificate.")
}

async fn download(acme: &Acme, request: &Signed<Fetch>, serial: &str, chain: usize) -> Answer {
    let serial: Serial = serial.parse().map_err(|()| no_certificate())?;
    let found = acme.ra.certificate(&request.account, &serial, chain).await?;
    let blocks = std::iter::once(&found.leaf).chain(&found.chain);
    let text: String = blocks.map(|der| pem_block(der)).collect();
    let mut answer = ([(header::CONTENT_TYPE, "application/pem-certificate-chain")], text).into_response();
    for other in (0..found.chains).filter(|other| *other != chain) {
        let link = format!("<{}>;rel=\"alternate\"", acme.links.certificate_chain(&serial, other));
        answer.headers_mut().append(header::LINK, header_value(&link));
    }
    if let Some(encryption) = &found.encryption {
        // KEY-11: RFC 8555 knows one certificate of an order, so the other one of a pair is pointed to.
        for link in pairs::links(&acme.links, &serial, encryption) {
            answer.headers_mut().append(header::LINK, header_value(&link));
        }
    }
    Ok(answer)
}

/// RFC 7468: lines of 64 characters, each block with its line end.
fn pem_block(der: &[u8]) -> String {
    let block = pem::Pem::new("CERTIFICATE", der);
    pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

pub async fn revoke_cert(State(acme): Shared, request: SignedByEither<Object<wire::RevokeCert>>) -> Answer {
    let (authority, asked) = match &request {
        SignedByEither::Account(signed) => (Authority::Account(&signed.account), &signed.payload.0),
        SignedByEither::Key(signed) => (Authority::CertificateKey(&signed.key), &signed.payload.0),
    };
    let der = decode("certificate", &asked.certificate)?;
    let reason = RevocationReason::from_code(asked.reason.unwrap_or(0))?;
    acme.ra.revoke(authority, &der, reason).await?;
    Ok(StatusCode::OK.into_response())
}

pub async fn renewal_info(State(acme): Shared, Path(id): Path<String>) -> Answer {
    let id = CertId::parse(&id).ok_or_else(|| {
        Error::malformed(
            "A certificate is named by base64url(key identifier) \".\" base64url(serial) (RFC 9773 section 4.1).",
        )
    })?;
    let renewal = acme.ra.renewal_info(&id).await?;
    let suggested_window =
        wire::SuggestedWindow { start: Rfc3339(renewal.window.start), end: Rfc3339(renewal.window.end) };
    let wait = renewal.ask_again.as_secs().to_string();
    let explanation_url = renewal.explanation_url;
    Ok(([(header::RETRY_AFTER, wait)], Json(wire::RenewalInfo { suggested_window, explanation_url })).into_response())
}

pub async fn root(State(acme): Shared) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], acme.ra.root_pem().to_owned()).into_response()
}

fn order_id(text: &str) -> Result<OrderId> {
    text.parse().map_err(|()| Error::not_found("There is no such order."))
}

/// RFC 8555 section 6.1: base64url without padding.
fn decode(member: &str, text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|fault| Error::malformed(format!("\"{member}\" is not base64url without padding: {fault}.")))
}

fn located(url: &str) -> Headers<1> {
    AppendHeaders([(header::LOCATION, header_value(url))])
}

/// The order with its `Location`, which clients look for on every answer, and when to come back while it is processing.
fn order_answer(acme: &Acme, view: &OrderView) -> Response {
    let headers = located(&acme.links.order(&view.order.id));
    let object = Json(OrderObject::of(view, &acme.links));
    let wait = match (view.status(), &view.order.phase) {
        (OrderStatus::Processing, Phase::Review { .. }) => Some(LOOK_AFTER),
        (OrderStatus::Processing, Phase::Issuing { since, .. }) if view.now.since(*since) >= SOON => {
            Some(PUT_OFF_AFTER)
        }
        (OrderStatus::Processing, _) => Some(POLL_AFTER),
        _ => None,
    };
    (headers, wait.map(come_back), object).into_response()
}

fn authz_answer(acme: &Acme, view: &AuthzView) -> Response {
    let headers = located(&acme.links.authz(&view.authz.id));
    (headers, retry_after(view.in_progress()), Json(AuthzObject::of(view, &acme.links))).into_response()
}

fn retry_after(wait: bool) -> Option<Headers<1>> {
    wait.then(|| come_back(POLL_AFTER))
}

fn come_back(seconds: &'static str) -> Headers<1> {
    AppendHeaders([(header::RETRY_AFTER, HeaderValue::from_static(seconds))])
}
