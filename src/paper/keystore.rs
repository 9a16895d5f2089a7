//! Private keys with their chains in the files that servers read: PEM, PKCS#12 and Java key stores.

use std::time::{Duration, SystemTime};

use jks::common::{KeyStoreOptions, RandomReader};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::domain::id::random_bytes;
use crate::domain::{Error, Result, Timestamp};

/// How often passwords are hashed into keys: five times what openssl does; passwords here are made, or strong (KEY-09).
const ITERATIONS: u32 = 10_000;

/// Fewest characters of the password of a Java key store: what Java itself demands.
pub const SHORTEST_JKS_PASSWORD: usize = 6;

/// A key and its certificates.
pub struct Identity<'a> {
    /// What it is called within a key store.
    pub alias: &'a str,
    /// The key, PKCS#8, DER.
    pub key: &'a [u8],
    /// The certificates, DER: the leaf first.
    pub chain: &'a [Vec<u8>],
}

/// A PKCS#12 file, encrypted with AES-256. The password may be empty (INSTALL-05).
pub fn pfx(identity: &Identity<'_>, password: &str) -> Result<Vec<u8>> {
    let certificates: Vec<Certificate> = identity
        .chain
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(Error::internal)?;
    let key = PrivateKey::from_der(identity.key).map_err(Error::internal)?;
    let mut store = KeyStore::new();
    let chain = PrivateKeyChain::new(random_bytes::<20>().to_vec(), key, certificates);
    store.add_entry(identity.alias, KeyStoreEntry::PrivateKeyChain(chain));
    store.writer(password).encryption_iterations(ITERATIONS).mac_iterations(ITERATIONS).write().map_err(Error::internal)
}

/// A Java key store.
pub fn jks(identity: &Identity<'_>, password: &str, now: Timestamp) -> Result<Vec<u8>> {
    if password.len() < SHORTEST_JKS_PASSWORD {
        return Err(Error::malformed(format!(
            "The password of a Java key store has at least {SHORTEST_JKS_PASSWORD} characters; leave it out to have one made."
        )));
    }
    // Without its own source of random octets this library would salt with zeros.
    let options = KeyStoreOptions { rng: Box::new(Salt), ..KeyStoreOptions::default() };
    let mut store = jks::KeyStore::with_options(options);
    let x509 = |der: &Vec<u8>| jks::Certificate { cert_type: "X.509".to_owned(), content: der.clone() };
    let entry = jks::PrivateKeyEntry {
        creation_time: SystemTime::UNIX_EPOCH + Duration::from_millis(now.as_millis()),
        private_key: identity.key.to_vec(),
        certificate_chain: identity.chain.iter().map(x509).collect(),
    };
    store.set_private_key_entry(identity.alias, entry, password.as_bytes()).map_err(Error::internal)?;
    let mut octets = Vec::new();
    store.store(&mut octets, password.as_bytes()).map_err(Error::internal)?;
    Ok(octets)
}

struct Salt;

impl RandomReader for Salt {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<()> {
        for piece in buf.chunks_mut(20) {
            piece.copy_from_slice(&random_bytes::<20>()[..piece.len()]);
        }
        Ok(())
    }
}

/// Certificates as PEM, in their order: the leaf first.
pub fn chain_pem(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|der| as_pem("CERTIFICATE", der)).collect()
}

/// A key, PKCS#8, as PEM.
pub fn key_pem(key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(as_pem("PRIVATE KEY", key))
}

/// A certificate request as PEM.
pub fn csr_pem(der: &[u8]) -> String {
    as_pem("CERTIFICATE REQUEST", der)
}

/// Octets that were encrypted by `lock`, as PEM.
pub fn locked_pem(locked: &[u8]) -> String {
    as_pem("ENCRYPTED PRIVATE KEY", locked)
}

fn as_pem(label: &str, der: &[u8]) -> String {
    pem::encode_config(&pem::Pem::new(label, der), pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

/// Encrypts a key, PKCS#8, with a password (RFC 5958 section 3): AES-256 and PBKDF2, which older servers know too.
pub fn lock(key: &[u8], password: &str) -> Result<Vec<u8>> {
    let parameters =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &random_bytes::<16>(), random_bytes::<16>());
    let key = PrivateKeyInfoRef::try_from(key).map_err(|fault| Error::internal(fault.to_string()))?;
    let locked = key
        .encrypt_with_params(parameters.map_err(|fault| Error::internal(fault.to_string()))?, password)
        .map_err(|fault| Error::internal(fault.to_string()))?;
    Ok(locked.as_bytes().to_vec())
}

/// Decrypts what `lock` encrypted; none if the password is another one.
pub fn unlock(locked: &[u8], password: &str) -> Option<Zeroizing<Vec<u8>>> {
    let locked = EncryptedPrivateKeyInfoRef::try_from(locked).ok()?;
    Some(Zeroizing::new(locked.decrypt(password).ok()?.as_bytes().to_vec()))
}
