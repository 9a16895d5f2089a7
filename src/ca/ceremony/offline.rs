//! Steps on the machine that has the root's key: making it, certifying intermediates and other roots, signing its list.

use std::path::{Path, PathBuf};
use std::time::Duration;

use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::sealed::{self, Passphrase};
use super::transcript::Transcript;
use super::{Ceremony, Presigned};
use crate::ca::Refusal;
use crate::ca::crl::{self, ListPlan, Revoked};
use crate::ca::hierarchy::{Authority, certificate_file, root_name};
use crate::ca::keys::{self, Vault};
use crate::ca::signer::{Key, KeyKind};
use crate::domain::certificate::RevocationReason;

/// Most days that a root's list may hold (Baseline Requirements 7.2, CABF-CRL-04).
const LONGEST_LIST: u32 = 365;

impl Ceremony {
    /// Makes the n-th root in a directory: its key, sealed under the passphrase and nowhere else (or on the token, where
    /// the settings say that roots live there), its certificate, and a first revocation list with nothing on it. What an
    /// earlier try made is taken up; a root that is whole is refused.
    pub fn root(
        &self,
        directory: &Path,
        number: u8,
        passphrase: Option<&Passphrase>,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let vault = self.vault(directory)?;
        let name = root_name(number);
        if vault.certificate(&name)?.is_some() && vault.list(&name)?.is_some() {
            return Err(format!("{} holds {name} already", directory.display()).into());
        }
        let mut told = self.transcript("root");
        self.make_root(&vault, number, passphrase, &mut told)?;
        told.store(&vault)?;
        Ok(told)
    }

    /// Makes what of a root is not there yet.
    pub(super) fn make_root(
        &self,
        vault: &Vault,
        number: u8,
        passphrase: Option<&Passphrase>,
        told: &mut Transcript,
    ) -> Result<Authority, Refusal> {
        let name = root_name(number);
        let key = match self.root_key(vault, &name, passphrase)? {
            Some(key) => key,
            None if vault.certificate(&name)?.is_some() => {
                return Err(format!("{} holds {name}.pem but not its key", vault.path().display()).into());
            }
            None => {
                self.make_root_key(vault, &name, passphrase)?;
                self.root_key(vault, &name, passphrase)?.ok_or("a key vanished while it was being used")?
            }
        };
        told.key("key", &name, &self.root_place(vault, &name, &key)?, &key);
        if vault.certificate(&name)?.is_none() {
            let der = self.opening(vault).self_signed(number, &key)?;
            vault.write_new(&format!("{name}.pem"), keys::certificate_pem(&der).as_bytes())?;
        }
        let der = vault.certificate(&name)?.ok_or("a certificate vanished while it was being used")?;
        told.certificate("certificate", &name, &format!("{name}.pem"), &der)?;
        let root = Authority::load(&name, key, der)?;
        root.check_signed_by(&root)?;
        if vault.list(&name)?.is_none() {
            self.sign_list(vault, &root, &[], LONGEST_LIST, told)?;
        }
        Ok(root)
    }

    fn root_place(&self, vault: &Vault, name: &str, key: &Key) -> Result<String, Refusal> {
        let sealed = vault.text(&sealed_file(name))?.is_some();
        Ok(if sealed { sealed_file(name) } else { key.place() })
    }

    /// The key is written in no other form than the sealed one.
    fn make_root_key(&self, vault: &Vault, name: &str, passphrase: Option<&Passphrase>) -> Result<(), Refusal> {
        if self.settings.pkcs11.as_ref().is_some_and(|token| token.holds(name)) {
            return vault.create_key(name, KeyKind::P384).map(drop);
        }
        let der = Key::generate(KeyKind::P384)?;
        self.seal(vault, name, &der, passphrase.ok_or("a passphrase is needed to seal the root's key")?)
    }

    /// Writes a sealed key, and opens it once more before anybody relies on it.
    pub(super) fn seal(&self, vault: &Vault, name: &str, key: &[u8], passphrase: &Passphrase) -> Result<(), Refusal> {
        let file = sealed_file(name);
        vault.write_new(&file, sealed::seal(key, passphrase)?.as_bytes())?;
        let written = vault.text(&file)?.ok_or("a sealed key vanished")?;
        if *sealed::open(&written, passphrase)? != *key {
            return Err(format!("{file} could not be opened again").into());
        }
        Ok(())
    }

