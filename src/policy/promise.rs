//! Time to issue: what buyers are promised, and from when on a diagnosis is offered (ISSUE-01 to ISSUE-06).

use super::catalog::{Catalog, Class, Product};
use super::status::{USUAL_DV, USUAL_FREE};
use crate::domain::Timestamp;

/// What is promised for an order that is not settled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// In words, with the rule.
    pub text: String,
    /// From when on a diagnosis is offered; none where people take their days.
    pub diagnosis_from: Option<Timestamp>,
}

/// The promise for an order of a documented product that was placed at a moment; a private CA's products promise nothing.
pub fn of(catalog: &Catalog, product: &Product, placed: Timestamp) -> Option<Promise> {
    let days = catalog.paperwork().review.business_days.get(&product.class);
    let (text, usual) = match product.class {
        Class::Private => return None,
        // ISSUE-03, ISSUE-04, ISSUE-05, ISSUE-06
        Class::DvFree => (
            "Usually issued within 30 minutes (ISSUE-03); depending on the CA it may take several hours or one calendar day \
             (ISSUE-04), within 24 hours after the validation passed (ISSUE-05), and the review ends within one business day \
             (ISSUE-06)."
                .to_owned(),
            Some(USUAL_FREE),
        ),
        // ISSUE-01, ISSUE-06
        Class::Dv => (
            "Issued within 10 minutes to 24 hours (ISSUE-01), in general within one business day (ISSUE-06).".to_owned(),
            Some(USUAL_DV),
        ),
        // ISSUE-02
        Class::Ov | Class::OvPro | Class::Ev | Class::EvPro => {
            let [first, last] = days?;
            (format!("Issued within {first} to {last} business days (ISSUE-02)."), None)
        }
    };
    Some(Promise { text, diagnosis_from: usual.map(|usual| placed + usual) })
}
