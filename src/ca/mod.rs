//! Signing: values in, DER out. Knows nothing of accounts, orders, ACME, store or HTTP.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::domain::csr::SubjectKey;
use crate::domain::organisation::Subject;
use crate::domain::{Error, Identifier, Result, Serial, Timestamp};

pub mod ceremony;
pub mod certificate;
pub mod crl;
pub mod csr;
pub mod foreign;
pub mod ocsp;
pub mod request;
pub mod responders;

mod chains;
mod der;
mod hierarchy;
mod keys;
mod leaf;
mod lint;
mod national;
mod signer;
#[cfg_attr(not(feature = "sm2"), path = "sm2_absent.rs")]
mod sm2;
mod spki;
pub mod token;
mod weak;

use hierarchy::{Authority, Hierarchy, Opening};
use lint::rules::Scope;
use national::Use;
use signer::KeyKind;

/// Longest common name (CABF-SUB-08: ub-common-name of RFC 5280 appendix A.1).
pub const MAX_COMMON_NAME: usize = 64;

/// Most shards that a CRL may have.
const MAX_SHARDS: u16 = 1024;

/// The name of the SM2 root.
const SM2_ROOT: &str = "root-sm2";

/// The family that certifies SM2 keys unless the settings say otherwise.
const USUAL_SM2_ISSUER: &str = "chancery-d";

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
    /// Those of `issuers` under whose name SM2 keys are certified (CAT-13), by an SM2 intermediate (of the same name with `-sm2`)
    /// below an SM2 root. A build without SM2 has none.
    pub sm2_issuers: Vec<String>,
    /// How many further roots cross-sign the intermediates; each gives an alternate chain.
    pub alternate_roots: u8,
    /// How many shards each issuer's CRL has: a power of two, at most 1024. Changing it later is safe.
    pub crl_shards: u16,
    /// Hours after which a CRL is made anew although nothing was revoked, 1 to 96 (Baseline Requirements 4.9.7).
    pub crl_hours: u16,
    /// Days from a CRL to its `nextUpdate`, 1 to 10 (Baseline Requirements 7.2); at least a day more than `crl_hours`.
    pub crl_days: u16,
    /// Bits of the keys of RSA intermediates: 2048, 3072 or 4096. A signature costs about 0.2 ms of CPU with 2048, 1.2 ms with
    /// 4096.
    pub rsa_bits: u16,
    /// Whether leaves say where their status can be asked for (`id-ad-ocsp`). The answers are given either way.
    pub ocsp: bool,
    /// A token that keys live on, instead of files.
    pub pkcs11: Option<token::Settings>,
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

/// A key that the CA has opened, or knows to be away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedKey {
    /// The name of the root or intermediate.
    pub name: String,
    /// `file`, `token <label>`, or `away`.
    pub place: String,
    /// The subject key identifier of its certificate, hexadecimal.
    pub key_identifier: String,
    /// The SHA-256 of its certificate, hexadecimal.
    pub sha256: String,
}

/// The certificate authority: its roots, intermediates and their keys.
pub struct Ca {
    roots: Vec<Authority>,
    intermediates: Vec<Arc<Authority>>,
    /// Who issues now, by the name of the first generation.
    issuing: Vec<(String, Arc<Authority>)>,
    settings: Settings,
    urls: Urls,
    root_pem: String,
    /// How requests for a status name the intermediates.
    status_issuers: ocsp::Issuers,
}

