//! What the fuzzer throws octets at: for each target in `fuzz/fuzz_targets` a function that calls the code which reads such
//! octets from the network. It is built for the fuzzer, and for the tests, which run the seeds of every target through it.

use crate::acme::json;
use crate::ca::{certificate, csr, foreign, ocsp};
use crate::domain::certificate::CertId;
use crate::domain::{DnsName, Identifier};
use crate::paper::sniff;
use crate::policy::catalog::Catalog;
use crate::policy::names::Names;

pub use crate::acme::fuzzing::{external_binding, jws};
pub use crate::va::fuzzing::{caa, dns, tls_alpn};

/// A function for octets of whatever origin: it panics where the code has a fault.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("caa", caa),
    ("catalogue", catalogue),
    ("certificate", certificate),
    ("certificate_id", certificate_id),
    ("csr", csr),
    ("dns", dns),
    ("external_binding", external_binding),
    ("identifier", identifier),
    ("json", json),
    ("jws", jws),
    ("ocsp", ocsp),
    ("tls_alpn", tls_alpn),
    ("upload", upload),
];

/// A PKCS#10 request, with and without a look at its signature.
pub fn csr(octets: &[u8]) {
    let verified = csr::parse(octets);
    let Ok(read) = csr::parse_unverified(octets) else {
        assert!(verified.is_err(), "a request is read that cannot be read");
        return;
    };
    assert_eq!(read.der, octets, "the request is kept as it came");
    assert!(octets.windows(read.spki.len()).any(|part| part == read.spki), "its key is in it");
    for name in &read.names {
        assert_eq!(Identifier::parse(name.kind(), &name.to_string()).ok().as_ref(), Some(name), "a name of any order");
    }
}

/// A certificate as revokeCert has it, and a public key as the operator blocks it.
pub fn certificate(octets: &[u8]) {
    let (serial, key) = (certificate::serial_of(octets), certificate::key_hash_of(octets));
    assert!(serial.is_none() || key.is_some(), "a certificate has a key");
    let _ = certificate::key_hash(octets);
}

/// The name of a certificate in renewal information.
pub fn certificate_id(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else { return };
    if let Some(id) = CertId::parse(text) {
        assert_eq!(id.to_string(), text, "each certificate has one name");
        let _ = id.known_serial();
    }
}

/// The names of orders.
pub fn identifier(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else { return };
    for kind in ["dns", "ip", text] {
        match Identifier::parse(kind, text) {
            Ok(name) => {
                let written = name.to_string();
                assert!(written.len() <= 253 && written.is_ascii(), "it fits into a certificate");
                assert_eq!(Identifier::parse(kind, &written).ok(), Some(name), "it is read back");
            }
            Err(error) => assert!(error.problem().detail.len() < 4_000, "what is refused is not sent back at length"),
        }
    }
    let _ = DnsName::host(text);
}

/// A request for the status of certificates (RFC 6960).
pub fn ocsp(octets: &[u8]) {
    if let Ok(request) = ocsp::Request::parse(octets) {
        assert!((1..=20).contains(&request.certificates.len()), "it asks for something, and not for all");
    }
}

/// Strict JSON.
pub fn json(octets: &[u8]) {
    if let Ok(value) = json::object::<serde_json::Value>(octets, "payload") {
        assert!(value.is_object(), "the document is an object");
        assert!(json::object::<serde_json::Value>(value.to_string().as_bytes(), "payload").is_ok(), "it is read back");
    }
}

/// What customers upload: a certificate and its key with a zero octet between them, and files for an application.
pub fn upload(octets: &[u8]) {
    let _ = sniff::sniff(octets);
    let Ok(text) = str::from_utf8(octets) else { return };
    let (certificates, key) = text.split_once('\0').unwrap_or((text, text));
    for read in [foreign::international(certificates, key), foreign::sm2(certificates, key)].into_iter().flatten() {
        assert!(!read.chain.is_empty(), "it has a leaf");
    }
    let _ = foreign::private_key(key);
}

/// The operator's catalogue and lists of names.
pub fn catalogue(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else { return };
    if let Err(faults) = Catalog::parse(text) {
        assert!(!faults.is_empty(), "a refusal has a reason");
    }
    let _ = Names::parse(text);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    fn entries(below: &str) -> Vec<PathBuf> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(below);
        fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn names(below: &str) -> BTreeSet<String> {
        entries(below).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    fn seeds() -> Vec<(Target, Vec<u8>)> {
        let of = |(name, target): &(&str, Target)| {
            let files = entries(&format!("seeds/{name}"));
            assert!(!files.is_empty(), "{name} has no seeds");
            files.iter().map(|file| (*target, fs::read(file).unwrap())).collect::<Vec<_>>()
        };
        TARGETS.iter().flat_map(of).collect()
    }

    #[test]
    fn every_target_has_its_program_and_its_seeds() {
        let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names("fuzz_targets"), known);
        assert_eq!(names("seeds"), known);
    }

    #[test]
    fn every_seed_passes_whole_and_cut_short() {
        for (target, octets) in seeds() {
            target(&octets);
            for end in (0..octets.len()).step_by(octets.len() / 50 + 1) {
                target(&octets[..end]);
            }
        }
    }

    /// Seeds that no parser takes would show nothing.
    #[test]
    fn some_seed_of_each_binary_format_is_taken() {
        let taken = |place: &str, takes: &dyn Fn(&[u8]) -> bool| {
            let files = entries(&format!("seeds/{place}"));
            assert!(files.iter().any(|file| takes(&fs::read(file).unwrap())), "{place}");
        };
        taken("csr", &|octets| csr::parse(octets).is_ok());
        taken("ocsp", &|octets| ocsp::Request::parse(octets).is_ok());
        taken("certificate", &|octets| certificate::key_hash_of(octets).is_some());
        let text = |octets: &[u8]| str::from_utf8(octets).unwrap_or_default().to_owned();
        taken("catalogue", &|octets| Catalog::parse(&text(octets)).is_ok_and(|catalog| catalog.products().count() > 0));
        taken("certificate_id", &|octets| CertId::parse(&text(octets)).is_some());
        taken("upload", &|octets| {
            let text = text(octets);
            text.split_once('\0').is_some_and(|(chain, key)| foreign::international(chain, key).is_ok())
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn seeds_with_some_octets_changed_pass(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            chosen in any::<prop::sample::Index>(),
        ) {
            let seeds = seeds();
            let (target, mut octets) = seeds[chosen.index(seeds.len())].clone();
            for (place, octet) in changes {
                if !octets.is_empty() {
                    let place = place.index(octets.len());
                    octets[place] = octet;
                }
            }
            target(&octets);
        }
    }
}
