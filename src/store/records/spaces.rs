//! Which space holds which record, and records that only the use cases and the lists know.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::account::{Account, Holder};
use crate::domain::alarm::{AlarmPolicy, Template};
use crate::domain::application::Application;
use crate::domain::audit::Observation;
use crate::domain::authz::Authorization;
use crate::domain::certificate::{Certificate, RevocationReason};
use crate::domain::channel::{Channel, Subscription};
use crate::domain::customer::{Clearance, Customer, ExternalKey};
use crate::domain::delivery::Delivery;
use crate::domain::document::{Document, DocumentPart};
use crate::domain::hand_order::HandOrder;
use crate::domain::incident::{Incident, SerialsPart};
use crate::domain::job::{Job, Timer};
use crate::domain::key_pair::KeyPair;
use crate::domain::ledger::{Coupon, Entry, Wallet};
use crate::domain::limit::Override;
use crate::domain::notice::Notice;
use crate::domain::order::Order;
use crate::domain::organisation::{Organisation, Person};
use crate::domain::pair::CertificatePair;
use crate::domain::portfolio::{HostingTarget, Portfolio, Resource};
use crate::domain::purchase::Purchase;
use crate::domain::quota::{DomainLedger, HolderLedger};
use crate::domain::repeat::Repeat;
use crate::domain::review::CaseFile;
use crate::domain::revocation::RevocationRequest;
use crate::domain::streak::Streak;
use crate::domain::token::Token;
use crate::domain::upload::Upload;
use crate::domain::{CustomerId, DocumentId, IncidentId, Serial, Timestamp};

/// Something that is kept as one record.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// The space it lives in; never reused for something else.
    const SPACE: u8;
    /// The form of its fields; a reader refuses what is newer than itself.
    const FORM: u8 = 1;

    /// Its name within the space.
    fn id(&self) -> Vec<u8>;
}

macro_rules! records {
    ($($kind:ty = $space:literal, |$value:ident| $id:expr;)*) => {$(
        impl Record for $kind {
            const SPACE: u8 = $space;

            fn id(&self) -> Vec<u8> {
                let $value = self;
                $id
            }
        }
    )*};
}

records! {
    Account = 1, |r| r.id.as_str().into();
    Order = 2, |r| r.id.as_str().into();
    Authorization = 3, |r| r.id.as_str().into();
    Job = 4, |r| r.id.as_str().into();
    Certificate = 5, |r| r.serial.as_bytes().into();
    SerialEntry = 6, |r| r.serial.as_bytes().into();
    Customer = 7, |r| r.id.as_str().into();
    ExternalKey = 8, |r| r.kid.as_bytes().into();
    BlockedKey = 9, |r| r.spki_sha256.into();
    Revocation = 10, |r| r.id_bytes();
    HolderLedger = 11, |r| r.holder.as_key().into();
    DomainLedger = 12, |r| r.domain.as_bytes().into();
    Purchase = 13, |r| r.id.as_str().into();
    Clearance = 14, |r| clearance_id(&r.holder, &r.name);
    Timer = 15, |r| [&r.at.as_millis().to_be_bytes(), r.id.as_str().as_bytes()].concat();
    Notice = 16, |r| r.id.as_str().into();
    Token = 17, |r| r.id.as_str().into();
    RevocationRequest = 24, |r| r.id.as_str().into();
    Entry = 18, |r| r.id.as_str().into();
    Wallet = 19, |r| r.customer.as_str().into();
    Organisation = 20, |r| r.id.as_str().into();
    Person = 21, |r| r.id.as_str().into();
    Application = 22, |r| r.id.as_str().into();
    Document = 23, |r| r.id.as_str().into();
    Upload = 25, |r| r.id.as_str().into();
    KeyPair = 26, |r| r.id.as_str().into();
    Portfolio = 27, |r| r.certificate.to_string().into();
    Channel = 28, |r| r.id.as_str().into();
    AlarmPolicy = 29, |r| r.id.as_str().into();
    Repeat = 30, |r| r.key.into();
    HandOrder = 31, |r| r.order.as_str().into();
    Delivery = 32, |r| Delivery::name(&r.notice, &r.to).into();
    HostingTarget = 33, |r| hosting_target_id(&r.customer, &r.resource);
    CaseFile = 34, |r| r.id.as_bytes().into();
    Coupon = 35, |r| [r.customer.as_str(), r.id.as_str()].concat().into();
    CertificatePair = 44, |r| r.signature.as_bytes().into();
    Override = 50, |r| Override::name(r.limit, &r.subject).into();
    Streak = 51, |r| Streak::key(&r.account, &r.name);
    Subscription = 52, |r| r.customer.as_str().into();
    Template = 53, |r| r.id.as_str().into();
    Incident = 42, |r| r.id.as_str().into();
    ListState = 41, |r| r.issuer.as_bytes().into();
    Observed = 47, |r| r.node.to_be_bytes().into();
    SerialsPart = 54, |r| serials_part_id(&r.incident, r.number);
    DocumentPart = 142, |r| document_part_id(&r.document, r.number);
}

