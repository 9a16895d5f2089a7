//! Whether a CSR fits its order.

use std::collections::BTreeSet;

use super::catalog::Product;
use super::lifecycle::same_names;
use super::settings::Settings;
use super::weak_keys::{Listed, WeakKeys};
use crate::domain::certificate::Certificate;
use crate::domain::csr::{Csr, SubjectKey};
use crate::domain::order::{Order, Purpose};
use crate::domain::{Error, Identifier, Kind, Result};

/// How many of the ordered names a refusal offers as common names.
const OFFERED: usize = 5;

/// Judges a CSR: its names must be exactly the order's (RFC 8555 section 7.4), its key of a kind the product takes and none
/// that is known to be weak or compromised.
pub fn accept_csr(csr: &Csr, order: &Order, product: &Product, weak_keys: &WeakKeys) -> Result<()> {
    check_common_name(csr, order)?;
    check_names(csr, order)?;
    check_kind(csr, product)?;
    check_listed(csr, weak_keys)
}

fn refuse(detail: String) -> Result<()> {
    Err(Error::new(Kind::BadCsr, detail))
}

/// CSR-05, CSR-07, DIAG-20: the common name is one of the ordered names. CSR-06, CSR-09: one name there is enough, whatever the product;
/// an ACME client may leave it empty, because the names stand in subjectAltName (RFC 8555 section 7.4).
fn check_common_name(csr: &Csr, order: &Order) -> Result<()> {
    let Some(common_name) = &csr.common_name else { return Ok(()) };
    let is_it = |ordered: &Identifier| match ordered {
        Identifier::Dns(name) => name.as_str().eq_ignore_ascii_case(common_name),
        Identifier::Ip(ip) => common_name.parse() == Ok(*ip),
    };
    if order.identifiers.iter().any(is_it) {
        return Ok(());
    }
    let more = if order.identifiers.len() > OFFERED { ", …" } else { "" };
    let offered = list(order.identifiers.iter().take(OFFERED));
    refuse(format!(
        "Common name {common_name} is not among the ordered names. Use one of: {offered}{more}; or leave it empty. (CSR-05)"
    ))
}

/// CSR-12: the names of the CSR are those of the order.
fn check_names(csr: &Csr, order: &Order) -> Result<()> {
    let ordered: BTreeSet<Identifier> = order.identifiers.iter().cloned().collect();
    let missing = list(ordered.difference(&csr.names));
    let surplus = list(csr.names.difference(&ordered));
    match (missing.is_empty(), surplus.is_empty()) {
        (true, true) => Ok(()),
        (false, true) => refuse(format!("The CSR lacks names of the order: {missing}. (CSR-12)")),
        (true, false) => refuse(format!("The CSR has names that the order has not: {surplus}. (CSR-12)")),
        (false, false) => {
            refuse(format!("The CSR lacks names of the order ({missing}) and has others instead ({surplus}). (CSR-12)"))
        }
    }
}

/// KEY-01, KEY-02, DIAG-21, and CSR-02 where a product takes RSA 2048 alone: algorithm and length are the product's.
fn check_kind(csr: &Csr, product: &Product) -> Result<()> {
    if product.keys.contains(&csr.key) {
        return Ok(());
    }
    let taken: Vec<String> = product.keys.iter().map(ToString::to_string).collect();
    if csr.key == SubjectKey::Sm2 && product.keys != [SubjectKey::Rsa2048] {
        return refuse(format!(
            "The key is SM2. SM2 keys need a DNSPod GM product; \"{}\" takes {}. (CAT-13)",
            product.id,
            taken.join(", ")
        ));
    }
    let rule = match product.keys.as_slice() {
        [SubjectKey::Rsa2048] => "CSR-02",
        taken if taken.iter().any(|taken| taken.is_rsa() == csr.key.is_rsa()) => "KEY-02",
        _ => "KEY-01",
    };
    refuse(format!(
        "The key is {}; \"{}\" takes {}. Make a key pair of such a kind. ({rule})",
        csr.key,
        product.id,
        taken.join(", ")
    ))
}

/// CABF-KEY-06, CABF-KEY-07: keys that others can have.
fn check_listed(csr: &Csr, weak_keys: &WeakKeys) -> Result<()> {
    let found = match weak_keys.listed(csr) {
        None => return Ok(()),
        Some(Listed::Compromised) => "is on this server's list of compromised keys",
        Some(Listed::Debian) => {
            "is on this server's list of weak RSA keys, such as those of Debian's OpenSSL of 2006 to 2008 \
             (CVE-2008-0166), whose private keys others have"
        }
    };
    refuse(format!(
        "The key of the CSR {found}. Make a new key pair with a current version of OpenSSL or of your ACME client. \
         (Baseline Requirements 6.1.1.3)"
    ))
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
