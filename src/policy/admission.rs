//! Whether an order may be placed: the product, its names, its dates.

use std::collections::HashSet;

use super::catalog::{Catalog, Product, days};
use super::validity;
use crate::domain::plan::Plan;
use crate::domain::{Error, Identifier, Kind, Problem, Result, Timestamp};

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The product: the ACME profile, or the one that the directory stands for.
    pub product: Option<String>,
    /// The names, as they were parsed.
    pub identifiers: Vec<Identifier>,
    /// First moment of validity.
    pub not_before: Option<Timestamp>,
    /// Last moment of validity.
    pub not_after: Option<Timestamp>,
}

/// What the judgement depends on besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The product when none is asked for.
    pub default_product: &'a str,
    /// Days that an order may stay open.
    pub order_days: u32,
    /// Whether the account is bound to a customer.
    pub bound: bool,
}

/// Judges a request for an order.
pub fn admit(catalog: &Catalog, request: Request, terms: Terms<'_>, now: Timestamp) -> Result<Plan> {
    let product = choose(catalog, request.product.as_deref(), terms)?;
    let identifiers = unique(request.identifiers);
    check_names(catalog, product, &identifiers)?;
    validity::check_asked(product, request.not_before, request.not_after, now)?;
    let ends = [validity::latest_signing(request.not_before), request.not_after];
    Ok(Plan {
        product: product.id.clone(),
        identifiers,
        not_before: request.not_before,
        not_after: request.not_after,
        // Beyond these moments the dates can't be honoured any more.
        expires: ends.into_iter().flatten().fold(now + days(terms.order_days), Timestamp::min),
    })
}

/// Judges a name for authorization ahead of an order (RFC 8555 section 7.4.1), by the product that orders without a
/// profile would get.
pub fn admit_name<'a>(
    catalog: &'a Catalog,
    identifier: &Identifier,
    asked: Option<&str>,
    terms: Terms<'_>,
) -> Result<&'a Product> {
    if identifier.is_wildcard() {
        return Err(Error::malformed(format!(
            "\"{identifier}\" is a wildcard name, which can't be authorized ahead of an order (RFC 8555 section 7.4.1)."
        )));
    }
    let product = choose(catalog, asked, terms)?;
    check_names(catalog, product, std::slice::from_ref(identifier))?;
    Ok(product)
}

fn choose<'a>(catalog: &'a Catalog, asked: Option<&str>, terms: Terms<'_>) -> Result<&'a Product> {
    let id = asked.unwrap_or(terms.default_product);
    let Some(product) = catalog.product(id) else {
        let shown: String = id.chars().take(64).collect();
        let sold: Vec<&str> = catalog.products().map(|product| product.id.as_str()).collect();
        return Err(Error::new(
            Kind::InvalidProfile,
            format!("There is no profile \"{}\". Offered are: {}.", shown.escape_debug(), sold.join(", ")),
        ));
    };
    // design decision 1: what is not free needs a bound account.
    if product.bound_accounts_only && !terms.bound {
        return Err(Error::new(
            Kind::InvalidProfile,
            format!("\"{id}\" is for accounts with an external account binding; this account has none."),
        ));
    }
    Ok(product)
}

/// RFC 8555 section 7.4: names are a set; a name given twice is taken once.
fn unique(identifiers: Vec<Identifier>) -> Vec<Identifier> {
    let mut seen = HashSet::new();
    identifiers.into_iter().filter(|identifier| seen.insert(identifier.clone())).collect()
}

fn check_names(catalog: &Catalog, product: &Product, identifiers: &[Identifier]) -> Result<()> {
    if identifiers.is_empty() {
        return Err(Error::malformed("\"identifiers\" is empty; name at least one."));
    }
    if identifiers.len() > product.names.max {
        return Err(Error::new(
            Kind::RejectedIdentifier,
            format!(
                "{} names were asked for; \"{}\" takes at most {}. Ask for fewer names or another profile.",
                identifiers.len(),
                product.id,
                product.names.max
            ),
        ));
    }
    let refused = identifiers.iter().filter_map(|identifier| {
        let refused = catalog
            .names()
            .refusal(identifier)
            .map(|domain| format!("No certificates are issued for \"{domain}\" and what lies below it."));
        let reason = refused.or_else(|| refusal(product, identifier))?;
        Some(Problem::new(Kind::RejectedIdentifier, reason).of(identifier))
    });
    match Problem::merge(refused.collect()) {
        Some(problem) if problem.subproblems.is_empty() => Err(Problem { identifier: None, ..problem }.into()),
        Some(problem) => Err(problem.into()),
        None => Ok(()),
    }
}

fn refusal(product: &Product, identifier: &Identifier) -> Option<String> {
    let id = &product.id;
    match identifier {
        Identifier::Dns(name) if name.is_wildcard() && !product.names.wildcard => {
            Some(format!("\"{name}\" is a wildcard name, which \"{id}\" does not take. Ask for another profile."))
        }
        // Baseline Requirements 4.2.2: names of the reverse zones are not certified.
        Identifier::Dns(name) if name.base().ends_with(".arpa") => {
            Some(format!("\"{name}\" lies in the infrastructure domain .arpa, for which no certificates are issued."))
        }
        // RFC 9799: .onion names need methods of their own; RFC 6761: .invalid never exists.
        Identifier::Dns(name) if name.base().ends_with(".onion") || name.base().ends_with(".invalid") => {
            Some(format!("\"{name}\" lies in a domain for which this server can't validate names."))
        }
        Identifier::Ip(ip) if !product.names.ip => {
            Some(format!("\"{ip}\" is an IP address, which \"{id}\" does not take. Ask for another profile."))
        }
        _ if product.methods.iter().any(|method| method.suits(identifier)) => None,
        _ => Some(format!("\"{identifier}\" can't be validated by any method of \"{id}\".")),
    }
}
