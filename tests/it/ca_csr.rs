//! Requests made by openssl and rcgen: the ones that are taken, and the ones that are refused with their reason.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chancery::ca::csr;
use chancery::domain::csr::SubjectKey;
use chancery::domain::{Identifier, Kind};
use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SigningKey as _};

use crate::ca_tools::{P256, P384, RSA2048, names, openssl_request};

const RSA3072: &[&str] = &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
const RSA4096: &[&str] = &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"];
const PSS: &[&str] = &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-sha256"];

fn why(der: &[u8]) -> String {
    let error = csr::parse(der).expect_err("refused");
    assert_eq!(error.kind(), Kind::BadCsr);
    error.into_problem().detail
}

#[test]
fn every_accepted_kind_of_key_and_hash_is_read() {
    for (key, hashes, kind) in [
        (RSA2048, &["-sha256", "-sha384", "-sha512"][..], SubjectKey::Rsa2048),
        (RSA3072, &["-sha256"], SubjectKey::Rsa3072),
        (RSA4096, &["-sha512"], SubjectKey::Rsa4096),
        (P256, &["-sha256", "-sha384", "-sha512"], SubjectKey::P256),
        (P384, &["-sha256", "-sha384", "-sha512"], SubjectKey::P384),
    ] {
        for hash in hashes {
            let der = openssl_request(key, &[hash]);
            let csr = csr::parse(&der).unwrap();
            assert_eq!((csr.key, csr.names.len()), (kind, 0), "{hash}");
            assert_eq!(csr.der, der);
            assert!(der.windows(csr.spki.len()).any(|part| part == csr.spki));
        }
    }
    assert_eq!(csr::parse(&openssl_request(RSA2048, PSS)).unwrap().key, SubjectKey::Rsa2048);
}

