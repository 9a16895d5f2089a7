//! What a product costs, to the cent of the price list (PRICE-01 to PRICE-36).

use super::catalog::{Price, Product, Sale, Shape};
use super::refund;
use crate::domain::{Error, Kind, Money, Result};

/// A quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The product.
    pub product: String,
    /// Chargeable names.
    pub names: u32,
    /// Years.
    pub years: u32,
    /// For the included names, a year.
    pub base: Money,
    /// Names in the base price.
    pub included: u32,
    /// Names beyond those.
    pub additional: u32,
    /// For each of those, a year; none if no further names are sold.
    pub extra: Option<Money>,
    /// For one year.
    pub yearly: Money,
    /// For all years, paid at once (BUY-08).
    pub total: Money,
    /// What the buyer should know.
    pub notes: Vec<String>,
}

/// The price of so many chargeable names for so many years (PRICE-31).
pub fn quote(product: &Product, names: u32, years: u32) -> Result<Quote> {
    let refuse = |detail: String| Err(Error::new(Kind::InvalidProfile, detail));
    let id = &product.id;
    if names == 0 {
        return Err(Error::malformed("A quote is for at least one name."));
    }
    if names as usize > product.names.max {
        return refuse(match (product.shape, product.names.max) {
            (Shape::Single, _) => format!("\"{id}\" takes one name; {names} names exceed what it sells (DOM-01)."),
            (Shape::Wildcard, _) => {
                format!("\"{id}\" takes one wildcard name; {names} names exceed what it sells (DOM-04).")
            }
            (Shape::Any, most) => format!("\"{id}\" takes at most {most} names; {names} were asked for."),
            (_, most) => {
                format!("\"{id}\" takes at most {most} names; {names} names exceed what it sells (DOM-03).")
            }
        });
    }
    // BUY-06
    if !product.years.contains(&years) {
        let sold: Vec<String> = product.years.iter().map(u32::to_string).collect();
        let sold = sold.join(" or ");
        return refuse(format!("\"{id}\" is sold for a term of {sold} year(s), not for {years} (BUY-06)."));
    }
    if product.unsignable {
        return refuse(super::admission::cannot_sign(id));
    }
    let price = match product.sale {
        Sale::Paid(price) => price,
        // PRICE-14, PRICE-34
        Sale::Open | Sale::Free => Price { base: Money::ZERO, included: product.names.max as u32, extra: None },
        Sale::Unpriced => return refuse(format!("No price is set for \"{id}\": it is not sold (CAT-02).")),
    };
    let additional = names.saturating_sub(price.included);
    if additional > 0 && price.extra.is_none() {
        let included = price.included;
        return refuse(format!(
            "\"{id}\" has no further names beyond the {included} included; {names} were asked for."
        ));
    }
    let yearly = price.base + price.extra.unwrap_or(Money::ZERO) * u64::from(additional);
    Ok(Quote {
        product: id.clone(),
        names,
        years,
        base: price.base,
        included: price.included,
        additional,
        extra: price.extra,
        yearly,
        total: yearly * u64::from(years),
        notes: notes(product, &price, (names, years), yearly),
    })
}

fn notes(product: &Product, price: &Price, (names, years): (u32, u32), yearly: Money) -> Vec<String> {
    let mut notes = Vec::new();
    // PRICE-35
    if names < price.included && product.shape != Shape::Any && matches!(product.sale, Sale::Paid(_)) {
        notes.push(format!("The base price includes {} names.", price.included));
    }
    // PRICE-36: kept as printed, and told.
    if let Some((separate, one)) = &product.separate
        && *one * u64::from(names) < yearly
    {
        let sum = *one * u64::from(names);
        notes.push(format!("{names} separate certificates of \"{separate}\" would cost {sum} USD a year."));
    }
    // BUY-08
    if years > 1 {
        notes.push(format!("{years} certificates of one year each, one after the other, paid at once."));
        notes.push(refund::IN_QUOTES_OF_YEARS.to_owned());
    }
    // REFUND-03
    if matches!(product.sale, Sale::Paid(_)) {
        notes.push(refund::IN_QUOTES.to_owned());
    }
    notes
}
