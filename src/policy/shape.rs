//! Whether the names of an order fit the shape of a product, and how many of them it charges.

use super::catalog::{Catalog, Class, Product, Shape};
use super::free_names::{self, Counted, www_of};
use crate::domain::{DnsName, Identifier, Kind, Problem};

/// The names, told apart into charged and free ones, if they fit; else all that does not.
pub fn fit(catalog: &Catalog, product: &Product, identifiers: &[Identifier]) -> Result<Counted, Vec<Problem>> {
    let counted = count(catalog, product, identifiers);
    if fits(product, &counted) {
        return Ok(counted);
    }
    let (misfits, fitting): (Vec<_>, Vec<_>) =
        counted.charged.iter().map(|name| (name, misfit(catalog, product, name))).partition(|(_, why)| why.is_some());
    let misfits = misfits.into_iter().filter_map(|(name, why)| why.map(|why| why.of(name)));
    // Each name too many is told, so that leaving out what is told leaves what is taken (RFC 8555 section 6.7.1).
    let surplus = fitting.iter().skip(product.names.max).map(|(name, _)| {
        let why = surplus(catalog, product, &counted, name);
        Problem::new(Kind::InvalidProfile, why).of(*name)
    });
    Err(misfits.chain(surplus).collect())
}

/// The names, told apart into charged and free ones.
pub(super) fn count(catalog: &Catalog, product: &Product, identifiers: &[Identifier]) -> Counted {
    free_names::count(identifiers, product.free_names, catalog.settings().parent_free_rule, product.shape)
}

/// Whether the charged names are of the kind that the product takes, and no more than it takes.
pub(super) fn fits(product: &Product, counted: &Counted) -> bool {
    let takes = |name: &Identifier| match name {
        Identifier::Ip(_) => product.names.ip && !product.methods_for(name).is_empty(),
        Identifier::Dns(name) if name.is_wildcard() => product.names.wildcard,
        // DOM-09: beside a wildcard name, only what comes free with it.
        Identifier::Dns(_) => !matches!(product.shape, Shape::Wildcard | Shape::MultiWildcard),
    };
    counted.charged.len() <= product.names.max && counted.charged.iter().all(takes)
}

/// The rule in parentheses, for the products that it is about.
fn rule(product: &Product, rule: &str) -> String {
    if product.is_documented() { format!(" ({rule})") } else { String::new() }
}

/// CAT-07
fn only_one_free(product: &Product, but: &str) -> String {
    format!(
        "\"{}\": a free certificate covers one ordinary name, and {but}. Buy a paid product for wildcard, several names or IP \
         (CAT-07).",
        product.id
    )
}

/// Why a name is not of the kind that the product takes.
fn misfit(catalog: &Catalog, product: &Product, identifier: &Identifier) -> Option<Problem> {
    // Rules section 25.2: a shape that does not fit the product is the profile's matter, unless no product takes addresses.
    let kind = match identifier {
        Identifier::Ip(_) if !catalog.sold().any(|product| product.names.ip) => Kind::UnsupportedIdentifier,
        _ => Kind::InvalidProfile,
    };
    let why = match identifier {
        Identifier::Ip(_) => unfit_address(product, identifier),
        Identifier::Dns(name) if name.is_wildcard() => unfit_wildcard(product, name),
        Identifier::Dns(name) => unfit_ordinary(product, name),
    };
    why.map(|why| Problem::new(kind, why))
}

fn unfit_address(product: &Product, address: &Identifier) -> Option<String> {
    let id = &product.id;
    Some(match product.shape {
        _ if product.names.ip && product.methods_for(address).is_empty() => {
            format!("\"{address}\" can't be validated by any method of \"{id}\".")
        }
        _ if product.names.ip => return None,
        // IP-05
        _ if product.class == Class::DvFree => {
            only_one_free(product, &format!("\"{address}\" is an IP address (IP-05)"))
        }
        Shape::Wildcard | Shape::MultiWildcard => format!(
            "\"{address}\" is an IP address; IP addresses go with single or multi products only, and \"{id}\" is for {} \
             (IP-01).",
            product.shape
        ),
        _ => format!("\"{address}\" is an IP address, which \"{id}\" does not take{}.", rule(product, "IP-02")),
    })
}

