//! What stands in the place of `sm2` in a build without that feature: nothing is signed, nothing verifies. Only the public key of
//! a private one is computed, so that uploaded keys are known to be those of their certificates.

use num_bigint::BigUint;
use zeroize::Zeroizing;

/// Whether this build computes with SM2.
pub(super) const IS_BUILT_IN: bool = false;

/// The identifier that goes into what is signed, wherever nothing else was agreed (RFC 8998 section 3.2.1).
pub(super) const IDENTIFIER: &str = "1234567812345678";

const P: &[u8; 64] = b"FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF";
const N: &[u8; 64] = b"FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123";
const GX: &[u8; 64] = b"32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7";
const GY: &[u8; 64] = b"BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0";

/// A private key, of which there is none here.
pub(super) enum Pair {}

impl Pair {
    /// None.
    pub(super) fn from_pkcs8(_: &[u8]) -> Option<Self> {
        None
    }

    /// The public key.
    pub(super) fn point(&self) -> Vec<u8> {
        match *self {}
    }

    /// A signature.
    pub(super) fn sign(&self, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }
}

/// Refuses.
pub(super) fn generate() -> Result<Zeroizing<Vec<u8>>, String> {
    Err("this build has no SM2 (cargo feature \"sm2\")".to_owned())
}

/// Nothing verifies.
pub(super) fn verify(_: &[u8], _: &str, _: &[u8], _: &[u8]) -> bool {
    false
}

/// There is no such key here.
pub(super) fn enveloped(_: &[u8], _: &[u8]) -> Option<Vec<u8>> {
    None
}

/// No point is known to be one.
pub(super) fn is_point(_: &[u8]) -> bool {
    false
}

/// The public key (65 octets) of a secret number; none for a number that is no secret of the curve. Takes milliseconds, and its
/// time depends on the number: keys come here once, from their owners.
pub(super) fn public_key(secret: &[u8; 32]) -> Option<Vec<u8>> {
    let secret = BigUint::from_bytes_be(secret);
    if secret.bits() == 0 || secret >= constant(N) {
        return None;
    }
    let p = constant(P);
    let mut sum: Option<Point> = None;
    let mut power = (constant(GX), constant(GY));
    for bit in 0..secret.bits() {
        if secret.bit(bit) {
            sum = Some(match sum {
                None => power.clone(),
                Some(sum) => add(&sum, &power, &p)?,
            });
        }
        power = add(&power, &power, &p)?;
    }
    let (x, y) = sum?;
    let padded = |number: BigUint| {
        let octets = number.to_bytes_be();
        [vec![0; 32 - octets.len()], octets].concat()
    };
    Some([vec![4], padded(x), padded(y)].concat())
}

fn constant(digits: &[u8; 64]) -> BigUint {
    BigUint::parse_bytes(digits, 16).expect("the constants of the curve are hexadecimal digits")
}

type Point = (BigUint, BigUint);

/// The sum of two points; none where it is the point at infinity, which no multiple below the order is.
fn add((x1, y1): &Point, (x2, y2): &Point, p: &BigUint) -> Option<Point> {
    let minus = |a: &BigUint, b: &BigUint| ((a + p) - b) % p;
    let slope = if x1 == x2 {
        // a = -3
        (((x1 * x1 + p - 1_u32) * 3_u32) % p) * (y1 * 2_u32 % p).modinv(p)?
    } else {
        minus(y2, y1) * minus(x2, x1).modinv(p)?
    } % p;
    let x3 = minus(&minus(&(&slope * &slope % p), x1), x2);
    let y3 = minus(&(slope * minus(x1, &x3) % p), y1);
    Some((x3, y3))
}
