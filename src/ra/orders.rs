//! Orders: placing them, looking at them, listing them.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Ra, Stop, settle};
use crate::domain::account::Account;
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::certificate::CertId;
use crate::domain::id::random_token;
use crate::domain::order::{Order, OrderStatus, Phase};
use crate::domain::plan::{Method, Plan};
use crate::domain::{AuthzId, Error, Identifier, Kind, OrderId, Result, Serial, Timestamp};
use crate::policy::admission::{self, Request};
use crate::policy::catalog::{Product, days};
use crate::store::records::{Batch, Index, Stored, target};
use crate::telemetry;

/// A request for an order.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Product, names and dates.
    pub request: Request,
    /// The certificate that is to be replaced, if the client says so (RFC 9773 section 5).
    pub replaces: Option<CertId>,
}

/// An order with its authorizations, at a moment.
#[derive(Debug)]
pub struct OrderView {
    /// The order.
    pub order: Stored<Order>,
    /// Its authorizations, in the order of its names.
    pub authzs: Vec<Stored<Authorization>>,
    /// The moment.
    pub now: Timestamp,
}

/// A page of an account's orders.
#[derive(Debug)]
pub struct OrderPage {
    /// Orders that are not invalid, oldest first.
    pub orders: Vec<OrderId>,
    /// Where the next page begins; none on the last.
    pub next: Option<String>,
}

impl OrderView {
    /// The order's status.
    pub fn status(&self) -> OrderStatus {
        self.order.status(&self.plain_authzs(), self.now)
    }

    /// Why the order is invalid, if it is.
    pub fn problem(&self) -> Option<crate::domain::Problem> {
        self.order.problem(&self.plain_authzs(), self.now)
    }

    /// The authorizations without their versions.
    pub fn plain_authzs(&self) -> Vec<Authorization> {
        self.authzs.iter().map(|authz| (**authz).clone()).collect()
    }
}

impl Ra {
    /// Places an order (RFC 8555 section 7.4). An identical request returns the order that is still open.
    pub async fn create_order(&self, account: &Account, asked: NewOrder) -> Result<OrderView> {
        settle(|| self.create_order_once(account, asked.clone())).await
    }

    async fn create_order_once(&self, account: &Account, asked: NewOrder) -> Result<OrderView, Stop> {
        let account = &self.again(account).await?;
        let now = self.now();
        let catalog = self.catalog();
        let plan = admission::admit(&catalog, asked.request, self.terms(account.external.is_some()), now)?;
        let product = self.product_of(&catalog, &plan.product)?;
        let fingerprint = fingerprint(account, &plan, asked.replaces.as_ref());
        let open = self.records.follow(&Index::OpenOrder(&fingerprint)).await?;
        if let Some(row) = &open
            && let Some(view) = self.still_open(&target(row)?).await?
        {
            return Ok(view);
        }
        self.limits.order(&account.id, now)?;
        let replaced = self.check_replaces(account, &plan, asked.replaces.as_ref()).await?;
        let authzs = self.reuse_or_open(account, &plan, &product, now).await?;
        let order = open_order(account, plan, asked.replaces.map(|id| id.to_string()), &authzs, now);

        let act = Act::OrderCreated {
            order: order.id.clone(),
            account: account.id.clone(),
            product: order.product.clone(),
            names: order.identifiers.iter().map(ToString::to_string).collect(),
        };
        let mut batch = Batch::of(act, now)
            .check(account)
            .insert(&order)
            .index(&Index::OrderOfAccount(&account.id, now, &order.id), order.id.as_str())
            .point(&Index::OpenOrder(&fingerprint), open.as_ref(), order.id.as_str());
        for authz in &authzs {
            batch = match authz {
                Proof::Reused(authz, _) => batch.check(authz),
                Proof::Opened(authz) => batch.insert(authz),
            };
        }
        if let Some((serial, row)) = &replaced {
            batch = batch.point(&Index::Replaced(serial), row.as_ref(), order.id.as_str());
        }
        self.records.commit(batch).await?;
        metrics::counter!(telemetry::ORDERS_CREATED, "product" => order.product.clone()).increment(1);
        Ok(self.order_view(&order.id).await?)
    }

