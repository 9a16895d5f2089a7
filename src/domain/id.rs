//! Names of stored objects: unguessable, URL-safe, ordered by nothing.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Fills an array from the cryptographic random source of the crypto library.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the random source of aws-lc is seeded by the kernel and never runs dry");
    bytes
}

/// 128 random bits as 22 characters of base64url: tokens of challenges (RFC 8555 section 8.3) and object ids.
pub fn random_token() -> String {
    random_text::<16>()
}

/// So many random octets as base64url that does not begin with a hyphen, which command lines would take for an option.
pub fn random_text<const N: usize>() -> String {
    loop {
        let text = URL_SAFE_NO_PAD.encode(random_bytes::<N>());
        if !text.starts_with('-') {
            return text;
        }
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new id: 128 random bits (RFC 8555 section 10.5: URLs are not guessable).
            pub fn random() -> Self {
                Self(random_token())
            }

            /// The id as it stands in URLs and keys of the store.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ();

            /// Takes only what `random` gives: 22 characters of base64url.
            fn from_str(text: &str) -> Result<Self, ()> {
                let fits = text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                if fits { Ok(Self(text.to_owned())) } else { Err(()) }
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// An ACME account.
    AccountId
    /// An ACME order.
    OrderId
    /// An ACME authorization.
    AuthzId
    /// A customer of the certificate service.
    CustomerId
    /// A stored job.
    JobId
    /// A purchase.
    PurchaseId
    /// A package of free certificates.
    PackageId
    /// An access token of the REST API.
    TokenId
    /// An entry of the money ledger.
    EntryId
    /// A voucher or a package of benefit points.
    CouponId
    /// An organisation profile.
    OrganisationId
    /// An administrator or contact profile.
    PersonId
    /// The data of an application for a paid certificate.
    ApplicationId
    /// A file that is kept for somebody: a letter, a private key.
    DocumentId
    /// A request for a revocation.
    RevocationId
    /// A message to a customer.
    NoticeId
    /// A certificate of another CA that a customer keeps here.
    UploadId
    /// A key pair, or a CSR, that a customer keeps here.
    KeyPairId
    /// A policy for alarms before certificates end.
    AlarmId
    /// Somewhere that messages go: an address or a webhook.
    ChannelId
    /// A template for alarms: whom they go to.
    TemplateId
    /// Something that is to be done later.
    TimerId
    /// An incident because of which certificates have to be renewed.
    IncidentId
}

/// A certificate's serial number: 20 octets of which 158 bits are random, so that the DER INTEGER is positive, has
/// always the same length and stays below 2^159 (Baseline Requirements 7.1.2.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 20]);

impl Serial {
    /// A fresh serial from the random source.
    pub fn random() -> Self {
        let mut octets = random_bytes::<20>();
        octets[0] = (octets[0] & 0x3f) | 0x40;
        Self(octets)
    }

    /// The octets of the DER INTEGER's content.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From the content octets of a DER INTEGER, with or without leading zeros; none for what this CA never gives out.
    pub fn from_der(octets: &[u8]) -> Option<Self> {
        let start = octets.iter().position(|b| *b != 0)?;
        <[u8; 20]>::try_from(&octets[start..]).ok().map(Self)
    }
}

impl AsRef<[u8]> for Serial {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = ();

    /// Reads the 40 lower-case hexadecimal digits that `Display` writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return Err(());
        }
        let digit = |b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(()),
        };
        let mut octets = [0; 20];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(octets))
    }
}

impl Serialize for Serial {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("a serial is 40 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive_of_fixed_length_and_round_trip() {
        for _ in 0..1000 {
            let serial = Serial::random();
            assert_eq!(serial.as_bytes()[0] & 0xc0, 0x40);
            assert_eq!(serial.to_string().parse(), Ok(serial));
            assert_eq!(Serial::from_der(serial.as_bytes()), Some(serial));
            assert_eq!(Serial::from_der(&[&[0], serial.as_bytes()].concat()), Some(serial));
        }
        assert!("00".parse::<Serial>().is_err());
        assert_eq!(Serial::from_der(&[1, 2, 3]), None);
    }

    #[test]
    fn random_text_is_never_taken_for_an_option() {
        for _ in 0..1000 {
            let text = random_text::<2>();
            assert!(text.len() == 3 && !text.starts_with('-'), "{text}");
        }
    }

    #[test]
    fn ids_take_only_what_they_give_out() {
        assert_eq!(OrderId::random().as_str().parse::<OrderId>().map(|id| id.0.len()), Ok(22));
        for bad in ["", "short", "../../../etc/passwd___", "aaaaaaaaaaaaaaaaaaaaaa=", "aaaaaaaaaaaaaaaaaaaaa/"] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad}");
        }
    }
}
