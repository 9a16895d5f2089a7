//! Whether the names of an order fit the shape of a product, and how many of them it charges.

use super::catalog::{Catalog, Class, Product, Sale, Shape};
use super::free_names::{self, Counted};
use super::price;
use crate::domain::{Identifier, Kind, Problem};

/// How many products a refusal names at most.
const TOLD: usize = 5;

/// The names, told apart into charged and free ones, if they fit; else all that does not.
pub fn fit(catalog: &Catalog, product: &Product, identifiers: &[Identifier]) -> Result<Counted, Vec<Problem>> {
    let parents = catalog.settings().parent_free_rule;
    let counted = free_names::count(identifiers, product.free_names, parents, product.shape);
    // DOM-09: what comes free is ordinary beside a wildcard name; that is no misfit.
    let misfits = counted.charged.iter().chain(counted.free.iter().filter(|name| name.is_wildcard()));
    let mut problems: Vec<Problem> =
        misfits.filter_map(|name| misfit(product, name).map(|why| problem(why).of(name))).collect();
    let (charged, most) = (counted.charged.len(), product.names.max);
    if charged > most && problems.is_empty() {
        let names = counted.charged.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        problems.push(problem(match product.shape {
            _ if product.class == Class::DvFree => only_one_free(product, &format!("these are {charged}: {names}")),
            // SAN-01
            Shape::Single if charged == 2 && is_charged_www(&counted.charged) => format!(
                "\"{}\" takes one name (DOM-01), and {} charges www as a name of its own (SAN-01): {names}.",
                product.id,
                catalog.brand_name(product)
            ),
            Shape::Single => format!("\"{}\" takes one name; these are {charged}: {names} (DOM-01).", product.id),
            Shape::Wildcard => {
                format!("\"{}\" takes one wildcard name; these are {charged}: {names} (DOM-04).", product.id)
            }
            _ => format!("\"{}\" takes at most {most} names; {charged} were asked for (DOM-03).", product.id),
        }));
    }
    if problems.is_empty() { Ok(counted) } else { Err(problems) }
}

/// Products that can be had and fit the names, each with its price for them: what a refusal tells.
pub fn alternatives(catalog: &Catalog, identifiers: &[Identifier], except: &str) -> Option<String> {
    let mut fitting: Vec<(u64, String)> = catalog
        .sold()
        .filter(|product| product.id != except && product.is_documented())
        .filter_map(|product| {
            let charged = fit(catalog, product, identifiers).ok()?.charged.len() as u32;
            Some(match product.sale {
                Sale::Paid(_) => {
                    let quote = price::quote(product, charged, product.years.first().copied()?).ok()?;
                    (quote.total.cents(), format!("{} ({} USD a year)", product.id, quote.yearly))
                }
                _ => (0, format!("{} (free)", product.id)),
            })
        })
        .collect();
    fitting.sort();
    let more = fitting.len().saturating_sub(TOLD);
    let told: Vec<String> = fitting.into_iter().take(TOLD).map(|(_, told)| told).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join(", ")))
}

fn problem(detail: String) -> Problem {
    // Rules section 25.2: a shape that does not fit the product is the profile's matter.
    Problem::new(Kind::InvalidProfile, detail)
}

/// CAT-07
fn only_one_free(product: &Product, but: &str) -> String {
    format!(
        "\"{}\": a free certificate covers one ordinary name, and {but}. Buy a paid product for wildcard, several names or \
         IP (CAT-07).",
        product.id
    )
}

/// Whether the two charged names are a primary name and its `www`.
fn is_charged_www(charged: &[Identifier]) -> bool {
    matches!(charged, [first, second] if second.to_string().strip_prefix("www.") == Some(&first.to_string()))
}

/// Why a name is not of the kind that the product takes.
fn misfit(product: &Product, identifier: &Identifier) -> Option<String> {
    let id = &product.id;
    match identifier {
        Identifier::Ip(ip) if product.names.ip && product.methods_for(identifier).is_empty() => {
            Some(format!("\"{ip}\" can't be validated by any method of \"{id}\"."))
        }
        Identifier::Ip(_) if product.names.ip => None,
        // IP-05
        Identifier::Ip(ip) if product.class == Class::DvFree => {
            Some(only_one_free(product, &format!("\"{ip}\" is an IP address (IP-05)")))
        }
        Identifier::Ip(ip) if product.names.wildcard && product.is_documented() => Some(format!(
            "\"{ip}\" is an IP address, and IP addresses go with single or multi products only, not with \"{id}\" (IP-01)."
        )),
        Identifier::Ip(ip) => {
            let rule = if product.is_documented() { " (IP-02)" } else { "" };
            Some(format!("\"{ip}\" is an IP address, which \"{id}\" does not take{rule}."))
        }
        Identifier::Dns(name) if name.is_wildcard() => match product.shape {
            _ if product.names.wildcard => None,
            _ if product.class == Class::DvFree => {
                Some(only_one_free(product, &format!("\"{name}\" is a wildcard name")))
            }
            Shape::Multi => Some(format!(
                "\"{name}\" is a wildcard name, and \"{id}\" takes ordinary ones; choose a multi-wildcard product (DOM-16)."
            )),
            _ => Some(format!("\"{name}\" is a wildcard name, which \"{id}\" does not take (DOM-01).")),
        },
        Identifier::Dns(name) => match product.shape {
            Shape::Wildcard | Shape::MultiWildcard => Some(format!(
                "\"{name}\" is an ordinary name, which \"{id}\" does not take unless it comes free with a wildcard name; \
                 ordinary names need a single or multi product (DOM-09)."
            )),
            _ => None,
        },
    }
}
