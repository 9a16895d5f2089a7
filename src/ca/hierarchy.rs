//! Roots and intermediates: their profiles, how they come to be at the first start, and what is checked at each start.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, PublicKeyData as _,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use super::keys::Vault;
use super::leaf::{authority_information_access, certificate_policies};
use super::lint::authority::{self, Place};
use super::signer::{Key, KeyKind, Unsigned};
use super::{Refusal, Settings, Urls};
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
    /// What rcgen knows of it, with the key left out.
    pub(super) unsigned: rcgen::Issuer<'static, Unsigned>,
    /// The chains above a leaf: the default one, then one for each further root.
    pub(super) chains: Vec<Vec<Vec<u8>>>,
}

/// Roots in order, then intermediates.
pub(super) struct Hierarchy {
    pub(super) roots: Vec<Authority>,
    pub(super) intermediates: Vec<Arc<Authority>>,
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
    name == "root" || name.starts_with("root-")
}

impl Opening<'_> {
    /// Opens everything, and makes what is missing.
    pub(super) fn hierarchy(&self) -> Result<Hierarchy, Refusal> {
        let present = self.vault.names()?;
        if !present.is_empty() && !present.iter().any(|name| name == "root") {
            return Err(
                "the key directory holds keys of intermediates but not root.key; restore it from a back-up".into()
            );
        }
        let roots: Vec<Authority> =
            (1..=self.settings.alternate_roots.saturating_add(1)).map(|n| self.root(n)).collect::<Result<_, _>>()?;
        let mut intermediates = Vec::new();
        for (name, kind) in self.settings.intermediates() {
            intermediates.push(Arc::new(self.intermediate(&name, kind, &roots)?));
        }
        for name in present.iter().filter(|name| !is_root_name(name)) {
            if intermediates.iter().all(|known| known.name != *name)
                && let Some(retired) = self.retired(name, &roots)?
            {
                intermediates.push(Arc::new(retired));
            }
        }
        Ok(Hierarchy { roots, intermediates })
    }

    fn root(&self, number: u8) -> Result<Authority, Refusal> {
        let name = root_name(number);
        let key = self.key(&name, KeyKind::P384)?;
        if self.vault.certificate(&name)?.is_none() {
            let der = authority::issue(&self.root_params(number, &key), &self.place(&key, None))?;
            self.vault.store_certificate(&name, &der)?;
        }
        let der = self.stored_certificate(&name)?;
        let root = Authority::load(&name, key, der)?;
        root.check_signed_by(&root)?;
        root.check_not_expired(self.now)?;
        Ok(root)
    }

    fn intermediate(&self, name: &str, kind: KeyKind, roots: &[Authority]) -> Result<Authority, Refusal> {
        let key = self.key(name, kind)?;
        if self.vault.certificate(name)?.is_none() {
            self.certify(name, &key, &roots[0], name)?;
        }
        let mut intermediate = Authority::load(name, key, self.stored_certificate(name)?)?;
        intermediate.check_signed_by(&roots[0])?;
        intermediate.not_after = intermediate.not_after.min(roots[0].not_after);
        intermediate.check_not_expired(self.now)?;
        for root in &roots[1..] {
            let cross = format!("{name}.{}", root.name);
            if self.vault.certificate(&cross)?.is_none() {
                self.certify(name, &intermediate.key, root, &cross)?;
            }
            let der = self.stored_certificate(&cross)?;
            intermediate.add_cross(&cross, der, root)?;
        }
        Ok(intermediate)
    }

    /// An intermediate that the settings no longer name: it issues nothing, but its CRL and its certificate are wanted
    /// while leaves of its are about. One that expired is of no use any more.
    fn retired(&self, name: &str, roots: &[Authority]) -> Result<Option<Authority>, Refusal> {
        let (Some(key), Some(der)) = (self.vault.key(name)?, self.vault.certificate(name)?) else { return Ok(None) };
        let mut retired = Authority::load(name, key, der)?;
        retired.check_signed_by(&roots[0])?;
        for root in &roots[1..] {
            let cross = format!("{name}.{}", root.name);
            if let Some(der) = self.vault.certificate(&cross)? {
                retired.add_cross(&cross, der, root)?;
            }
        }
        Ok(retired.check_not_expired(self.now).is_ok().then_some(retired))
    }

    /// The key of that name, made if neither it nor its certificate exists.
    fn key(&self, name: &str, kind: KeyKind) -> Result<Key, Refusal> {
        match self.vault.key(name)? {
            Some(key) => Ok(key),
            None if self.vault.certificate(name)?.is_some() => {
                Err(format!("the key directory holds {name}.pem but not {name}.key; restore it from a back-up").into())
            }
            None => self.vault.create_key(name, kind),
        }
    }

    fn stored_certificate(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        self.vault.certificate(name)?.ok_or_else(|| format!("{name}.pem vanished while it was being used").into())
    }

    fn certify(&self, name: &str, key: &Key, root: &Authority, file: &str) -> Result<(), Refusal> {
        let params = self.intermediate_params(name, key, root);
        self.vault.store_certificate(file, &authority::issue(&params, &self.place(key, Some(root)))?)
    }

    fn place<'a>(&'a self, key: &'a Key, root: Option<&'a Authority>) -> Place<'a> {
        Place { key, root, settings: self.settings, urls: self.urls, now: self.now }
    }

    /// Baseline Requirements 7.1.2.1: CABF-SCA-02 to -04.
    fn root_params(&self, number: u8, key: &Key) -> CertificateParams {
        let common_name = format!("{} Root R{number}", self.settings.organization);
        self.ca_params(&common_name, key, self.settings.root_days, BasicConstraints::Unconstrained)
    }

    /// Baseline Requirements 7.1.2.6: CABF-SCA-05 to -07. The policy is anyPolicy alone, which 7.1.2.10.5 allows an
    /// operator's own intermediate; the other choice there, a single reserved policy, would bar OV and EV leaves.
    fn intermediate_params(&self, name: &str, key: &Key, root: &Authority) -> CertificateParams {
        let common_name = self.settings.intermediate_common_name(name);
        let days = self.settings.intermediate_days;
        let mut params = self.ca_params(&common_name, key, days, BasicConstraints::Constrained(0));
        params.not_after = params.not_after.min(root.not_after.to_offset());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![self.urls.crl(&root.name, 0)] }];
        params.custom_extensions =
            vec![authority_information_access(&self.urls.certificate(&root.name)), certificate_policies(&ANY_POLICY)];
        params
    }

    fn ca_params(&self, common_name: &str, key: &Key, days: u32, constraints: BasicConstraints) -> CertificateParams {
        let not_before = self.now.whole_second();
        // Both ends count (RFC 5280 section 4.1.2.5), so the last second is one short of the whole.
        let not_after = not_before + Duration::from_secs(u64::from(days) * 86_400 - 1);
        let mut name = DistinguishedName::new();
        if let Ok(country) = self.settings.country.as_str().try_into() {
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        name.push(DnType::OrganizationName, self.settings.organization.as_str());
        name.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.serial_number = Some(Serial::random().as_bytes().to_vec().into());
        params.not_before = not_before.to_offset();
        params.not_after = not_after.to_offset();
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(constraints);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
        params
    }
}

