//! Whether an order may be placed: the product, its names, its dates.

use std::collections::{BTreeSet, HashSet};

use super::catalog::{Catalog, Product, Sale, days};
use super::settings::WordOutcome;
use super::{domains, price, shape, validity};
use crate::domain::customer::CustomerKind;
use crate::domain::error::Help;
use crate::domain::identifier::is_special_purpose;
use crate::domain::order::ReviewCause;
use crate::domain::plan::Plan;
use crate::domain::{DnsName, Error, Identifier, Kind, OrderId, Problem, Result, Timestamp};

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The product: the ACME profile, or the one that the directory stands for.
    pub product: Option<String>,
    /// The names, as they were parsed.
    pub identifiers: Vec<Identifier>,
    /// What is wrong with those that could not be parsed, each with its name.
    pub unread: Vec<Problem>,
    /// First moment of validity.
    pub not_before: Option<Timestamp>,
    /// Last moment of validity.
    pub not_after: Option<Timestamp>,
}

/// What the judgement depends on besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The product when none is asked for and no purchase decides.
    pub default_product: &'a str,
    /// Days that an order may stay open.
    pub order_days: u32,
    /// The customer that the account is bound to.
    pub customer: Option<CustomerKind>,
    /// The only product that its binding allows, if it names one.
    pub only: Option<&'a str>,
    /// The product of the customer's open order or live certificate that was bought for exactly these names.
    pub held: Option<&'a str>,
    /// What the customer has bought and not used up.
    pub offers: &'a [Offer],
    /// Names that an operator has cleared for the holder.
    pub cleared: &'a BTreeSet<String>,
}

/// A purchase with a term left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The product.
    pub product: String,
    /// Chargeable names of each certificate.
    pub names: u32,
}

/// The product of an order: as asked, else what the customer has bought for these names, else the default (design
/// decision 2).
pub fn choose<'a>(catalog: &'a Catalog, request: &Request, terms: &Terms<'_>) -> Result<&'a Product> {
    let bought = || {
        let fits = |offer: &&Offer| {
            let product = catalog.product(&offer.product)?;
            let counted = shape::fit(catalog, product, &request.identifiers).ok()?;
            (counted.charged.len() == offer.names as usize).then_some(())
        };
        terms.held.or_else(|| terms.offers.iter().find(|offer| fits(offer).is_some()).map(|offer| &*offer.product))
    };
    let asked = request.product.as_deref().or(terms.only);
    let id = asked.or_else(bought).unwrap_or(terms.default_product);
    let product = sold(catalog, id)?;
    match terms.only {
        Some(only) if only != id => Err(Error::new(
            Kind::InvalidProfile,
            format!("This account's external account binding is for \"{only}\" alone, not for \"{id}\"."),
        )),
        _ => Ok(product),
    }
}

/// A product that can be had.
fn sold<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Product> {
    match catalog.product(id) {
        // CAT-02
        Some(product) if product.sale == Sale::Unpriced => Err(Error::new(
            Kind::InvalidProfile,
            format!("The profile \"{id}\" is not sold: no price is set for it (CAT-02)."),
        )),
        Some(product) => Ok(product),
        None => {
            let shown: String = id.chars().take(64).collect();
            let sold: Vec<&str> = catalog.sold().map(|product| product.id.as_str()).collect();
            Err(Error::new(
                Kind::InvalidProfile,
                format!("There is no profile \"{}\". Offered are: {}.", shown.escape_debug(), sold.join(", ")),
            ))
        }
    }
}

/// Judges a request for an order of that product.
pub fn admit(
    catalog: &Catalog,
    product: &Product,
    request: Request,
    terms: &Terms<'_>,
    span: &validity::Span,
    now: Timestamp,
) -> Result<Plan> {
    check_buyer(product, terms)?;
    let Request { not_before, not_after, unread, .. } = request;
    let identifiers = unique(request.identifiers);
    if identifiers.is_empty() && unread.is_empty() {
        return Err(Error::malformed("\"identifiers\" is empty; name at least one."));
    }
    let (chargeable, causes) = judge_names(catalog, product, &identifiers, unread, terms)?;
    validity::check_asked(product, span, not_before, not_after, now)?;
    let ends = [validity::latest_signing(not_before), not_after];
    // VAL-13: the proofs must be there within the documented days.
    let open_days = product.deadline_days.map_or(terms.order_days, |deadline| deadline.min(terms.order_days));
    Ok(Plan {
        product: product.id.clone(),
        identifiers,
        not_before,
        not_after,
        // Beyond these moments the dates can't be honoured any more.
        expires: ends.into_iter().flatten().fold(now + days(open_days), Timestamp::min),
        chargeable,
        causes,
    })
}

