//! Keys in hardware: a PKCS#11 token (OASIS PKCS#11 2.40), its sessions, and the keys that it holds and never gives out.

mod objects;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::UnparsedPublicKey;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::{Condvar, Mutex};
use serde::Deserialize;
use zeroize::Zeroizing;

use self::objects::{P256, P384, ecdsa_der, find, identifier, public_key, verification};
use super::hierarchy::is_root_name;
use super::signer::{KeyKind, Scheme};
use super::{Refusal, is_of_family, keys};
use crate::domain::id::random_bytes;

/// How long a signature waits for a session that others use.
const SESSION_WAIT: Duration = Duration::from_secs(20);

/// Most sessions that a pool may have.
const MAX_SESSIONS: u16 = 256;

/// DigestInfo for SHA-256, up to the digest (RFC 8017 section 9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// `[ca.pkcs11]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The PKCS#11 library of the token's maker.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// File with the user's PIN, for the server's user alone (mode 0600).
    pub pin_file: PathBuf,
    /// Sessions that are open at once at most: as many signatures are under way at the same time.
    #[serde(default = "usual_sessions")]
    pub sessions: u16,
    /// Which keys are made on the token: names of issuers, `*` for all of them, `root` for roots.
    #[serde(default = "usual_keys")]
    pub keys: Vec<String>,
}

fn usual_sessions() -> u16 {
    4
}

fn usual_keys() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Settings {
    /// One sentence for each fault, beginning with the key it is about. `issuers` are those of `[ca]`.
    pub(super) fn faults(&self, issuers: &[String]) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.module.is_file() {
            faults.push(format!("pkcs11.module: there is no file {}", self.module.display()));
        }
        if self.token.is_empty() || self.token.len() > 32 {
            faults.push("pkcs11.token: a label has 1 to 32 octets".to_owned());
        }
        if let Err(fault) = read_pin(&self.pin_file) {
            faults.push(format!("pkcs11.pin_file: {fault}"));
        }
        if !(1..=MAX_SESSIONS).contains(&self.sessions) {
            faults.push(format!("pkcs11.sessions: 1 to {MAX_SESSIONS}"));
        }
        for name in &self.keys {
            if name != "*" && name != "root" && !issuers.contains(name) {
                faults.push(format!("pkcs11.keys: \"{name}\" is neither *, nor root, nor one of issuers"));
            }
        }
        faults
    }

    /// Whether a root's or intermediate's key of that name, of whatever generation, is made on the token.
    pub(super) fn holds(&self, name: &str) -> bool {
        if is_root_name(name) {
            return self.keys.iter().any(|key| key == "root");
        }
        self.keys.iter().any(|key| key == "*" || is_of_family(name, key))
    }
}

fn read_pin(path: &Path) -> Result<Zeroizing<String>, Refusal> {
    let text = keys::read(path)?.ok_or_else(|| format!("there is no file {}", path.display()))?;
    keys::refuse_open_mode(path, "0600")?;
    let pin = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if pin.is_empty() { Err(format!("{} is empty", path.display()).into()) } else { Ok(pin) }
}

/// A token with its pool of sessions.
pub(super) struct Token {
    module: Pkcs11,
    settings: Settings,
    pool: Mutex<Pool>,
    freed: Condvar,
    /// Held while a session is opened.
    opening: Mutex<()>,
    /// How often the library was initialised anew: handles of objects are good until then.
    generation: AtomicU64,
}

/// Sessions that nobody uses, and how many are open.
#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    open: u16,
    /// Of the open ones those that somebody uses; the others are idle, or still to be opened.
    in_use: u16,
    /// The SHA-256 of a PIN that the token refused.
    refused_pin: Option<Vec<u8>>,
}

/// A key that the token holds: found by its label, and again after the token was away.
pub(super) struct TokenKey {
    token: Arc<Token>,
    label: String,
    id: Vec<u8>,
    scheme: Scheme,
    /// Its handle, and the generation that this is of.
    handle: Mutex<Option<(u64, ObjectHandle)>>,
}

