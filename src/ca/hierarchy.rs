//! Roots and intermediates: their profiles, how they come to be at the first start, and what is checked at each start.

mod sm2;

pub(super) use sm2::no_root as no_sm2_root;

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{ASN1Time, FromDer as _};

use super::crl::{ListFile, Presigned};
use super::keys::Vault;
use super::leaf::{authority_information_access, certificate_policies};
use super::lint::authority::{self, Place};
use super::signer::{Key, KeyKind, Scheme, Unsigned};
use super::{Refusal, SM2_ROOT, Settings, Urls, chains, generation, is_sm2_name};
use crate::domain::{Serial, Timestamp};

/// anyPolicy (RFC 5280 section 4.2.1.4).
const ANY_POLICY: [u64; 5] = [2, 5, 29, 32, 0];

/// A certificate authority: its certificate and its key.
pub(super) struct Authority {
    /// What it is called in file names and URLs.
    pub(super) name: String,
    /// Its certificate, DER.
    pub(super) der: Vec<u8>,
    /// Its SubjectPublicKeyInfo, DER.
    pub(super) spki: Vec<u8>,
    /// Its subject, DER, as it has to stand as issuer in all that it signs.
    pub(super) subject: Vec<u8>,
    /// Its subject key identifier.
    pub(super) key_identifier: Vec<u8>,
    /// Last second of its validity, and of the validity of what stands above it.
    pub(super) not_after: Timestamp,
    /// Its key.
    pub(super) key: Arc<Key>,
    /// What rcgen knows of it, with the key left out; nothing of an SM2 key.
    pub(super) unsigned: Option<rcgen::Issuer<'static, Unsigned>>,
    /// The chains above a leaf: the default one, then one for each further root.
    pub(super) chains: Vec<Vec<Vec<u8>>>,
    /// First second of its validity.
    pub(super) not_before: Timestamp,
    /// Of an offline root: the file with the revocation list that it signed ahead.
    pub(super) list: Option<ListFile>,
}

/// Roots in order, then intermediates.
pub(super) struct Hierarchy {
    pub(super) roots: Vec<Authority>,
    pub(super) intermediates: Vec<Arc<Authority>>,
    /// Those that issue, by the name of their first generation.
    pub(super) issuing: Vec<(String, Arc<Authority>)>,
}

/// What is needed to open or make a hierarchy.
pub(super) struct Opening<'a> {
    pub(super) vault: &'a Vault,
    pub(super) settings: &'a Settings,
    pub(super) urls: &'a Urls,
    pub(super) now: Timestamp,
}

/// The name of the n-th root, counted from 1.
pub(super) fn root_name(number: u8) -> String {
    if number == 1 { "root".to_owned() } else { format!("root-{number}") }
}

/// Whether a name is one of `root_name`.
pub(super) fn is_root_name(name: &str) -> bool {
    root_number(name).is_some()
}

fn root_number(name: &str) -> Option<u8> {
    (1..=u8::MAX).find(|number| name == root_name(*number))
}

/// The file of an intermediate's certificate under a root, without `.pem`.
pub(super) fn certificate_file(name: &str, root: &str) -> String {
    if root == "root" { name.to_owned() } else { format!("{name}.{root}") }
}