    /// An order and its authorizations.
    pub(super) async fn order_view(&self, id: &OrderId) -> Result<OrderView> {
        let order = self.records.find::<Order>(id).await?.ok_or_else(|| no_order(id))?;
        let found = self.records.find_all::<Authorization>(&order.authorizations).await?;
        let lost = || Error::internal(format!("order {id} has lost an authorization"));
        let authzs = found.into_iter().map(|authz| authz.ok_or_else(lost)).collect::<Result<_>>()?;
        Ok(OrderView { order, authzs, now: self.now() })
    }

    /// An order of that account; other accounts' orders are not shown (RFC 8555 section 10.5).
    pub(super) async fn own_order(&self, account: &Account, id: &OrderId) -> Result<OrderView> {
        let view = self.order_view(id).await?;
        if view.order.account == account.id { Ok(view) } else { Err(no_order(id)) }
    }

    /// An order for its owner. While it is being issued, the answer waits a moment for the outcome.
    pub async fn order(&self, account: &Account, id: &OrderId) -> Result<OrderView> {
        let view = self.own_order(account, id).await?;
        let Phase::Issuing { job, .. } = &view.order.phase else { return Ok(view) };
        if self.worker.wait(job, self.challenge_wait()).await { self.own_order(account, id).await } else { Ok(view) }
    }

    /// A page of the account's orders that are not invalid (RFC 8555 section 7.1.2.1), behind a cursor of an earlier
    /// page.
    pub async fn orders(&self, account: &Account, cursor: Option<&str>) -> Result<OrderPage> {
        const PAGE: usize = 100;
        let after = cursor.map(parse_cursor).transpose()?;
        let after = after.map(|tail| [account.id.as_str().as_bytes(), &tail].concat());
        let rows = self.records.orders_of(&account.id, after, PAGE).await?;
        let next = (rows.len() == PAGE).then(|| rows.last()).flatten();
        let next = next.map(|(row, _)| crate::domain::certificate::hex32::encode(&row[account.id.as_str().len()..]));
        let mut orders = Vec::with_capacity(rows.len());
        for (_, id) in rows {
            let view = self.order_view(&target(&id)?).await?;
            if view.status() != OrderStatus::Invalid {
                orders.push(view.order.id.clone());
            }
        }
        Ok(OrderPage { orders, next })
    }

    /// The order that an identical request may get again: unfinished, and not about to expire.
    async fn still_open(&self, id: &OrderId) -> Result<Option<OrderView>> {
        let view = self.order_view(id).await?;
        let lasts = view.now + Duration::from_secs(3600) < view.order.expires;
        let open = matches!(view.status(), OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing);
        Ok((open && lasts).then_some(view))
    }

    /// RFC 9773 section 5: the replaced certificate is the account's, shares a name, and is not replaced yet.
    async fn check_replaces(
        &self,
        account: &Account,
        plan: &Plan,
        replaces: Option<&CertId>,
    ) -> Result<Option<(Serial, Option<Stored<String>>)>, Stop> {
        let Some(shown) = replaces else { return Ok(None) };
        let refuse = |why: &str| Error::malformed(format!("\"replaces\" ({shown}) {why}."));
        let old = self.certificate_by_id(shown).await?;
        let old = old.ok_or_else(|| refuse("names no certificate of this CA"))?;
        if old.account != account.id {
            return Err(
                Error::unauthorized(format!("\"replaces\" ({shown}) names another account's certificate.")).into()
            );
        }
        let names: BTreeSet<&Identifier> = plan.identifiers.iter().collect();
        if !old.identifiers.iter().any(|name| names.contains(name)) {
            return Err(refuse("names a certificate that shares no name with this order").into());
        }
        let row = self.records.follow(&Index::Replaced(&old.serial)).await?;
        if let Some(row) = &row {
            let by = self.order_view(&target(row)?).await?;
            if by.status() != OrderStatus::Invalid {
                return Err(Error::new(
                    Kind::AlreadyReplaced,
                    format!("The certificate {shown} is already replaced by order {}.", by.order.id),
                )
                .into());
            }
        }
        Ok(Some((old.serial, row)))
    }

