//! The objects of RFC 8555 as JSON: what clients send, and what they are shown.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::links::Links;
use super::problem::Document;
use crate::domain::account::{Account, Standing};
use crate::domain::authz::AuthzState;
use crate::domain::order::Phase;
use crate::domain::plan::Method;
use crate::domain::{Identifier, Timestamp};
use crate::ra::{AuthzView, OrderView};

/// newAccount (RFC 8555 section 7.3).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    #[serde(default)]
    pub contact: Option<Vec<String>>,
    #[serde(default)]
    pub terms_of_service_agreed: bool,
    #[serde(default)]
    pub only_return_existing: bool,
    #[serde(default)]
    pub external_account_binding: Option<Box<RawValue>>,
}

/// A change of an account (RFC 8555 sections 7.3.2 and 7.3.6).
#[derive(Debug, Deserialize)]
pub struct AccountUpdate {
    #[serde(default)]
    pub contact: Option<Vec<String>>,
    #[serde(default)]
    pub status: Option<String>,
}

/// newOrder (RFC 8555 section 7.4, RFC 9773 section 5, draft-ietf-acme-profiles section 4).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    pub identifiers: Vec<WireIdentifier>,
    #[serde(default)]
    pub not_before: Option<String>,
    #[serde(default)]
    pub not_after: Option<String>,
    #[serde(default)]
    pub profile: Option<String>,
    #[serde(default)]
    pub replaces: Option<String>,
}

/// An identifier as a client wrote it.
#[derive(Debug, Deserialize)]
pub struct WireIdentifier {
    pub r#type: String,
    pub value: String,
}

/// newAuthz (RFC 8555 section 7.4.1).
#[derive(Debug, Deserialize)]
pub struct NewAuthz {
    pub identifier: WireIdentifier,
}

/// Finalize (RFC 8555 section 7.4).
#[derive(Debug, Deserialize)]
pub struct Finalize {
    pub csr: String,
}

/// A change of an authorization (RFC 8555 section 7.5.2).
#[derive(Debug, Deserialize)]
pub struct AuthzUpdate {
    #[serde(default)]
    pub status: Option<String>,
}

/// The answer to a challenge: an object whose members don't matter (RFC 8555 section 7.5.1).
#[derive(Debug, Deserialize)]
pub struct ChallengeAnswer {}

/// revokeCert (RFC 8555 section 7.6).
#[derive(Debug, Deserialize)]
pub struct RevokeCert {
    pub certificate: String,
    #[serde(default)]
    pub reason: Option<u64>,
}

/// An account (RFC 8555 section 7.1.2).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountObject<'a> {
    status: &'static str,
    contact: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_of_service_agreed: Option<bool>,
    orders: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_account_binding: Option<Box<RawValue>>,
}

impl<'a> AccountObject<'a> {
    /// The account as its holder sees it.
    pub fn of(account: &'a Account, links: &Links) -> Self {
        Self {
            status: match account.standing {
                Standing::Valid => "valid",
                Standing::Deactivated { .. } => "deactivated",
                Standing::Revoked { .. } => "revoked",
            },
            contact: &account.contact,
            terms_of_service_agreed: account.terms_agreed.map(|_| true),
            orders: links.orders(&account.id),
            external_account_binding: account
                .external
                .as_ref()
                .and_then(|external| RawValue::from_string(external.jws.clone()).ok()),
        }
    }
}

/// An order (RFC 8555 section 7.1.3).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderObject<'a> {
    status: &'static str,
    expires: Rfc3339,
    identifiers: &'a [Identifier],
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Rfc3339>,
    profile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<&'a str>,
    authorizations: Vec<String>,
    finalize: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
}

