//! Root keys at rest: PKCS#8 encrypted under a passphrase (RFC 5958, PBES2 with scrypt and AES-256-CBC).

use pkcs8::der::Decode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::pkcs5::scrypt;
use pkcs8::{EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, LineEnding, SecretDocument};
use zeroize::Zeroizing;

use crate::ca::Refusal;
use crate::domain::id::random_bytes;

/// Fewest characters of a passphrase.
const SHORTEST: usize = 16;

/// scrypt's work factor and parallelism: 16 MiB, five times over, which OpenSSL's limit on memory still lets it open.
const LOG_N: u8 = 14;
const BLOCK: u32 = 8;
const PARALLEL: u32 = 5;

/// What a root's key is sealed with; wiped after use.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase: at least 16 characters, of which the ends of the line are no part.
    pub fn new(text: Zeroizing<String>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let trimmed = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        if trimmed.chars().count() < SHORTEST {
            return Err(format!("a passphrase for a root's key has at least {SHORTEST} characters").into());
        }
        Ok(Self(trimmed))
    }
}

/// Seals a key (PKCS#8 DER); gives PEM.
pub(super) fn seal(key: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<String>, Refusal> {
    let params = scrypt::Params::new(LOG_N, BLOCK, PARALLEL)?;
    let params = Parameters::generate_scrypt_aes256cbc(params, &random_bytes::<16>(), random_bytes::<16>())?;
    let sealed = params.encrypt(passphrase.0.as_bytes(), key)?;
    let sealed = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: params.into(),
        encrypted_data: OctetStringRef::new(&sealed)?,
    };
    Ok(SecretDocument::encode_msg(&sealed)?.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?)
}

/// Opens what `seal` made.
pub(super) fn open(pem: &str, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| "not PEM")?;
    if label != "ENCRYPTED PRIVATE KEY" {
        return Err(format!("it holds {label}, not an encrypted private key").into());
    }
    let sealed = EncryptedPrivateKeyInfoOwned::from_der(document.as_bytes())?;
    let key = sealed.decrypt(passphrase.0.as_bytes()).map_err(|_| "the passphrase does not open it")?;
    Ok(Zeroizing::new(key.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Result<Passphrase, Refusal> {
        Passphrase::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_key_is_opened_with_its_passphrase_alone() {
        let key = crate::ca::signer::Key::generate(crate::ca::signer::KeyKind::P384).unwrap();
        let sealed = seal(&key, &passphrase("correct horse battery\n").unwrap()).unwrap();
        assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        assert_eq!(open(&sealed, &passphrase("correct horse battery").unwrap()).unwrap(), key);
        let why = open(&sealed, &passphrase("correct horse batterx").unwrap()).err().unwrap().to_string();
        assert!(why.contains("does not open"), "{why}");
        assert!(passphrase("fifteen letters").is_err());
    }
}
