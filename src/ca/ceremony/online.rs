//! Steps on the server: making intermediates' keys and requests, and taking roots offline.

use std::fs;
use std::path::Path;

use super::Ceremony;
use super::offline::sealed_file;
use super::sealed::Passphrase;
use super::transcript::Transcript;
use crate::ca::hierarchy::{Authority, certificate_file, no_sm2_root, root_name};
use crate::ca::keys::{self, KeysInUse, Vault};
use crate::ca::signer::{Key, KeyKind};
use crate::ca::{Refusal, SM2_ROOT, generation, hex, rsa_name};
use rcgen::CertificateParams;

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
            let file = format!("{name}.csr");
            if target.text(&file)?.is_some() {
                // One that was broken off, or given again.
                self.check_request(out, &file, &key)?;
            } else {
                self.write_request(&target, name, &key)?;
            }
            told.note("request", name, &file).key_identifier = Some(hex(&key.identifier()));
        }
        told.store(&target)?;
        Ok(told)
    }

    fn write_request(&self, target: &Vault, name: &str, key: &Key) -> Result<(), Refusal> {
        let mut params = CertificateParams::default();
        params.distinguished_name = self.opening(target).name(&self.settings.intermediate_common_name(name));
        let request = params.serialize_request(key)?;
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let text = pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", request.der().to_vec()), config);
        target.write_new(&format!("{name}.csr"), text.as_bytes())
    }

    /// Refuses a request that is there already unless it is the one that would be written: for the same name and key.
    fn check_request(&self, out: &Path, file: &str, key: &Key) -> Result<(), Refusal> {
        let path = out.join(file);
        match self.read_request(&path) {
            Ok((_, asked)) if asked.identifier() == key.identifier() => Ok(()),
            other => {
                let why = other.err().map_or_else(|| "it is for another key".to_owned(), |error| error.to_string());
                Err(format!(
                    "{} is there already and is not the request to be made ({why}): take it away, or give another directory \
                     (--out)",
                    path.display()
                )
                .into())
            }
        }
    }

    /// Everything on one machine: makes what is missing of roots and intermediates, or takes roots offline that were made
    /// by the server, which must not run meanwhile. The roots' keys are sealed in `out`, with their certificates and lists, and are in no file of the key
    /// directory in the end. A ceremony that was broken off is begun again with the same directories and passphrase.
    pub fn all(
        &self,
        keys: &Path,
        out: &Path,
        passphrase: &Passphrase,
    ) -> Result<Transcript, Box<dyn std::error::Error + Send + Sync>> {
        let _alone = KeysInUse::refuse(keys)?;
        let server = self.vault(keys)?;
        let national: Vec<String> = self.settings.sm2_intermediates().collect();
        if !national.is_empty() && !server.names()?.iter().any(|name| name == SM2_ROOT) {
            // The server would not start with what is made here.
            return Err(no_sm2_root(&national));
        }
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
