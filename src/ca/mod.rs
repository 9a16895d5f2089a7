//! Signing: values in, DER out. Knows nothing of accounts, orders, ACME, store or HTTP.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;

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
mod settings;
mod signer;
#[cfg_attr(not(feature = "sm2"), path = "sm2_absent.rs")]
mod sm2;
mod spki;
pub mod token;
mod weak;

use hierarchy::{Authority, Hierarchy, Opening};
pub use keys::KeysInUse;
use lint::rules::Scope;
use national::Use;
pub use settings::{Schedule, Settings};

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
        match (self.settings.private, self.settings.localhost_names) {
            (true, _) => Scope::Private,
            (false, true) => Scope::TriedOut(self.settings.validity_schedule),
            (false, false) => Scope::Public(self.settings.validity_schedule),
        }
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
