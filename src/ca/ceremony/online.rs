//! Steps on the server: making intermediates' keys and requests, and putting in place what came back.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::CertificateParams;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::offline::sealed_file;
use super::sealed::Passphrase;
use super::transcript::Transcript;
use super::{Ceremony, Presigned};
use crate::ca::hierarchy::{Authority, certificate_file, check_signature, is_root_name, root_name};
use crate::ca::keys::{self, Vault};
use crate::ca::signer::{Key, KeyKind};
use crate::ca::{Refusal, generation, hex, rsa_name};

/// Something to be put in place.
enum Piece {
    Root { name: String, der: Vec<u8> },
    Certificate { name: String, root: String, der: Vec<u8> },
    List { root: String, der: Vec<u8> },
}

impl Ceremony {
    /// Makes the keys of intermediates (in files of the key directory, or on the token) and writes a request for each to
    /// `out`. Without names: for all intermediates of the settings that have no certificate yet. With names: for these,
    /// also where there is a certificate, so that the same key is certified again.
    pub fn request(
        &self,
        keys: &Path,
        out: &Path,
        names: &[String],
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let vault = self.vault(keys)?;
        let mut wanted = Vec::new();
        for name in names {
            let (_, kind, _) = self
                .settings
                .intermediate_of(name)
                .ok_or_else(|| format!("\"{name}\" is no issuer of the settings"))?;
            wanted.push((name.clone(), kind));
        }
        if names.is_empty() {
            for (name, kind) in self.settings.intermediates() {
                if vault.certificate(&name)?.is_none() && vault.further(&name)?.is_empty() {
                    wanted.push((name, kind));
                }
            }
        }
        if wanted.is_empty() {
            return Err(
                "every issuer of the settings has its certificate; name one (--name) to have it certified again, \
                        or roll one over (chancery ceremony rollover)"
                    .into(),
            );
        }
        self.write_requests(&vault, out, &wanted, self.transcript("request"))
    }

    /// Begins the next generation of an issuer family, its RSA intermediate too. Where the root's key is on this machine,
    /// the new generation issues from the next start on; else requests are written to `out`, as by `request`.
    pub fn rollover(
        &self,
        keys: &Path,
        family: &str,
        out: Option<&Path>,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let vault = self.vault(keys)?;
        let present = vault.names()?;
        let mut wanted = Vec::new();
        for (base, kind) in
            self.settings.intermediates().filter(|(base, _)| base == family || *base == rsa_name(family))
        {
            let mut latest = None;
            for name in &present {
                if let Some(number) = generation(name, &base)
                    && (vault.certificate(name)?.is_some() || !vault.further(name)?.is_empty())
                {
                    latest = latest.max(Some(number));
                }
            }
            let latest =
                latest.ok_or_else(|| format!("\"{base}\" has no certificate yet; there is nothing to roll over"))?;
            wanted.push((format!("{base}-{}", latest + 1), kind));
        }
        if wanted.is_empty() {
            return Err(format!("\"{family}\" is no issuer of the settings").into());
        }
        let told = self.transcript("rollover");
        match (vault.key("root")?, vault.certificate("root")?) {
            (Some(key), Some(der)) => {
                let root = Authority::load("root", key, der)?;
                self.certify_here(&vault, &[root], &wanted, told)
            }
            _ => {
                let out =
                    out.ok_or("the root's key is not on this machine: say where requests for it go (--out DIR)")?;
                self.write_requests(&vault, out, &wanted, told)
            }
        }
    }

    fn certify_here(
        &self,
        vault: &Vault,
        roots: &[Authority],
        wanted: &[(String, KeyKind)],
        mut told: Transcript,
    ) -> Result<Transcript, Refusal> {
        for (name, kind) in wanted {
            let key = self.intermediate_key(vault, name, *kind, &mut told)?;
            for root in roots {
                let file = certificate_file(name, &root.name);
                if vault.certificate(&file)?.is_none() {
                    self.opening(vault).certify(name, &key, root, &file)?;
                }
                let der = vault.certificate(&file)?.ok_or("a certificate vanished")?;
                told.certificate("certificate", name, &format!("{file}.pem"), &der)?;
            }
        }
        told.store(vault)?;
        Ok(told)
    }

    fn intermediate_key(
        &self,
        vault: &Vault,
        name: &str,
        kind: KeyKind,
        told: &mut Transcript,
    ) -> Result<Key, Refusal> {
        let key = match vault.key(name)? {
            Some(key) => key,
            // A second key would be used for a certificate that is about the first.
            None if vault.certificate(name)?.is_some() || !vault.further(name)?.is_empty() => {
                return Err(format!(
                    "the key directory holds certificates of {name} but not its key; restore it from a back-up, or name the \
                     token that it is on"
                )
                .into());
            }
            None => vault.create_key(name, kind)?,
        };
        told.key("key", name, &key.place(), &key);
        Ok(key)
    }