/// A serial number that was given out, recorded before anything is signed with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SerialEntry {
    /// The serial.
    pub serial: Serial,
    /// What it was given out for: an order's id, `server` or `responder`; for the latter two, once a certificate is signed with
    /// it, a slash and the name of the issuer.
    pub purpose: String,
    /// When.
    pub at: Timestamp,
}

/// A key that is known to be compromised: no certificate is issued for it again (Baseline Requirements 6.1.1.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BlockedKey {
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[serde(with = "crate::domain::certificate::hex32")]
    pub spki_sha256: [u8; 32],
    /// When it became known.
    pub at: Timestamp,
}

/// An entry of a revocation list, kept by the issuer that signed the certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// The issuer's name.
    pub issuer: String,
    /// The certificate.
    pub serial: Serial,
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// When the certificate would have ended.
    pub not_after: Timestamp,
}

/// Where an issuer's revocation lists stand. Whoever signs one takes its number here first, guarded by the version, so that
/// no number is used twice and none falls, whatever the clock does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListState {
    /// The issuer's name.
    pub issuer: String,
    /// The number of the list that was signed last.
    pub number: u64,
    /// When all of its lists were made together last, as far as is known.
    pub regular: Timestamp,
    /// Every number of shards that its certificates were ever issued with.
    pub shards: Vec<u16>,
}

/// What a node was started with last, of which the audit log was told: what differs at the next start is a change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observed {
    /// The node.
    pub node: u16,
    /// Its configuration as it was last.
    pub state: Observation,
}

impl Revocation {
    /// What the names of an issuer's entries begin with.
    pub fn prefix(issuer: &str) -> Vec<u8> {
        [issuer.as_bytes(), b"/"].concat()
    }

    fn id_bytes(&self) -> Vec<u8> {
        [&Self::prefix(&self.issuer)[..], self.serial.as_bytes()].concat()
    }
}

/// The name of a clearance.
pub fn clearance_id(holder: &Holder, name: &str) -> Vec<u8> {
    [holder.as_key().as_bytes(), b"/", name.as_bytes()].concat()
}

/// The name of a part of a document.
pub fn document_part_id(document: &DocumentId, number: u32) -> Vec<u8> {
    [document.as_str().as_bytes(), b"/", &number.to_be_bytes()].concat()
}

/// The name of a part of the serials of an incident.
pub fn serials_part_id(incident: &IncidentId, number: u32) -> Vec<u8> {
    [incident.as_str().as_bytes(), b"/", &number.to_be_bytes()].concat()
}

/// The name of a resource of a customer.
pub fn hosting_target_id(customer: &CustomerId, resource: &Resource) -> Vec<u8> {
    [customer.as_str(), "/", &resource.kind, "/", &resource.id].concat().into_bytes()
}