/// What there is to know of a key on a token.
pub(super) struct Found {
    /// What signs with it.
    pub(super) key: TokenKey,
    /// How it signs.
    pub(super) scheme: Scheme,
    /// The content of `subjectPublicKey`.
    pub(super) public: Vec<u8>,
}

/// Libraries are loaded and initialised once for the process, whatever opens and closes a CA (PKCS#11 section 5.4).
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

fn module(path: &Path) -> Result<Pkcs11, Refusal> {
    let mut modules = MODULES.lock();
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let told = |error: TokenError| format!("the PKCS#11 library {}: {error}", path.display());
    let module = Pkcs11::new(path).map_err(told)?;
    initialize(&module).map_err(told)?;
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn initialize(module: &Pkcs11) -> Result<(), TokenError> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}

/// The name of a key on the token, which it may share with other programs.
fn label(name: &str) -> String {
    format!("chancery {name}")
}

impl Token {
    /// Loads the library, finds the token and logs in, so that a wrong PIN and a missing token show at once.
    pub(super) fn open(settings: &Settings) -> Result<Arc<Self>, Refusal> {
        let module = module(&settings.module)?;
        let token = Arc::new(Self {
            module,
            settings: settings.clone(),
            pool: Mutex::default(),
            freed: Condvar::new(),
            opening: Mutex::default(),
            generation: AtomicU64::new(0),
        });
        token.with_session(|_| Ok(()))?;
        Ok(token)
    }

    /// Its label.
    pub(super) fn label(&self) -> &str {
        &self.settings.token
    }

    /// The key of that name, if the token holds one. Refuses a name that is there twice, and a pair that does not fit.
    pub(super) fn key(self: &Arc<Self>, name: &str) -> Result<Option<Found>, Refusal> {
        let label = label(name);
        let found = self.with_session(|session| {
            let private = find(session, ObjectClass::PRIVATE_KEY, &label, None)?;
            let [private] = private.as_slice() else { return Ok((private.len(), None)) };
            let id = identifier(session, *private)?;
            let public = find(session, ObjectClass::PUBLIC_KEY, &label, Some(&id))?;
            let [public] = public.as_slice() else { return Ok((1, None)) };
            Ok((1, Some((id, public_key(session, *public)?))))
        })?;
        let refuse = |why: &str| Err(format!("the token \"{}\": \"{label}\": {why}", self.label()).into());
        let (id, (scheme, public)) = match found {
            (0, _) => return Ok(None),
            (1, Some((_, None))) => {
                return refuse("not a P-256, P-384 or RSA key with a public part that can be read");
            }
            (1, Some((id, Some(public)))) => (id, public),
            (1, None) => return refuse("the private key has not exactly one public key of the same label and id"),
            (count, _) => return refuse(&format!("{count} private keys have this label; one is to be left")),
        };
        // It is looked for again where it is used: the library may have been initialised anew meanwhile.
        let handle = Mutex::default();
        let key = TokenKey { token: self.clone(), label: label.clone(), id, scheme, handle };
        // The public object is only a copy: whoever can write to the token could have replaced it.
        let proof = random_bytes::<32>();
        let signature = key.sign(&proof)?;
        if UnparsedPublicKey::new(verification(scheme), &public).verify(&proof, &signature).is_err() {
            return refuse("the private key is not the one of its public key");
        }
        Ok(Some(Found { key, scheme, public }))
    }

    /// Makes a key under a name that has none yet. It can never be read out of the token.
    pub(super) fn create_key(self: &Arc<Self>, name: &str, kind: KeyKind) -> Result<Found, Refusal> {
        let (label, id) = (label(name).into_bytes(), random_bytes::<16>().to_vec());
        let of = |more: Vec<Attribute>| {
            [vec![Attribute::Token(true), Attribute::Label(label.clone()), Attribute::Id(id.clone())], more].concat()
        };
        let private = of(vec![
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        let public = vec![Attribute::Private(false), Attribute::Verify(true)];
        let (mechanism, further) = match kind {
            KeyKind::P256 => (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(P256.to_vec())]),
            KeyKind::P384 => (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(P384.to_vec())]),
            KeyKind::Rsa(bits) => (
                Mechanism::RsaPkcsKeyPairGen,
                vec![Attribute::ModulusBits(u64::from(bits).into()), Attribute::PublicExponent(vec![1, 0, 1])],
            ),
            KeyKind::Sm2 => return Err("SM2 keys are kept in files, not on a token".into()),
        };
        let public = of([public, further].concat());
        self.with_session(|session| session.generate_key_pair(&mechanism, &public, &private).map(drop))?;
        self.key(name)?.ok_or_else(|| format!("the token \"{}\" lost the key that it just made", self.label()).into())
    }