    fn write_requests(
        &self,
        vault: &Vault,
        out: &Path,
        wanted: &[(String, KeyKind)],
        mut told: Transcript,
    ) -> Result<Transcript, Refusal> {
        refuse_same(vault, out)?;
        let target = Vault::open(out)?;
        for (name, kind) in wanted {
            let key = self.intermediate_key(vault, name, *kind, &mut told)?;
            let mut params = CertificateParams::default();
            params.distinguished_name = self.opening(vault).name(&self.settings.intermediate_common_name(name));
            let request = params.serialize_request(&key)?;
            let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
            let text = pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", request.der().to_vec()), config);
            target.write_new(&format!("{name}.csr"), text.as_bytes())?;
            told.note("request", name, &format!("{name}.csr")).key_identifier = Some(hex(&key.identifier()));
        }
        told.store(&target)?;
        Ok(told)
    }

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
                if let Some(held) = vault.list(root)?
                    && let Ok(held) = Presigned::read(&held, authority)
                    && held.number > list.number
                {
                    return Err(format!("{root}.crl is older than the one in place").into());
                }
                Ok(())
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

    /// Everything on one machine: makes what is missing of roots and intermediates, or takes roots offline that were made
    /// by the server. The roots' keys are sealed in `out`, with their certificates and lists, and are in no file of the key
    /// directory in the end. A ceremony that was broken off is begun again with the same directories and passphrase.
    pub fn all(
        &self,
        keys: &Path,
        out: &Path,
        passphrase: &Passphrase,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let server = self.vault(keys)?;
        refuse_same(&server, out)?;
        let offline = self.vault(out)?;
        let mut told = self.transcript("all");
        let mut roots = Vec::new();
        let mut plain = Vec::new();
        for number in 1..=self.settings.alternate_roots.saturating_add(1) {
            let name = root_name(number);
            let here = server.plain_key(&name)?;
            if let Some(der) = &here {
                self.take_over(&server, &offline, &name, der, passphrase)?;
                plain.push(name.clone());
            } else if server.certificate(&name)?.is_some() && offline.certificate(&name)?.is_none() {
                return Err(format!("{name} is offline already, and {} does not hold it", out.display()).into());
            }
            roots.push(self.make_root(&offline, number, Some(passphrase), &mut told)?);
        }
        for root in &roots {
            let name = &root.name;
            if server.certificate(name)?.is_none() {
                server.write_new(&format!("{name}.pem"), keys::certificate_pem(&root.der).as_bytes())?;
            }
            let list = offline.list(name)?.ok_or("a list vanished")?;
            server.store_list(name, &list)?;
        }
        let mut wanted: Vec<(String, KeyKind)> = Vec::new();
        for (name, kind) in self.settings.intermediates() {
            // A later generation may be all that is left of one.
            if !server.names()?.iter().any(|known| generation(known, &name).is_some_and(|number| number > 1)) {
                wanted.push((name, kind));
            }
        }
        let mut told = self.certify_here(&server, &roots, &wanted, told)?;
        for name in plain {
            // The sealed key was opened, and signed a list, before this one goes.
            server.remove_key(&name)?;
            told.note("removed", &name, &format!("{name}.key"));
        }
        told.store(&offline)?;
        Ok(told)
    }

    /// Seals a root's key that the server has in a file, and takes its certificate along.
    fn take_over(
        &self,
        server: &Vault,
        offline: &Vault,
        name: &str,
        key: &[u8],
        passphrase: &Passphrase,
    ) -> Result<(), Refusal> {
        if offline.text(&sealed_file(name))?.is_none() {
            self.seal(offline, name, key, passphrase)?;
        }
        let sealed = self.root_key(offline, name, Some(passphrase))?.ok_or("a sealed key vanished")?;
        let plain = Key::from_pkcs8(key).ok_or("the root's key is of no usable kind")?;
        if sealed.identifier() != plain.identifier() {
            return Err(format!("{} holds another root's key", offline.path().display()).into());
        }
        match (server.certificate(name)?, offline.certificate(name)?) {
            (Some(der), None) => offline.write_new(&format!("{name}.pem"), keys::certificate_pem(&der).as_bytes()),
            (Some(der), Some(other)) if der != other => {
                Err(format!("{} holds another {name}.pem", offline.path().display()).into())
            }
            _ => Ok(()),
        }
    }
}

/// Each directory is locked while it is in use, and what goes to another machine is no part of the server's keys.
fn refuse_same(vault: &Vault, out: &Path) -> Result<(), Refusal> {
    match (fs::canonicalize(vault.path()), fs::canonicalize(out)) {
        (Ok(here), Ok(there)) if here == there => {
            Err("--out is the server's own key directory; give another one".into())
        }
        _ => Ok(()),
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