/// Judges a name for authorization ahead of an order (RFC 8555 section 7.4.1), by the product that orders without a
/// profile would get. How many names a product takes does not matter yet.
pub fn admit_name<'a>(
    catalog: &'a Catalog,
    identifier: &Identifier,
    asked: Option<&str>,
    terms: &Terms<'_>,
) -> Result<&'a Product> {
    if identifier.is_wildcard() {
        return Err(Error::malformed(format!(
            "\"{identifier}\" is a wildcard name, which can't be authorized ahead of an order (RFC 8555 section 7.4.1)."
        )));
    }
    let request =
        Request { product: asked.map(str::to_owned), identifiers: vec![identifier.clone()], ..Request::default() };
    let product = choose(catalog, &request, terms)?;
    check_buyer(product, terms)?;
    judge_names(catalog, product, std::slice::from_ref(identifier), Vec::new(), terms)?;
    Ok(product)
}

/// Whether this account may have the product at all.
fn check_buyer(product: &Product, terms: &Terms<'_>) -> Result<()> {
    let id = &product.id;
    match terms.customer {
        // Design decision 1: what is paid for needs a customer, who has the account bound.
        None if matches!(product.sale, Sale::Paid(_)) => Err(Error::new(
            Kind::UserActionRequired,
            format!(
                "\"{id}\" is bought by a customer of this service, and this account is bound to none: register it with an \
                 external account binding, the key for which comes with the purchase (BUY-03)."
            ),
        )),
        None if product.bound_accounts_only => Err(Error::new(
            Kind::InvalidProfile,
            format!("\"{id}\" is for accounts with an external account binding; this account has none."),
        )),
        // CAT-15, ORG-10
        Some(CustomerKind::Individual) if product.class.needs_organisation() => Err(Error::new(
            Kind::UserActionRequired,
            format!(
                "\"{id}\" is an {} product, which needs a registered organisation; individuals can order DV only \
                     (CAT-15).",
                product.class
            ),
        )),
        _ => Ok(()),
    }
}

/// RFC 8555 section 7.4: names are a set; a name given twice is taken once.
fn unique(identifiers: Vec<Identifier>) -> Vec<Identifier> {
    let mut seen = HashSet::new();
    identifiers.into_iter().filter(|identifier| seen.insert(identifier.clone())).collect()
}

/// How many names are charged and what a person must look at; or all that is wrong with the names, each with its rule.
fn judge_names(
    catalog: &Catalog,
    product: &Product,
    identifiers: &[Identifier],
    mut problems: Vec<Problem>,
    terms: &Terms<'_>,
) -> Result<(u32, Vec<ReviewCause>)> {
    let mut causes = Vec::new();
    for identifier in identifiers {
        if let Some(reason) = refusal(catalog, product, identifier) {
            problems.push(Problem::new(Kind::RejectedIdentifier, reason).of(identifier));
        }
        match word(catalog, product, identifier, terms) {
            (WordOutcome::Refuse, Some(reason)) => {
                problems.push(Problem::new(Kind::RejectedIdentifier, reason).of(identifier));
            }
            (WordOutcome::Review, Some(reason)) => {
                causes.push(ReviewCause { name: identifier.to_string(), reason });
            }
            (WordOutcome::None, _) | (_, None) => {}
        }
    }
    let charged = match shape::fit(catalog, product, identifiers) {
        Ok(counted) => counted.charged.len() as u32,
        Err(mut misfits) => {
            // What else would do is told once.
            if let Some(told) = shape::alternatives(catalog, identifiers, &product.id)
                && let Some(last) = misfits.last_mut()
            {
                last.detail.push_str(&format!(" For these names: {told}."));
            }
            problems.extend(misfits);
            0
        }
    };
    match Problem::merge(problems) {
        None => Ok((charged, causes)),
        Some(problem) if problem.subproblems.is_empty() => Err(Problem { identifier: None, ..problem }.into()),
        Some(problem) => Err(problem.into()),
    }
}

/// Why nothing is issued for a name, whatever the shape of the order.
fn refusal(catalog: &Catalog, product: &Product, identifier: &Identifier) -> Option<String> {
    if let Some(domain) = catalog.names().refusal(identifier) {
        return Some(format!("No certificates are issued for \"{domain}\" and what lies below it."));
    }
    match identifier {
        // Baseline Requirements 4.2.2: names of the reverse zones are not certified.
        Identifier::Dns(name) if name.base().ends_with(".arpa") => {
            Some(format!("\"{name}\" lies in the infrastructure domain .arpa, for which no certificates are issued."))
        }
        // RFC 9799: .onion names need methods of their own; RFC 6761: .invalid never exists.
        Identifier::Dns(name) if name.base().ends_with(".onion") || name.base().ends_with(".invalid") => {
            Some(format!("\"{name}\" lies in a domain for which this server can't validate names."))
        }
        Identifier::Dns(name) if product.is_documented() => documented_refusal(catalog, product, name),
        // IP-04
        Identifier::Ip(ip)
            if product.is_documented() && !catalog.settings().allow_private_ip && is_special_purpose(*ip) =>
        {
            Some(format!(
                "\"{ip}\" is a private or special address, which no certificate is bound to; private addresses need a \
                 private CA (IP-04)."
            ))
        }
        _ => None,
    }
}

