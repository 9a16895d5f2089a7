//! Public keys of subjects: which are accepted, and whether a signature is theirs.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::oid_registry as oid;
use x509_parser::oid_registry::Oid;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use super::{der, sm2, weak};
use crate::domain::csr::SubjectKey;
use crate::domain::{Error, Kind, Result};

/// CABF-KEY-09 (Baseline Requirements 7.1.3.1): the only encodings of these algorithm identifiers.
const RSA: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const P256: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
const P384: [u8; 18] =
    [0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// id-ecPublicKey with the curve of SM2 (GB/T 33560).
const SM2_ALGORITHM: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01,
    0x82, 0x2d,
];
/// The content of the identifier of SM2 signatures with SM3, 1.2.156.10197.1.501.
const SM2_WITH_SM3: [u8; 8] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75];

const ACCEPTED: &str =
    "Accepted are RSA keys of 2048, 3072 or 4096 bits with exponent 65537 and ECDSA keys on P-256 or P-384.";

/// The rules that refusals rest on: algorithms, lengths, SM2, exponents.
const ALGORITHM: &str = "KEY-01";
const LENGTH: &str = "KEY-02";
const SM2: &str = "CAT-13";
const EXPONENT: &str = "Baseline Requirements 6.1.6";

/// An accepted public key.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicKey<'a> {
    /// What kind of key it is.
    pub(super) kind: SubjectKey,
    /// The content of `subjectPublicKey`: an RSAPublicKey, or a point.
    pub(super) bits: &'a [u8],
}

fn refuse<T>(found: impl std::fmt::Display, rule: &str) -> Result<T> {
    Err(Error::new(Kind::BadCsr, format!("The key of the CSR is {found}. {ACCEPTED} ({rule})")))
}

impl<'a> PublicKey<'a> {
    /// Reads a SubjectPublicKeyInfo, strictly. Whether a point is on its curve shows when a signature is verified.
    pub(super) fn read(spki: &'a [u8]) -> Result<Self> {
        let parts = der::only(spki, der::SEQUENCE).and_then(der::elements::<2>);
        let Some([algorithm, key]) = parts else {
            return refuse("no SubjectPublicKeyInfo in DER", ALGORITHM);
        };
        let bits = match (key.tag, key.content.split_first()) {
            (der::BIT_STRING, Some((0, bits))) => bits,
            _ => return refuse("no whole number of octets", ALGORITHM),
        };
        let kind = match algorithm.whole {
            a if a == RSA => rsa_kind(bits)?,
            a if a == P256 => point_kind(bits, SubjectKey::P256, 32)?,
            a if a == P384 => point_kind(bits, SubjectKey::P384, 48)?,
            a if a == SM2_ALGORITHM && sm2::IS_BUILT_IN => sm2_kind(bits)?,
            _ => {
                let (found, rule) = describe(algorithm.content);
                return refuse(found, rule);
            }
        };
        Ok(Self { kind, bits })
    }

    /// Refuses RSA keys whose modulus gives the private key away (CABF-KEY-03, CABF-KEY-06).
    pub(super) fn check_strength(self) -> Result<()> {
        match self.modulus().and_then(weak::weakness) {
            Some(weakness) => Err(Error::new(Kind::BadCsr, format!("The key of the CSR is {weakness}"))),
            None => Ok(()),
        }
    }

