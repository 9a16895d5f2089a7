//! Whether a CSR fits its order.

use std::collections::BTreeSet;

use super::catalog::Product;
use super::lifecycle::same_names;
use super::settings::Settings;
use crate::domain::certificate::Certificate;
use crate::domain::csr::Csr;
use crate::domain::order::{Order, Purpose};
use crate::domain::{Error, Identifier, Kind, Result};

/// Judges a CSR: its names must be exactly the order's (RFC 8555 section 7.4), its key of a kind the product takes.
pub fn accept_csr(csr: &Csr, order: &Order, product: &Product) -> Result<()> {
    let ordered: BTreeSet<Identifier> = order.identifiers.iter().cloned().collect();
    let missing = list(ordered.difference(&csr.names));
    let surplus = list(csr.names.difference(&ordered));
    let refuse = |detail: String| Err(Error::new(Kind::BadCsr, detail));
    match (missing.is_empty(), surplus.is_empty()) {
        (true, true) => {}
        (false, true) => return refuse(format!("The CSR lacks names of the order: {missing}.")),
        (true, false) => return refuse(format!("The CSR has names that the order has not: {surplus}.")),
        (false, false) => {
            return refuse(format!("The CSR lacks names of the order ({missing}) and has others instead ({surplus})."));
        }
    }
    if !product.keys.contains(&csr.key) {
        let taken: Vec<String> = product.keys.iter().map(ToString::to_string).collect();
        return refuse(format!(
            "The CSR has a key of kind {}; \"{}\" takes {}.",
            csr.key,
            product.id,
            taken.join(", ")
        ));
    }
    Ok(())
}

/// Whether a key that was certified before may serve this order (CSR-04, design decision 4).
pub fn accept_reuse(settings: &Settings, order: &Order, earlier: &Certificate, same_holder: bool) -> Result<()> {
    // CSR-15, CSR-14: a reissue may keep its key, and so may what follows for the same names by itself.
    let allowed = match order.purpose {
        Purpose::Reissue { .. } => settings.csr_reuse_on_reissue,
        Purpose::New | Purpose::Renewal { .. } => settings.csr_reuse_on_auto_renew,
    };
    if same_holder && allowed && same_names(&order.identifiers, &earlier.identifiers) {
        return Ok(());
    }
    let served = match same_holder {
        true => format!("order {}", earlier.order),
        // Whose it was is nobody else's business.
        false => "an order of another customer".to_owned(),
    };
    Err(Error::new(
        Kind::BadCsr,
        format!("This CSR already served {served}; make a new key and CSR for each order (CSR-04, DIAG-19)."),
    ))
}

fn list<'a>(names: impl Iterator<Item = &'a Identifier>) -> String {
    names.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