    /// A root's key: the sealed one, else that in the vault's file or on the token.
    pub(super) fn root_key(
        &self,
        vault: &Vault,
        name: &str,
        passphrase: Option<&Passphrase>,
    ) -> Result<Option<Key>, Refusal> {
        let Some(sealed) = vault.text(&sealed_file(name))? else { return vault.key(name) };
        let passphrase = passphrase.ok_or("a passphrase is needed to open the root's key")?;
        let der = sealed::open(&sealed, passphrase).map_err(|error| format!("{}: {error}", sealed_file(name)))?;
        Ok(Some(Key::from_pkcs8(&der).ok_or("the sealed key is of no usable kind")?))
    }

    /// A root that was made before, with its key.
    fn open_root(&self, vault: &Vault, number: u8, passphrase: Option<&Passphrase>) -> Result<Authority, Refusal> {
        let (name, place) = (root_name(number), vault.path().display());
        let key = self.root_key(vault, &name, passphrase)?.ok_or_else(|| format!("{place} holds no key of {name}"))?;
        let der = vault.certificate(&name)?.ok_or_else(|| format!("{place} holds no {name}.pem"))?;
        let root = Authority::load(&name, key, der)?;
        root.check_signed_by(&root)?;
        root.check_not_expired(self.now)?;
        Ok(root)
    }

    /// Certifies the keys of requests (files `<name>.csr`); the certificates go to `out`.
    pub fn sign(
        &self,
        directory: &Path,
        number: u8,
        passphrase: Option<&Passphrase>,
        requests: &[PathBuf],
        out: &Path,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let root = self.open_root(&self.vault(directory)?, number, passphrase)?;
        let vault = Vault::open(out)?;
        let mut told = self.transcript("sign");
        // All are looked at before the first is signed.
        let requests = requests.iter().map(|path| self.read_request(path)).collect::<Result<Vec<_>, _>>()?;
        for (name, key) in &requests {
            let file = certificate_file(name, &root.name);
            if vault.certificate(&file)?.is_some() {
                return Err(format!("{} holds {file}.pem already; give another directory", out.display()).into());
            }
            self.opening(&vault).certify(name, key, &root, &file)?;
            let der = vault.certificate(&file)?.ok_or("a certificate vanished")?;
            told.certificate("certificate", name, &format!("{file}.pem"), &der)?;
        }
        told.store(&vault)?;
        Ok(told)
    }

    /// The name and key of a request for an intermediate of these settings.
    pub(super) fn read_request(&self, path: &Path) -> Result<(String, Key), Refusal> {
        let place = path.display();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let (_, kind, _) = self.settings.intermediate_of(&name).ok_or_else(|| {
            format!("{place}: \"{name}\" is no issuer of these settings; a request is called <issuer>.csr")
        })?;
        let text = keys::read(path)?.ok_or_else(|| format!("there is no file {place}"))?;
        let der = pem::parse(text.as_bytes()).map_err(|_| format!("{place} is not PEM"))?.into_contents();
        let (_, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| format!("{place} is not a PKCS#10 request"))?;
        request.verify_signature().map_err(|_| format!("{place}: its signature is not of its key"))?;
        let spki = request.certification_request_info.subject_pki.raw;
        let key = Key::away(spki).ok_or_else(|| format!("{place}: a key of no accepted kind"))?;
        if !key.is_of(kind) {
            return Err(format!("{place}: the settings want another kind of key for \"{name}\"").into());
        }
        let expected = self.settings.intermediate_common_name(&name);
        let subject = &request.certification_request_info.subject;
        let common: Vec<_> = subject.iter_common_name().filter_map(|part| part.as_str().ok()).collect();
        let organization: Vec<_> = subject.iter_organization().filter_map(|part| part.as_str().ok()).collect();
        if common != [expected.as_str()] || organization != [self.settings.organization.as_str()] {
            return Err(format!(
                "{place} asks for \"{subject}\", not for \"{expected}\" of \"{}\"; are the settings the same on both machines?",
                self.settings.organization
            )
            .into());
        }
        Ok((name, key))
    }

