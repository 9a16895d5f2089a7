//! SM2 signatures with SM3 (GB/T 32918, RFC 8998 section 3.2.1): the one place that computes on that curve. The crate below has
//! seen no audit, so what it signs is verified before it leaves. `sm2_absent` stands here in a build without the feature.

use std::convert::Infallible;

use sm2::dsa::signature::{Signer as _, Verifier as _};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use sm2::elliptic_curve::sec1::ToSec1Point as _;
use sm2::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use sm2::pke::EncryptingKey;
use sm2::{PublicKey, SecretKey};
use sm4::Sm4;
use sm4::cipher::{Block, BlockCipherEncrypt as _, KeyInit as _};
use zeroize::Zeroizing;

use super::der;
use crate::domain::id::random_bytes;

/// Whether this build computes with SM2.
pub(super) const IS_BUILT_IN: bool = true;

/// The identifier that goes into what is signed, wherever nothing else was agreed (RFC 8998 section 3.2.1).
pub(super) const IDENTIFIER: &str = "1234567812345678";

/// A private key that signs under `IDENTIFIER`.
pub(super) struct Pair {
    key: SigningKey,
}

impl Pair {
    /// Reads PKCS#8 DER; none unless it is a key on this curve.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let secret = SecretKey::from_pkcs8_der(der).ok()?;
        Some(Self { key: SigningKey::new(IDENTIFIER, &secret).ok()? })
    }

    /// The public key: 65 octets, the uncompressed point.
    pub(super) fn point(&self) -> Vec<u8> {
        self.key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }

    /// A signature over a message: SEQUENCE { r, s }, DER. None if the computation went wrong.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.key.try_sign(message).ok()?;
        self.key.verifying_key().verify(message, &signature).ok()?;
        Some(signature.to_der().as_ref().to_vec())
    }
}

/// Makes a key; returns it as PKCS#8 DER (RFC 5958).
pub(super) fn generate() -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = || "an SM2 key could not be made".to_owned();
    // A number that is none of the curve's secrets comes about once in 2^32 times, and is drawn again.
    let mut drawn = (0..8).filter_map(|_| SecretKey::from_slice(&*Zeroizing::new(random_bytes::<32>())).ok());
    let secret = drawn.next().ok_or_else(failed)?;
    let der = secret.to_pkcs8_der().map_err(|_| failed())?;
    Ok(Zeroizing::new(der.as_bytes().to_vec()))
}

/// Whether a signature (DER) over a message is that of a public key (65 octets) under an identifier.
pub(super) fn verify(point: &[u8], identifier: &str, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(identifier, point), Signature::from_der(signature))
    else {
        return false;
    };
    is_point(point) && key.verify(message, &signature).is_ok()
}

/// Whether this is a point of the curve, uncompressed, and not that at infinity.
pub(super) fn is_point(octets: &[u8]) -> bool {
    octets.len() == 65 && octets[0] == 4 && PublicKey::from_sec1_bytes(octets).is_ok()
}

/// SM4 in ECB mode: 1.2.156.10197.1.104.1, AlgorithmIdentifier without parameters, DER.
const SM4_ECB: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x68, 0x01];

/// A private key (PKCS#8, DER) as whoever holds the private key of a point can open it: SM2EnvelopedKey, DER (GB/T 35276
/// section 7.4, GM/T 0009). The secret number, two blocks long, is encrypted with a fresh SM4 key, and that with SM2. None unless
/// both are keys of the curve.
pub(super) fn enveloped(private: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let secret = SecretKey::from_pkcs8_der(private).ok()?;
    let key = Zeroizing::new(random_bytes::<16>());
    let sealed_key = EncryptingKey::from_sec1_bytes(point).ok()?.encrypt_der(&mut Source, &*key).ok()?;
    let cipher = Sm4::new_from_slice(&*key).ok()?;
    let number = Zeroizing::new(secret.to_bytes().to_vec());
    let mut sealed = vec![0];
    for half in number.chunks_exact(16) {
        let mut block = Block::<Sm4>::try_from(half).ok()?;
        cipher.encrypt_block(&mut block);
        sealed.extend_from_slice(&block);
    }
    let public = secret.public_key().to_sec1_point(false);
    let public = der::encode(der::BIT_STRING, &[&[0], public.as_bytes()]);
    let sealed = der::encode(der::BIT_STRING, &[&sealed]);
    Some(der::encode(der::SEQUENCE, &[&SM4_ECB, &sealed_key, &public, &sealed]))
}