    /// Does something with a session; when it fails, once more with a new one, because a token that was away for a
    /// moment leaves sessions and handles behind that are of no use.
    fn with_session<T>(&self, work: impl Fn(&Session) -> Result<T, TokenError>) -> Result<T, Refusal> {
        let session = self.take()?;
        let error = match work(&session) {
            Ok(done) => {
                self.put_back(Some(session));
                return Ok(done);
            }
            Err(error) => error,
        };
        tracing::warn!(token = self.label(), %error, "a session with the token is of no use; another is opened");
        self.discard(session);
        self.drop_idle();
        let again = self.open_session().and_then(|session| match work(&session) {
            Ok(done) => Ok((session, done)),
            Err(error) => {
                self.discard(session);
                Err(self.told("does not answer as it should", error))
            }
        });
        match again {
            Ok((session, done)) => {
                self.put_back(Some(session));
                Ok(done)
            }
            Err(error) => {
                self.put_back(None);
                Err(error)
            }
        }
    }

    /// A session that nobody uses, or a new one if there may be more; waits for one otherwise.
    fn take(&self) -> Result<Session, Refusal> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(session) = pool.idle.pop() {
                pool.in_use += 1;
                return Ok(session);
            }
            if pool.open < self.settings.sessions {
                pool.open += 1;
                drop(pool);
                return self.open_session().inspect_err(|_| self.put_back(None));
            }
            if self.freed.wait_for(&mut pool, SESSION_WAIT).timed_out() {
                return Err(format!("the token \"{}\": no session was free in time", self.label()).into());
            }
        }
    }

    /// Closes the sessions that nobody uses: they are of the kind of one that just failed. As long as one is open the
    /// old login would stay, too.
    fn drop_idle(&self) {
        let mut pool = self.pool.lock();
        let stale = std::mem::take(&mut pool.idle);
        pool.open -= u16::try_from(stale.len()).unwrap_or(pool.open).min(pool.open);
        // Before anybody else may end the library.
        drop(stale);
    }

    /// Takes a session back, or only the place of one that is closed.
    fn put_back(&self, session: Option<Session>) {
        let mut pool = self.pool.lock();
        match session {
            Some(session) => {
                pool.in_use = pool.in_use.saturating_sub(1);
                pool.idle.push(session);
            }
            None => pool.open = pool.open.saturating_sub(1),
        }
        self.freed.notify_one();
    }

    /// Closes a session that is of no use, whose place stays taken.
    fn discard(&self, session: Session) {
        drop(session);
        let mut pool = self.pool.lock();
        pool.in_use = pool.in_use.saturating_sub(1);
    }

    fn open_session(&self) -> Result<Session, Refusal> {
        let _one_at_a_time = self.opening.lock();
        let slot = match self.slot() {
            Err(away) => {
                self.reload().map_err(|error| format!("{away}; {error}"))?;
                self.slot()?
            }
            found => found?,
        };
        let session = self.logged_in(slot)?;
        self.pool.lock().in_use += 1;
        Ok(session)
    }

    /// Initialises the library anew: many look for tokens then and at no other time, so that one that was taken out and put in
    /// again stays away without it. Only while nobody uses a session, which would break off; `opening` is held.
    fn reload(&self) -> Result<(), Refusal> {
        let mut pool = self.pool.lock();
        if pool.in_use > 0 {
            return Err("its library is still in use".into());
        }
        let stale = std::mem::take(&mut pool.idle);
        pool.open = pool.open.saturating_sub(u16::try_from(stale.len()).unwrap_or(u16::MAX));
        drop(stale);
        self.generation.fetch_add(1, Ordering::SeqCst);
        // After a try in vain there is nothing to end.
        let _ = self.module.clone().finalize();
        initialize(&self.module).map_err(|error| self.told("the library can't be initialised anew", error))
    }

    fn logged_in(&self, slot: Slot) -> Result<Session, Refusal> {
        let session =
            self.module.open_rw_session(slot).map_err(|error| self.told("no session could be opened", error))?;
        let pin = read_pin(&self.settings.pin_file)?;
        let hash = digest::digest(&digest::SHA256, pin.as_bytes());
        let file = self.settings.pin_file.display();
        // Tokens lock themselves after some wrong PINs, and signatures are tried again and again.
        if self.pool.lock().refused_pin.as_deref() == Some(hash.as_ref()) {
            return Err(format!(
                "the token \"{}\": the PIN in {file} was refused and is not tried again",
                self.label()
            )
            .into());
        }
        // Copied into a string that is wiped when it is dropped.
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))) {
            // A login is the whole process's (PKCS#11 section 5.6).
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                if matches!(error, TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLocked, _)) {
                    self.pool.lock().refused_pin = Some(hash.as_ref().to_vec());
                }
                Err(self.told(&format!("the login with the PIN in {file} is refused"), error))
            }
        }
    }

    /// The slot whose token has the label; looked for anew for each session, since a token may be put elsewhere.
    fn slot(&self) -> Result<Slot, Refusal> {
        let listed = self.module.get_slots_with_token().map_err(|error| self.told("slots can't be listed", error))?;
        let mut found = Vec::new();
        let mut others = Vec::new();
        for slot in listed {
            match self.module.get_token_info(slot) {
                Ok(token) if token.label() == self.label() => found.push(slot),
                Ok(token) if token.token_initialized() => others.push(format!("\"{}\"", token.label())),
                _ => {}
            }
        }
        match found.as_slice() {
            [slot] => Ok(*slot),
            [] => Err(format!(
                "the token \"{}\" is not there; the library shows: {}",
                self.label(),
                if others.is_empty() { "none".to_owned() } else { others.join(", ") }
            )
            .into()),
            more => Err(format!("{} tokens are called \"{}\"", more.len(), self.label()).into()),
        }
    }

    fn told(&self, what: &str, error: TokenError) -> Refusal {
        format!("the token \"{}\": {what}: {error}", self.label()).into()
    }
}

