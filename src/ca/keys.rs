//! The key directory: private keys as PKCS#8 PEM (mode 0600) with their certificates beside them, written atomically.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Refusal;
use super::signer::{Key, KeyKind};
use super::token::{self, Token};

const KEY_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const KEY_END: &str = "-----END PRIVATE KEY-----";

/// The directory, opened and locked against another process that opens it at the same time.
pub(super) struct Vault {
    path: PathBuf,
    directory: File,
    token: Option<(Arc<Token>, token::Settings)>,
}

/// That a server has the keys of a directory in memory, for as long as this is held.
pub struct KeysInUse(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl KeysInUse {
    /// Notes that this process has the keys of a directory in memory. Refuses while a ceremony takes them away.
    pub fn note(directory: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (path, lock) = lock_of(directory)?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self(lock)),
            Err(TryLockError::WouldBlock) => Err("a key ceremony is under way; start the server after it".into()),
            Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display()).into()),
        }
    }

    /// Sees to it that no server has the keys of a directory in memory, or takes them up meanwhile.
    pub(super) fn refuse(directory: &Path) -> Result<Self, Refusal> {
        let (path, lock) = lock_of(directory)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self(lock)),
            Err(TryLockError::WouldBlock) => Err(format!(
                "a server runs with the keys of {}: stop it first; it has the root's key in memory, and would go on with it",
                directory.display()
            )
            .into()),
            Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display()).into()),
        }
    }
}

/// The file beside a key directory that servers and ceremonies lock.
fn lock_of(directory: &Path) -> Result<(PathBuf, File), Refusal> {
    let path = directory.with_extension("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = opened.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((path, lock))
}

impl Vault {
    /// Opens the directory, making it (mode 0700) if it is not there. Refuses one that others can look into.
    pub(super) fn open(path: &Path) -> Result<Self, Refusal> {
        let told = |error: io::Error| format!("the key directory {}: {error}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(told)?;
        refuse_open_mode(path, "0700")?;
        // A directory that was just made is only safe from a power cut once its parent is on the disk.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(told)?;
        let directory = File::open(path).map_err(told)?;
        directory.lock().map_err(told)?;
        Ok(Self { path: path.to_owned(), directory, token: None })
    }

    /// The same with a token that some of the keys live on.
    pub(super) fn with_token(mut self, settings: Option<&token::Settings>) -> Result<Self, Refusal> {
        if let Some(settings) = settings {
            self.token = Some((Token::open(settings)?, settings.clone()));
        }
        Ok(self)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all roots and intermediates that have a key or a certificate here. The key that documents are sealed
    /// with lives here too, and is none of them.
    pub(super) fn names(&self) -> Result<Vec<String>, Refusal> {
        let name = |file: &str| {
            let stem =
                file.strip_suffix(".key").or_else(|| file.strip_suffix(".pem")).filter(|stem| *stem != "vault")?;
            stem.split('.').next().filter(|name| !name.is_empty()).map(str::to_owned)
        };
        let names: BTreeSet<String> = self.files()?.iter().filter_map(|file| name(file)).collect();
        Ok(names.into_iter().collect())
    }

    /// The names of further certificates for that name and its key, `<name>.<root>` and `<name>.<root>.<more>`, each with
    /// the name of the root.
    pub(super) fn further(&self, name: &str) -> Result<Vec<(String, String)>, Refusal> {
        let mut found = Vec::new();
        for file in self.files()? {
            let Some(stem) = file.strip_suffix(".pem") else { continue };
            let mut parts = stem.split('.');
            if let (Some(first), Some(root)) = (parts.next(), parts.next())
                && first == name
            {
                found.push((stem.to_owned(), root.to_owned()));
            }
        }
        found.sort();
        Ok(found)
    }

    fn files(&self) -> Result<Vec<String>, Refusal> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            files.extend(entry?.file_name().into_string().ok());
        }
        Ok(files)
    }

    /// The key of that name, if there is one: in a file, else on the token.
    pub(super) fn key(&self, name: &str) -> Result<Option<Key>, Refusal> {
        if let Some(der) = self.plain_key(name)? {
            let key = Key::from_pkcs8(&der).ok_or_else(|| self.unusable(name))?;
            return Ok(Some(key));
        }
        match &self.token {
            Some((token, settings)) if settings.holds(name) => Ok(token.key(name)?.map(Key::on_token)),
            _ => Ok(None),
        }
    }

    /// The PKCS#8 DER of a key in a file.
    pub(super) fn plain_key(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
        let path = self.path.join(format!("{name}.key"));
        let Some(text) = read(&path)? else { return Ok(None) };
        refuse_open_mode(&path, "0600")?;
        Ok(Some(pkcs8_from_pem(&text).ok_or_else(|| self.unusable(name))?))
    }

    fn unusable(&self, name: &str) -> Refusal {
        let path = self.path.join(format!("{name}.key"));
        format!("{} holds no private key that is usable here (PKCS#8 PEM of a P-256, P-384 or RSA key)", path.display())
            .into()
    }

    /// Makes a key under a name that has none yet, and stores it in a file or on the token. PKCS#11 has no mechanism for SM2.
    pub(super) fn create_key(&self, name: &str, kind: KeyKind) -> Result<Key, Refusal> {
        if let Some((token, settings)) = &self.token
            && settings.holds(name)
            && kind != KeyKind::Sm2
        {
            return Ok(Key::on_token(token.create_key(name, kind)?));
        }
        let der = Key::generate(kind)?;
        let key = Key::from_pkcs8(&der).ok_or("a key that was just made could not be read again")?;
        self.write_new(&format!("{name}.key"), pkcs8_to_pem(&der).as_bytes())?;
        Ok(key)
    }

    /// Takes a key's file away for good.
    pub(super) fn remove_key(&self, name: &str) -> Result<(), Refusal> {
        let path = self.path.join(format!("{name}.key"));
        fs::remove_file(&path)
            .and_then(|()| self.directory.sync_all())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(())
    }

    /// The text of a file here; none if there is no such file.
    pub(super) fn text(&self, file: &str) -> Result<Option<Zeroizing<String>>, Refusal> {
        read(&self.path.join(file))
    }

    /// The revocation list that an offline root signed ahead, DER, if there is one.
    pub(super) fn list(&self, root: &str) -> Result<Option<Vec<u8>>, Refusal> {
        match fs::read(self.list_path(root)) {
            Ok(der) => Ok(Some(der)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("reading {}: {error}", self.list_path(root).display()).into()),
        }
    }

    /// Where that list is.
    pub(super) fn list_path(&self, root: &str) -> PathBuf {
        self.path.join(format!("{root}.crl"))
    }

    /// Stores such a list, in the place of the one before.
    pub(super) fn store_list(&self, root: &str, der: &[u8]) -> Result<(), Refusal> {
        self.write(&format!("{root}.crl"), der)
    }

    /// The certificate of that name, DER, if there is one.
    pub(super) fn certificate(&self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let path = self.path.join(format!("{name}.pem"));
        let Some(text) = read(&path)? else { return Ok(None) };
        match pem::parse(text.as_bytes()) {
            Ok(block) if block.tag() == "CERTIFICATE" => Ok(Some(block.into_contents())),
            _ => Err(format!("{} holds no certificate in PEM", path.display()).into()),
        }
    }

    /// Stores a certificate.
    pub(super) fn store_certificate(&self, name: &str, der: &[u8]) -> Result<(), Refusal> {
        self.write_new(&format!("{name}.pem"), certificate_pem(der).as_bytes())
    }

    /// Writes a file so that it is there wholly or not at all, also after a power cut.
    fn write(&self, file: &str, content: &[u8]) -> Result<(), Refusal> {
        let draft = self.draft(file, content)?;
        fs::rename(&draft, self.path.join(file)).map_err(|error| self.told(file, &error))?;
        self.directory.sync_all().map_err(|error| self.told(file, &error))?;
        Ok(())
    }

    /// The same for a file that must not be there yet.
    pub(super) fn write_new(&self, file: &str, content: &[u8]) -> Result<(), Refusal> {
        let draft = self.draft(file, content)?;
        // Unlike a renaming, a link never takes another file's place.
        let linked = fs::hard_link(&draft, self.path.join(file));
        fs::remove_file(&draft).and(linked).map_err(|error| self.told(file, &error))?;
        self.directory.sync_all().map_err(|error| self.told(file, &error))?;
        Ok(())
    }

    fn draft(&self, file: &str, content: &[u8]) -> Result<PathBuf, Refusal> {
        let told = |error: io::Error| self.told(file, &error);
        let draft = self.path.join(format!(".{file}.new"));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
            _ => {}
        }
        let mut handle = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(told)?;
        handle.write_all(content).map_err(told)?;
        handle.sync_all().map_err(told)?;
        Ok(draft)
    }

    fn told(&self, file: &str, error: &io::Error) -> Refusal {
        format!("writing {file} in {}: {error}", self.path.display()).into()
    }
}