/// The random source of this program, as the crate below asks for it.
struct Source;

impl TryRng for Source {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes(random_bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes(random_bytes()))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        octets.chunks_mut(8).for_each(|part| part.copy_from_slice(&random_bytes::<8>()[..part.len()]));
        Ok(())
    }
}

impl TryCryptoRng for Source {}

/// The public key (65 octets) of a secret number, 32 octets; none for a number that is no secret of the curve.
pub(super) fn public_key(secret: &[u8; 32]) -> Option<Vec<u8>> {
    let secret = SecretKey::from_slice(secret).ok()?;
    Some(secret.public_key().to_sec1_point(false).as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    use super::*;

    fn octets(digits: &str) -> Vec<u8> {
        (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect()
    }

    /// An INTEGER whose first digit is above 7.
    fn integer(digits: &str) -> Vec<u8> {
        der::encode(der::INTEGER, &[&[0], &octets(digits)])
    }

    #[test]
    fn the_published_example_is_right() {
        // GB/T 32918.5 annex A.2
        let secret = octets("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8");
        let point = octets(
            "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020\
             CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13",
        );
        assert_eq!(public_key(&secret.try_into().unwrap()).unwrap(), point);
        let [r, s] = [
            "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3",
            "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
        ]
        .map(integer);
        let signature = der::encode(der::SEQUENCE, &[&r, &s]);
        assert!(verify(&point, IDENTIFIER, b"message digest", &signature));
        assert!(!verify(&point, "ALICE123@YAHOO.COM", b"message digest", &signature));
        assert!(!verify(&point, IDENTIFIER, b"message digesT", &signature));
    }

    #[test]
    fn points_are_whole_and_on_the_curve() {
        let pair = Pair::from_pkcs8(&generate().unwrap()).unwrap();
        let point = pair.point();
        assert!(is_point(&point));
        let mut beside = point.clone();
        beside[64] ^= 1;
        let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
        for bad in [&beside[..], &compressed, &point[..64], &[0], &[]] {
            assert!(!is_point(bad), "{bad:?}");
        }
        assert!(public_key(&[0; 32]).is_none() && public_key(&[0xff; 32]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn what_a_key_signs_verifies_and_nothing_beside_it(message in vec(any::<u8>(), 1..200), at in any::<u32>()) {
            let pair = Pair::from_pkcs8(&generate().unwrap()).unwrap();
            let other = Pair::from_pkcs8(&generate().unwrap()).unwrap();
            let signature = pair.sign(&message).unwrap();
            prop_assert!(verify(&pair.point(), IDENTIFIER, &message, &signature));
            prop_assert!(!verify(&other.point(), IDENTIFIER, &message, &signature));
            prop_assert!(!verify(&pair.point(), "", &message, &signature));
            let flipped = |octets: &[u8]| {
                let mut octets = octets.to_vec();
                let bit = at as usize % (octets.len() * 8);
                octets[bit / 8] ^= 1 << (bit % 8);
                octets
            };
            prop_assert!(!verify(&pair.point(), IDENTIFIER, &flipped(&message), &signature));
            prop_assert!(!verify(&pair.point(), IDENTIFIER, &message, &flipped(&signature)));
            prop_assert!(!verify(&flipped(&pair.point()), IDENTIFIER, &message, &signature));
        }
    }
}
