//! Placing an order: which product, what it is to earlier certificates, what it is charged to, what proves its names.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::entitlements::Charge;
use super::orders::OrderView;
use super::portfolio::customer_behind;
use super::proofs::Proof;
use super::quotas::primary_domain;
use super::telling;
use super::turns::Turn;
use super::{Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::application::Application;
use crate::domain::audit::Act;
use crate::domain::authz::Authorization;
use crate::domain::certificate::{CertId, Certificate};
use crate::domain::customer::within;
use crate::domain::limit::Allowance;
use crate::domain::order::{Order, OrderStatus, Phase, Purpose};
use crate::domain::plan::Plan;
use crate::domain::purchase::LastTerm;
use crate::domain::{Error, Identifier, Kind, OrderId, Problem, PurchaseId, Result, Serial, Timestamp};
use crate::policy::admission::{self, Request};
use crate::policy::catalog::{Catalog, Class, Product, Sale, days};
use crate::policy::lifecycle::{self, Predecessor};
use crate::policy::validity;
use crate::store::records::{Batch, Index, Stored, target};
use crate::telemetry;

/// An order is of use for an identical request unless it is about to expire.
const LAST_HOUR: Duration = Duration::from_secs(3600);

/// A request for an order.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Product, names and dates.
    pub request: Request,
    /// The certificate that is to be replaced, if the client says so (RFC 9773 section 5).
    pub replaces: Option<CertId>,
    /// Whether the server carries the order through itself.
    pub by_server: bool,
}

/// What an order is to the certificate that it is judged by.
pub(super) struct Precedent {
    pub(super) purpose: Purpose,
    /// The certificate that it renews or reissues; of a new application what the holder had for the same names before.
    pub(super) earlier: Option<Stored<Certificate>>,
    /// When the first of a line of reissues was issued.
    original: Timestamp,
    /// The order for the same names that a purchase pays for already.
    pub(super) last: LastTerm,
}

/// That an order is the one which replaces a certificate.
pub(super) struct Claim {
    serial: Serial,
    row: Stored<String>,
}

impl Claim {
    /// The batch fails if another order has taken it meanwhile.
    pub(super) fn guard(&self, batch: Batch) -> Batch {
        batch.still(&Index::Replaced(&self.serial), Some(&self.row))
    }
}

impl Precedent {
    /// That of an application of its own.
    fn none() -> Self {
        Self { purpose: Purpose::New, earlier: None, original: Timestamp::default(), last: LastTerm::Settled }
    }
}

impl Ra {
    /// Places an order (RFC 8555 section 7.4). An identical request returns the order that is still open.
    pub async fn create_order(&self, account: &Account, asked: NewOrder) -> Result<OrderView> {
        let _turn = self.turn(account, &asked.request).await;
        settle(|| self.create_order_once(account, asked.clone())).await
    }

