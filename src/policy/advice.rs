//! What a refusal advises: the products that would take the same names, at what price, and what the customer has already.

use super::admission::{Terms, would_refuse};
use super::catalog::{Catalog, FreeNames, Product, Sale, Shape, ceiling};
use super::free_names::Counted;
use super::{price, shape};
use crate::domain::Identifier;
use crate::domain::customer::CustomerKind;

/// How many products a refusal names at most.
const TOLD: usize = 5;

/// What else would do for names that `refused` does not take; none if nothing would (design decision 2).
pub(super) fn advice(
    catalog: &Catalog,
    refused: &Product,
    identifiers: &[Identifier],
    terms: &Terms<'_>,
) -> Option<String> {
    // More names than any product takes would only cost time.
    if identifiers.is_empty() || identifiers.len() > ceiling::NAMES {
        return None;
    }
    let mut counts = Counts { catalog, identifiers, known: Vec::new() };
    // SEL-04: who can't have OV is not told of it.
    let may =
        |product: &&Product| terms.customer != Some(CustomerKind::Individual) || !product.class.needs_organisation();
    let mut fitting: Vec<(u64, &Product, String)> = Vec::new();
    for product in catalog.sold().filter(|product| product.id != refused.id).filter(may) {
        let charged = counts.of(product).charged.len() as u32;
        if !shape::fits(product, counts.of(product)) || would_refuse(catalog, product, identifiers, terms) {
            continue;
        }
        let Some(years) = product.years.first() else { continue };
        let Ok(quote) = price::quote(product, charged, *years) else { continue };
        let told = match product.sale {
            Sale::Paid(_) => format!("{} ({} USD a year)", product.id, quote.yearly),
            Sale::Free | Sale::Open | Sale::Unpriced => format!("{} (free)", product.id),
        };
        fitting.push((quote.yearly.cents(), product, told));
    }
    fitting.sort_by(|one, other| (one.0, &one.1.id).cmp(&(other.0, &other.1.id)));
    let mut told = Vec::new();
    if let Some(mismatch) = terms.offers.iter().find_map(|offer| {
        let product = catalog.product(&offer.product)?;
        let charged = counts.of(product).charged.len();
        let fits = shape::fits(product, counts.of(product)) && charged != offer.names as usize;
        fits.then(|| {
            let (id, bought) = (&offer.product, offer.names);
            format!("The purchase of \"{id}\" is for {bought} chargeable names, and these are {charged} (BUY-05).")
        })
    }) {
        told.push(mismatch);
    }
    if !fitting.is_empty() {
        let more = fitting.len().saturating_sub(TOLD);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let buy = fitting.iter().take(TOLD).any(|(_, product, _)| matches!(product.sale, Sale::Paid(_)));
        let buy = if buy { ". Purchases are had from the operator of this server." } else { "." };
        let names: Vec<String> = fitting.into_iter().take(TOLD).map(|(_, _, told)| told).collect();
        told.push(format!("For these names: {}{more}{buy}", names.join(", ")));
    }
    (!told.is_empty()).then(|| told.join(" "))
}

/// The names, told apart once for all products that tell them apart in the same way.
struct Counts<'a> {
    catalog: &'a Catalog,
    identifiers: &'a [Identifier],
    known: Vec<((FreeNames, Shape), Counted)>,
}

impl Counts<'_> {
    fn of(&mut self, product: &Product) -> &Counted {
        let way = (product.free_names, product.shape);
        let place = match self.known.iter().position(|(known, _)| *known == way) {
            Some(place) => place,
            None => {
                self.known.push((way, shape::count(self.catalog, product, self.identifiers)));
                self.known.len() - 1
            }
        };
        &self.known[place].1
    }
}