fn unfit_wildcard(product: &Product, name: &DnsName) -> Option<String> {
    let id = &product.id;
    Some(match product.shape {
        _ if product.names.wildcard => return None,
        _ if product.class == Class::DvFree => only_one_free(product, &format!("\"{name}\" is a wildcard name")),
        Shape::Multi => format!(
            "\"{name}\" is a wildcard name, and \"{id}\" takes ordinary ones; choose a multi-wildcard product (DOM-16)."
        ),
        _ => format!("\"{name}\" is a wildcard name, which \"{id}\" does not take{}.", rule(product, "DOM-01")),
    })
}

fn unfit_ordinary(product: &Product, name: &DnsName) -> Option<String> {
    let id = &product.id;
    match product.shape {
        Shape::Any | Shape::Single | Shape::Multi => None,
        Shape::Wildcard => Some(format!(
            "\"{name}\" is an ordinary name, and \"{id}\" takes one wildcard name and what comes free with it (DOM-04); ordinary \
             names need a single or multi product (DOM-09)."
        )),
        Shape::MultiWildcard => Some(format!(
            "\"{name}\" is an ordinary name that comes free with none of these; in \"{id}\" each name needs exactly one wildcard \
             label (DOM-06), and ordinary names need a single or multi product (DOM-09)."
        )),
    }
}

/// Why a name is one too many.
fn surplus(catalog: &Catalog, product: &Product, counted: &Counted, name: &Identifier) -> String {
    let (id, most, charged) = (&product.id, product.names.max, counted.charged.len());
    match product.shape {
        Shape::Single => {
            let beside = counted.charged.first().and_then(|ordered| beside(catalog, product, ordered, name));
            let beside = beside.map(|why| format!(" {why}")).unwrap_or_default();
            match product.class {
                Class::DvFree => only_one_free(product, &format!("\"{name}\" would be another")) + &beside,
                _ => format!("\"{id}\" takes one name, and \"{name}\" would be another (DOM-01).{beside}"),
            }
        }
        Shape::Wildcard => format!(
            "\"{id}\" takes one wildcard name (DOM-04), and \"{name}\" would be another; choose a multi-wildcard product (DOM-10)."
        ),
        Shape::Any | Shape::Multi | Shape::MultiWildcard => format!(
            "\"{id}\" takes at most {most} names; {charged} were asked for, and \"{name}\" is beyond{}.",
            rule(product, "DOM-03")
        ),
    }
}

/// Why `name` does not come free with the one name ordered, if they are related.
fn beside(catalog: &Catalog, product: &Product, ordered: &Identifier, name: &Identifier) -> Option<String> {
    let (Identifier::Dns(ordered), Identifier::Dns(name)) = (ordered, name) else { return None };
    let brand = catalog.brand_name(product);
    if www_of(name) == Some(ordered.as_str()) {
        return Some(format!("{brand} charges www as a name of its own (SAN-01)."));
    }
    let parent = |of: &DnsName| of.as_str().split_once('.').map(|(_, parent)| parent.to_owned());
    if name.as_str().strip_suffix(ordered.as_str()).is_some_and(|below| below.ends_with('.')) {
        let mut why =
            format!("An order for \"{ordered}\" covers no other name below it: order the other name separately");
        let swapped = count(catalog, product, &[Identifier::Dns(name.clone()), Identifier::Dns(ordered.clone())]);
        if swapped.charged.len() == 1 {
            why.push_str(&format!(", or list \"{name}\" first, with which \"{ordered}\" comes free (SAN-02)"));
        }
        return Some(why + " (SAN-07).");
    }
    if parent(ordered).as_deref() == Some(name.as_str()) {
        return Some(match super::domains::is_public_suffix(name.as_str()) {
            true => "The parent of a second-level name is not included (SAN-03).".to_owned(),
            false => format!("{brand} does not give the parent of \"{ordered}\" free (SAN-02, SAN-06)."),
        });
    }
    None
}