    /// The turn of an order: those that are charged to the same purchases or count against the same quotas don't overtake
    /// each other again and again; what decides are the guards of the commit. Whatever is refused later has no turn.
    async fn turn(&self, account: &Account, request: &Request) -> Turn<'_> {
        let catalog = self.catalog();
        let holder = account.holder();
        match self.sale(account, &catalog, request).await {
            Some(Sale::Free) => self.turns.take(Some(&holder), primary_domain(&request.identifiers).ok()).await,
            Some(Sale::Paid(_)) => self.turns.take(Some(&holder), None).await,
            Some(Sale::Open | Sale::Unpriced) | None => Turn::default(),
        }
    }

    /// On what terms the product is had that an order would get.
    pub(super) async fn sale(&self, account: &Account, catalog: &Catalog, request: &Request) -> Option<Sale> {
        if let Some(asked) = &request.product {
            return catalog.product(asked).map(|product| product.sale);
        }
        let standing = self.standing(account, catalog, request).await.ok()?;
        let terms = standing.terms(self.settings(), account);
        admission::choose(catalog, request, &terms).ok().map(|product| product.sale)
    }

    async fn create_order_once(&self, account: &Account, asked: NewOrder) -> Result<OrderView, Stop> {
        let account = &self.again(account).await?;
        let now = self.now();
        let catalog = self.catalog();
        let NewOrder { request, replaces, by_server } = asked;
        refuse_outside(account, &request.identifiers)?;
        let standing = self.standing(account, &catalog, &request).await?;
        let terms = standing.terms(self.settings(), account);
        let product = admission::choose(&catalog, &request, &terms)?;
        let named = match &replaces {
            Some(shown) => Some(self.named_by_replaces(account, &request.identifiers, shown).await?),
            None => None,
        };
        let precedent = self.precedent(account, &catalog, product, &request.identifiers, named.as_ref()).await?;
        let Precedent { purpose, earlier, original, .. } = &precedent;
        let (purpose, earlier) = (*purpose, earlier.as_deref());
        let span = validity::span(catalog.settings(), product, purpose, earlier, self.last_issuer_end(product), now);
        let plan = admission::admit(&catalog, product, request, &terms, &span, now)?;
        let fingerprint = fingerprint(account, &plan, replaces.as_ref(), by_server);
        let open = self.records.follow(&Index::OpenOrder(&fingerprint)).await?;
        let same = match &open {
            Some(row) => self.still_open(&target(row)?).await?,
            None => None,
        };
        let ending = match same {
            Some(same) if same.now + LAST_HOUR < same.order.expires || same.is_being_issued() => return Ok(same),
            other => other,
        };
        if !by_server {
            self.refuse_paused(account, &plan.identifiers).await?;
        }
        let reissue = self.claim_reissue(&account.holder(), purpose, &plan.identifiers, ending.as_ref()).await?;
        let replaced = match (&named, &replaces) {
            (Some(named), Some(shown)) => Some(self.claim_replaced(named, shown, open.as_deref()).await?),
            _ => None,
        };
        let claim = named.as_deref().zip(replaced.as_ref());
        let allowance = self.allowance(&plan.identifiers, &precedent, claim);
        let taken = self.limits.take(self.order_wants(account, allowance), now)?;
        self.limits.check(self.certificate_wants(account, allowance, &plan.identifiers), now)?;
        let id = OrderId::random();
        let charge = match (self.charge(&standing, product, &plan, &precedent, &id).await, ending) {
            // While there is no room for a second one, the order that is about to expire keeps its slot.
            (Err(Stop::Refused(refusal)), Some(ending)) if refusal.kind() == Kind::RateLimited => return Ok(ending),
            (charge, _) => charge?,
        };
        let application = self.application_to_place(product, &charge, &precedent).await?;
        let prior = self.prior(&catalog, product, purpose, earlier.map(|earlier| (earlier, *original))).await?;
        let authzs = self.reuse_or_open(account, &plan, product, &prior).await?;
        let opened = authzs.iter().filter(|proof| matches!(proof, Proof::Opened(_))).count();
        let pending = self.take_pending(account, allowance, opened)?;
        let order = Order {
            purpose,
            earlier: earlier.map(|earlier| earlier.serial),
            purchase: charge.purchase(),
            application: application.as_ref().map(|application| application.id.clone()),
            replaces: replaces.map(|id| id.to_string()),
            allowance,
            ..open_order(account, id, plan, &authzs, now)
        };

        let act = Act::OrderCreated {
            order: order.id.clone(),
            account: account.id.clone(),
            product: order.product.clone(),
            names: order.identifiers.iter().map(ToString::to_string).collect(),
            reuse_days: Some(prior.reuse_days()),
        };
        let mut batch = Batch::of(act, now)
            .check(account)
            .insert(&order)
            .index(&Index::OrderOfAccount(&account.id, now, &order.id), order.id.as_str())
            .point(&Index::OpenOrder(&fingerprint), open.as_ref(), order.id.as_str());
        for proof in &authzs {
            batch = proof.write(batch);
        }
        // What was judged good enough to order on still is.
        batch = application.iter().fold(batch, |batch, application| batch.check(application));
        if let (Some(row), Some(named)) = (&replaced, &named) {
            batch = batch.point(&Index::Replaced(&named.serial), row.as_ref(), order.id.as_str());
        }
        if let Some(reissue) = &reissue {
            batch = reissue.write(batch, &order.id);
        }
        // What has no certificate yet is found by its names too, so that the same request meets the same order.
        if let Charge::Term { .. } = charge {
            let names = names_digest(&order.identifiers);
            batch = batch.index(&Index::Held(&account.holder(), &names, &order.product), order.id.as_str());
        }
        let shown: Vec<&Authorization> = authzs.iter().map(|proof| proof.authz()).collect();
        let batch = telling::tell_validation(batch, customer_behind(account).as_ref(), &order, &shown, now);
        self.records.commit(charge.write(batch, now)).await?;
        taken.keep();
        pending.keep();
        metrics::counter!(telemetry::ORDERS_CREATED, "product" => order.product.clone()).increment(1);
        Ok(self.order_view(&order.id).await?)
    }

    /// The application on which an order is placed that names an organisation; none for others.
    async fn application_to_place(
        &self,
        product: &Product,
        charge: &Charge,
        precedent: &Precedent,
    ) -> Result<Option<Stored<Application>>, Stop> {
        if !product.class.needs_organisation() {
            return Ok(None);
        }
        let (purchase, term) = match charge {
            Charge::Term { held, .. } => ((**held).clone(), held.terms.len()),
            Charge::Paid(id) => {
                let (purchase, _) = self.purchase_and_product(id).await?;
                let term = purchase.terms.len();
                (purchase, term)
            }
            Charge::Nothing | Charge::Slot(_) => return Ok(None),
        };
        let term = u32::try_from(term).map_err(Error::internal)?;
        let reissue = matches!(precedent.purpose, Purpose::Reissue { .. });
        let renewed = precedent.earlier.as_deref().filter(|_| !precedent.purpose.is_new());
        self.application_for_order(product, (&purchase, term), renewed, reissue).await.map(Some)
    }

    /// The order that an identical request may get again: one that is unfinished.
    async fn still_open(&self, id: &OrderId) -> Result<Option<OrderView>> {
        let view = self.order_view(id).await?;
        let open = matches!(view.status(), OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing);
        Ok(open.then_some(view))
    }

    /// What an order of `product` for `names` is to the certificate that the client names, and of a paid product to the
    /// newest that its holder has for exactly these names (design decision 6). That one goes first: it is in the line of
    /// the named one, which may have been reissued or renewed without being named.
    async fn precedent(
        &self,
        account: &Account,
        catalog: &Catalog,
        product: &Product,
        names: &[Identifier],
        named: Option<&Stored<Certificate>>,
    ) -> Result<Precedent> {
        let named = match named {
            Some(named) => self.judge(catalog, product, names, (named, true)).await?,
            None => Precedent::none(),
        };
        if !matches!(product.sale, Sale::Paid(_)) {
            return Ok(named);
        }
        let digest = names_digest(names);
        let Some(row) = self.records.follow(&Index::Held(&account.holder(), &digest, &product.id)).await? else {
            return Ok(named);
        };
        let view = self.order_view(&target(&row)?).await?;
        let held = match self.certificate_behind(&view.order).await? {
            Some(held) => self.judge(catalog, product, names, (&held, false)).await?,
            None => Precedent::none(),
        };
        let chosen = if held.purpose.is_new() && !named.purpose.is_new() { named } else { held };
        Ok(Precedent { last: view.as_last_term(), ..chosen })
    }

    /// The certificate of an order; while it has none, what its holder had for the same names before.
    pub(super) async fn certificate_behind(&self, order: &Order) -> Result<Option<Stored<Certificate>>> {
        let serial = match (&order.phase, &order.earlier) {
            (Phase::Issued { serial, .. }, _) => serial,
            (_, Some(earlier)) => earlier,
            (_, None) => return Ok(None),
        };
        Ok(self.records.find::<Certificate>(serial).await?)
    }

    /// What an order is to an earlier certificate, which the client names or which was found by its names.
    async fn judge(
        &self,
        catalog: &Catalog,
        product: &Product,
        names: &[Identifier],
        (certificate, named): (&Stored<Certificate>, bool),
    ) -> Result<Precedent> {
        let (reissues, original) = self.line_of(catalog, product, certificate).await?;
        // What this CA asks for in an incident is no reissue of the holder's own choice (REISSUE-02).
        let reissues = if named && self.incident_about(certificate).is_some() { 0 } else { reissues };
        let predecessor = Predecessor { certificate, named, reissues };
        let purpose = lifecycle::purpose(catalog.settings(), product, names, &predecessor, self.now())?;
        // A new application follows only what was found by its names: the rest of that one's purchase is for it.
        let earlier = (!named || !purpose.is_new()).then(|| certificate.clone());
        Ok(Precedent { purpose, earlier, original, last: LastTerm::Settled })
    }

    /// How many reissues lie between a certificate and its original, itself included if it is one, and when the original was
    /// issued; no further back than the rules look (REISSUE-02, VAL-35).
    async fn line_of(
        &self,
        catalog: &Catalog,
        product: &Product,
        certificate: &Certificate,
    ) -> Result<(u32, Timestamp)> {
        let (mut count, mut issued, mut order) = (0, certificate.issued, certificate.order.clone());
        loop {
            let known = match product.class {
                Class::DvFree => count >= catalog.settings().free_reissue_limit,
                _ => self.now() >= issued + days(product.reissue_fresh_days),
            };
            if known {
                return Ok((count, issued));
            }
            let found = self.records.find::<Order>(&order).await?;
            let Some(Purpose::Reissue { of }) = found.map(|order| order.purpose) else { return Ok((count, issued)) };
            count += 1;
            let Some(original) = self.records.find::<Certificate>(&of).await? else { return Ok((count, issued)) };
            (issued, order) = (original.issued, original.order.clone());
        }
    }

    /// The last second of the issuer that lasts longest of those that the product's certificates may come from.
    fn last_issuer_end(&self, product: &Product) -> Timestamp {
        let ends = product.keys.iter().filter_map(|key| self.ca.issuer_not_after(&product.issuer, *key).ok());
        ends.max().unwrap_or(Timestamp::MAX)
    }

    /// RFC 9773 section 5: the replaced certificate is the account's and shares a name.
    async fn named_by_replaces(
        &self,
        account: &Account,
        names: &[Identifier],
        shown: &CertId,
    ) -> Result<Stored<Certificate>> {
        let refuse = |why: &str| Error::malformed(format!("\"replaces\" ({shown}) {why}."));
        let old = self.certificate_by_id(shown).await?;
        let old = old.ok_or_else(|| refuse("names no certificate of this CA"))?;
        if old.account != account.id {
            return Err(Error::unauthorized(format!("\"replaces\" ({shown}) names another account's certificate.")));
        }
        if !old.identifiers.iter().any(|name| names.contains(name)) {
            return Err(refuse("names a certificate that shares no name with this order"));
        }
        Ok(old)
    }

    /// RFC 9773 section 5: a certificate is replaced once. The row that says by what, as it was read.
    async fn claim_replaced(
        &self,
        old: &Certificate,
        shown: &CertId,
        same: Option<&String>,
    ) -> Result<Option<Stored<String>>, Stop> {
        let row = self.records.follow(&Index::Replaced(&old.serial)).await?;
        if let Some(row) = &row {
            let by = self.order_view(&target(row)?).await?;
            // An identical order that is about to expire may be placed again.
            let again = same.is_some_and(|same| same == by.order.id.as_str()) && by.status() != OrderStatus::Valid;
            if by.status() != OrderStatus::Invalid && !again {
                return Err(already_replaced(&shown.to_string(), by.order.id.as_str()).into());
            }
        }
        Ok(row)
    }

    /// RFC 9773 section 5: an order that replaces a certificate does so until an identical one took its place, which it may
    /// when this one is about to expire. The claim to be guarded until the certificate is made, if it has one.
    pub(super) async fn claim_of(&self, order: &Order) -> Result<Option<Claim>, Stop> {
        let Some(shown) = &order.replaces else { return Ok(None) };
        let serial = CertId::parse(shown).and_then(|id| id.known_serial());
        let serial = serial.ok_or_else(|| Error::internal(format!("an order that replaces {shown} was admitted")))?;
        match self.records.follow(&Index::Replaced(&serial)).await? {
            Some(row) if *row == *order.id.as_str() => Ok(Some(Claim { serial, row })),
            Some(row) => Err(already_replaced(shown, &row).into()),
            None => Err(Error::internal(format!("the claim of order {} to replace {shown} is gone", order.id)).into()),
        }
    }
}

