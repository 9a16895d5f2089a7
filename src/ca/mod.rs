//! Signing: values in, DER out. Knows nothing of accounts, orders, ACME, store or HTTP.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::domain::csr::SubjectKey;
use crate::domain::organisation::Subject;
use crate::domain::{Error, Identifier, Result, Serial, Timestamp};

pub mod certificate;
pub mod crl;
pub mod csr;
pub mod foreign;
pub mod request;

mod der;
mod hierarchy;
mod keys;
mod leaf;
mod lint;
mod signer;
mod spki;
mod weak;

use hierarchy::{Authority, Hierarchy, Opening};
use lint::rules::Scope;
use signer::KeyKind;

/// Longest common name (CABF-SUB-08: ub-common-name of RFC 5280 appendix A.1).
pub const MAX_COMMON_NAME: usize = 64;

/// Most shards that a CRL may have.
const MAX_SHARDS: u16 = 1024;

/// Why the CA does not start, told to the operator.
type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// `[ca]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `organizationName` of root and intermediates.
    pub organization: String,
    /// `countryName` of root and intermediates, two capital letters.
    pub country: String,
    /// Days that the root is valid, 2922 to 9132 (Baseline Requirements 7.1.2.1.1).
    pub root_days: u32,
    /// Days that intermediates are valid.
    pub intermediate_days: u32,
    /// Names of the ECDSA issuing intermediates; products name one of them as their `issuer`.
    pub issuers: Vec<String>,
    /// Whether subjects with RSA keys are signed by an RSA intermediate (of the same name with `-rsa`).
    pub rsa_issuers: bool,
    /// How many further roots cross-sign the intermediates; each gives an alternate chain.
    pub alternate_roots: u8,
    /// How many shards each issuer's CRL has: a power of two, at most 1024. Changing it later is safe.
    pub crl_shards: u16,
    /// Bits of the keys of RSA intermediates: 2048, 3072 or 4096. A signature costs about 0.2 ms of CPU with 2048, 1.2 ms with
    /// 4096.
    pub rsa_bits: u16,
    /// Whether this is the CA of a private network, which certifies internal names and reserved addresses, for up to 825
    /// days. What every other CA signs keeps to the Baseline Requirements in this.
    pub private: bool,
    /// Which ceiling no certificate's validity may exceed, whatever the catalogue says.
    pub validity_schedule: Schedule,
}

/// Ceilings of validity (Baseline Requirements 6.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// 398 days at any time, as before 2026-03-15.
    #[default]
    Documented,
    /// 200 days since 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15.
    BaselineRequirements,
}

/// What is to be certified.
#[derive(Debug, Clone)]
pub struct LeafPlan {
    /// The recorded serial.
    pub serial: Serial,
    /// The issuer family of the product, one of `Settings::issuers`.
    pub issuer: String,
    /// subjectAltName, in this order.
    pub names: Vec<Identifier>,
    /// The organisation that the subject names, which makes it an OV or EV certificate; none for DV.
    pub subject: Option<Subject>,
    /// The name that becomes the common name, one of `names`; of DV none leaves the subject empty.
    pub common_name: Option<Identifier>,
    /// The subject's public key: SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// Its kind.
    pub key: SubjectKey,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity (inclusive).
    pub not_after: Timestamp,
}

/// A to-be-signed certificate that was linted; only `Ca::prepare` makes one, and signing uses it up.
pub struct Prepared {
    tbs: Vec<u8>,
    authority: Arc<Authority>,
}

/// A signed certificate.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The name of the intermediate that signed it, e.g. `trustasia` or `trustasia-rsa`.
    pub issuer: String,
}

/// The certificate authority: its roots, intermediates and their keys.
pub struct Ca {
    roots: Vec<Authority>,
    intermediates: Vec<Arc<Authority>>,
    settings: Settings,
    urls: Urls,
    root_pem: String,
}

/// The URLs that certificates point to.
struct Urls {
    base: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            organization: "Chancery".to_owned(),
            country: "CN".to_owned(),
            root_days: 7300,
            intermediate_days: 3650,
            issuers: ["chancery", "chancery-s", "chancery-g", "chancery-d"].map(str::to_owned).to_vec(),
            rsa_issuers: true,
            alternate_roots: 0,
            crl_shards: 1,
            rsa_bits: 2048,
            private: false,
            validity_schedule: Schedule::Documented,
        }
    }
}

