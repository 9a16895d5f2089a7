//! The step on the server that puts certificates and lists in place that came back from the roots' machine.

use std::fs;
use std::path::{Path, PathBuf};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::transcript::Transcript;
use super::{Ceremony, Presigned};
use crate::ca::hierarchy::{Authority, certificate_file, check_signature, is_root_name, root_name, validity};
use crate::ca::keys::{self, Vault};
use crate::ca::signer::Key;
use crate::ca::{Refusal, hex};
use crate::domain::Serial;

/// Something to be put in place.
enum Piece {
    Root { name: String, der: Vec<u8> },
    Certificate { name: String, root: String, der: Vec<u8> },
    List { root: String, der: Vec<u8> },
}

impl Ceremony {
    /// Puts certificates (`.pem`) and lists (`.crl`) from a ceremony into the key directory, from directories and files.
    /// All are checked before the first is written. A certificate that differs from one of the same name is kept beside
    /// it, and both chains are offered; a list takes the place of an older one.
    pub fn install(
        &self,
        keys: &Path,
        from: &[PathBuf],
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let vault = self.vault(keys)?;
        let mut pieces = Vec::new();
        for path in from {
            read_pieces(path, &mut pieces)?;
        }
        if pieces.is_empty() {
            return Err("there is neither a certificate (.pem) nor a list (.crl) to install".into());
        }
        let roots = self.known_roots(&vault, &pieces)?;
        for piece in &pieces {
            self.check(&vault, piece, &roots)?;
        }
        let mut told = self.transcript("install");
        // Roots and their lists first: with them alone the server says what is missing.
        pieces.sort_by_key(|piece| match piece {
            Piece::Root { .. } => 0,
            Piece::List { .. } => 1,
            Piece::Certificate { .. } => 2,
        });
        for piece in &pieces {
            put(&vault, piece, &roots, &mut told)?;
        }
        told.store(&vault)?;
        Ok(told)
    }

    /// The roots that are in place, and those that come.
    fn known_roots(&self, vault: &Vault, pieces: &[Piece]) -> Result<Vec<Authority>, Refusal> {
        let mut roots: Vec<Authority> = Vec::new();
        let mut load = |name: &str, der: &[u8]| -> Result<(), Refusal> {
            if let Some(known) = roots.iter().find(|root| root.name == name) {
                return match known.der == der {
                    true => Ok(()),
                    false => Err(format!("there is another {name}.pem in place; a new root has another number").into()),
                };
            }
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| format!("{name}.pem: no certificate"))?;
            let key = Key::away(certificate.public_key().raw).ok_or("a key of no accepted kind")?;
            let root = Authority::load(name, key, der.to_vec())?;
            root.check_signed_by(&root)?;
            roots.push(root);
            Ok(())
        };
        for number in 1..=u8::MAX {
            if let Some(der) = vault.certificate(&root_name(number))? {
                load(&root_name(number), &der)?;
            }
        }
        for piece in pieces {
            if let Piece::Root { name, der } = piece {
                load(name, der)?;
            }
        }
        Ok(roots)
    }

    fn check(&self, vault: &Vault, piece: &Piece, roots: &[Authority]) -> Result<(), Refusal> {
        match piece {
            Piece::Root { .. } => Ok(()),
            Piece::List { root, der } => {
                let authority = find(roots, root)?;
                let list = Presigned::read(der, authority)?;
                match vault.list(root)? {
                    Some(held) if held != *der => self.check_succession(vault, authority, &held, &list),
                    _ => Ok(()),
                }
            }
            Piece::Certificate { name, root, der } => {
                check_signature(name, der, find(roots, root)?)?;
                if is_root_name(name) {
                    let newer = find(roots, name)?;
                    let (_, certificate) = X509Certificate::from_der(der)?;
                    let same =
                        certificate.public_key().raw == newer.spki && certificate.subject().as_raw() == newer.subject;
                    return if same { Ok(()) } else { Err(format!("the link is not for {name}.pem").into()) };
                }
                let key = vault.key(name)?.ok_or_else(|| {
                    format!("the key of \"{name}\" is not here; its request was made on another machine, or with other settings")
                })?;
                Authority::load(name, key, der.clone()).map(drop)
            }
        }
    }

    /// Refuses a list that does not go on from the one in place: an older one, or one that makes good again what was revoked.
    fn check_succession(&self, vault: &Vault, root: &Authority, held: &[u8], list: &Presigned) -> Result<(), Refusal> {
        // What is broken says nothing that could be gone on from.
        let Ok(held) = Presigned::read(held, root) else { return Ok(()) };
        let name = &root.name;
        if held.number >= list.number {
            return Err(format!(
                "{name}.crl is older than the one in place, or another of the same number (RFC 5280 section 5.2.3)"
            )
            .into());
        }
        for entry in &held.entries {
            if list.entries.iter().all(|other| other.serial != entry.serial)
                && !self.has_expired(vault, &entry.serial)?
            {
                return Err(format!(
                    "{name}.crl lacks {}, which the list in place has: an entry stays until its certificate has expired \
                     (RFC 5280 section 3.3). Sign the next list from the one in place (chancery ceremony crl)",
                    entry.serial
                )
                .into());
            }
        }
        Ok(())
    }

    /// Whether the certificate of that serial lies here and has expired. One that does not lie here may still be good.
    fn has_expired(&self, vault: &Vault, serial: &Serial) -> Result<bool, Refusal> {
        for name in vault.names()? {
            let further = vault.further(&name)?.into_iter().map(|(file, _)| file);
            for file in std::iter::once(name.clone()).chain(further) {
                let Some(der) = vault.certificate(&file)? else { continue };
                let (_, certificate) =
                    X509Certificate::from_der(&der).map_err(|_| format!("{file}.pem: not a certificate"))?;
                if certificate.raw_serial() == serial.as_bytes() {
                    return Ok(validity(&certificate).1 < self.now);
                }
            }
        }
        Ok(false)
    }
}