    /// The modulus of an RSA key, big-endian without leading zeros.
    pub(super) fn modulus(self) -> Option<&'a [u8]> {
        if !self.kind.is_rsa() {
            return None;
        }
        rsa_parts(self.bits).map(|(modulus, _)| modulus)
    }

    /// Whether `signature` over `message` is this key's. SHA-1 and MD5 are refused by name.
    pub(super) fn verify(self, algorithm: &AlgorithmIdentifier<'_>, message: &[u8], signature: &[u8]) -> Result<()> {
        if self.kind == SubjectKey::Sm2 {
            return self.verify_sm2(algorithm, message, signature);
        }
        let verifier = self.verifier(algorithm)?;
        UnparsedPublicKey::new(verifier, self.bits).verify(message, signature).map_err(|_| {
            Error::new(
                Kind::BadCsr,
                format!(
                    "The CSR's signature does not verify with the {} key in it. Sign the CSR with that key.",
                    self.kind
                ),
            )
        })
    }

    /// SM2 with SM3, under the one identifier that needs no agreement (RFC 8998 section 3.2.1).
    fn verify_sm2(self, algorithm: &AlgorithmIdentifier<'_>, message: &[u8], signature: &[u8]) -> Result<()> {
        let refuse = |why: &str| Err(Error::new(Kind::BadCsr, format!("{why} {SM2_ADVICE}")));
        // Some write NULL as parameters, most nothing.
        if algorithm.algorithm.as_bytes() != SM2_WITH_SM3 || algorithm.parameters().is_some_and(|any| !is_null(any)) {
            return refuse("The CSR has an SM2 key, and is not signed with SM2 and SM3 (OID 1.2.156.10197.1.501).");
        }
        match sm2::verify(self.bits, sm2::IDENTIFIER, message, signature) {
            true => Ok(()),
            false => refuse(
                "The CSR's signature does not verify with the SM2 key in it and the identifier 1234567812345678 (RFC 8998 \
                 section 3.2.1); a CSR that was signed with another identifier, or with none, fails like this.",
            ),
        }
    }

    fn verifier(self, algorithm: &AlgorithmIdentifier<'_>) -> Result<&'static dyn VerificationAlgorithm> {
        use SubjectKey::{P256, P384};
        let name = &algorithm.algorithm;
        if is_broken_hash(name) {
            return refuse_signature("SHA-1 or MD5, which no longer prove anything");
        }
        let (ecdsa, hash) = match name {
            n if *n == oid::OID_SIG_ECDSA_WITH_SHA256 => (true, 256),
            n if *n == oid::OID_SIG_ECDSA_WITH_SHA384 => (true, 384),
            n if *n == oid::OID_SIG_ECDSA_WITH_SHA512 => (true, 512),
            n if *n == oid::OID_PKCS1_SHA256WITHRSA => (false, 256),
            n if *n == oid::OID_PKCS1_SHA384WITHRSA => (false, 384),
            n if *n == oid::OID_PKCS1_SHA512WITHRSA => (false, 512),
            n if *n == oid::OID_PKCS1_RSASSAPSS && self.kind.is_rsa() => return pss_verifier(algorithm),
            other => return refuse_signature(format_args!("an algorithm that is not known here (OID {other})")),
        };
        // RFC 4055 section 5, RFC 5758 section 3.2: NULL or nothing for RSA, nothing for ECDSA.
        if algorithm.parameters().is_some_and(|parameters| ecdsa || !is_null(parameters)) {
            return refuse_signature("an algorithm whose parameters do not belong to it");
        }
        Ok(match (self.kind, ecdsa, hash) {
            (P256, true, 256) => &signature::ECDSA_P256_SHA256_ASN1,
            (P256, true, 384) => &signature::ECDSA_P256_SHA384_ASN1,
            (P256, true, _) => &signature::ECDSA_P256_SHA512_ASN1,
            (P384, true, 256) => &signature::ECDSA_P384_SHA256_ASN1,
            (P384, true, 384) => &signature::ECDSA_P384_SHA384_ASN1,
            (P384, true, _) => &signature::ECDSA_P384_SHA512_ASN1,
            (kind, false, 256) if kind.is_rsa() => &signature::RSA_PKCS1_2048_8192_SHA256,
            (kind, false, 384) if kind.is_rsa() => &signature::RSA_PKCS1_2048_8192_SHA384,
            (kind, false, _) if kind.is_rsa() => &signature::RSA_PKCS1_2048_8192_SHA512,
            (kind, ..) => return refuse_signature(format_args!("an algorithm that does not go with its {kind} key")),
        })
    }
}

/// How to make a request that is accepted.
const SM2_ADVICE: &str =
    "Sign it with that key and that identifier (openssl req -new -sm3 -sigopt distid:1234567812345678).";

fn is_null(any: &Any<'_>) -> bool {
    any.tag() == Tag::Null && any.header.is_primitive() && any.data.is_empty()
}

fn refuse_signature<T>(found: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(
        Kind::BadCsr,
        format!("The CSR is signed with {found}. Sign it with SHA-256, SHA-384 or SHA-512 (openssl req -sha256)."),
    ))
}

