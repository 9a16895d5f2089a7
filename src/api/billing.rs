//! Balances of customers, the ledger behind them, and what operators credit.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Body, Caller, List, Page, Path, Shared, id};
use crate::domain::ledger::{Books, Coupon, CouponKind, Entry, Posting, TrialBalance};
use crate::domain::money::CURRENCY;
use crate::domain::{CouponId, CustomerId, EntryId, Error, Money, PurchaseId, Timestamp};
use crate::ra::{CreditKind, NewCredit};

/// What a customer has with the house.
#[derive(Serialize, ToSchema)]
pub(super) struct BalanceObject {
    customer: CustomerId,
    cash: Money,
    gift: Money,
    /// What is let off every price, in hundredths of it.
    discount_percent: u8,
    currency: &'static str,
    /// Vouchers of which something is left, and that have not lapsed.
    vouchers: Vec<CouponObject>,
    /// Packages of benefit points of which something is left; a point is a cent.
    points: Vec<CouponObject>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CouponObject {
    id: CouponId,
    granted: Money,
    left: Money,
    /// The only product that it pays for.
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl BalanceObject {
    fn of(books: Books, now: Timestamp) -> Self {
        let of_kind = |kind| {
            let usable = |coupon: &&Coupon| {
                coupon.kind == kind && coupon.left > Money::ZERO && coupon.expires.is_none_or(|end| now < end)
            };
            books.coupons.iter().filter(usable).cloned().map(CouponObject::from).collect()
        };
        Self {
            vouchers: of_kind(CouponKind::Voucher),
            points: of_kind(CouponKind::Points),
            customer: books.wallet.customer,
            cash: books.wallet.cash,
            gift: books.wallet.gift,
            discount_percent: books.wallet.discount_percent,
            currency: CURRENCY,
        }
    }
}

impl From<Coupon> for CouponObject {
    fn from(coupon: Coupon) -> Self {
        Self {
            id: coupon.id,
            granted: coupon.granted,
            left: coupon.left,
            product: coupon.product,
            expires: coupon.expires.map(|end| end.to_string()),
        }
    }
}

/// An entry of the ledger: what moved between accounts of the books. The amounts sum to nothing.
#[derive(Serialize, ToSchema)]
pub(super) struct EntryObject {
    id: EntryId,
    at: String,
    /// `credit`, `payment`, `purchase` or `refund`.
    reason: &'static str,
    postings: Vec<PostingObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<PurchaseId>,
    /// The operator's note, the payment provider's event, or the product.
    reference: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct PostingObject {
    /// `cash`, `gift`, `voucher` and `points` are the customer's; all others are the house's.
    account: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<CouponId>,
    /// What came to the account; with a minus what left it.
    amount: String,
}

impl From<Entry> for EntryObject {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: entry.at.to_string(),
            reason: entry.reason.as_str(),
            postings: entry.postings.into_iter().map(PostingObject::from).collect(),
            purchase: entry.purchase,
            reference: entry.reference,
        }
    }
}

impl From<Posting> for PostingObject {
    fn from(posting: Posting) -> Self {
        let coupon = posting.account.coupon().cloned();
        Self { account: posting.account.as_str(), coupon, amount: amount(posting.cents) }
    }
}

/// Cents as text, with a minus if they are below zero.
fn amount(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}", Money::from_cents(cents.unsigned_abs()))
}

/// The balances of a customer.
#[utoipa::path(get, path = "/customers/{id}/balance", tag = "billing", params(("id" = String, Path)), responses((status = 200, body = BalanceObject)))]
pub(super) async fn balance(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
) -> Answer<Json<BalanceObject>> {
    let customer = id("customer", &text)?;
    caller.sees(&customer)?;
    Ok(Json(BalanceObject::of(api.ra.balance(&customer).await?, api.ra.now())))
}

/// The entries that move a customer's balances, oldest first.
#[utoipa::path(get, path = "/customers/{id}/ledger", tag = "billing", params(("id" = String, Path), super::Wanted), responses((status = 200, body = List<EntryObject>)))]
pub(super) async fn ledger(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    page: Page,
) -> Answer<Json<List<EntryObject>>> {
    let customer = id("customer", &text)?;
    caller.sees(&customer)?;
    let after: Option<EntryId> = page.after.as_deref().map(|text| id("entry", text)).transpose()?;
    let found = api.ra.ledger(&customer, after.as_ref(), page.limit).await?;
    Ok(List::of(found.into_iter().map(EntryObject::from).collect(), page.limit, |item| item.id.to_string()))
}