/// The URLs that certificates point to.
struct Urls {
    base: String,
    /// Whether leaves name the OCSP responder.
    with_ocsp: bool,
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
            sm2_issuers: vec![USUAL_SM2_ISSUER.to_owned()],
            alternate_roots: 0,
            crl_shards: 16,
            crl_hours: 24,
            crl_days: 7,
            rsa_bits: 2048,
            ocsp: true,
            pkcs11: None,
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
        demand((1..=96).contains(&self.crl_hours), "crl_hours: 1 to 96 (Baseline Requirements 4.9.7)");
        demand(
            (1..=10).contains(&self.crl_days) && u32::from(self.crl_hours) + 24 <= u32::from(self.crl_days) * 24,
            "crl_days: 1 to 10 (Baseline Requirements 7.2), and a day longer than crl_hours at least, so that a list that \
             could not be made in time is still good",
        );
        demand(matches!(self.rsa_bits, 2048 | 3072 | 4096), "rsa_bits: 2048, 3072 or 4096");
        demand(!self.issuers.is_empty(), "issuers: at least one name");
        for name in &self.issuers {
            demand(
                is_issuer_name(name),
                &format!(
                    "issuers: \"{name}\" is not 1 to 40 lower-case letters, digits and inner hyphens, or begins with \
                     \"root\" or ends in \"-rsa\" or \"-sm2\", which are names of this CA's own"
                ),
            );
            demand(self.issuers.iter().filter(|other| *other == name).count() == 1, "issuers: each name once");
            if let Some(family) = self.issuers.iter().find(|other| *other != name && is_of_family(name, other)) {
                demand(false, &format!("issuers: \"{name}\" is what a later generation of \"{family}\" is called"));
            }
        }
        for name in &self.sm2_issuers {
            // The usual name may stand there although other families were named.
            let known = self.issuers.contains(name) || name == USUAL_SM2_ISSUER;
            demand(known, &format!("sm2_issuers: \"{name}\" is not one of issuers"));
            let once = self.sm2_issuers.iter().filter(|other| *other == name).count() == 1;
            demand(once, "sm2_issuers: each name once");
        }
        for name in self.intermediates().map(|(name, _)| name).chain(self.sm2_intermediates()) {
            demand(
                self.intermediate_common_name(&name).chars().count() <= MAX_COMMON_NAME,
                &format!("organization, issuers: the common name of \"{name}\" would exceed 64 characters"),
            );
        }
        faults.extend(self.pkcs11.iter().flat_map(|token| token.faults(&self.issuers)));
        faults
    }

    /// The issuer family, the kind of key and the generation (from 1) of an intermediate's name.
    fn intermediate_of(&self, name: &str) -> Option<(String, KeyKind, u32)> {
        self.intermediates().find_map(|(base, kind)| Some((base.clone(), kind, generation(name, &base)?)))
    }

    fn intermediates(&self) -> impl Iterator<Item = (String, KeyKind)> + '_ {
        self.issuers.iter().flat_map(|name| {
            let rsa = self.rsa_issuers.then(|| (rsa_name(name), KeyKind::Rsa(self.rsa_bits)));
            [Some((name.clone(), KeyKind::P256)), rsa].into_iter().flatten()
        })
    }

    /// The families that certify SM2 keys: none in a build without SM2.
    pub fn sm2_families(&self) -> impl Iterator<Item = &String> {
        self.sm2_issuers.iter().filter(|name| sm2::IS_BUILT_IN && self.issuers.contains(name))
    }

    fn sm2_intermediates(&self) -> impl Iterator<Item = String> {
        self.sm2_families().map(|name| sm2_name(name))
    }

    /// `<organization> <Issuer> TLS CA <generation>`; the issuer is left out where it only repeats the organization.
    fn intermediate_common_name(&self, name: &str) -> String {
        let known = self.intermediate_of(name);
        let (base, generation) = known.as_ref().map_or((name, 1), |(base, _, number)| (base, *number));
        let (family, kind) = match (base.strip_suffix("-rsa"), base.strip_suffix("-sm2")) {
            (Some(family), _) => (family, "TLS RSA CA"),
            (_, Some(family)) => (family, "TLS SM2 CA"),
            (None, None) => (base, "TLS CA"),
        };
        if family.eq_ignore_ascii_case(&self.organization) {
            return format!("{} {kind} {generation}", self.organization);
        }
        let capital = |word: &str| match word.split_at_checked(1) {
            Some((first, rest)) => first.to_ascii_uppercase() + rest,
            None => String::new(),
        };
        let family: Vec<String> = family.split('-').map(capital).collect();
        format!("{} {} {kind} {generation}", self.organization, family.join(" "))
    }
}

/// Which generation of an intermediate has that name: `base` is the first, `base-2` the second.
fn generation(name: &str, base: &str) -> Option<u32> {
    if name == base {
        return Some(1);
    }
    let digits = name.strip_prefix(base)?.strip_prefix('-')?;
    digits.parse().ok().filter(|number: &u32| *number >= 2 && number.to_string() == digits)
}

/// Whether an intermediate belongs to an issuer family, whatever its kind of key and its generation.
fn is_of_family(name: &str, family: &str) -> bool {
    generation(name, family).is_some() || generation(name, &rsa_name(family)).is_some()
}

fn is_issuer_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=40).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
        && !name.starts_with("root")
        && !name.ends_with("-rsa")
        && !is_sm2_name(name)
}

/// Hexadecimal digits in lower case.
fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn rsa_name(issuer: &str) -> String {
    format!("{issuer}-rsa")
}

fn sm2_name(issuer: &str) -> String {
    format!("{issuer}-sm2")
}

