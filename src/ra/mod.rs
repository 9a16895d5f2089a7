//! Use cases: the only conductor, which asks policy, validator, CA and store; the only one that commits.

mod accounts;
mod alarms;
mod allowances;
mod anchoring;
mod applications;
mod authorizations;
mod billing;
mod bundles;
mod buying;
mod ca_keys;
mod calendar;
mod catalogs;
mod channels;
mod compromised;
mod continuing;
mod customers;
mod decisions;
mod deploying;
mod desk;
mod diagnoses;
mod documents;
mod entitlements;
mod evidence;
mod expiry;
mod hand_orders;
mod hosting;
mod incidents;
mod issuance;
mod key_pairs;
mod ledgers;
mod letters;
pub mod limits;
mod lists;
mod log_export;
mod notices;
mod operations;
mod orders;
mod pairs;
mod pausing;
mod placing;
mod portfolio;
mod profiles;
mod proofs;
mod publication;
mod purchases;
mod quitting;
mod quotas;
mod reissues;
mod reissuing;
mod reminders;
mod renewal;
mod repeats;
mod reports;
mod reviews;
mod revocation;
mod revocation_letters;
mod revocation_proofs;
mod revocation_requests;
mod revocation_reviews;
mod server_certificate;
mod shares;
mod signatures;
mod statuses;
mod telling;
mod tokens;
mod turns;
mod upgrades;
mod uploads;
mod vetting;
mod worker;

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Deserialize;

pub use accounts::{Created, ExternalProof, NewAccount};
pub use alarms::PolicyTerms;
pub use applications::{ApplicationReport, ApplicationRequest, Pick};
pub use authorizations::AuthzView;
pub use billing::{CreditKind, NewCredit, NewPayment};
pub use buying::{NewPurchase, Pay};
pub use channels::{NewChannel, NewWay, Subscribed, SubscriptionChange};
pub use compromised::{CompromisedKey, Report, ReportedKey};
pub use continuing::{NewRenewal, Renewed};
pub use customers::{CustomerChange, IdentityWord, NewCustomer, NewExternalKey};
pub use desk::{Case, Decision, Details, DuePlace, Place, Sort, Verdict};
pub use diagnoses::{Finding, NameSeen, Report as Diagnosed};
pub use documents::NewDocument;
pub use evidence::{CertificateEvidence, Checker, NameEvidence, Walked, for_customers};
pub use hand_orders::{HandOrderView, NewApplication, ValidationRecord};
pub use hosting::{NewDeployment, WantedResource};
pub use incidents::NewIncident;
pub use issuance::Download;
pub use key_pairs::{NewKeyPair, PastedCsr};
pub use ledgers::{DomainView, QuotaView};
pub use log_export::{LogExport, LogRange};
pub use notices::NoticeView;
pub use operations::{Operation, OperationFilter, OperationPage};
pub use orders::{OrderPage, OrderView};
pub use pausing::PausedNames;
pub use placing::NewOrder;
pub use portfolio::{CertificateStatus, Description, Filter, Kept, Listed};
pub use profiles::ProvenName;
pub use publication::CurrentList;
pub use purchases::{NamesQuote, QuotedNames};
pub use reissuing::NewReissue;
pub use reminders::Reminder;
pub use renewal::Renewal;
pub use repeats::{Claim, Claimed, Repeatable, StoredAnswer};
pub use reports::{OrderReport, PurchaseReport};
pub use revocation::Authority;
pub use revocation_letters::SentLetter;
pub use revocation_requests::{NewRevocation, RevocationView};
pub use server_certificate::ServerIdentity;
pub use statuses::{Caching, MAX_STATUS_REQUEST, StatusAnswer};
pub use tokens::NewToken;
pub use upgrades::{Proposal, Upgrade, UpgradeWish};
pub use uploads::{NewUpload, UploadedText};

pub use crate::policy::admission::Request;
pub use crate::policy::applications::Expected;
pub use crate::policy::free_names::Counted;
pub use crate::policy::price::Quote;
pub use crate::policy::quota::{DomainUsage, HolderUsage, Usage};
pub use crate::store::records::Stored;

use crate::ca::Ca;
use crate::clock::Clock;
use crate::domain::incident::Incident;
use crate::domain::{AccountId, Error, Result, Timestamp};
use crate::policy::catalog::{Catalog, Product};
use crate::post::Post;
use crate::store::StoreError;
use crate::store::records::Records;
use crate::store::vault::Vault;
use crate::va::Va;
use worker::Worker;