#[test]
fn other_keys_are_refused_by_their_names() {
    let ec = |curve: &'static str| ["genpkey", "-algorithm", "EC", "-pkeyopt", curve];
    for (key, further, found) in [
        (&["genpkey", "-algorithm", "ED25519"][..], &[][..], "Ed25519"),
        (&["genpkey", "-algorithm", "ED448"], &[], "Ed448"),
        (&ec("ec_paramgen_curve:P-521"), &[], "P-521"),
        (&ec("ec_paramgen_curve:secp256k1"), &[], "secp256k1"),
        (&ec("ec_paramgen_curve:secp224r1"), &[], "P-224"),
        (&ec("ec_paramgen_curve:brainpoolP256r1"), &[], "another curve"),
        (&[P256, &["-pkeyopt", "ec_param_enc:explicit"][..]].concat(), &[], "explicit curve parameters"),
        (&["genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], PSS, "RSASSA-PSS"),
        (&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &[], "RSA of 1024 bits"),
        (&[RSA2048, &["-pkeyopt", "rsa_keygen_pubexp:3"][..]].concat(), &[], "exponent other than 65537"),
    ] {
        let why = why(&openssl_request(key, further));
        assert!(why.contains(found) && why.contains("Accepted are RSA keys of 2048"), "{found}: {why}");
    }
}

#[test]
fn signatures_with_broken_hashes_are_refused() {
    for (key, further) in [(RSA2048, &["-sha1"][..]), (RSA2048, &["-md5"]), (P256, &["-sha1"]), (P384, &["-sha1"])] {
        assert!(why(&openssl_request(key, further)).contains("SHA-1 or MD5"), "{further:?}");
    }
    let pss = openssl_request(RSA2048, &["-sigopt", "rsa_padding_mode:pss", "-sha1"]);
    assert!(why(&pss).contains("SHA-1"));
    assert!(why(&openssl_request(RSA2048, &["-sha224"])).contains("not known here"));
    assert!(why(&openssl_request(P256, &["-sha3-256"])).contains("not known here"));
}

fn with_names(alternative: &str) -> Vec<u8> {
    openssl_request(P256, &["-addext", &format!("subjectAltName={alternative}")])
}

#[test]
fn names_come_from_the_alternative_names_and_the_common_name() {
    let found = |subject: &str, alternative: &str| {
        let alternative = format!("subjectAltName={alternative}");
        let mut further = vec!["-subj", subject];
        if !alternative.ends_with('=') {
            further.extend(["-addext", &alternative]);
        }
        csr::parse(&openssl_request(P256, &further)).unwrap()
    };
    for (subject, alternative, expected, common_name) in [
        ("/", "", &[][..], None),
        ("/CN=Example.COM", "", &["example.com"], Some("Example.COM")),
        ("/O=Example/CN=example.com", "DNS:example.com", &["example.com"], Some("example.com")),
        ("/C=CN", "DNS:b.example,DNS:A.example,DNS:*.a.example", &["a.example", "*.a.example", "b.example"], None),
        ("/CN=192.0.2.1", "IP:192.0.2.1,IP:2001:db8::1", &["192.0.2.1", "2001:db8::1"], Some("192.0.2.1")),
        ("/CN=2001:DB8:0::1", "", &["2001:db8::1"], Some("2001:DB8:0::1")),
        ("/", "DNS:a.example,DNS:A.EXAMPLE", &["a.example"], None),
    ] {
        let csr = found(subject, alternative);
        let expected: BTreeSet<Identifier> = names(expected).into_iter().collect();
        assert_eq!(csr.names, expected, "{subject} {alternative}");
        assert_eq!(csr.common_name.as_deref(), common_name);
        assert!(!csr.must_staple);
    }
}

#[test]
fn names_that_cannot_be_certified_are_refused_and_named() {
    for (alternative, part) in [
        ("email:someone@example.com", "someone@example.com"),
        ("URI:https://example.com/", "https://example.com/"),
        ("dirName:other\n[other]\nCN=x", "directoryName"),
        ("otherName:1.2.3.4;UTF8:x", "otherName"),
        ("RID:1.2.3.4", "not supported"),
        ("DNS:under_score.example.com", "under_score.example.com"),
        ("DNS:example.com.", "example.com."),
        ("DNS:localhost", "localhost"),
        ("DNS:192.0.2.1", "192.0.2.1"),
        ("DNS:good.example.com,DNS:a*.example.com", "a*.example.com"),
    ] {
        let why = match alternative.starts_with("dirName") {
            false => why(&with_names(alternative)),
            true => why(&with_directory_name()),
        };
        assert!(why.contains(part), "{alternative}: {why}");
    }
    for (subject, part) in [
        ("/CN=My Server", "My Server"),
        ("/CN=b\u{fc}cher.example", "cher.example"),
        ("/CN=a.example/CN=b.example", "more than one common name"),
    ] {
        let why = why(&openssl_request(P256, &["-utf8", "-subj", subject]));
        assert!(why.contains(part), "{subject}: {why}");
    }
}

fn with_directory_name() -> Vec<u8> {
    let directory = tempfile::TempDir::new().unwrap();
    let config = directory.path().join("req.cnf");
    let text =
        "[req]\ndistinguished_name=dn\nreq_extensions=ext\n[dn]\n[ext]\nsubjectAltName=dirName:other\n[other]\nCN=x\n";
    std::fs::write(&config, text).unwrap();
    openssl_request(P256, &["-config", config.to_str().unwrap()])
}

#[test]
fn wishes_to_be_an_authority_are_refused_and_other_extensions_passed_over() {
    let with = |extension: &str| openssl_request(P256, &["-addext", extension]);
    assert!(why(&with("basicConstraints=CA:TRUE")).contains("CA:TRUE"));
    assert!(why(&with("keyUsage=digitalSignature,keyCertSign")).contains("keyCertSign"));
    for extension in [
        "basicConstraints=CA:FALSE",
        "keyUsage=digitalSignature",
        "extendedKeyUsage=codeSigning",
        "subjectKeyIdentifier=hash",
        "1.2.3.4=critical,ASN1:UTF8String:anything",
    ] {
        assert!(!csr::parse(&with(extension)).unwrap().must_staple, "{extension}");
    }
    assert!(csr::parse(&with("tlsfeature=status_request")).unwrap().must_staple);
    assert!(csr::parse(&with("tlsfeature=status_request_v2,status_request")).unwrap().must_staple);
    assert!(!csr::parse(&with("tlsfeature=status_request_v2")).unwrap().must_staple);
}

#[test]
fn what_is_not_one_request_in_der_is_refused() {
    let der = with_names("DNS:example.com");
    assert!(why(&[&der[..], &[0, 0]].concat()).contains("follows its end"));
    assert!(why(&der[..der.len() - 1]).contains("not a PKCS#10 request"));
    assert!(why(b"").contains("not a PKCS#10 request"));
    assert!(why(b"-----BEGIN CERTIFICATE REQUEST-----\n").contains("PEM"));
    assert!(why(&vec![0x30; csr::MAX_BYTES + 1]).contains("65537 octets"));

    // An octet more inside the outer SEQUENCE, where x509-parser would pass over it.
    let mut longer = der.clone();
    let length = u16::from_be_bytes([longer[2], longer[3]]);
    if longer[1] == 0x82 {
        longer[2..4].copy_from_slice(&(length + 2).to_be_bytes());
    } else {
        longer[2] += 2;
    }
    longer.extend([5, 0]);
    assert!(why(&longer).contains("its parts"), "{}", why(&longer));

    let mut forged = der.clone();
    let place = forged.windows(11).position(|part| part == b"example.com").unwrap();
    forged[place] = b'E';
    assert!(why(&forged).contains("does not verify"));
}

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

/// A request of rcgen's, small enough to flip every bit of.
static REQUEST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(["example.com".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "example.com");
    params.serialize_request(&*KEY).unwrap().der().to_vec()
});

#[test]
fn a_request_by_rcgen_is_read() {
    let csr = csr::parse(&REQUEST).unwrap();
    assert_eq!(csr.names.into_iter().collect::<Vec<_>>(), names(&["example.com", "192.0.2.1"]));
}

#[test]
fn no_bit_of_a_request_can_be_flipped() {
    for place in 0..REQUEST.len() {
        for bit in 0..8 {
            let mut der = REQUEST.clone();
            der[place] ^= 1 << bit;
            assert!(csr::parse(&der).is_err(), "bit {bit} of octet {place}");
        }
    }
}

proptest! {
    #[test]
    fn random_octets_are_refused_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(csr::parse(&octets).is_err());
    }

    #[test]
    fn mutilated_requests_are_refused_without_panic(
        cut in any::<prop::sample::Index>(),
        insert in proptest::collection::vec(any::<u8>(), 0..8),
        skip in 0usize..8,
    ) {
        let place = cut.index(REQUEST.len());
        let rest = &REQUEST[(place + skip).min(REQUEST.len())..];
        let der = [&REQUEST[..place], &insert, rest].concat();
        prop_assume!(der != *REQUEST);
        prop_assert!(csr::parse(&der).is_err());
    }
    #[test]
    fn mutilated_requests_that_are_signed_all_the_same_cause_no_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        // SEQUENCE { info, algorithm, signature } with lengths of two octets outside and two or three inside.
        let end = REQUEST.windows(4).rposition(|part| part == [0x30, 0x0a, 0x06, 0x08]).unwrap();
        let mut info = REQUEST[3..end].to_vec();
        for (place, octet) in changes {
            let place = place.index(info.len());
            info[place] = octet;
        }
        let signature = KEY.sign(&info).unwrap();
        let algorithm = &REQUEST[end..end + 12];
        let rest = [algorithm, &[0x03, signature.len() as u8 + 1, 0], &signature].concat();
        let length = ((info.len() + rest.len()) as u16).to_be_bytes();
        let der = [&[0x30, 0x82, length[0], length[1]], &info[..], &rest].concat();
        if let Ok(csr) = csr::parse(&der) {
            prop_assert!(csr.names.len() <= 3);
        }
    }
}