    /// Has a root vouch for another root (a link): whoever knows the older one trusts what the newer one signed. `new` is
    /// the newer one's self-signed certificate, `root-<n>.pem`.
    pub fn link(
        &self,
        directory: &Path,
        number: u8,
        passphrase: Option<&Passphrase>,
        new: &Path,
        out: &Path,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let root = self.open_root(&self.vault(directory)?, number, passphrase)?;
        let name = new.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let newer = (1..=u8::MAX).any(|other| other != number && root_name(other) == name);
        if !newer {
            return Err(format!("{}: not called like another root (root-2.pem)", new.display()).into());
        }
        let text = keys::read(new)?.ok_or_else(|| format!("there is no file {}", new.display()))?;
        let der = pem::parse(text.as_bytes())?.into_contents();
        let key = {
            let (_, certificate) = X509Certificate::from_der(&der)?;
            Key::away(certificate.public_key().raw).ok_or("a key of no accepted kind")?
        };
        let new = Authority::load(name, key, der)?;
        new.check_signed_by(&new)?;
        let vault = Vault::open(out)?;
        let link = self.opening(&vault).link(&new, &root)?;
        let file = format!("{name}.{}", root.name);
        vault.write_new(&format!("{file}.pem"), keys::certificate_pem(&link).as_bytes())?;
        let mut told = self.transcript("link");
        told.certificate("certificate", name, &format!("{file}.pem"), &link)?;
        told.store(&vault)?;
        Ok(told)
    }

    /// Signs the root's next revocation list: what stood on the last one, and these certificates (PEM files) besides, which
    /// are never without a reason. It takes the last one's place.
    pub fn list(
        &self,
        directory: &Path,
        number: u8,
        passphrase: Option<&Passphrase>,
        revoke: &[PathBuf],
        reason: RevocationReason,
        days: u32,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        if !revoke.is_empty() && !reason.is_for_authorities() {
            let told = "say why (--reason): the entry of a CA's certificate has a reason (Baseline Requirements 7.2.2)";
            return Err(told.into());
        }
        let vault = self.vault(directory)?;
        let root = self.open_root(&vault, number, passphrase)?;
        // Whoever signs without the list of before would make good again what was revoked on it.
        let before = vault.list(&root.name)?.ok_or_else(|| {
            format!("there is no {0}.crl beside {0}.pem; bring the root's last list here first, which the next one goes on from", root.name)
        })?;
        let mut entries = Presigned::read(&before, &root)?.entries;
        let mut told = self.transcript("crl");
        for path in revoke {
            let (name, der) = self.issued(path, &root)?;
            let (_, certificate) = X509Certificate::from_der(&der)?;
            let serial = crate::ca::hex(certificate.raw_serial());
            let serial = serial.parse().map_err(|()| format!("{}: a serial of another CA", path.display()))?;
            if entries.iter().any(|entry| entry.serial == serial) {
                return Err(format!("{} is revoked already", path.display()).into());
            }
            entries.push(Revoked { serial, at: self.now.whole_second(), reason });
            told.certificate("revoked", &name, &path.display().to_string(), &der)?;
        }
        self.sign_list(&vault, &root, &entries, days, &mut told)?;
        told.store(&vault)?;
        Ok(told)
    }

    /// A certificate that this root signed, from a file.
    fn issued(&self, path: &Path, root: &Authority) -> Result<(String, Vec<u8>), Refusal> {
        let text = keys::read(path)?.ok_or_else(|| format!("there is no file {}", path.display()))?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let der = pem::parse(text.as_bytes()).map_err(|_| format!("{} is not PEM", path.display()))?.into_contents();
        crate::ca::hierarchy::check_signature(&name, &der, root)?;
        Ok((name, der))
    }

    fn sign_list(
        &self,
        vault: &Vault,
        root: &Authority,
        entries: &[Revoked],
        days: u32,
        told: &mut Transcript,
    ) -> Result<(), Refusal> {
        if !(1..=LONGEST_LIST).contains(&days) {
            return Err(format!("a root's list holds for 1 to {LONGEST_LIST} days (Baseline Requirements 7.2)").into());
        }
        let at = self.now.whole_second();
        let next_update = at + Duration::from_secs(u64::from(days) * 86_400);
        // The moment in milliseconds rises from list to list, as in those of the server.
        let number = self.now.as_millis();
        if let Some(der) = vault.list(&root.name)?
            && Presigned::read(&der, root)?.number >= number.into()
        {
            return Err(format!("{}.crl is from the future of this machine's clock", root.name).into());
        }
        let mut entries = entries.to_vec();
        entries.sort_by_key(|entry| entry.serial);
        let plan = ListPlan { issuer: &root.name, shard: 0, number, this_update: at, next_update, entries: &entries };
        let der = crl::sign_as_root(root, &plan).map_err(|error| format!("{error:?}"))?;
        vault.store_list(&root.name, &der)?;
        told.list(&root.name, &der, next_update);
        Ok(())
    }
}

/// Where a root's key is kept when it is sealed. Not `.key`, which the server would open.
pub(super) fn sealed_file(name: &str) -> String {
    format!("{name}.key.enc")
}