impl Opening<'_> {
    /// Opens everything, and makes what is missing.
    pub(super) fn hierarchy(&self) -> Result<Hierarchy, Refusal> {
        let present = self.vault.names()?;
        let roots = self.roots(&present)?;
        let mut intermediates = Vec::new();
        let mut issuing = Vec::new();
        for (base, kind) in self.settings.intermediates() {
            let current = Arc::new(match self.current(&base, &present, &roots)? {
                Some(current) => current,
                None => self.first(&base, kind, &roots)?,
            });
            issuing.push((base, current.clone()));
            intermediates.push(current);
        }
        for name in present.iter().filter(|name| !is_root_name(name) && !is_sm2_name(name) && *name != SM2_ROOT) {
            if intermediates.iter().all(|known| known.name != *name)
                && let Some(retired) = self.standing(name, &roots)?
                && retired.check_not_expired(self.now).is_ok()
            {
                intermediates.push(Arc::new(retired));
            }
        }
        let mut hierarchy = Hierarchy { roots, intermediates, issuing };
        self.add_national(&present, &mut hierarchy)?;
        Ok(hierarchy)
    }

    /// The roots of the settings, made where there are none yet, and those that came from a ceremony.
    fn roots(&self, present: &[String]) -> Result<Vec<Authority>, Refusal> {
        let standing: Vec<u8> = present.iter().filter_map(|name| root_number(name)).collect();
        if !present.is_empty() && standing.is_empty() {
            return Err(
                "the key directory holds keys of intermediates but not root.key; restore it from a back-up, or end \
                        the ceremony that was begun (chancery ceremony install)"
                    .into(),
            );
        }
        let wanted = 1..=self.settings.alternate_roots.saturating_add(1);
        let mut roots = Vec::new();
        for number in 1..=u8::MAX {
            let name = root_name(number);
            let here = standing.contains(&number);
            let offline = here && self.vault.list(&name)?.is_some();
            // The first root is never made anew beside others: it is one that was given up.
            if offline || (wanted.contains(&number) && (here || number > 1 || standing.is_empty())) {
                roots.push(self.root(number, &roots)?);
            }
        }
        // One that expired is only in the way of the others.
        if roots.iter().any(|root| root.check_not_expired(self.now).is_ok()) {
            roots.retain(|root| root.check_not_expired(self.now).is_ok());
        }
        roots.iter().try_for_each(|root| root.check_not_expired(self.now))?;
        if roots.is_empty() { Err("there is no root; make one in a ceremony".into()) } else { Ok(roots) }
    }

    fn root(&self, number: u8, before: &[Authority]) -> Result<Authority, Refusal> {
        let name = root_name(number);
        let root = match (self.vault.key(&name)?, self.vault.certificate(&name)?) {
            (Some(key), Some(der)) => Authority::load(&name, key, der)?,
            (None, Some(der)) => self.offline_root(&name, der)?,
            (None, None) if before.iter().any(|root| root.key.is_away()) => {
                return Err(format!(
                    "alternate_roots: there is no {name}.pem; where roots are offline a further one is made in a ceremony, too"
                )
                .into());
            }
            (key, None) => {
                let key = key.map_or_else(|| self.vault.create_key(&name, KeyKind::P384), Ok)?;
                let der = self.self_signed(number, &key)?;
                self.vault.store_certificate(&name, &der)?;
                Authority::load(&name, key, der)?
            }
        };
        root.check_signed_by(&root)?;
        Ok(root)
    }

    /// A root whose key is elsewhere: its revocation list was signed ahead.
    fn offline_root(&self, name: &str, der: Vec<u8>) -> Result<Authority, Refusal> {
        let Some(list) = self.vault.list(name)? else {
            return Err(format!(
                "the key directory holds {name}.pem but not {name}.key; restore it from a back-up, or, if this root is \
                 offline, put the list {name}.crl here that it signed ahead (chancery ceremony crl, chancery ceremony install)"
            )
            .into());
        };
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| format!("{name}.pem: not a certificate"))?;
        let key =
            Key::away(certificate.public_key().raw).ok_or_else(|| format!("{name}.pem: a key of an unknown kind"))?;
        let mut root = Authority::load(name, key, der)?;
        Presigned::read(&list, &root)?;
        root.list = Some(ListFile::at(self.vault.list_path(name)));
        Ok(root)
    }

    /// A root's certificate, signed by itself.
    pub(super) fn self_signed(&self, number: u8, key: &Key) -> Result<Vec<u8>, Refusal> {
        authority::issue(&self.root_params(number, key), &self.place(key, None, false))
    }

    /// The latest generation of an intermediate whose time has come. None if there is no certificate at all.
    fn current(&self, base: &str, present: &[String], roots: &[Authority]) -> Result<Option<Authority>, Refusal> {
        let mut generations: Vec<(u32, &String)> =
            present.iter().filter_map(|name| Some((generation(name, base)?, name))).collect();
        generations.sort();
        let mut found: Option<Authority> = None;
        // The first one serves although its time has not come: only a clock that was set back says so.
        for (number, name) in generations {
            if number == 1 && self.vault.certificate(name)?.is_none() && self.vault.further(name)?.is_empty() {
                continue;
            }
            if let Some(mut standing) = self.standing(name, roots)?
                && (standing.not_before <= self.now || found.is_none())
            {
                self.complete(&mut standing, roots)?;
                found = Some(standing);
            }
        }
        if let Some(found) = &found {
            found.check_not_expired(self.now)?;
        }
        Ok(found)
    }

    /// The first generation of an intermediate, made now.
    fn first(&self, name: &str, kind: KeyKind, roots: &[Authority]) -> Result<Authority, Refusal> {
        let root = roots.first().filter(|root| !root.key.is_away()).ok_or_else(|| {
            format!(
                "there is no certificate {name}.pem, and the root's key is not on this machine to sign one: end the ceremony \
                 (chancery ceremony request, sign, install), or take the issuer out of the settings"
            )
        })?;
        let key = self.vault.key(name)?.map_or_else(|| self.vault.create_key(name, kind), Ok)?;
        self.certify(name, &key, root, &certificate_file(name, &root.name))?;
        let mut made =
            self.standing(name, roots)?.ok_or_else(|| format!("{name}.pem vanished while it was being used"))?;
        self.complete(&mut made, roots)?;
        Ok(made)
    }

    /// Has the roots whose keys are here certify what they have not yet.
    fn complete(&self, intermediate: &mut Authority, roots: &[Authority]) -> Result<(), Refusal> {
        let name = intermediate.name.clone();
        let mut signed = false;
        for root in roots {
            let file = certificate_file(&name, &root.name);
            if !root.key.is_away() && self.vault.certificate(&file)?.is_none() {
                self.certify(&name, &intermediate.key, root, &file)?;
                signed = true;
            }
        }
        if signed && let Some(again) = self.standing(&name, roots)? {
            *intermediate = again;
        }
        Ok(())
    }

    /// An intermediate as it stands in the directory, with all its chains; none without a certificate that is good for
    /// something. One that the settings no longer name, or that a later generation follows, issues nothing, but its list,
    /// its OCSP answers and its certificate are wanted while leaves of its are about.
    fn standing(&self, name: &str, roots: &[Authority]) -> Result<Option<Authority>, Refusal> {
        let certified = chains::certificates(self.vault, name, roots)?;
        let Some(first) = chains::default(&certified, self.now) else { return Ok(None) };
        let Some(key) = self.vault.key(name)? else {
            return Err(
                format!("the key directory holds {name}.pem but not {name}.key; restore it from a back-up").into()
            );
        };
        let mut standing = Authority::load(name, key, first.der.clone())?;
        for other in &certified {
            standing.check_same_key(other)?;
        }
        standing.not_after = first.not_after;
        standing.chains = chains::chains(self.vault, &certified, roots, self.now)?;
        Ok(Some(standing))
    }

    /// Signs an intermediate's certificate, linted as what it is to become, and stores it.
    pub(super) fn certify(&self, name: &str, key: &Key, root: &Authority, file: &str) -> Result<(), Refusal> {
        let der = authority::issue(&self.intermediate_params(name, key, root), &self.place(key, Some(root), false))?;
        self.vault.store_certificate(file, &der)
    }

    /// A certificate by which a root vouches for another root.
    pub(super) fn link(&self, new: &Authority, root: &Authority) -> Result<Vec<u8>, Refusal> {
        let mut params = self.intermediate_params(&new.name, &new.key, root);
        params.distinguished_name = self.name(&root_common_name(self.settings, root_number(&new.name).unwrap_or(0)));
        params.not_after = new.not_after.min(root.not_after).to_offset();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = authority::issue(&params, &self.place(&new.key, Some(root), true))?;
        let (_, certificate) = X509Certificate::from_der(&der)?;
        if certificate.subject().as_raw() != new.subject {
            return Err(format!("{}.pem has another subject than a root of these settings has", new.name).into());
        }
        Ok(der)
    }

    fn place<'a>(&'a self, key: &'a Key, root: Option<&'a Authority>, links: bool) -> Place<'a> {
        Place { key, root, links, settings: self.settings, urls: self.urls, now: self.now }
    }

    /// Baseline Requirements 7.1.2.1: CABF-SCA-02 to -04.
    fn root_params(&self, number: u8, key: &Key) -> CertificateParams {
        let common_name = root_common_name(self.settings, number);
        self.ca_params(&common_name, key, self.settings.root_days, BasicConstraints::Unconstrained)
    }

    /// Baseline Requirements 7.1.2.6: CABF-SCA-05 to -07. The policy is anyPolicy alone, which 7.1.2.10.5 allows an
    /// operator's own intermediate; the other choice there, a single reserved policy, would bar OV and EV leaves.
    pub(super) fn intermediate_params(&self, name: &str, key: &Key, root: &Authority) -> CertificateParams {
        let common_name = self.settings.intermediate_common_name(name);
        let days = self.settings.intermediate_days;
        let mut params = self.ca_params(&common_name, key, days, BasicConstraints::Constrained(0));
        params.not_after = params.not_after.min(root.not_after.to_offset());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![self.urls.crl(&root.name, 0)] }];
        params.custom_extensions = vec![
            authority_information_access(None, &self.urls.certificate(&root.name)),
            certificate_policies(&ANY_POLICY),
        ];
        params
    }

    fn ca_params(&self, common_name: &str, key: &Key, days: u32, constraints: BasicConstraints) -> CertificateParams {
        let not_before = self.now.whole_second();
        // Both ends count (RFC 5280 section 4.1.2.5), so the last second is one short of the whole.
        let not_after = not_before + Duration::from_secs(u64::from(days) * 86_400 - 1);
        let mut params = CertificateParams::default();
        params.serial_number = Some(Serial::random().as_bytes().to_vec().into());
        params.not_before = not_before.to_offset();
        params.not_after = not_after.to_offset();
        params.distinguished_name = self.name(common_name);
        params.is_ca = IsCa::Ca(constraints);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
        params
    }

    /// The subject of a root or intermediate.
    pub(super) fn name(&self, common_name: &str) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Ok(country) = self.settings.country.as_str().try_into() {
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        name.push(DnType::OrganizationName, self.settings.organization.as_str());
        name.push(DnType::CommonName, common_name);
        name
    }
}