impl Authority {
    /// Brings key and certificate together; refuses what does not fit.
    fn load(name: &str, key: Key, der: Vec<u8>) -> Result<Self, Refusal> {
        let unreadable = || format!("{name}.pem: not an X.509 certificate in DER");
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            return Err(unreadable().into());
        }
        let spki = certificate.public_key().raw.to_vec();
        if spki != key.subject_public_key_info() {
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
        let not_after = not_after(&certificate);
        let key = Arc::new(key);
        let unsigned = rcgen::Issuer::from_ca_cert_der(&der.as_slice().into(), Unsigned(key.clone()))
            .map_err(|error| format!("{name}.pem: its subject cannot be used as issuer: {error}"))?;
        let chains = vec![vec![der.clone()]];
        let name = name.to_owned();
        let authority = Self { name, der, spki, subject, key_identifier, not_after, key, unsigned, chains };
        authority.check_issuer_bytes()?;
        Ok(authority)
    }

    /// CABF-SUB-02: issuer bytes equal the CA's subject bytes. rcgen holds one value for each attribute type and so
    /// loses a second OU or DC; a CA with such a name must not start.
    fn check_issuer_bytes(&self) -> Result<(), Refusal> {
        let mut trial = CertificateParams::default();
        trial.serial_number = Some(vec![1].into());
        let trial = trial.signed_by(&self.unsigned.key(), &self.unsigned)?;
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

    fn check_signed_by(&self, issuer: &Authority) -> Result<(), Refusal> {
        check_signature(&self.name, &self.der, issuer)
    }

    fn check_not_expired(&self, now: Timestamp) -> Result<(), Refusal> {
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

    /// Takes in a certificate of the same name and key under another root, as an alternate chain.
    fn add_cross(&mut self, file: &str, der: Vec<u8>, root: &Authority) -> Result<(), Refusal> {
        check_signature(file, &der, root)?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| format!("{file}.pem: not a certificate"))?;
        if certificate.subject().as_raw() != self.subject || certificate.public_key().raw != self.spki {
            return Err(format!("{file}.pem is not for the name and key of {}.pem", self.name).into());
        }
        self.chains.push(vec![der]);
        Ok(())
    }
}

fn check_signature(file: &str, der: &[u8], issuer: &Authority) -> Result<(), Refusal> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| format!("{file}.pem: not a certificate"))?;
    let (_, key) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&issuer.spki)?;
    let fits = certificate.issuer().as_raw() == issuer.subject && certificate.verify_signature(Some(&key)).is_ok();
    if fits { Ok(()) } else { Err(format!("{file}.pem was not signed by {}.pem", issuer.name).into()) }
}

fn is_signing_ca(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() && usage.is_some_and(|usage| usage.value.key_cert_sign() && usage.value.crl_sign())
}

fn not_after(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_secs(u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0))
}
