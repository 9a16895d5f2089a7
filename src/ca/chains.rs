//! Which certificates there are for one name and key, and the chains that leaves are offered with.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::Refusal;
use super::hierarchy::{Authority, check_signature, is_root_name, validity};
use super::keys::Vault;
use crate::domain::Timestamp;

/// A certificate for an intermediate, or for a root by another root.
pub(super) struct Certified {
    /// Its file, without `.pem`.
    pub(super) file: String,
    /// The certificate.
    pub(super) der: Vec<u8>,
    /// The last second of it, and of the root above it.
    pub(super) not_after: Timestamp,
    /// Which root signed it.
    root: usize,
}

/// All certificates for that name: `<name>.pem` by the first root, `<name>.<root>.pem` by another,
/// `<name>.<root>.<more>.pem` where one was issued again. In the order in which chains are offered: by root, and of one
/// root that which ends last. Those of roots that are not known any more are passed over.
pub(super) fn certificates(vault: &Vault, name: &str, roots: &[Authority]) -> Result<Vec<Certified>, Refusal> {
    let mut files = vault.further(name)?;
    // What a root has signed for itself is no link.
    if !is_root_name(name) {
        files.push((name.to_owned(), "root".to_owned()));
    }
    let mut found = Vec::new();
    for (file, signer) in files {
        let Some(root) = roots.iter().position(|root| root.name == signer) else { continue };
        let Some(der) = vault.certificate(&file)? else { continue };
        check_signature(&file, &der, &roots[root])?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| format!("{file}.pem: not a certificate"))?;
        let not_after = validity(&certificate).1.min(roots[root].not_after);
        found.push(Certified { file, der, not_after, root });
    }
    found.sort_by_key(|one| (one.root, std::cmp::Reverse(one.not_after)));
    Ok(found)
}

/// The certificate at the beginning of the default chain; one that expired only where there is no other.
pub(super) fn default(certified: &[Certified], now: Timestamp) -> Option<&Certified> {
    certified.iter().find(|one| now.whole_second() <= one.not_after).or(certified.first())
}

/// The chains: each certificate, and before it with the certificate by which an older root vouches for its root, if
/// that older root has not signed one itself. So the default chain leads to the root that is known longest.
pub(super) fn chains(
    vault: &Vault,
    certified: &[Certified],
    roots: &[Authority],
    now: Timestamp,
) -> Result<Vec<Vec<Vec<u8>>>, Refusal> {
    let good = |one: &&Certified| now.whole_second() <= one.not_after;
    let mut chains = Vec::new();
    for one in certified.iter().filter(good) {
        for link in certificates(vault, &roots[one.root].name, roots)?.iter().filter(good) {
            let older = link.root < one.root && certified.iter().filter(good).all(|other| other.root != link.root);
            if older {
                chains.push(vec![one.der.clone(), link.der.clone()]);
            }
        }
        chains.push(vec![one.der.clone()]);
    }
    if chains.is_empty() {
        chains.extend(certified.first().map(|one| vec![one.der.clone()]));
    }
    Ok(chains)
}