#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Cash,
    Gift,
    Voucher,
    Points,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreditRequest {
    kind: Kind,
    /// As in `"732.50"`; a point is a cent.
    #[schema(value_type = String)]
    amount: Money,
    /// Why.
    note: String,
    /// When a voucher or package lapses (RFC 3339).
    expires: Option<String>,
    /// The only product that a voucher or package pays for.
    product: Option<String>,
}

/// Credits a balance, or grants a voucher or a package of benefit points.
#[utoipa::path(post, path = "/customers/{id}/credits", tag = "billing", params(("id" = String, Path)), request_body = CreditRequest, responses((status = 201, body = EntryObject)))]
pub(super) async fn credit(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<CreditRequest>,
) -> Answer<Response> {
    caller.operator()?;
    let CreditRequest { kind, amount, note, expires, product } = asked;
    let kind = match kind {
        Kind::Cash | Kind::Gift if expires.is_some() || product.is_some() => {
            return Err(Error::malformed("Only vouchers and points have \"expires\" and \"product\".").into());
        }
        Kind::Cash => CreditKind::Cash,
        Kind::Gift => CreditKind::Gift,
        Kind::Voucher => CreditKind::Coupon { kind: CouponKind::Voucher, product, expires: moment(expires)? },
        Kind::Points => CreditKind::Coupon { kind: CouponKind::Points, product, expires: moment(expires)? },
    };
    let entry = api.ra.credit(NewCredit { customer: id("customer", &text)?, kind, amount, note }).await?;
    Ok((StatusCode::CREATED, Json(EntryObject::from(entry))).into_response())
}

fn moment(text: Option<String>) -> Result<Option<Timestamp>, Error> {
    let read = |text: String| {
        let told = || Error::malformed("\"expires\" is no moment as in 2027-01-31T00:00:00Z.");
        Timestamp::parse_rfc3339(&text).ok_or_else(told)
    };
    text.map(read).transpose()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscountRequest {
    /// What is let off every price, in hundredths of it: 0 to 100.
    percent: u8,
}

/// Sets what a customer is let off every price.
#[utoipa::path(put, path = "/customers/{id}/discount", tag = "billing", params(("id" = String, Path)), request_body = DiscountRequest, responses((status = 200, body = BalanceObject)))]
pub(super) async fn discount(
    State(api): Shared,
    caller: Caller,
    Path(text): Path<String>,
    Body(asked): Body<DiscountRequest>,
) -> Answer<Json<BalanceObject>> {
    caller.operator()?;
    let books = api.ra.set_discount(&id("customer", &text)?, asked.percent).await?;
    Ok(Json(BalanceObject::of(books, api.ra.now())))
}

/// The books as a whole.
#[derive(Serialize, ToSchema)]
pub(super) struct TrialBalanceObject {
    /// Whether all entries sum to nothing, and every balance is what entries made it.
    balanced: bool,
    entries: u64,
    /// The sum of all postings of each account.
    accounts: BTreeMap<&'static str, String>,
    /// What stands on the balances of customers.
    balances: BTreeMap<&'static str, String>,
}

impl From<TrialBalance> for TrialBalanceObject {
    fn from(found: TrialBalance) -> Self {
        let texts = |sums: &BTreeMap<&'static str, i64>| sums.iter().map(|(name, sum)| (*name, amount(*sum))).collect();
        Self {
            balanced: found.balanced(),
            entries: found.entries,
            accounts: texts(&found.accounts),
            balances: texts(&found.balances),
        }
    }
}

/// Adds up all entries of the ledger and compares them with the balances.
#[utoipa::path(get, path = "/ledger/trial-balance", tag = "billing", responses((status = 200, body = TrialBalanceObject)))]
pub(super) async fn trial_balance(State(api): Shared, caller: Caller) -> Answer<Json<TrialBalanceObject>> {
    caller.operator()?;
    Ok(Json(api.ra.trial_balance().await?.into()))
}
