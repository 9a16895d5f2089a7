//! Whether an order may be placed: the product, its names, its dates.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::advice::advice;
use super::catalog::{Catalog, Class, Product, Sale, Shape, days};
use super::free_names::Counted;
use super::settings::{IpEntry, WordOutcome};
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
    /// Whether a refusal tells which products would take the names.
    pub advise: bool,
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
    let asked = request.product.as_deref().or(terms.only);
    // CAT-14: whoever names nothing and has bought nothing gets what the operator recommends.
    let id = asked.or_else(|| had(catalog, request, terms)).unwrap_or(terms.default_product);
    let product = sold(catalog, id)?;
    match terms.only {
        Some(only) if only != id => Err(Error::new(
            Kind::InvalidProfile,
            format!("This account's external account binding is for \"{only}\" alone, not for \"{id}\"."),
        )),
        _ => Ok(product),
    }
}

/// What the customer has for exactly these names: under way or certified already, else the first purchase that fits.
fn had<'t>(catalog: &Catalog, request: &Request, terms: &Terms<'t>) -> Option<&'t str> {
    let is_sold = |id: &&str| catalog.product(id).is_some_and(Product::is_sold);
    if let Some(held) = terms.held.filter(is_sold) {
        return Some(held);
    }
    // However many purchases there are, each product is looked at once.
    let mut charged: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for Offer { product: id, names } in terms.offers {
        let charged = charged.entry(id).or_insert_with(|| {
            let product = catalog.product(id)?;
            let counted = shape::count(catalog, product, &request.identifiers);
            shape::fits(product, &counted).then_some(counted.charged.len())
        });
        if *charged == Some(*names as usize) {
            return Some(id);
        }
    }
    None
}

/// How many profiles the refusal of an unknown one lists.
const LISTED: usize = 40;

/// What whoever asks for a product of the national standard is told by a server without SM2.
pub fn cannot_sign(id: &str) -> String {
    format!(
        "The profile \"{id}\" is not offered: its certificates follow the national standard, and this server cannot sign SM2 \
         (CAT-13). It was built without SM2, or ca.sm2_issuers names no issuer for it."
    )
}

/// A product that can be had.
fn sold<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Product> {
    match catalog.product(id) {
        // CAT-02
        Some(product) if product.sale == Sale::Unpriced => Err(Error::new(
            Kind::InvalidProfile,
            format!("The profile \"{id}\" is not sold: no price is set for this product (CAT-02)."),
        )),
        // CAT-13
        Some(product) if product.unsignable => Err(Error::new(Kind::InvalidProfile, cannot_sign(id))),
        Some(product) => Ok(product),
        None => {
            let shown: String = id.chars().take(64).collect();
            let mut sold: Vec<&str> = catalog.sold().map(|product| product.id.as_str()).collect();
            let more = sold.len().saturating_sub(LISTED);
            sold.truncate(LISTED);
            let more = if more > 0 { format!(" and {more} more, which the directory lists") } else { String::new() };
            Err(Error::new(
                Kind::InvalidProfile,
                format!("There is no profile \"{}\". Offered are: {}{more}.", shown.escape_debug(), sold.join(", ")),
            ))
        }
    }
}

/// The names of a request, found good for a product.
#[derive(Debug)]
pub struct Judged {
    /// Each once, in the order asked for.
    pub identifiers: Vec<Identifier>,
    /// Those that are charged, and those that come free.
    pub counted: Counted,
    /// What a person must look at.
    pub causes: Vec<ReviewCause>,
}

impl Judged {
    /// How many names are charged (SAN-08).
    pub fn chargeable(&self) -> u32 {
        self.counted.charged.len() as u32
    }
}