/// Whether it is the name of an SM2 intermediate.
fn is_sm2_name(name: &str) -> bool {
    name.ends_with("-sm2") && name != SM2_ROOT
}

impl Urls {
    fn new(pki_url: &str, with_ocsp: bool) -> std::result::Result<Self, Refusal> {
        let base = pki_url.trim_end_matches('/');
        // CABF-SUB-17, -18: plain HTTP, as fetching over TLS would need the very certificates that are looked for.
        let fits = base.strip_prefix("http://").is_some_and(|host| !host.is_empty())
            && base.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            Ok(Self { base: base.to_owned(), with_ocsp })
        } else {
            Err(format!("\"{pki_url}\" is not an http:// URL").into())
        }
    }

    fn certificate(&self, name: &str) -> String {
        format!("{}/issuer/{name}.cer", self.base)
    }

    /// Where OCSP answers are given, for every issuer; none where leaves are not to say so.
    fn ocsp(&self) -> Option<String> {
        self.with_ocsp.then(|| format!("{}/ocsp", self.base))
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
    /// Whether the signature waits for a device: then it is made on a thread that nobody else waits for.
    pub fn waits(&self) -> bool {
        self.authority.key.waits()
    }

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
        let urls = Urls::new(pki_url, settings.ocsp)?;
        let vault = keys::Vault::open(directory)?.with_token(settings.pkcs11.as_ref())?;
        let opening = Opening { vault: &vault, settings, urls: &urls, now };
        let Hierarchy { roots, intermediates, issuing } = opening.hierarchy()?;
        let root_pem = keys::certificate_pem(&roots[0].der);
        let status_issuers = ocsp::Issuers::of(&intermediates);
        Ok(Self { roots, intermediates, issuing, settings: settings.clone(), urls, root_pem, status_issuers })
    }

    /// Builds the to-be-signed certificate and lints it by an independent parse against its profile.
    pub fn prepare(&self, plan: &LeafPlan) -> Result<Prepared> {
        if plan.key == SubjectKey::Sm2 {
            return self.prepare_national(plan, Use::Signature);
        }
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
        if plan.key == SubjectKey::Sm2 {
            let (urls, shards) = (&self.urls, self.settings.crl_shards);
            let checked = lint::sm2::check(tbs, plan, Use::Signature, authority, urls, shards, self.scope());
            return checked.map_err(Error::internal);
        }
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

    /// Whether signatures by that root or intermediate wait for a device (see `Prepared::waits`).
    pub fn waits(&self, name: &str) -> bool {
        let root = self.roots.iter().find(|authority| authority.name == name);
        root.or_else(|| self.intermediate(name)).is_some_and(|authority| authority.key.waits())
    }

    /// Every root and intermediate with its key: for the audit log and for operators.
    pub fn loaded(&self) -> Vec<LoadedKey> {
        let all = self.roots.iter().chain(self.intermediates.iter().map(|authority| &**authority));
        all.map(|authority| LoadedKey {
            name: authority.name.clone(),
            place: authority.key.place(),
            key_identifier: hex(&authority.key_identifier),
            sha256: hex(digest::digest(&digest::SHA256, &authority.der).as_ref()),
        })
        .collect()
    }

    fn intermediate(&self, name: &str) -> Option<&Authority> {
        self.intermediates.iter().find(|authority| authority.name == name).map(|authority| &**authority)
    }

    /// The intermediate that signs for an issuer family and a kind of key: RSA under RSA, where there is such.
    fn authority(&self, issuer: &str, key: SubjectKey) -> Result<&Arc<Authority>> {
        if !self.settings.issuers.iter().any(|name| name == issuer) {
            return Err(Error::internal(format!("the issuer \"{issuer}\" is not among those of the settings")));
        }
        // One that only owes CRLs issues nothing any more.
        if key == SubjectKey::Sm2 {
            if !self.settings.sm2_families().any(|family| family == issuer) {
                return Err(Error::internal(format!("SM2 keys are not certified under \"{issuer}\" (ca.sm2_issuers)")));
            }
            let name = sm2_name(issuer);
            let found = self.intermediates.iter().find(|authority| authority.name == name);
            return found.ok_or_else(|| Error::internal(format!("there is no intermediate \"{name}\"")));
        }
        let name = if key.is_rsa() && self.settings.rsa_issuers { rsa_name(issuer) } else { issuer.to_owned() };
        let found = self.issuing.iter().find(|(base, _)| *base == name).map(|(_, authority)| authority);
        found.ok_or_else(|| Error::internal(format!("there is no intermediate \"{name}\"")))
    }
}