    /// For each name the authorization that still proves it, or a new one.
    async fn reuse_or_open(
        &self,
        account: &Account,
        plan: &Plan,
        product: &Product,
        now: Timestamp,
    ) -> Result<Vec<Proof>, Stop> {
        let names: Vec<String> = plan.identifiers.iter().map(ToString::to_string).collect();
        let rows: Vec<Index<'_>> = names.iter().map(|name| Index::Proven(&account.id, name)).collect();
        let ids: Vec<Option<Stored<String>>> = self.records.follow_all(&rows).await?;
        let mut proofs = Vec::with_capacity(names.len());
        for (identifier, row) in plan.identifiers.iter().zip(ids) {
            let proven = match row {
                Some(row) => self.records.find::<Authorization>(&target::<AuthzId>(&row)?).await?,
                None => None,
            };
            let until = proven.as_ref().and_then(|authz| self.reusable_until(authz, identifier, product, now));
            proofs.push(match (proven, until) {
                (Some(authz), Some(until)) => Proof::Reused(authz, until),
                _ => Proof::Opened(self.open_authz(account, identifier, product, now)),
            });
        }
        Ok(proofs)
    }

    /// Until when an authorization may serve another order of this product; none if it may not: it must be proven by one
    /// of the product's methods, recently enough, and of use for at least another hour.
    pub(super) fn reusable_until(
        &self,
        authz: &Authorization,
        identifier: &Identifier,
        product: &Product,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let AuthzState::Valid { method, validated, .. } = &authz.state else { return None };
        let longest = product.validation_reuse().min(days(self.settings.authorization_days));
        let until = authz.expires.min(*validated + longest);
        let lasts = now + Duration::from_secs(3600) < until;
        (lasts && authz.covers(identifier) && product.methods.contains(method)).then_some(until)
    }

    /// A new pending authorization for a name.
    pub(super) fn open_authz(
        &self,
        account: &Account,
        identifier: &Identifier,
        product: &Product,
        now: Timestamp,
    ) -> Authorization {
        Authorization {
            id: AuthzId::random(),
            account: account.id.clone(),
            identifier: identifier.base(),
            wildcard: identifier.is_wildcard(),
            token: random_token(),
            methods: Method::ALL
                .into_iter()
                .filter(|method| product.methods.contains(method) && method.suits(identifier))
                .collect(),
            caa_identities: product.caa_identities.clone(),
            created: now,
            expires: now + days(self.settings.pending_authorization_days),
            state: AuthzState::Pending { attempt: None },
        }
    }
}

/// Where an order's proof of a name comes from.
enum Proof {
    /// An authorization that may be used until that moment.
    Reused(Stored<Authorization>, Timestamp),
    Opened(Authorization),
}

impl Proof {
    fn authz(&self) -> &Authorization {
        match self {
            Self::Reused(authz, _) => authz,
            Self::Opened(authz) => authz,
        }
    }

    /// The end of its use, or of the wait for it.
    fn until(&self) -> Timestamp {
        match self {
            Self::Reused(_, until) => *until,
            Self::Opened(authz) => authz.expires,
        }
    }
}

fn open_order(account: &Account, plan: Plan, replaces: Option<String>, proofs: &[Proof], now: Timestamp) -> Order {
    // An order can't outlive what it rests on (RFC 8555 section 7.1.6, Baseline Requirements 4.2.1).
    let expires = proofs.iter().map(Proof::until).fold(plan.expires, Timestamp::min);
    Order {
        id: OrderId::random(),
        account: account.id.clone(),
        product: plan.product,
        identifiers: plan.identifiers,
        authorizations: proofs.iter().map(|proof| proof.authz().id.clone()).collect(),
        not_before: plan.not_before,
        not_after: plan.not_after,
        replaces,
        created: now,
        expires,
        phase: Phase::Open,
    }
}

/// What two identical requests have in common.
fn fingerprint(account: &Account, plan: &Plan, replaces: Option<&CertId>) -> [u8; 32] {
    let names: BTreeSet<&Identifier> = plan.identifiers.iter().collect();
    let replaces = replaces.map(ToString::to_string);
    let whole = (&account.id, &plan.product, names, plan.not_before, plan.not_after, replaces);
    let text = serde_json::to_vec(&whole).expect("ids, names, moments and serials are plain JSON");
    digest(&SHA256, &text).as_ref().try_into().expect("SHA-256 has 32 octets")
}

fn no_order(id: &OrderId) -> Error {
    Error::not_found(format!("This account has no order {id}."))
}

/// What stands behind the account in the name of an order's row: moment and id, as the digits that `orders` wrote.
fn parse_cursor(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    match digits {
        Some(digits) if digits.len() == 60 => Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err(Error::malformed("The cursor is not one that this server gave out.")),
    }
}
