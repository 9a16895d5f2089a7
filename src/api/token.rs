//! The operator's bearer token: in a file of its own, compared in constant time.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::domain::certificate::hex32;
use crate::domain::id::random_text;

/// Knows whether a token is the operator's; keeps only its hash.
pub struct OperatorToken {
    sha256: [u8; 32],
}

impl OperatorToken {
    /// Reads the token's file, or makes one: 256 random bits, readable for the server's user alone.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        let token = match fs::read_to_string(path) {
            Ok(token) => {
                refuse_open_mode(path)?;
                Zeroizing::new(token)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(error),
        };
        let token = token.trim();
        if token.len() < 32 {
            return Err(io::Error::other(format!(
                "{} holds no token; remove it, and a new one is made",
                path.display()
            )));
        }
        Ok(Self { sha256: hash(token) })
    }

    /// Its SHA-256 in hexadecimal digits, for the audit log.
    pub fn digest(&self) -> String {
        hex32::encode(&self.sha256)
    }

    /// Whether this is the token.
    pub fn is(&self, token: &str) -> bool {
        verify_slices_are_equal(&hash(token), &self.sha256).is_ok()
    }
}

/// A token that others can read is no secret.
fn refuse_open_mode(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("{} has mode {mode:o}; it must be 600 (chmod 600)", path.display())))
}

fn create(path: &Path) -> io::Result<Zeroizing<String>> {
    let token = Zeroizing::new(random_text::<32>());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", *token)?;
    file.sync_all()?;
    Ok(token)
}

fn hash(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 octets")
}