/// The part of `[acme]` that the use cases need.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether every new account needs an external account binding.
    pub external_account_required: bool,
    /// The product of orders that ask for none.
    pub default_product: String,
    /// The terms of service that a new account must agree to; without a URL there are none.
    pub terms_of_service: Option<String>,
    /// Days that an order may stay open.
    pub order_days: u32,
    /// Days that an authorization waits for a challenge response.
    pub pending_authorization_days: u32,
    /// Most days that a valid authorization serves further orders; 0: the order it was made for alone.
    pub authorization_days: u32,
    /// Milliseconds that the answer to a challenge, and to a poll during validation, waits for the outcome.
    pub challenge_wait_ms: u64,
    /// Milliseconds that finalize waits for the certificate before it answers `processing`.
    pub finalize_wait_ms: u64,
    /// How often a challenge is looked at before it counts as failed (RFC 8555 section 8.2).
    pub validation_tries: u32,
    /// Milliseconds between those looks.
    pub validation_retry_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            external_account_required: false,
            default_product: "trustasia-dv-free".to_owned(),
            terms_of_service: None,
            order_days: 7,
            pending_authorization_days: 7,
            authorization_days: 398,
            challenge_wait_ms: 500,
            finalize_wait_ms: 3_000,
            validation_tries: 2,
            validation_retry_ms: 2_000,
        }
    }
}

/// What the use cases are made of.
pub struct Parts {
    /// The engine.
    pub records: Records,
    /// What seals files and private keys.
    pub vault: Vault,
    /// The validator.
    pub va: Va,
    /// The CA.
    pub ca: Ca,
    /// The sender of messages.
    pub post: Post,
    /// The products.
    pub catalog: Catalog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The configuration.
    pub settings: Settings,
    /// Rate limits.
    pub limits: limits::Settings,
    /// What stands before an account's id in its URL, for CAA `accounturi` (RFC 8657).
    pub account_url: String,
}

/// The registration authority.
pub struct Ra {
    records: Records,
    vault: Vault,
    va: Va,
    ca: Arc<Ca>,
    post: Post,
    catalog: ArcSwap<Catalog>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    account_url: String,
    worker: Worker,
    lists: lists::Lists,
    /// Itself, for use cases that start a job and are not asked for by whoever holds it.
    own: Weak<Self>,
    statuses: statuses::Statuses,
    limits: limits::Limits,
    rooms: pausing::Rooms,
    turns: turns::Turns,
    /// The hour in which certificates that end were looked at last.
    endings_seen: Mutex<Option<u64>>,
    /// The minute in which lists and incidents were looked at last.
    minute_seen: Mutex<Option<u64>>,
    /// The hour in which the chains of other nodes were anchored last.
    hour_anchored: Mutex<Option<u64>>,
    /// The incidents that are open.
    incidents: ArcSwap<Vec<Arc<Incident>>>,
}

impl Ra {
    /// Puts the parts together. Stored jobs are taken up by `resume`.
    pub fn new(parts: Parts) -> Arc<Self> {
        let lists = lists::Lists::of(&parts.ca);
        Arc::new_cyclic(|own| Self {
            statuses: statuses::Statuses::of(&parts.ca),
            records: parts.records,
            vault: parts.vault,
            va: parts.va,
            ca: Arc::new(parts.ca),
            post: parts.post,
            catalog: ArcSwap::from_pointee(parts.catalog),
            clock: parts.clock,
            settings: parts.settings,
            account_url: parts.account_url,
            worker: Worker::default(),
            lists,
            own: own.clone(),
            limits: limits::Limits::new(parts.limits),
            rooms: pausing::Rooms::default(),
            turns: turns::Turns::default(),
            endings_seen: Mutex::default(),
            minute_seen: Mutex::default(),
            hour_anchored: Mutex::default(),
            incidents: ArcSwap::default(),
        })
    }

    /// The products.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The configuration.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The current moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The trust anchor, PEM.
    pub fn root_pem(&self) -> &str {
        self.ca.root_pem()
    }

    /// Whether the store takes commits.
    pub async fn check_ready(&self) -> Result<()> {
        Ok(self.records.probe().await?)
    }

    /// The product of an order that was admitted before; a product that is no longer there is refused
    /// (draft-ietf-acme-profiles section 4).
    fn product_of(&self, catalog: &Catalog, id: &str) -> Result<Arc<Product>> {
        catalog.shared_product(id).ok_or_else(|| {
            Error::new(
                crate::domain::Kind::InvalidProfile,
                format!("The profile \"{id}\" is no longer offered; place a new order."),
            )
        })
    }

    fn account_uri(&self, account: &AccountId) -> String {
        format!("{}{account}", self.account_url)
    }

    fn challenge_wait(&self) -> Duration {
        Duration::from_millis(self.settings.challenge_wait_ms)
    }
}

/// Why one try of a use case ended: refused for good, or overtaken by another writer.
enum Stop {
    Refused(Error),
    Overtaken,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::Overtaken,
            other => Self::Refused(Error::internal(other)),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::internal(error)
    }
}

/// Runs a use case until it is not overtaken by another writer: each try loads everything anew. Whoever loses many
/// times in a row is told to come back.
async fn settle<T, F: Future<Output = Result<T, Stop>>>(mut once: impl FnMut() -> F) -> Result<T> {
    for _ in 0..16 {
        match once().await {
            Ok(done) => return Ok(done),
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Overtaken) => tokio::task::yield_now().await,
        }
    }
    Err(Error::unavailable("Too many requests change the same object at once; try again.", Duration::from_secs(1)))
}
