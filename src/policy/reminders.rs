//! When the reviewers of an application may be reminded (REMIND-01 to REMIND-06).

use std::time::Duration;

use super::catalog::{Catalog, CountsFrom, Product};
use crate::domain::{Error, Kind, Result, Timestamp};

/// Something that reviewers have before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// When its data were submitted.
    pub submitted: Timestamp,
    /// When its letter was uploaded, if it needed one.
    pub letter: Option<Timestamp>,
    /// When its reviewers were reminded last.
    pub reminded: Option<Timestamp>,
}

/// Whether reviewers may be reminded at `now`.
pub fn accept(catalog: &Catalog, product: &Product, waiting: Option<&Waiting>, now: Timestamp) -> Result<()> {
    // REMIND-06: reminders belong to what was paid.
    if !product.class.is_paid() {
        return Err(refusal(format!(
            "\"{}\" is not bought, and only paid orders have reminders (REMIND-06).",
            product.id
        )));
    }
    let Some(waiting) = waiting else {
        return Err(refusal(
            "Nothing to remind of: no reviewer has anything of this before them (REMIND-06).".to_owned(),
        ));
    };
    let opens = opens(catalog, product, waiting)?;
    match opens <= now {
        true => Ok(()),
        false => {
            let told = format!("Reminder opens at {opens} (REMIND-02, REMIND-03, REMIND-04).");
            Err(Error::new(Kind::RateLimited, told).retry_after(opens.since(now)))
        }
    }
}

/// From when on reviewers may be reminded.
pub fn opens(catalog: &Catalog, product: &Product, waiting: &Waiting) -> Result<Timestamp> {
    let Some(reminder) = catalog.paperwork().reminder(product) else {
        // REMIND-01, REMIND-05
        return Err(refusal(format!(
            "This brand does not take reminders for {} certificates: {}. Just wait (REMIND-01, REMIND-05).",
            product.class,
            catalog.brand_name(product)
        )));
    };
    let from = match reminder.counts_from {
        CountsFrom::Submission => waiting.submitted,
        // Section 27: from the submission where no letter is uploaded.
        CountsFrom::Letter => waiting.letter.unwrap_or(waiting.submitted),
    };
    // A second reminder waits as long as the first.
    Ok(waiting.reminded.unwrap_or(from).max(from) + Duration::from_secs(u64::from(reminder.wait_hours) * 3600))
}

fn refusal(told: String) -> Error {
    Error::new(Kind::Conflict, told)
}
