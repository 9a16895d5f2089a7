//! A key pair, or a certificate request, that a customer keeps here (CSR-01).

use serde::{Deserialize, Serialize};

use super::csr::SubjectKey;
use super::{CustomerId, DocumentId, Identifier, KeyPairId, Timestamp};

/// A certificate request, and its private key where that is here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyPair {
    /// Its id.
    pub id: KeyPairId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What its owner calls it.
    pub name: String,
    /// The names in the request.
    pub identifiers: Vec<Identifier>,
    /// The kind of key.
    pub key: SubjectKey,
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[serde(with = "super::certificate::hex32")]
    pub spki_sha256: [u8; 32],
    /// The request, DER.
    #[serde(with = "super::certificate::base64_bytes")]
    pub csr: Vec<u8>,
    /// Where the private key is.
    pub private: PrivateKey,
    /// When it was made or put here.
    pub created: Timestamp,
}

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum PrivateKey {
    /// In the vault: it may be deployed and hosted.
    Kept {
        /// The file.
        document: DocumentId,
    },
    /// In the vault, locked with a password that only its owner knows (KEY-04).
    Locked {
        /// The file.
        document: DocumentId,
    },
    /// With its owner alone (CSR-01).
    Elsewhere,
}

impl PrivateKey {
    /// The file in the vault.
    pub fn document(&self) -> Option<&DocumentId> {
        match self {
            Self::Kept { document } | Self::Locked { document } => Some(document),
            Self::Elsewhere => None,
        }
    }

    /// `kept`, `locked` or `elsewhere`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Kept { .. } => "kept",
            Self::Locked { .. } => "locked",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Why a certificate with this key can't be deployed, hosted or updated here (HOST-07); none: it can.
    pub fn obstacle(&self) -> Option<&'static str> {
        match self {
            Self::Kept { .. } => None,
            Self::Locked { .. } => Some(
                "Remove the key password to deploy here: reissue with a key that has none (KEY-06, KEY-07, HOST-07).",
            ),
            Self::Elsewhere => Some("Upload the key to use hosting: POST it with its CSR to /csrs (CSR-11, HOST-07)."),
        }
    }
}

/// What is wrong with a password for a private key, if anything is: it should be complex (KEY-09).
pub fn weak_password(password: &str) -> Option<&'static str> {
    let kinds: [fn(&char) -> bool; 4] =
        [char::is_ascii_lowercase, char::is_ascii_uppercase, char::is_ascii_digit, |c| !c.is_ascii_alphanumeric()];
    let found = kinds.iter().filter(|kind| password.chars().any(|c| kind(&c))).count();
    if !password.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        Some("Write the key password in printable ASCII characters, which every server reads alike.")
    } else if !(8..=128).contains(&password.len()) || found < 3 {
        Some(
            "Choose a stronger password: 8 to 128 characters, of at least three of small letters, capital letters, digits \
             and others; keep it secret, it cannot be recovered (KEY-09, KEY-04).",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_complex() {
        for good in ["Correct-horse", "abcDEF12", "a b c D 1"] {
            assert_eq!(weak_password(good), None, "{good}");
        }
        for bad in ["", "Ab1-", "onlysmallletters", "12345678", "Paßwort-123"] {
            assert!(weak_password(bad).is_some(), "{bad}");
        }
    }
}