impl Settings {
    /// One sentence for each fault, beginning with the key it is about.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let organization = self.organization.trim();
        demand(
            organization == self.organization && (1..=64).contains(&organization.chars().count()),
            "organization: 1 to 64 characters, without white space around them",
        );
        demand(
            self.country.len() == 2 && self.country.bytes().all(|b| b.is_ascii_uppercase()),
            "country: two capital letters (ISO 3166-1)",
        );
        demand((2922..=9132).contains(&self.root_days), "root_days: 2922 to 9132 (Baseline Requirements 7.1.2.1.1)");
        demand(
            (1..=self.root_days).contains(&self.intermediate_days),
            "intermediate_days: at least 1 and at most root_days",
        );
        demand(self.alternate_roots <= 8, "alternate_roots: at most 8");
        demand(
            self.crl_shards.is_power_of_two() && self.crl_shards <= MAX_SHARDS,
            "crl_shards: a power of two, at most 1024",
        );
        demand(matches!(self.rsa_bits, 2048 | 3072 | 4096), "rsa_bits: 2048, 3072 or 4096");
        demand(!self.issuers.is_empty(), "issuers: at least one name");
        for name in &self.issuers {
            demand(
                is_issuer_name(name),
                &format!(
                    "issuers: \"{name}\" is not 1 to 40 lower-case letters, digits and inner hyphens, or begins with \
                     \"root\" or ends in \"-rsa\", which are names of this CA's own"
                ),
            );
            demand(self.issuers.iter().filter(|other| *other == name).count() == 1, "issuers: each name once");
        }
        for (name, _) in self.intermediates() {
            demand(
                self.intermediate_common_name(&name).chars().count() <= MAX_COMMON_NAME,
                &format!("organization, issuers: the common name of \"{name}\" would exceed 64 characters"),
            );
        }
        faults
    }

    fn intermediates(&self) -> impl Iterator<Item = (String, KeyKind)> + '_ {
        self.issuers.iter().flat_map(|name| {
            let rsa = self.rsa_issuers.then(|| (rsa_name(name), KeyKind::Rsa(self.rsa_bits)));
            [Some((name.clone(), KeyKind::P256)), rsa].into_iter().flatten()
        })
    }

    /// `<organization> <Issuer> TLS CA 1`; the issuer is left out where it only repeats the organization.
    fn intermediate_common_name(&self, name: &str) -> String {
        let (family, kind) = match name.strip_suffix("-rsa") {
            Some(family) => (family, "TLS RSA CA 1"),
            None => (name, "TLS CA 1"),
        };
        if family.eq_ignore_ascii_case(&self.organization) {
            return format!("{} {kind}", self.organization);
        }
        let capital = |word: &str| match word.split_at_checked(1) {
            Some((first, rest)) => first.to_ascii_uppercase() + rest,
            None => String::new(),
        };
        let family: Vec<String> = family.split('-').map(capital).collect();
        format!("{} {} {kind}", self.organization, family.join(" "))
    }
}

fn is_issuer_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=40).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
        && !name.starts_with("root")
        && !name.ends_with("-rsa")
}

fn rsa_name(issuer: &str) -> String {
    format!("{issuer}-rsa")
}

impl Urls {
    fn new(pki_url: &str) -> std::result::Result<Self, Refusal> {
        let base = pki_url.trim_end_matches('/');
        // CABF-SUB-17, -18: plain HTTP, as fetching over TLS would need the very certificates that are looked for.
        let fits = base.strip_prefix("http://").is_some_and(|host| !host.is_empty())
            && base.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            Ok(Self { base: base.to_owned() })
        } else {
            Err(format!("\"{pki_url}\" is not an http:// URL").into())
        }
    }

    fn certificate(&self, name: &str) -> String {
        format!("{}/issuer/{name}.cer", self.base)
    }

    /// Where OCSP answers are given, for every issuer.
    fn ocsp(&self) -> String {
        format!("{}/ocsp", self.base)
    }

    fn crl(&self, name: &str, shard: u16) -> String {
        format!("{}/crl/{name}/{shard}.crl", self.base)
    }
}

impl LeafPlan {
    /// RFC 5280 section 4.2.1.6, CABF-SUB-10: then the alternative names are all that it has, and critical.
    fn has_empty_subject(&self) -> bool {
        self.subject.is_none() && self.common_name.is_none()
    }
}

impl Prepared {
    /// The octets that will be signed.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }
}

