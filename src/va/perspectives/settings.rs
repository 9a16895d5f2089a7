//! `[validation.perspectives]`: who is asked, what they are believed by, and what is wrong with that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use url::Url;

use super::quorum::{self, Region};
use crate::domain::Timestamp;

/// `[validation.perspectives]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What their answers are good for.
    pub mode: Mode,
    /// Whom to ask.
    pub remotes: Vec<Remote>,
    /// PEM file: the CA that the perspectives' certificates must come from, and no other.
    pub ca: Option<PathBuf>,
    /// PEM file: the chain that this server shows to perspectives, leaf first.
    pub certificate: Option<PathBuf>,
    /// PEM file: the leaf's private key.
    pub key: Option<PathBuf>,
    /// How many may fail to corroborate; none: as many as the Baseline Requirements allow. More is refused.
    pub allowed_failures: Option<usize>,
}

/// What the perspectives' answers are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nobody is asked.
    #[default]
    Off,
    /// They are asked and their answers are logged; the primary alone decides.
    Log,
    /// Without a quorum nothing is valid.
    Enforce,
}

/// A remote perspective.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// What it calls itself, which its answers must say.
    pub name: String,
    /// Where it listens: `https://host:port`.
    pub url: String,
    /// The Regional Internet Registry in whose region it lies.
    pub region: Region,
}

/// A file that can't be used: the key that names it, the file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// The key within `[validation.perspectives]`.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: validation.perspectives.{}: {}", self.path.display(), self.key, self.reason)
    }
}

impl std::error::Error for BadFile {}

impl Settings {
    /// How many of the remotes may fail to corroborate.
    pub fn allowed(&self) -> usize {
        let most = quorum::allowed_failures(self.remotes.len());
        self.allowed_failures.map_or(most, |chosen| chosen.min(most))
    }

