//! Key ceremonies: roots that are made and kept on a machine of their own, and what goes to and fro between that machine
//! and the server.
//!
//! Every step writes whole files and takes no other file's place, so that one that was broken off is begun again.

mod install;
mod offline;
mod online;
mod sealed;
mod transcript;

use std::path::Path;

pub use sealed::Passphrase;
pub use transcript::{Made, Transcript};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::crl::Presigned;
use super::hierarchy::{Authority, Opening};
use super::keys::Vault;
use super::{Refusal, Settings, Urls};
use crate::domain::Timestamp;

/// How long before the end of an offline root's list operators are told to sign the next.
pub const LIST_WARNING: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// What all steps of a ceremony have in common.
pub struct Ceremony {
    settings: Settings,
    urls: Urls,
    now: Timestamp,
    by: Vec<String>,
}

impl Ceremony {
    /// A ceremony with these settings, which have to be the same on every machine, conducted and witnessed by these people.
    pub fn new(
        settings: &Settings,
        pki_url: &str,
        now: Timestamp,
        by: &[String],
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if let [fault, ..] = settings.faults().as_slice() {
            return Err(fault.as_str().into());
        }
        if by.is_empty() || by.iter().any(|name| name.trim().is_empty()) {
            return Err("say who conducts the ceremony and who witnesses it (--by NAME, once for each)".into());
        }
        Ok(Self { settings: settings.clone(), urls: Urls::new(pki_url, settings.ocsp)?, now, by: by.to_vec() })
    }

    fn vault(&self, directory: &Path) -> Result<Vault, Refusal> {
        Vault::open(directory)?.with_token(self.settings.pkcs11.as_ref())
    }

    fn opening<'a>(&'a self, vault: &'a Vault) -> Opening<'a> {
        Opening { vault, settings: &self.settings, urls: &self.urls, now: self.now }
    }

    fn transcript(&self, step: &str) -> Transcript {
        Transcript::new(step, self.now, &self.by)
    }
}

/// Roots in a directory whose list is out of date or soon will be, each as a sentence for operators.
pub fn list_faults(keys: &Path, now: Timestamp) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(keys) else { return Vec::new() };
    let names =
        entries.flatten().filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".crl")?.to_owned()));
    let mut faults: Vec<String> = names.filter_map(|name| list_fault(keys, &name, now)).collect();
    faults.sort();
    faults
}

fn list_fault(keys: &Path, name: &str, now: Timestamp) -> Option<String> {
    let told = |what: &str| {
        Some(format!(
            "{name}.crl {what}: sign the next one where the root's key is (chancery ceremony crl) and bring it here \
             (chancery ceremony install)"
        ))
    };
    let read = || -> Result<Presigned, Refusal> {
        let text = std::fs::read_to_string(keys.join(format!("{name}.pem")))?;
        let der = pem::parse(text)?.into_contents();
        let key = {
            let (_, certificate) = X509Certificate::from_der(&der)?;
            super::signer::Key::away(certificate.public_key().raw).ok_or("a key of an unknown kind")?
        };
        Presigned::read(&std::fs::read(keys.join(format!("{name}.crl")))?, &Authority::load(name, key, der)?)
    };
    match read() {
        Err(error) => told(&format!("cannot be used ({error})")),
        Ok(list) if now >= list.next_update => told(&format!("is out of date since {}", list.next_update)),
        Ok(list) if list.next_update.since(now) < LIST_WARNING => told(&format!("is good until {}", list.next_update)),
        Ok(_) => None,
    }
}