/// RSASSA-PSS of a plain RSA key: the mask has to use the same hash (RFC 4055 section 3.1).
fn pss_verifier(algorithm: &AlgorithmIdentifier<'_>) -> Result<&'static dyn VerificationAlgorithm> {
    let params = algorithm.parameters().and_then(|any| RsaSsaPssParams::try_from(any).ok());
    let Some(params) = params else {
        return refuse_signature("RSASSA-PSS whose parameters cannot be read");
    };
    let hash = params.hash_algorithm_oid();
    if !params.mask_gen_algorithm().is_ok_and(|mask| mask.hash == *hash) {
        return refuse_signature("RSASSA-PSS with two different hashes");
    }
    match hash {
        h if *h == oid::OID_NIST_HASH_SHA256 => Ok(&signature::RSA_PSS_2048_8192_SHA256),
        h if *h == oid::OID_NIST_HASH_SHA384 => Ok(&signature::RSA_PSS_2048_8192_SHA384),
        h if *h == oid::OID_NIST_HASH_SHA512 => Ok(&signature::RSA_PSS_2048_8192_SHA512),
        _ => refuse_signature("RSASSA-PSS with SHA-1 or another hash that is not accepted"),
    }
}

/// CABF-SUB-05: signatures that rest on SHA-1, MD5, MD4 or MD2 (RFC 3279, and the OIW's name of sha1WithRSA).
fn is_broken_hash(algorithm: &Oid<'_>) -> bool {
    const BROKEN: [&[u8]; 7] = [
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x02],
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x03],
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
        &[0x2b, 0x0e, 0x03, 0x02, 0x1d],
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
        &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03],
    ];
    BROKEN.contains(&algorithm.as_bytes())
}

/// Uncompressed points alone (RFC 5480 section 2.2 lets other forms be refused).
fn point_kind(bits: &[u8], kind: SubjectKey, field_octets: usize) -> Result<SubjectKey> {
    match bits.first() {
        Some(4) if bits.len() == 1 + 2 * field_octets => Ok(kind),
        Some(2 | 3) => refuse(format_args!("{kind} with a compressed point"), ALGORITHM),
        _ => refuse(format_args!("{kind} with a malformed point"), ALGORITHM),
    }
}

/// SM2 has a check of its own: no library verifies its signatures that would look at the point.
fn sm2_kind(bits: &[u8]) -> Result<SubjectKey> {
    let kind = point_kind(bits, SubjectKey::Sm2, 32)?;
    match sm2::is_point(bits) {
        true => Ok(kind),
        false => refuse("SM2 with a point that is not on the curve", ALGORITHM),
    }
}

/// The SubjectPublicKeyInfo, DER, of a point on the curve of SM2.
pub(super) fn of_point(point: &[u8]) -> Vec<u8> {
    der::encode(der::SEQUENCE, &[&SM2_ALGORITHM, &der::encode(der::BIT_STRING, &[&[0], point])])
}

fn rsa_kind(bits: &[u8]) -> Result<SubjectKey> {
    let Some((modulus, exponent)) = rsa_parts(bits) else {
        return refuse("RSA, but not an RSAPublicKey in DER (RFC 8017 appendix A.1.1)", ALGORITHM);
    };
    let length = modulus.len() * 8 - modulus.first().map_or(0, |b| b.leading_zeros() as usize);
    let kind = match length {
        2048 => SubjectKey::Rsa2048,
        3072 => SubjectKey::Rsa3072,
        4096 => SubjectKey::Rsa4096,
        other => return refuse(format_args!("RSA of {other} bits"), LENGTH),
    };
    match exponent {
        [1, 0, 1] => Ok(kind),
        _ => refuse(format_args!("{kind} with an exponent other than 65537"), EXPONENT),
    }
}

/// Modulus and exponent without sign octets, if both are positive and in their shortest form.
fn rsa_parts(bits: &[u8]) -> Option<(&[u8], &[u8])> {
    let [modulus, exponent] = der::elements(der::only(bits, der::SEQUENCE)?)?;
    Some((positive(modulus)?, positive(exponent)?))
}

fn positive(integer: der::Element<'_>) -> Option<&[u8]> {
    match integer.content {
        _ if integer.tag != der::INTEGER => None,
        [0, rest @ ..] if rest.first().is_some_and(|b| *b >= 0x80) => Some(rest),
        content @ [1..=0x7f, ..] => Some(content),
        _ => None,
    }
}

/// What a key is that is not accepted, from the content of its AlgorithmIdentifier, and the rule that refuses it.
fn describe(algorithm: &[u8]) -> (String, &'static str) {
    let Some((name, parameters)) = der::take(algorithm) else {
        return ("of an algorithm that cannot be read".to_owned(), ALGORITHM);
    };
    let known = match name.content {
        [0x2b, 0x65, 0x70] => "Ed25519",
        [0x2b, 0x65, 0x71] => "Ed448",
        [0x2b, 0x65, 0x6e | 0x6f] => "X25519 or X448, which cannot sign",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => "DSA",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => "RSASSA-PSS (a key bound to that padding)",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => {
            "RSA with parameters other than NULL in its AlgorithmIdentifier"
        }
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => {
            let (found, rule) = describe_curve(parameters);
            return (found.to_owned(), rule);
        }
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, ..] => "ML-DSA or SLH-DSA",
        other => return (format!("of an unknown algorithm (OID {})", Oid::new(other.into())), ALGORITHM),
    };
    (known.to_owned(), ALGORITHM)
}