/// What the documents say of names, for their products.
fn documented_refusal(catalog: &Catalog, product: &Product, name: &DnsName) -> Option<String> {
    let settings = catalog.settings();
    let (chars, levels) = (name.as_str().len(), domains::levels(name.as_str()));
    // DOM-11
    if chars > settings.name_max_chars {
        let most = settings.name_max_chars;
        return Some(format!(
            "\"{name}\" has {chars} characters, {most} allowed. Use letters, digits and hyphens, {most} characters at most \
             (DOM-11)."
        ));
    }
    // DOM-02
    if levels > settings.name_max_levels {
        return Some(format!("\"{name}\" has {levels} levels, {} allowed (DOM-02).", settings.name_max_levels));
    }
    // TLD-01, TLD-02, TLD-03
    if let Some((rule, suffix)) = catalog.names().suffix_rule(name, product.class) {
        let reason = rule.reason.replace("{suffix}", suffix);
        return Some(format!("\"{name}\": {reason} ({}).", rule.rule));
    }
    // DOM-15, Baseline Requirements 3.2.2.6: below a public suffix somebody must have registered a name.
    if domains::is_public_suffix(name.base()) || domains::primary(name.base()).is_none() {
        return Some(format!(
            "\"{name}\" is a public suffix, below which others register names. Enter a second-level name or a name below \
             one (DOM-15)."
        ));
    }
    None
}

/// What becomes of a name because of a sensitive word in it, and the words for that.
fn word(
    catalog: &Catalog,
    product: &Product,
    identifier: &Identifier,
    terms: &Terms<'_>,
) -> (WordOutcome, Option<String>) {
    let Identifier::Dns(name) = identifier else { return (WordOutcome::None, None) };
    if product.words == WordOutcome::None || terms.cleared.contains(name.as_str()) {
        return (WordOutcome::None, None);
    }
    let Some(word) = catalog.names().sensitive_word(name, catalog.settings()) else {
        return (WordOutcome::None, None);
    };
    let text = match product.words {
        WordOutcome::Review => format!("The name contains \"{word}\", a word of the anti-phishing list (WORD-01)."),
        // WORD-06, WORD-07: the reason and the ways out, in the documents' order.
        _ => format!(
            "Refused by the CA's security check: the name contains \"{word}\", which its anti-phishing filter does not let \
             pass. Change the host part and resubmit, choose a paid product, or use another primary domain (WORD-01)."
        ),
    };
    (product.words, Some(text))
}

/// What a customer is told whose purchase is used by an order that is not settled yet (rules section 25.3, REVIEW).
pub fn purchase_in_use(product: &Product, order: &OrderId, until: Timestamp, now: Timestamp) -> Error {
    Error::new(
        Kind::RateLimited,
        format!(
            "The purchase of \"{}\" that fits these names is used by order {order}, which is open until {until}. Finish that \
             order, or end it by deactivating one of its authorizations, or buy another (BUY-05).",
            product.id
        ),
    )
    .retry_after(until.since(now))
}

/// What a customer is told who has bought nothing that fits (BUY-03, BUY-05).
pub fn no_purchase(product: &Product, chargeable: u32, bought: &[u32]) -> Error {
    let id = &product.id;
    // BUY-05: the number given equals the number bought.
    if let [first, ..] = bought
        && !bought.contains(&chargeable)
    {
        let had: Vec<String> = bought.iter().map(u32::to_string).collect();
        let had = if bought.len() == 1 { first.to_string() } else { had.join(" or ") };
        return Error::new(
            Kind::InvalidProfile,
            format!(
                "The purchase of \"{id}\" covers {had} chargeable names, and {had} are required; {chargeable} were given, \
                 free names not counted (BUY-05)."
            ),
        );
    }
    let years = product.years.first().copied().unwrap_or(1);
    let price = match price::quote(product, chargeable, years) {
        Ok(quote) => format!("Price for these names: {} USD for {years} year(s).", quote.total),
        Err(error) => error.into_problem().detail,
    };
    Error::new(Kind::UserActionRequired, format!("There is no unused purchase of \"{id}\". {price} (BUY-03)"))
        .help(Help::Quote { product: id.clone(), names: chargeable })
}