/// Judges the buyer and the names of a request for that product.
pub fn judge(catalog: &Catalog, product: &Product, request: Request, terms: &Terms<'_>) -> Result<Judged> {
    check_buyer(product, terms)?;
    let identifiers = unique(request.identifiers);
    if identifiers.is_empty() && request.unread.is_empty() {
        return Err(Error::malformed("\"identifiers\" is empty; name at least one."));
    }
    let (counted, causes) = judge_names(catalog, product, &identifiers, request.unread, terms)?;
    Ok(Judged { identifiers, counted, causes })
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
    let (not_before, not_after) = (request.not_before, request.not_after);
    let judged = judge(catalog, product, request, terms)?;
    validity::check_asked(product, span, not_before, not_after, now)?;
    let ends = [validity::latest_signing(not_before), not_after];
    // VAL-13: the proofs must be there within the documented days.
    let open_days = product.deadline_days.map_or(terms.order_days, |deadline| deadline.min(terms.order_days));
    Ok(Plan {
        product: product.id.clone(),
        chargeable: judged.chargeable(),
        identifiers: judged.identifiers,
        not_before,
        not_after,
        // Beyond these moments the dates can't be honoured any more.
        expires: ends.into_iter().flatten().fold(now + days(open_days), Timestamp::min),
        causes: judged.causes,
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
                 external account binding, the key for which comes with the purchase (ACCT-01, BUY-03)."
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
                "\"{id}\" is an {} product: OV and EV need a registered organisation, and individuals can order DV only \
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
) -> Result<(Counted, Vec<ReviewCause>)> {
    let readable = problems.is_empty();
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
    let counted = shape::fit(catalog, product, identifiers).unwrap_or_else(|misfits| {
        problems.extend(misfits);
        Counted::default()
    });
    let Some(problem) = Problem::merge(problems) else { return Ok((counted, causes)) };
    // Names that can't be read are taken by none.
    let advice = if terms.advise && readable { advice(catalog, product, identifiers, terms) } else { None };
    let detail = [Some(problem.detail), advice].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let problem = Problem { detail, ..problem };
    Err(match problem.subproblems.is_empty() {
        // RFC 8555 section 6.7.1: the top level names no identifier.
        true => Problem { identifier: None, ..problem }.into(),
        false => problem.into(),
    })
}

/// Whether a product refuses one of the names, whatever their number and kind.
pub(super) fn would_refuse(
    catalog: &Catalog,
    product: &Product,
    identifiers: &[Identifier],
    terms: &Terms<'_>,
) -> bool {
    identifiers.iter().any(|name| {
        let (outcome, word) = word(catalog, product, name, terms);
        (outcome == WordOutcome::Refuse && word.is_some()) || refusal(catalog, product, name).is_some()
    })
}

/// All that a product has against one name, for those who ask ahead of an order: words that bring a review too.
pub fn objections(
    catalog: &Catalog,
    product: &Product,
    identifier: &Identifier,
    cleared: &BTreeSet<String>,
) -> Vec<String> {
    let terms = Terms {
        default_product: &product.id,
        order_days: 0,
        customer: None,
        only: None,
        held: None,
        offers: &[],
        cleared,
        advise: false,
    };
    let (_, word) = word(catalog, product, identifier, &terms);
    refusal(catalog, product, identifier).into_iter().chain(word).collect()
}

/// Why nothing is issued for a name, whatever the shape of the order.
pub fn refusal(catalog: &Catalog, product: &Product, identifier: &Identifier) -> Option<String> {
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
    // DOM-11, DIAG-18
    if chars > settings.name_max_chars as usize {
        let most = settings.name_max_chars;
        return Some(format!(
            "\"{name}\" has {chars} characters, {most} allowed. Use letters, digits and hyphens, {most} characters at most \
             (DOM-11)."
        ));
    }
    // DOM-02
    if levels > settings.name_max_levels as usize {
        let most = settings.name_max_levels;
        return Some(format!("\"{name}\" has {levels} levels, more than {most} levels (DOM-02)."));
    }
    // TLD-01 to TLD-04, DIAG-17
    if let Some((rule, suffix)) = catalog.names().suffix_rule(name, product.class) {
        let reason = rule.reason.replace("{suffix}", suffix);
        return Some(format!("\"{name}\": {reason} ({}).", rule.rule));
    }
    // Below a registry's suffix somebody must have registered a name (Baseline Requirements 3.2.2.6).
    let free = product.class == Class::DvFree;
    if domains::is_registry_suffix(name.base()) || (free && domains::primary(name.base()).is_none()) {
        let rule = if free { "DOM-15" } else { "DOM-01" };
        return Some(format!(
            "\"{name}\" is a public suffix, below which others register names. Enter a second-level name or a name below \
             one ({rule})."
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
    const NOTHING: (WordOutcome, Option<String>) = (WordOutcome::None, None);
    if product.words == WordOutcome::None {
        return NOTHING;
    }
    let found = match identifier {
        Identifier::Dns(name) if terms.cleared.contains(name.as_str()) => return NOTHING,
        Identifier::Dns(name) => catalog.sensitive_word(name).map(|word| format!("contains '{word}'")),
        // the list's entry for addresses yields to a matrix that allows them.
        Identifier::Ip(_) => {
            (catalog.settings().word_ip_entry == IpEntry::Always).then(|| "is an IP address".to_owned())
        }
    };
    let Some(found) = found else { return NOTHING };
    let text = match product.words {
        WordOutcome::Review => format!("The name {found}, which is on the anti-phishing list (WORD-01)."),
        // WORD-06, WORD-07, WORD-08, DIAG-16: the reason and the ways out, in the documents' order.
        _ => format!(
            "Refused by the CA's security check: the name {found}, which the anti-phishing filter does not let pass. Change the \
             host part and resubmit, choose a paid product, or use another primary domain (WORD-01)."
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
    if !bought.is_empty() && !bought.contains(&chargeable) {
        let had = bought.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
        // DOM-07: every wildcard name counts as one.
        let exceeds = product.shape == Shape::MultiWildcard && bought.iter().all(|bought| *bought < chargeable);
        return Error::new(
            Kind::InvalidProfile,
            match exceeds {
                true => format!(
                    "{chargeable} wildcard names exceed the {had} bought of \"{id}\", free names not counted (DOM-07, BUY-05)."
                ),
                // BUY-05: the number given equals the number bought.
                false => format!(
                    "The purchase of \"{id}\" covers {had} chargeable names, and {had} are required; {chargeable} were \
                     given, free names not counted (BUY-05)."
                ),
            },
        );
    }
    let years = product.years.first().copied().unwrap_or(1);
    let price = match price::quote(product, chargeable, years) {
        Ok(quote) if years == 1 => format!("Price for these names: {} USD for one year.", quote.total),
        Ok(quote) => format!("Price for these names: {} USD for {years} years.", quote.total),
        Err(error) => error.into_problem().detail,
    };
    Error::new(Kind::UserActionRequired, format!("There is no unused purchase of \"{id}\". {price} (BUY-03)"))
        .help(Help::Quote { product: id.clone(), names: chargeable })
}