fn root_common_name(settings: &Settings, number: u8) -> String {
    format!("{} Root R{number}", settings.organization)
}

impl Authority {
    /// Brings key and certificate together; refuses what does not fit.
    pub(super) fn load(name: &str, key: Key, der: Vec<u8>) -> Result<Self, Refusal> {
        let unreadable = || format!("{name}.pem: not an X.509 certificate in DER");
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            return Err(unreadable().into());
        }
        let spki = certificate.public_key().raw.to_vec();
        if spki != key.spki() {
            return Err(format!("{name}.key is not the key of the certificate {name}.pem; restore the pair").into());
        }
        if !is_signing_ca(&certificate) {
            return Err(format!("{name}.pem: not a CA certificate that may sign certificates and CRLs").into());
        }
        let key_identifier = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
            _ => None,
        });
        let key_identifier = key_identifier.ok_or_else(|| format!("{name}.pem: no subject key identifier"))?;
        let subject = certificate.subject().as_raw().to_vec();
        let (not_before, not_after) = validity(&certificate);
        let key = Arc::new(key);
        let unsigned = match key.scheme() {
            Scheme::Sm2WithSm3 => None,
            _ => {
                let issuer = rcgen::Issuer::from_ca_cert_der(&der.as_slice().into(), Unsigned(key.clone()));
                Some(issuer.map_err(|error| format!("{name}.pem: its subject cannot be used as issuer: {error}"))?)
            }
        };
        let chains = vec![vec![der.clone()]];
        let name = name.to_owned();
        let authority =
            Self { name, der, spki, subject, key_identifier, not_after, key, unsigned, chains, not_before, list: None };
        authority.check_issuer_bytes()?;
        Ok(authority)
    }

    /// CABF-SUB-02: issuer bytes equal the CA's subject bytes. rcgen holds one value for each attribute type and so
    /// loses a second OU or DC; a CA with such a name must not start.
    fn check_issuer_bytes(&self) -> Result<(), Refusal> {
        let Some(unsigned) = &self.unsigned else { return Ok(()) };
        let mut trial = CertificateParams::default();
        trial.serial_number = Some(vec![1].into());
        let trial = trial.signed_by(&unsigned.key(), unsigned)?;
        let (_, trial) = X509Certificate::from_der(trial.der())?;
        if trial.issuer().as_raw() != self.subject {
            return Err(format!(
                "{}.pem: its subject would be written differently as issuer (one value for each attribute type is \
                 supported); chains would break",
                self.name
            )
            .into());
        }
        Ok(())
    }

    pub(super) fn check_signed_by(&self, issuer: &Authority) -> Result<(), Refusal> {
        check_signature(&self.name, &self.der, issuer)
    }

    pub(super) fn check_not_expired(&self, now: Timestamp) -> Result<(), Refusal> {
        if now.whole_second() > self.not_after {
            return Err(format!(
                "the certificate {}.pem expired at {}; leaves below it are of no use (name a new issuer in the settings, \
                 or set up a new root)",
                self.name, self.not_after
            )
            .into());
        }
        Ok(())
    }

    /// Refuses a certificate that is for another name or key.
    fn check_same_key(&self, other: &chains::Certified) -> Result<(), Refusal> {
        let file = &other.file;
        let (_, certificate) =
            X509Certificate::from_der(&other.der).map_err(|_| format!("{file}.pem: not a certificate"))?;
        if certificate.subject().as_raw() != self.subject || certificate.public_key().raw != self.spki {
            return Err(format!("{file}.pem is not for the name and key of {}.pem", self.name).into());
        }
        Ok(())
    }
}

pub(super) fn check_signature(file: &str, der: &[u8], issuer: &Authority) -> Result<(), Refusal> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| format!("{file}.pem: not a certificate"))?;
    let (_, key) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&issuer.spki)?;
    let is_signed = match issuer.key.scheme() {
        Scheme::Sm2WithSm3 => {
            let (message, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
            super::sm2::verify(&key.subject_public_key.data, super::sm2::IDENTIFIER, message, signature)
        }
        _ => certificate.verify_signature(Some(&key)).is_ok(),
    };
    let fits = certificate.issuer().as_raw() == issuer.subject && is_signed;
    if fits { Ok(()) } else { Err(format!("{file}.pem was not signed by {}.pem", issuer.name).into()) }
}

fn is_signing_ca(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() && usage.is_some_and(|usage| usage.value.key_cert_sign() && usage.value.crl_sign())
}

/// First and last second of a certificate's validity.
pub(super) fn validity(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    let seconds = |time: ASN1Time| Timestamp::from_secs(u64::try_from(time.timestamp()).unwrap_or(0));
    (seconds(certificate.validity().not_before), seconds(certificate.validity().not_after))
}