impl Ca {
    /// Opens the keys in `directory` (mode 0700, files 0600), creating what is not there yet. `pki_url` is the base of
    /// the URLs in AIA and CRL distribution points. Refuses to start with keys and certificates that don't fit.
    pub fn open(
        directory: &Path,
        settings: &Settings,
        pki_url: &str,
        now: Timestamp,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if let [fault, ..] = settings.faults().as_slice() {
            return Err(fault.as_str().into());
        }
        let urls = Urls::new(pki_url)?;
        let vault = keys::Vault::open(directory)?;
        let Hierarchy { roots, intermediates } = Opening { vault: &vault, settings, urls: &urls, now }.hierarchy()?;
        let root_pem = keys::certificate_pem(&roots[0].der);
        Ok(Self { roots, intermediates, settings: settings.clone(), urls, root_pem })
    }

    /// Builds the to-be-signed certificate and lints it by an independent parse against its profile.
    pub fn prepare(&self, plan: &LeafPlan) -> Result<Prepared> {
        self.prepare_for(self.scope(), plan)
    }

    /// The same for the certificate of this server itself, which has whatever name the operator gave it.
    pub fn prepare_own(&self, plan: &LeafPlan) -> Result<Prepared> {
        self.prepare_for(Scope::Own, plan)
    }

    fn prepare_for(&self, scope: Scope, plan: &LeafPlan) -> Result<Prepared> {
        let authority = self.authority(&plan.issuer, plan.key)?;
        let tbs = leaf::build(plan, authority, &self.urls, self.settings.crl_shards)?;
        lint::check(&tbs, plan, authority, &self.urls, self.settings.crl_shards, scope).map_err(Error::internal)?;
        Ok(Prepared { tbs, authority: authority.clone() })
    }

    /// For whom this CA signs.
    fn scope(&self) -> Scope {
        if self.settings.private { Scope::Private } else { Scope::Public(self.settings.validity_schedule) }
    }

    /// Checks the octets of a TBSCertificate against a plan, as `prepare` does. The source of the error names the lint.
    pub fn lint(&self, tbs: &[u8], plan: &LeafPlan) -> Result<()> {
        let authority = self.authority(&plan.issuer, plan.key)?;
        lint::check(tbs, plan, authority, &self.urls, self.settings.crl_shards, self.scope()).map_err(Error::internal)
    }

    /// Signs what was prepared: exactly those octets.
    pub fn sign(&self, prepared: Prepared) -> Result<Signed> {
        let Prepared { tbs, authority } = prepared;
        // CABF-SUB-03: the lint saw that the algorithm inside is the key's, which is also the one outside.
        let der = authority.key.signed(&tbs)?;
        Ok(Signed { der, issuer: authority.name.clone() })
    }

    /// Last second that a leaf of that issuer family may be valid for such a key.
    pub fn issuer_not_after(&self, issuer: &str, key: SubjectKey) -> Result<Timestamp> {
        Ok(self.authority(issuer, key)?.not_after)
    }

    /// The chains above a leaf signed by the intermediate of that name, each from the intermediate upwards without the
    /// root, DER: first the default, then the alternates. None for an unknown intermediate.
    pub fn chains(&self, signed_by: &str) -> Option<&[Vec<Vec<u8>>]> {
        Some(&self.intermediate(signed_by)?.chains)
    }

    /// Key identifier (SKI) of the intermediate of that name.
    pub fn key_identifier(&self, signed_by: &str) -> Option<&[u8]> {
        Some(&self.intermediate(signed_by)?.key_identifier)
    }

    /// The trust anchor, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The certificate of an intermediate or root by its name, DER, for AIA's `caIssuers`.
    pub fn issuer_der(&self, name: &str) -> Option<&[u8]> {
        let root = self.roots.iter().find(|authority| authority.name == name);
        Some(&root.or_else(|| self.intermediate(name))?.der)
    }

    /// The names of all intermediates, also of those that no longer issue but still owe CRLs.
    pub fn issuer_names(&self) -> impl Iterator<Item = &str> {
        self.intermediates.iter().map(|authority| authority.name.as_str())
    }

    fn intermediate(&self, name: &str) -> Option<&Authority> {
        self.intermediates.iter().find(|authority| authority.name == name).map(|authority| &**authority)
    }

    /// The intermediate that signs for an issuer family and a kind of key: RSA under RSA, where there is such.
    fn authority(&self, issuer: &str, key: SubjectKey) -> Result<&Arc<Authority>> {
        if !self.settings.issuers.iter().any(|name| name == issuer) {
            return Err(Error::internal(format!("the issuer \"{issuer}\" is not among those of the settings")));
        }
        let name = if key.is_rsa() && self.settings.rsa_issuers { rsa_name(issuer) } else { issuer.to_owned() };
        let found = self.intermediates.iter().find(|authority| authority.name == name);
        found.ok_or_else(|| Error::internal(format!("there is no intermediate \"{name}\"")))
    }
}
