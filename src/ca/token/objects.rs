//! What a token says of its objects, and how its signatures and numbers are written elsewhere.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use cryptoki::error::Error as TokenError;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::ca::der;
use crate::ca::signer::Scheme;

/// Object identifiers of the curves, DER, as CKA_EC_PARAMS has them.
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// The objects of a class with that label, and that id if one is named.
pub(super) fn find(
    session: &Session,
    class: ObjectClass,
    label: &str,
    id: Option<&[u8]>,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let mut template =
        vec![Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec()), Attribute::Token(true)];
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    session.find_objects(&template)
}

/// The id of an object.
pub(super) fn identifier(session: &Session, object: ObjectHandle) -> Result<Vec<u8>, TokenError> {
    let attributes = session.get_attributes(object, &[AttributeType::Id])?;
    Ok(attributes
        .into_iter()
        .find_map(|found| if let Attribute::Id(id) = found { Some(id) } else { None })
        .unwrap_or_default())
}

/// How a public key's owner signs, and the content of its `subjectPublicKey`; none for a kind that is not in use here.
pub(super) fn public_key(session: &Session, object: ObjectHandle) -> Result<Option<(Scheme, Vec<u8>)>, TokenError> {
    let wanted = [AttributeType::KeyType, AttributeType::EcParams, AttributeType::EcPoint];
    let ec = session.get_attributes(object, &wanted[..1])?;
    if ec.contains(&Attribute::KeyType(KeyType::RSA)) {
        let parts = session.get_attributes(object, &[AttributeType::Modulus, AttributeType::PublicExponent])?;
        let (mut modulus, mut exponent) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Attribute::Modulus(octets) => modulus = octets,
                Attribute::PublicExponent(octets) => exponent = octets,
                _ => {}
            }
        }
        let public = der::encode(der::SEQUENCE, &[&unsigned(&modulus), &unsigned(&exponent)]);
        return Ok((!modulus.is_empty() && !exponent.is_empty()).then_some((Scheme::RsaSha256, public)));
    }
    let (mut curve, mut point) = (Vec::new(), Vec::new());
    for part in session.get_attributes(object, &wanted[1..])? {
        match part {
            Attribute::EcParams(octets) => curve = octets,
            Attribute::EcPoint(octets) => point = octets,
            _ => {}
        }
    }
    // The point stands in an OCTET STRING, which some libraries leave out.
    let point = der::only(&point, der::OCTET_STRING).map_or(point.clone(), <[u8]>::to_vec);
    let (scheme, length) = match curve.as_slice() {
        P256 => (Scheme::EcdsaSha256, 65),
        P384 => (Scheme::EcdsaSha384, 97),
        _ => return Ok(None),
    };
    Ok((point.len() == length && point[0] == 4).then_some((scheme, point)))
}

/// An unsigned number as INTEGER.
fn unsigned(octets: &[u8]) -> Vec<u8> {
    let octets = &octets[octets.iter().take_while(|b| **b == 0).count().min(octets.len().saturating_sub(1))..];
    let sign: &[u8] = if octets.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    der::encode(der::INTEGER, &[sign, octets])
}

/// `r || s` as ECDSA-Sig-Value (RFC 3279 section 2.2.3).
pub(super) fn ecdsa_der(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.is_empty() || !signature.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    Some(der::encode(der::SEQUENCE, &[&unsigned(r), &unsigned(s)]))
}

/// How signatures of a scheme are verified.
pub(super) fn verification(scheme: Scheme) -> &'static dyn VerificationAlgorithm {
    match scheme {
        Scheme::EcdsaSha256 => &ECDSA_P256_SHA256_ASN1,
        Scheme::EcdsaSha384 => &ECDSA_P384_SHA384_ASN1,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        assert_eq!(unsigned(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(ecdsa_der(&[0, 0x81, 0, 5]).unwrap(), [0x30, 7, 2, 2, 0, 0x81, 2, 1, 5]);
        assert_eq!(ecdsa_der(&[1, 2, 3]), None);
    }
}