fn find<'r>(roots: &'r [Authority], name: &str) -> Result<&'r Authority, Refusal> {
    roots
        .iter()
        .find(|root| root.name == name)
        .ok_or_else(|| format!("{name}.pem is neither in place nor given").into())
}

/// Reads a file, or the files of a directory, that `install` may put in place.
fn read_pieces(path: &Path, pieces: &mut Vec<Piece>) -> Result<(), Refusal> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    if path.is_dir() {
        let mut files: Vec<PathBuf> =
            fs::read_dir(path).map_err(told)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.sort();
        let wanted = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "pem" || ending == "crl");
        return files.iter().filter(|file| wanted(file)).try_for_each(|file| read_pieces(file, pieces));
    }
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some(root) = file.strip_suffix(".crl").filter(|root| is_root_name(root)) {
        pieces.push(Piece::List { root: root.to_owned(), der: fs::read(path).map_err(told)? });
        return Ok(());
    }
    let Some(stem) = file.strip_suffix(".pem") else {
        return Err(format!("{}: neither a certificate (.pem) nor a root's list (.crl)", path.display()).into());
    };
    let text = keys::read(path)?.ok_or_else(|| format!("there is no file {}", path.display()))?;
    let block = pem::parse(text.as_bytes()).ok().filter(|block| block.tag() == "CERTIFICATE");
    let der = block.ok_or_else(|| format!("{} holds no certificate in PEM", path.display()))?.into_contents();
    let mut parts = stem.split('.');
    let name = parts.next().unwrap_or_default().to_owned();
    pieces.push(match parts.next() {
        None if is_root_name(&name) => Piece::Root { name, der },
        signer => Piece::Certificate { name, root: signer.unwrap_or("root").to_owned(), der },
    });
    Ok(())
}

fn put(vault: &Vault, piece: &Piece, roots: &[Authority], told: &mut Transcript) -> Result<(), Refusal> {
    match piece {
        Piece::Root { name, der } => {
            if vault.certificate(name)?.is_none() {
                vault.write_new(&format!("{name}.pem"), keys::certificate_pem(der).as_bytes())?;
            }
            told.certificate("certificate", name, &format!("{name}.pem"), der)
        }
        Piece::List { root, der } => {
            let list = Presigned::read(der, find(roots, root)?)?;
            vault.store_list(root, der)?;
            told.list(root, der, list.next_update);
            Ok(())
        }
        Piece::Certificate { name, root, der } => {
            let (_, certificate) = X509Certificate::from_der(der)?;
            let plain = if is_root_name(name) { format!("{name}.{root}") } else { certificate_file(name, root) };
            let again = format!("{name}.{root}.{}", &hex(certificate.raw_serial())[..8]);
            let file = match (vault.certificate(&plain)?, vault.certificate(&again)?) {
                (Some(held), _) if held == *der => plain,
                (_, Some(held)) if held == *der => again,
                (None, _) => {
                    vault.write_new(&format!("{plain}.pem"), keys::certificate_pem(der).as_bytes())?;
                    plain
                }
                (Some(_), _) => {
                    vault.write_new(&format!("{again}.pem"), keys::certificate_pem(der).as_bytes())?;
                    again
                }
            };
            told.certificate("certificate", name, &format!("{file}.pem"), der)
        }
    }
}
