//! Private keys on the curve of SM2 (GB/T 32918.5). Nothing is signed or verified with them here: only the public key is
//! computed, so that a key is known to be that of its certificate.

use num_bigint::BigUint;

use super::Private;
use super::private::{EC, wrapped};
use crate::ca::der;

/// 1.2.156.10197.1.301
const CURVE: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

const P: &[u8; 64] = b"FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF";
const N: &[u8; 64] = b"FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123";
const GX: &[u8; 64] = b"32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7";
const GY: &[u8; 64] = b"BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0";

/// Reads a key, whatever of the two forms its label promises (UPLOAD-06).
pub(super) fn read(label: &str, octets: &[u8]) -> Option<Private> {
    if !label.ends_with("PRIVATE KEY") {
        return None;
    }
    let sec1 = inner(octets).unwrap_or(octets);
    let public = public_key(&scalar(sec1)?)?;
    Some(Private { kind: "SM2".to_owned(), public, pkcs8: wrapped(&[EC, CURVE], sec1) })
}

/// The ECPrivateKey within PKCS#8, if it is one of this curve.
fn inner(octets: &[u8]) -> Option<&[u8]> {
    let (version, rest) = der::take(der::only(octets, der::SEQUENCE)?)?;
    let (algorithm, rest) = der::take(rest)?;
    let (key, _) = der::take(rest)?;
    let [name, curve] = der::elements(algorithm.content)?;
    let ours = version.tag == der::INTEGER && name.whole == EC && curve.whole == CURVE;
    (ours && key.tag == der::OCTET_STRING).then_some(key.content)
}

/// The secret number of an ECPrivateKey (RFC 5915).
fn scalar(sec1: &[u8]) -> Option<BigUint> {
    let (version, rest) = der::take(der::only(sec1, der::SEQUENCE)?)?;
    let (key, _) = der::take(rest)?;
    let number = BigUint::from_bytes_be(key.content);
    let fits = version.whole == [der::INTEGER, 1, 1] && key.tag == der::OCTET_STRING && key.content.len() <= 32;
    (fits && number.bits() > 0 && number < constant(N)).then_some(number)
}

fn constant(digits: &[u8; 64]) -> BigUint {
    BigUint::parse_bytes(digits, 16).expect("the constants of the curve are hexadecimal digits")
}

type Point = (BigUint, BigUint);

/// The uncompressed point of a secret number. Takes milliseconds, and its time depends on the number: keys come here once,
/// from their owners.
fn public_key(secret: &BigUint) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_those_of_the_standard() {
        // GB/T 32918.5 annex A.2
        let secret = b"3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8";
        let expected = "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020\
                        CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13";
        let public = public_key(&constant(secret)).unwrap();
        let digits: String = public.iter().map(|octet| format!("{octet:02X}")).collect();
        assert_eq!(digits, format!("04{expected}"));
    }
}