impl<'a> OrderObject<'a> {
    /// The order as its owner sees it.
    pub fn of(view: &'a OrderView, links: &Links) -> Self {
        let order = &view.order;
        let certificate = match &order.phase {
            Phase::Issued { serial, .. } => Some(links.certificate(serial)),
            _ => None,
        };
        Self {
            status: view.status().as_str(),
            expires: Rfc3339(order.expires),
            identifiers: &order.identifiers,
            not_before: order.not_before.map(Rfc3339),
            not_after: order.not_after.map(Rfc3339),
            profile: &order.product,
            replaces: order.replaces.as_deref(),
            authorizations: order.authorizations.iter().map(|id| links.authz(id)).collect(),
            finalize: links.finalize(&order.id),
            certificate,
            error: view
                .problem()
                .and_then(|problem| serde_json::value::to_raw_value(&Document::embedded(&problem)).ok()),
        }
    }
}

/// An authorization (RFC 8555 section 7.1.4).
#[derive(Debug, Serialize)]
pub struct AuthzObject<'a> {
    status: &'static str,
    expires: Rfc3339,
    identifier: &'a Identifier,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    wildcard: bool,
    challenges: Vec<ChallengeObject<'a>>,
}

impl<'a> AuthzObject<'a> {
    /// The authorization as its owner sees it.
    pub fn of(view: &'a AuthzView, links: &Links) -> Self {
        let authz = &*view.authz;
        // What was not tried does not matter any more once the authorization is settled (RFC 8555 section 7.5.1).
        let shown = match authz.state {
            AuthzState::Valid { method, .. } | AuthzState::Invalid { method, .. } => vec![method],
            AuthzState::Pending { .. } | AuthzState::Deactivated { .. } => authz.methods.clone(),
        };
        Self {
            status: authz.status(view.now).as_str(),
            expires: Rfc3339(authz.expires),
            identifier: &authz.identifier,
            wildcard: authz.wildcard,
            challenges: shown.into_iter().map(|method| ChallengeObject::of(view, method, links)).collect(),
        }
    }
}

/// A challenge (RFC 8555 section 8).
#[derive(Debug, Serialize)]
pub struct ChallengeObject<'a> {
    r#type: &'static str,
    url: String,
    status: &'static str,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    validated: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Document<'a>>,
    /// What is not of RFC 8555: sentences on what should be put right although the challenge was met.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hints: &'a [String],
}

impl<'a> ChallengeObject<'a> {
    /// The challenge of that type as the authorization's owner sees it.
    pub fn of(view: &'a AuthzView, method: Method, links: &Links) -> Self {
        let authz = &*view.authz;
        // VAL-28: the five statuses of the products. Pending validation is `pending`; Validating is `processing`, and with
        // an error of DIAG-13 it is Validation timeout; Passed is `valid`; Failed is `invalid`.
        let (status, validated, problem, hints) = match &authz.state {
            AuthzState::Pending { attempt: Some(attempt) } if attempt.method == method => {
                ("processing", None, attempt.failures.last(), &[][..])
            }
            AuthzState::Valid { method: proven, validated, hints, .. } if *proven == method => {
                ("valid", Some(Rfc3339(*validated)), None, hints.as_slice())
            }
            AuthzState::Invalid { method: failed, problem, .. } if *failed == method => {
                ("invalid", None, Some(problem), &[][..])
            }
            // VAL-30, DIAG-12: the time for it is over.
            AuthzState::Pending { .. } if view.lapse.is_some() => ("invalid", None, view.lapse.as_ref(), &[][..]),
            _ => ("pending", None, None, &[][..]),
        };
        Self {
            r#type: method.as_str(),
            url: links.challenge(&authz.id, method),
            status,
            token: &authz.token,
            validated,
            error: problem.map(Document::embedded),
            hints,
        }
    }
}

/// A page of orders (RFC 8555 section 7.1.2.1).
#[derive(Debug, Serialize)]
pub struct OrderList {
    pub orders: Vec<String>,
}

/// Renewal information (RFC 9773 section 4.2).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfo {
    pub suggested_window: SuggestedWindow,
    #[serde(rename = "explanationURL", skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
}

/// The window in which a client renews.
#[derive(Debug, Serialize)]
pub struct SuggestedWindow {
    pub start: Rfc3339,
    pub end: Rfc3339,
}

/// A moment as RFC 3339 text.
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
