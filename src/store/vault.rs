//! The vault: octets are sealed (AES-256-GCM) before they are stored, with a key that lives beside the store, not in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::StoreError;
use crate::domain::id::random_bytes;

/// What seals and opens.
pub struct Vault {
    key: LessSafeKey,
}

impl Vault {
    /// Opens the vault whose key is in this file, or makes the key; refuses a file that others can read. Tells the operator
    /// why.
    pub fn open(path: &Path) -> Result<Self, String> {
        let key = match fs::read_to_string(path) {
            Ok(text) => read_key(path, &Zeroizing::new(text))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_key(path)?,
            Err(error) => return Err(format!("reading {}: {error}", path.display())),
        };
        let key = UnboundKey::new(&AES_256_GCM, &key[..]).expect("a key of 32 octets is what AES-256 takes");
        Ok(Self { key: LessSafeKey::new(key) })
    }

    /// Seals octets for a place in the store: they open nowhere else.
    pub fn seal(&self, place: &[u8], content: &[u8]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = Vec::with_capacity(NONCE_LEN + content.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        let mut body = content.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut body)
            .expect("AES-GCM seals up to 64 GiB, and no file here is that long");
        sealed.append(&mut body);
        sealed
    }

    /// Opens what was sealed for that place.
    pub fn unseal(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let failed =
            || StoreError::Failed("a sealed record does not open: another vault.key, or it was changed".into());
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(failed)?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, Aad::from(place), &mut body).map_err(|_| failed())?.len();
        body.truncate(length);
        Ok(body)
    }
}

fn read_key(path: &Path, text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let mode = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{} can be read by others (mode {mode:04o}); chmod it to 0600", path.display()));
    }
    let key = STANDARD.decode(text.trim()).ok().filter(|key| key.len() == 32);
    key.map(Zeroizing::new).ok_or_else(|| format!("{} holds no key: 32 octets in base64", path.display()))
}

/// Makes a key: it is in its file and on the disk before anything is sealed with it.
fn create_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let key = Zeroizing::new(random_bytes::<32>().to_vec());
    let write = || -> io::Result<()> {
        let draft = path.with_extension("new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", *Zeroizing::new(STANDARD.encode(&key)))?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| format!("writing {}: {error}", path.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone_and_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vault.key");
        let vault = Vault::open(&path).unwrap();
        let sealed = vault.seal(b"place", b"a secret of some length");
        assert!(!sealed.windows(8).any(|w| w == b"a secret"));
        let again = Vault::open(&path).unwrap();
        assert_eq!(&again.unseal(b"place", &sealed).unwrap()[..], b"a secret of some length");
        assert!(vault.unseal(b"another", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.unseal(b"place", &changed).is_err(), "octet {at}");
        }
        assert!(vault.unseal(b"place", &sealed[..5]).is_err());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vault.key");
        drop(Vault::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Vault::open(&path).err().unwrap();
        assert!(refused.contains("chmod"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "too short").unwrap();
        assert!(Vault::open(&path).is_err());
    }
}