fn describe_curve(parameters: &[u8]) -> (&'static str, &'static str) {
    match parameters {
        [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23] => ("ECDSA on P-521", LENGTH),
        [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x21] => ("ECDSA on P-224", LENGTH),
        [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a] => ("ECDSA on secp256k1", ALGORITHM),
        // CAT-13: the national standard is a product line of its own, and CABF-KEY-05 keeps it out of all others.
        [0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d] => {
            ("SM2. SM2 keys need a DNSPod GM product, and this build of the server cannot sign SM2", SM2)
        }
        [0x30, ..] => ("an EC key with explicit curve parameters instead of a named curve", ALGORITHM),
        _ => ("an EC key on another curve", ALGORITHM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An RSA SubjectPublicKeyInfo with that modulus and exponent, sign octets included.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let numbers = [der::encode(der::INTEGER, &[modulus]), der::encode(der::INTEGER, &[exponent])].concat();
        let key = der::encode(der::BIT_STRING, &[&[0], &der::encode(der::SEQUENCE, &[&numbers])]);
        der::encode(der::SEQUENCE, &[&RSA, &key])
    }

    fn why(spki: &[u8]) -> String {
        let key = PublicKey::read(spki).and_then(PublicKey::check_strength);
        key.err().map(|error| error.problem().detail.clone()).unwrap_or_default()
    }

    #[test]
    fn rsa_keys_are_held_to_size_exponent_form_and_factors() {
        let modulus = |octets: usize, last: u8| {
            let mut modulus = vec![0; octets + 1];
            (modulus[1], modulus[octets]) = (0x80, last);
            modulus
        };
        let e = &[1, 0, 1][..];
        for (spki, reason) in [
            (rsa(&modulus(256, 2), e), "divisible by 2"),
            (rsa(&modulus(512, 4), e), "divisible by 2"),
            (rsa(&modulus(256, 1), e), "divisible by"),
            (rsa(&modulus(128, 1), e), "RSA of 1024 bits"),
            (rsa(&modulus(1024, 1), e), "RSA of 8192 bits"),
            (rsa(&[&[0x7f], &[0xff; 255][..]].concat(), e), "RSA of 2047 bits"),
            (rsa(&[&[0x01], &[0xff; 256][..]].concat(), e), "RSA of 2049 bits"),
            (rsa(&modulus(256, 1), &[3]), "exponent other than 65537"),
            (rsa(&modulus(256, 1), &[1, 0, 2]), "exponent other than 65537"),
            (rsa(&modulus(256, 1), &[0, 1, 0, 1]), "not an RSAPublicKey in DER"),
            (rsa(&modulus(256, 1)[1..], e), "not an RSAPublicKey in DER"),
            (rsa(&[&[0], &modulus(256, 1)[..]].concat(), e), "not an RSAPublicKey in DER"),
            (rsa(&[0], e), "not an RSAPublicKey in DER"),
            (rsa(&[], e), "not an RSAPublicKey in DER"),
            (vec![], "no SubjectPublicKeyInfo"),
            (der::encode(der::SEQUENCE, &[&RSA[..13], &[0x03, 1, 0]]), "no SubjectPublicKeyInfo"),
        ] {
            assert!(why(&spki).contains(reason), "{reason}: {}", why(&spki));
        }
    }

    #[test]
    fn only_whole_uncompressed_points_are_read() {
        let point = |form: u8, octets: usize| {
            let point = [&[0, form][..], &vec![1; octets]].concat();
            why(&der::encode(der::SEQUENCE, &[&P256, &der::encode(der::BIT_STRING, &[&point])]))
        };
        assert_eq!(point(4, 64), "");
        assert!(point(2, 32).contains("compressed point"));
        assert!(point(3, 32).contains("compressed point"));
        for malformed in [point(4, 63), point(4, 65), point(4, 96), point(6, 64), point(0, 0)] {
            assert!(malformed.contains("malformed point"), "{malformed}");
        }
    }
}