fn already_replaced(shown: &str, by: &str) -> Error {
    Error::new(Kind::AlreadyReplaced, format!("The certificate {shown} is already replaced by order {by}."))
}

/// What the external account key of an account is not for.
fn refuse_outside(account: &Account, names: &[Identifier]) -> Result<()> {
    let Some(external) = &account.external else { return Ok(()) };
    match names.iter().find(|name| !within(&external.domains, name)) {
        None => Ok(()),
        Some(name) => Err(Problem::new(
            Kind::RejectedIdentifier,
            format!("{name} is not among what the key of this account is for: {}.", external.domains.join(", ")),
        )
        .of(name)
        .into()),
    }
}

fn open_order(account: &Account, id: OrderId, plan: Plan, proofs: &[Proof], now: Timestamp) -> Order {
    // An order can't outlive what it rests on (RFC 8555 section 7.1.6, Baseline Requirements 4.2.1).
    let expires = proofs.iter().map(Proof::until).fold(plan.expires, Timestamp::min);
    Order {
        id,
        account: account.id.clone(),
        product: plan.product,
        identifiers: plan.identifiers,
        authorizations: proofs.iter().map(|proof| proof.authz().id.clone()).collect(),
        not_before: plan.not_before,
        not_after: plan.not_after,
        replaces: None,
        purpose: Purpose::New,
        earlier: None,
        purchase: None::<PurchaseId>,
        application: None,
        allowance: Allowance::Whole,
        causes: plan.causes,
        created: now,
        expires,
        phase: Phase::Open,
    }
}

/// What two identical requests have in common.
///
/// The server's own orders and those of a client are never identical: neither carries out what the other began.
fn fingerprint(account: &Account, plan: &Plan, replaces: Option<&CertId>, by_server: bool) -> [u8; 32] {
    let names: BTreeSet<&Identifier> = plan.identifiers.iter().collect();
    let replaces = replaces.map(ToString::to_string);
    let whole = (&account.id, &plan.product, names, plan.not_before, plan.not_after, replaces, by_server);
    let text = serde_json::to_vec(&whole).expect("ids, names, moments and serials are plain JSON");
    digest(&SHA256, &text).as_ref().try_into().expect("SHA-256 has 32 octets")
}

/// A set of names as one value: the same for the same names in any order.
pub(super) fn names_digest(names: &[Identifier]) -> [u8; 32] {
    let names: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    let text = names.into_iter().collect::<Vec<_>>().join("\n");
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 octets")
}
