//! The certificates by which a primary and its perspectives know each other: a private CA in a directory of the operator,
//! for this and nothing else. Who trusts it trusts no certificate that this server issues to customers, and the other way round.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::domain::Timestamp;
use crate::va::perspectives::settings::check_name;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const DAY: Duration = Duration::from_secs(86_400);
/// How long the CA lasts, and a certificate of it.
const CA_LASTS: Duration = DAY.saturating_mul(3_650);
const LEAF_LASTS: Duration = DAY.saturating_mul(825);

/// Makes a key and a certificate in `directory`, and the CA there if it has none yet. With hosts (names or addresses) the
/// certificate is for a perspective that is reached at these; without, for a primary. What was there under the name is
/// replaced. The files: the CA's certificate, the certificate, its key.
pub fn enroll(directory: &Path, name: &str, hosts: &[String], now: Timestamp) -> Result<[PathBuf; 3], BoxError> {
    check_name(name)?;
    if name == "ca" {
        return Err("\"ca\" is the CA itself; choose another name".into());
    }
    fs::create_dir_all(directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let (ca, issuer) = authority(directory, now)?;
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - DAY).to_offset();
    params.not_after = (now + LEAF_LASTS).to_offset();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    // A perspective can't ask others in the primary's name.
    params.extended_key_usages = match hosts {
        [] => vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let files = [ca, directory.join(format!("{name}.pem")), directory.join(format!("{name}.key"))];
    write(&files[2], &key.serialize_pem(), 0o600)?;
    write(&files[1], &certificate.pem(), 0o644)?;
    Ok(files)
}

/// The CA of a directory: where its certificate is, and what signs.
fn authority(directory: &Path, now: Timestamp) -> Result<(PathBuf, Issuer<'static, KeyPair>), BoxError> {
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    if certificate.exists() || key.exists() {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, KeyPair::from_pem(&read(&key)?)?)?;
        return Ok((certificate, issuer));
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Chancery perspectives");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = (now - DAY).to_offset();
    params.not_after = (now + CA_LASTS).to_offset();
    let pair = KeyPair::generate()?;
    let signed = params.self_signed(&pair)?;
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&certificate, &signed.pem(), 0o644)?;
    Ok((certificate, Issuer::new(params, pair)))
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), BoxError> {
    let told = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let draft = path.with_extension("new");
    // Left behind by a run that broke off.
    drop(fs::remove_file(&draft));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).map_err(told)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(told)?;
    Ok(fs::rename(&draft, path).map_err(told)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

    fn der(path: &Path) -> Vec<u8> {
        pem::parse(fs::read(path).unwrap()).unwrap().into_contents()
    }

    #[test]
    fn certificates_are_of_one_ca_and_for_one_side() {
        let place = tempfile::tempdir().unwrap();
        let [ca, primary, _] = enroll(place.path(), "primary", &[], NOW).unwrap();
        let hosts = ["192.0.2.1".to_owned(), "seat.example".to_owned()];
        let [same, seat, key] = enroll(place.path(), "seat", &hosts, NOW).unwrap();
        assert_eq!(same, ca);
        let (ca, primary, seat_der) = (der(&ca), der(&primary), der(&seat));
        let parsed = |der| X509Certificate::from_der(der).unwrap().1;
        let (ca, primary, first) = (parsed(&ca), parsed(&primary), parsed(&seat_der));
        for (certificate, client, server) in [(&primary, true, false), (&first, false, true)] {
            certificate.verify_signature(Some(ca.public_key())).unwrap();
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            assert_eq!((usage.client_auth, usage.server_auth), (client, server));
            assert!(certificate.validity().not_after < ca.validity().not_after);
            assert!(!certificate.is_ca());
        }
        assert_eq!(first.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
        for private in [key, place.path().join("ca.key")] {
            assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600, "{}", private.display());
        }
        // Another one in its place, of the same CA.
        enroll(place.path(), "seat", &hosts, NOW).unwrap();
        let again = der(&seat);
        assert_ne!(again, seat_der);
        parsed(&again).verify_signature(Some(ca.public_key())).unwrap();
    }

    #[test]
    fn what_would_overwrite_the_ca_or_leave_the_directory_is_refused() {
        let place = tempfile::tempdir().unwrap();
        for name in ["ca", "", "../x", "A", "a/b"] {
            assert!(enroll(place.path(), name, &[], NOW).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        fs::write(place.path().join("ca.pem"), "x").unwrap();
        assert!(enroll(place.path(), "a", &[], NOW).is_err(), "half a CA is not made whole");
    }
}