/// A certificate as PEM text with line feeds (RFC 7468).
pub(super) fn certificate_pem(der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der), config)
}

/// The text of a file, wiped after use; none if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Refusal> {
    let told = |error: io::Error| format!("reading {}: {error}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(error).into()),
    };
    let size = usize::try_from(file.metadata().map_err(told)?.len()).unwrap_or(usize::MAX);
    if size > 64 * 1024 {
        return Err(format!("{} is too large for a key or certificate", path.display()).into());
    }
    // Room from the start, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(size + 1));
    file.read_to_string(&mut text).map_err(told)?;
    Ok(Some(text))
}

pub(super) fn refuse_open_mode(path: &Path, wanted: &str) -> Result<(), Refusal> {
    let mode = fs::metadata(path)?.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(format!(
        "{path} has mode {mode:04o}, so that others can read private keys; make it {wanted} (chmod {wanted} {path})"
    )
    .into())
}

pub(super) fn pkcs8_to_pem(der: &[u8]) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(vec![0; der.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(der, &mut encoded).expect("the buffer has room for padded base64");
    let mut text = Zeroizing::new(String::with_capacity(length * 2 + 80));
    text.push_str(KEY_BEGIN);
    for line in encoded[..length].chunks(64) {
        text.push('\n');
        line.iter().for_each(|b| text.push(char::from(*b)));
    }
    text.push('\n');
    text.push_str(KEY_END);
    text.push('\n');
    text
}

pub(super) fn pkcs8_from_pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text.split_once(KEY_BEGIN)?.1.split_once(KEY_END)?.0;
    let mut encoded = Zeroizing::new(Vec::with_capacity(body.len()));
    encoded.extend(body.bytes().filter(|b| !b.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; encoded.len()]);
    let length = STANDARD.decode_slice(&*encoded, &mut der).ok()?;
    der.truncate(length);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_kind_survive_pem() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Rsa(2048)] {
            let der = Key::generate(kind).unwrap();
            let pem = pkcs8_to_pem(&der);
            assert_eq!(pkcs8_from_pem(&pem).unwrap(), der);
            assert_eq!(
                *pem,
                pem::encode_config(
                    &pem::Pem::new("PRIVATE KEY", der.to_vec()),
                    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
                )
            );
            assert!(Key::from_pkcs8(&der).is_some());
        }
    }
}