impl TokenKey {
    /// A signature over a message as it stands in certificates. Blocks until the token has answered.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (mechanism, input) = match self.scheme {
            Scheme::EcdsaSha256 => (Mechanism::Ecdsa, digest::digest(&digest::SHA256, message).as_ref().to_vec()),
            Scheme::EcdsaSha384 => (Mechanism::Ecdsa, digest::digest(&digest::SHA384, message).as_ref().to_vec()),
            _ => {
                let hash = digest::digest(&digest::SHA256, message);
                (Mechanism::RsaPkcs, [&SHA256_DIGEST_INFO[..], hash.as_ref()].concat())
            }
        };
        let signature = self.token.with_session(|session| {
            let signed = self.handle(session).and_then(|handle| session.sign(&mechanism, handle, &input));
            // Handles end with the login.
            signed.inspect_err(|_| *self.handle.lock() = None)
        })?;
        match mechanism {
            Mechanism::Ecdsa => ecdsa_der(&signature)
                .ok_or_else(|| format!("the token \"{}\" gave no ECDSA signature", self.token.label()).into()),
            _ => Ok(signature),
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        format!("token {}", self.token.label())
    }

    fn handle(&self, session: &Session) -> Result<ObjectHandle, TokenError> {
        let generation = self.token.generation.load(Ordering::SeqCst);
        if let Some((_, handle)) = self.handle.lock().filter(|(of, _)| *of == generation) {
            return Ok(handle);
        }
        let found = find(session, ObjectClass::PRIVATE_KEY, &self.label, Some(&self.id))?;
        // The key is away, or the login is: in either case what a handle of old would be answered.
        let handle = *found.first().ok_or(TokenError::InvalidValue)?;
        *self.handle.lock() = Some((generation, handle));
        Ok(handle)
    }
}
