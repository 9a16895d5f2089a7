//! An issued certificate and its life.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::csr::SubjectKey;
use super::{AccountId, Error, Identifier, Kind, OrderId, Result, Serial, Timestamp};

/// A certificate that this CA signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// Its serial number, which is also part of its URL.
    pub serial: Serial,
    /// The issuing intermediate's name in the configuration.
    pub issuer: String,
    /// Who it was issued to.
    pub account: AccountId,
    /// The order it fulfils.
    pub order: OrderId,
    /// The product it was ordered as.
    pub product: String,
    /// The names in it.
    pub identifiers: Vec<Identifier>,
    /// The kind of its key.
    pub key: SubjectKey,
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[serde(with = "hex32")]
    pub spki_sha256: [u8; 32],
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
    /// Last second of the term that its price bought, where that is later than its own: the public calendar, its issuer or
    /// the client's wish cut it short, and the rest is still owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_until: Option<Timestamp>,
    /// The certificate, DER, base64.
    #[serde(with = "base64_bytes")]
    pub der: Vec<u8>,
    /// When it was signed.
    pub issued: Timestamp,
    /// Where it stands.
    pub standing: CertificateStanding,
}

/// Where a certificate stands; expiry is a matter of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum CertificateStanding {
    /// Good while its time lasts.
    Good,
    /// Withdrawn.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
}

/// Reasons a subscriber may give (RFC 5280 section 5.3.1, restricted by Baseline Requirements 7.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
}

impl RevocationReason {
    /// Its number (RFC 5280 section 5.3.1).
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }

    /// Whether a CA's certificate may be revoked for it: whose entry always has a reason (Baseline Requirements 7.2.2).
    pub fn is_for_authorities(self) -> bool {
        self != Self::Unspecified
    }

    /// From the number in a `revokeCert` request; others are `badRevocationReason`.
    pub fn from_code(code: u64) -> Result<Self> {
        match code {
            0 => Ok(Self::Unspecified),
            1 => Ok(Self::KeyCompromise),
            3 => Ok(Self::AffiliationChanged),
            4 => Ok(Self::Superseded),
            5 => Ok(Self::CessationOfOperation),
            other => Err(Error::new(
                Kind::BadRevocationReason,
                format!(
                    "Reason {other} can't be given here. Allowed: 0 (unspecified), 1 (keyCompromise), \
                     3 (affiliationChanged), 4 (superseded), 5 (cessationOfOperation)."
                ),
            )),
        }
    }
}

impl Certificate {
    /// Withdraws it; a second time is `alreadyRevoked` (RFC 8555 section 7.6).
    pub fn revoke(mut self, reason: RevocationReason, now: Timestamp) -> Result<Self> {
        if let CertificateStanding::Revoked { .. } = self.standing {
            return Err(Error::new(Kind::AlreadyRevoked, "Certificate already revoked"));
        }
        self.standing = CertificateStanding::Revoked { at: now, reason };
        Ok(self)
    }

    /// The same certificate with the compromise of its key as the reason for its revocation, which stays when it was; with
    /// the reason it had before (Baseline Requirements 7.2.2). None if it is not revoked, or for that reason already.
    pub fn blame_key(mut self) -> Option<(Self, RevocationReason)> {
        let CertificateStanding::Revoked { at, reason: before } = self.standing else { return None };
        let reason = RevocationReason::KeyCompromise;
        self.standing = CertificateStanding::Revoked { at, reason };
        (before != reason).then_some((self, before))
    }

    /// Last second of the term that it belongs to: its own, or that of what was paid for.
    pub fn term_end(&self) -> Timestamp {
        self.paid_until.unwrap_or(self.not_after)
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self) -> bool {
        matches!(self.standing, CertificateStanding::Revoked { .. })
    }
}

/// How ACME renewal information names a certificate (RFC 9773 section 4.1): `base64url(AKI) "." base64url(serial)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertId {
    /// The authority key identifier.
    pub key_identifier: Vec<u8>,
    /// The content octets of the serial's DER INTEGER, as the client wrote them.
    pub serial: Vec<u8>,
}

impl CertId {
    /// Reads the text form; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 200 {
            return None;
        }
        let (key_identifier, serial) = text.split_once('.')?;
        let read = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|octets| !octets.is_empty());
        Some(Self { key_identifier: read(key_identifier)?, serial: read(serial)? })
    }

    /// The serial, if it is of the kind that this CA gives out.
    pub fn known_serial(&self) -> Option<Serial> {
        Serial::from_der(&self.serial)
    }
}

impl std::fmt::Display for CertId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", URL_SAFE_NO_PAD.encode(&self.key_identifier), URL_SAFE_NO_PAD.encode(&self.serial))
    }
}

/// 32 octets as lower-case hexadecimal text.
pub mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the digits.
    pub fn serialize<S: Serializer>(octets: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(octets))
    }

    /// Reads the digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }

    /// The digits of `octets`.
    pub fn encode(octets: &[u8]) -> String {
        octets.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(d.into(), 16)).collect()
    }

    /// The octets of 64 digits, if that is what `text` is.
    pub fn decode(text: &str) -> Option<[u8; 32]> {
        let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
        let octets: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect();
        octets.try_into().ok().filter(|_| digits.len() == 64)
    }
}

/// Octets as base64 text.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text.
    pub fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(octets))
    }

    /// Reads the text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_ids_round_trip() {
        // RFC 9773 section 4.1.
        let id = CertId::parse("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").unwrap();
        assert_eq!(id.serial, [0x00, 0x87, 0x65, 0x43, 0x21]);
        assert_eq!(id.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        for bad in ["", ".", "a.b", "aYhba4dGQEHhs3uEe6CuLN4ByNQ", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE=", "a b.c"] {
            assert_eq!(CertId::parse(bad), None, "{bad}");
        }
    }
}
