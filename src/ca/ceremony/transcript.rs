//! What a ceremony did: for people as text, for machines as JSON.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::ca::hierarchy::validity;
use crate::ca::keys::Vault;
use crate::ca::signer::Key;
use crate::ca::{Refusal, hex};
use crate::domain::Timestamp;

/// A step of a ceremony.
#[derive(Debug, Clone, Serialize)]
pub struct Transcript {
    /// Which step.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// Who conducted it, and who witnessed it.
    pub by: Vec<String>,
    /// The program and its version.
    pub program: String,
    /// What came of it, in order.
    pub made: Vec<Made>,
}

/// Something that a ceremony made, moved or removed.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// What it is: `key`, `certificate`, `request`, ..
    pub what: String,
    /// The name of the root or intermediate.
    pub name: String,
    /// The file, or where else it is.
    pub place: String,
    /// Subject, for certificates and requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The key identifier, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_identifier: Option<String>,
    /// Serial of a certificate, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Until when it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// SHA-256 of its DER, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Transcript {
    pub(super) fn new(step: &str, at: Timestamp, by: &[String]) -> Self {
        let program = format!("chancery {}", env!("CARGO_PKG_VERSION"));
        Self { step: step.to_owned(), at, by: by.to_vec(), program, made: Vec::new() }
    }

    pub(super) fn note(&mut self, what: &str, name: &str, place: &str) -> &mut Made {
        self.made.push(Made {
            what: what.to_owned(),
            name: name.to_owned(),
            place: place.to_owned(),
            subject: None,
            key_identifier: None,
            serial: None,
            until: None,
            sha256: None,
        });
        let last = self.made.len() - 1;
        &mut self.made[last]
    }

    pub(super) fn key(&mut self, what: &str, name: &str, place: &str, key: &Key) {
        self.note(what, name, place).key_identifier = Some(hex(&key.identifier()));
    }

    pub(super) fn certificate(&mut self, what: &str, name: &str, place: &str, der: &[u8]) -> Result<(), Refusal> {
        let (_, certificate) = X509Certificate::from_der(der)?;
        let made = self.note(what, name, place);
        made.subject = Some(certificate.subject().to_string());
        made.serial = Some(hex(certificate.raw_serial()));
        made.until = Some(validity(&certificate).1);
        made.sha256 = Some(hex(digest::digest(&digest::SHA256, der).as_ref()));
        made.key_identifier = Key::away(certificate.public_key().raw).map(|key| hex(&key.identifier()));
        Ok(())
    }

    pub(super) fn list(&mut self, name: &str, der: &[u8], until: Timestamp) {
        let made = self.note("revocation list", name, &format!("{name}.crl"));
        made.sha256 = Some(hex(digest::digest(&digest::SHA256, der).as_ref()));
        made.until = Some(until);
    }

    /// Writes both forms beside what was made, under names of their own.
    pub(super) fn store(&self, vault: &Vault) -> Result<(), Refusal> {
        let moment: String = self.at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        for number in 1.. {
            let more = if number == 1 { String::new() } else { format!("-{number}") };
            let file = format!("transcript-{moment}-{}{more}", self.step);
            if vault.text(&format!("{file}.json"))?.is_none() {
                vault.write_new(&format!("{file}.txt"), self.text().as_bytes())?;
                return vault.write_new(&format!("{file}.json"), &serde_json::to_vec_pretty(self)?);
            }
        }
        Ok(())
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("ceremony: {}\nat:       {}\nby:       {}\n", self.step, self.at, self.by.join(", "));
        for made in &self.made {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{} {} ({})\n", made.what, made.name, made.place);
            let until = made.until.map(|until| until.to_string());
            let lines = [
                ("subject", &made.subject),
                ("serial", &made.serial),
                ("good until", &until),
                ("key identifier", &made.key_identifier),
                ("SHA-256", &made.sha256),
            ];
            for (label, value) in lines {
                if let Some(value) = value {
                    let _ = writeln!(text, "  {:<15} {value}", format!("{label}:"));
                }
            }
        }
        text
    }
}