    /// What is wrong with the values: the key, and why.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
        for remote in &self.remotes {
            if let Err(reason) = check_name(&remote.name) {
                faults.push(("remotes", reason));
            }
            if !names.insert(&remote.name) {
                faults.push((
                    "remotes",
                    format!("\"{}\" is there twice; each perspective has its own name", remote.name),
                ));
            }
            match base(&remote.url) {
                Err(reason) => faults.push(("remotes", reason)),
                Ok(url) if !urls.insert(url.clone()) => {
                    faults.push((
                        "remotes",
                        format!("\"{}\" is there twice, and one perspective has one vote", remote.url),
                    ));
                }
                Ok(_) => {}
            }
        }
        let most = quorum::allowed_failures(self.remotes.len());
        if let Some(chosen) = self.allowed_failures.filter(|chosen| *chosen > most) {
            let remotes = self.remotes.len();
            faults.push((
                "allowed_failures",
                format!("{chosen} of {remotes} may not fail, {most} at most (Baseline Requirements 3.2.2.9)"),
            ));
        }
        if self.mode == Mode::Off {
            return faults;
        }
        for (key, file) in [("ca", &self.ca), ("certificate", &self.certificate), ("key", &self.key)] {
            if file.is_none() {
                faults.push((key, "perspectives are asked over mutual TLS, which needs this file".to_owned()));
            }
        }
        faults.extend(self.too_few().map(|reason| ("remotes", reason)));
        faults
    }

    /// Why these remotes can never be a quorum.
    fn too_few(&self) -> Option<String> {
        if self.remotes.is_empty() {
            return Some("there is nobody to ask".to_owned());
        }
        let regions: BTreeSet<Region> = self.remotes.iter().map(|remote| remote.region).collect();
        if self.mode != Mode::Enforce {
            return None;
        }
        if self.remotes.len() < 2 {
            return Some("at least two remote perspectives are needed (Baseline Requirements 3.2.2.9)".to_owned());
        }
        (regions.len() < quorum::REGIONS).then(|| {
            "they must lie in the regions of at least two Regional Internet Registries (Baseline Requirements 3.2.2.9)"
                .to_owned()
        })
    }

    /// What a public CA lacks at this moment, if perspectives are asked at all.
    pub fn shortfall(&self, now: Timestamp) -> Option<String> {
        let (have, need) = (self.remotes.len(), quorum::demanded(now));
        (self.mode != Mode::Off && have < need).then(|| {
            format!(
                "{have} remote perspectives are configured; a public CA needs {need} (Baseline Requirements 3.2.2.9)"
            )
        })
    }

    /// TLS 1.3 with the certificate of this server, to perspectives of the configured CA alone.
    pub fn tls(&self) -> Result<ClientConfig, BadFile> {
        let (ca, certificate, key) =
            (named("ca", &self.ca)?, named("certificate", &self.certificate)?, named("key", &self.key)?);
        let roots = trust_anchors(&read("ca", ca)?).map_err(|reason| bad("ca", ca, reason))?;
        let chain = CertificateDer::pem_slice_iter(&read("certificate", certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad("certificate", certificate, format!("this is not PEM: {error}")))?;
        let private = PrivateKeyDer::from_pem_slice(&read("key", key)?)
            .map_err(|error| bad("key", key, format!("there is no private key in PEM: {error}")))?;
        let unusable = |error: rustls::Error| bad("certificate", certificate, error.to_string());
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Whether a perspective may be called that: it stands in logs, metrics and file names.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !name.is_empty() && name.len() <= 40 && name.bytes().all(fits) {
        return Ok(());
    }
    Err(format!("\"{name}\" is not a name of at most 40 small letters, digits and hyphens"))
}

/// The anchors in PEM text; the error says why there is none.
pub fn trust_anchors(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("this is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}

/// A URL that paths are put behind.
fn base(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("\"{text}\" is not a URL: {error}"))?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.scheme() == "https" && url.has_host() && plain && !text.ends_with('/') {
        return Ok(url);
    }
    Err(format!("\"{text}\" must be https://host or https://host:port"))
}

fn named<'s>(key: &'static str, path: &'s Option<PathBuf>) -> Result<&'s Path, BadFile> {
    path.as_deref().ok_or_else(|| bad(key, Path::new(""), "this file is needed".to_owned()))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, BadFile> {
    std::fs::read(path).map_err(|error| bad(key, path, format!("the file cannot be read: {error}")))
}

fn bad(key: &'static str, path: &Path, reason: String) -> BadFile {
    BadFile { key, path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: Mode, remotes: &[(&str, &str, Region)]) -> Settings {
        let remote = |(name, url, region): &(&str, &str, Region)| Remote {
            name: (*name).to_owned(),
            url: (*url).to_owned(),
            region: *region,
        };
        let file = Some(PathBuf::from("file.pem"));
        let remotes = remotes.iter().map(remote).collect();
        Settings { mode, remotes, ca: file.clone(), certificate: file.clone(), key: file, allowed_failures: None }
    }

    const A: (&str, &str, Region) = ("a", "https://a.example", Region::Arin);
    const B: (&str, &str, Region) = ("b", "https://b.example:444", Region::Apnic);
    const NEAR: (&str, &str, Region) = ("near", "https://near.example", Region::Arin);

    #[track_caller]
    fn refused(settings: &Settings, key: &str, part: &str) {
        let faults = settings.faults();
        assert!(faults.iter().any(|(at, reason)| *at == key && reason.contains(part)), "{part}: {faults:?}");
    }

    #[test]
    fn a_quorum_must_be_possible_where_it_decides() {
        assert_eq!(settings(Mode::Enforce, &[A, B]).faults(), []);
        assert_eq!(settings(Mode::Log, &[A]).faults(), []);
        assert_eq!(Settings::default().faults(), []);
        refused(&settings(Mode::Log, &[]), "remotes", "nobody to ask");
        refused(&settings(Mode::Enforce, &[]), "remotes", "nobody to ask");
        refused(&settings(Mode::Enforce, &[A]), "remotes", "at least two remote perspectives");
        refused(&settings(Mode::Enforce, &[A, NEAR]), "remotes", "two Regional Internet Registries");
    }

    #[test]
    fn one_perspective_has_one_vote() {
        refused(&settings(Mode::Enforce, &[A, B, ("c", A.1, Region::Apnic)]), "remotes", "one vote");
        refused(
            &settings(Mode::Enforce, &[A, B, ("c", "https://A.example:443", Region::Apnic)]),
            "remotes",
            "one vote",
        );
        refused(&settings(Mode::Enforce, &[A, B, ("a", "https://c.example", Region::Apnic)]), "remotes", "twice");
    }

    #[test]
    fn values_are_judged() {
        for url in ["http://a.example", "https://a.example/", "https://a.example/x", "https://u@a.example", "a", ""] {
            refused(&settings(Mode::Off, &[("a", url, Region::Arin)]), "remotes", "\"");
        }
        for name in ["", "A", "a b", "a/b", &"a".repeat(41)] {
            refused(&settings(Mode::Off, &[(name, A.1, Region::Arin)]), "remotes", "is not a name");
        }
        let without = Settings { ca: None, certificate: None, key: None, ..settings(Mode::Log, &[A, B]) };
        for key in ["ca", "certificate", "key"] {
            refused(&without, key, "mutual TLS");
        }
    }

    #[test]
    fn the_quorum_may_only_be_tightened() {
        let with = |allowed| Settings { allowed_failures: Some(allowed), ..settings(Mode::Enforce, &[A, B]) };
        assert_eq!(with(0).faults(), []);
        assert_eq!((with(0).allowed(), with(1).allowed()), (0, 1));
        refused(&with(2), "allowed_failures", "2 of 2 may not fail, 1 at most");
        assert_eq!(with(2).allowed(), 1, "even if nobody looked");
    }

    #[test]
    fn a_public_ca_is_told_what_it_lacks() {
        let now = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap();
        let told = settings(Mode::Enforce, &[A, B]).shortfall(now).unwrap();
        assert!(told.contains("2 remote perspectives are configured; a public CA needs 4"), "{told}");
        assert_eq!(Settings::default().shortfall(now), None);
    }
}
