//! `chancery.toml`: each module's own settings under one roof, unknown keys refused, secrets redacted.
//!
//! The only place that reads the environment.

mod check;
mod document;
mod files;
mod perspective;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

pub use files::ReadCatalog;
pub use perspective::PerspectiveConfig;

use crate::{ca, http, post, ra, store, telemetry, va};

/// Where the file is looked for when none is named.
const USUAL_FILE: &str = "config/chancery.toml";
/// What holds when there is no file: the shipped one, which shows every default.
const BUILT_IN: &str = include_str!("../config/chancery.toml");

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The main listener: ACME, REST, console.
    pub server: Server,
    /// The listener for CRLs, OCSP and issuer certificates.
    pub pki: Pki,
    /// The listener for operators.
    pub monitor: Monitor,
    /// Where records are kept.
    pub store: store::Settings,
    /// How orders are carried out.
    pub acme: ra::Settings,
    /// `website` of the directory. Written in the file as `acme.website`.
    #[serde(skip)]
    pub website: Option<String>,
    /// How the world is looked at; see also `Config::validation_settings`.
    pub validation: va::Settings,
    /// Whether names at and below `localhost` are this machine. Written in the file as `validation.localhost_names`.
    #[serde(skip)]
    pub localhost_names: LocalhostNames,
    /// The issuing CA.
    pub ca: ca::Settings,
    /// The product catalogue's files.
    pub catalog: Catalog,
    /// Payments.
    pub billing: Billing,
    /// Rate limits.
    pub limits: ra::limits::Settings,
    /// How messages go out; see also `Config::post_settings`.
    pub notices: post::Settings,
    /// The log.
    pub log: telemetry::Settings,
    /// The file that this was read from and its SHA-256, for the audit log; none for what no file says.
    #[serde(skip)]
    pub digest: Option<(String, String)>,
    /// What the file says, by its keys, for the audit log.
    #[serde(skip)]
    pub written: BTreeMap<String, String>,
}

/// `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Which of the nodes over one store this is; the only one is 0.
    pub node: u16,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What clients put before every path: scheme, host, port if it is not 443.
    pub public_url: String,
    /// Where keys, store, root and operator token are kept.
    pub data_dir: PathBuf,
    /// A certificate from elsewhere for this listener.
    pub tls: Option<Tls>,
    /// Connections open at the same time on each listener.
    pub max_connections: usize,
    /// Of these from one address; 0: all.
    pub max_connections_per_address: usize,
    /// Seconds for the header of a request, and for a client that says nothing at all.
    pub header_timeout_s: u64,
    /// Seconds without a request after which a connection is closed.
    pub idle_timeout_s: u64,
    /// Seconds for the body of a request.
    pub body_timeout_s: u64,
    /// Seconds that a client may take to receive an answer.
    pub answer_timeout_s: u64,
    /// Megabytes of bodies that may be on their way at the same time, on each listener.
    pub max_buffered_mb: usize,
    /// Largest body of a request, bytes.
    pub max_body_bytes: usize,
    /// Seconds that running requests get when the server stops.
    pub stop_timeout_s: u64,
}

/// `[server.tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file: the chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file: the leaf's private key.
    pub key: PathBuf,
}

/// `[pki]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pki {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What certificates put before the paths of CRL, OCSP and issuer.
    pub public_url: String,
}

/// `[monitor]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Monitor {
    /// Where to listen.
    pub listen: SocketAddr,
}

/// `[catalog]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Catalog {
    /// The products.
    pub products: PathBuf,
    /// Names that are refused or reviewed.
    pub names: PathBuf,
    /// Lists of keys known to be weak or compromised.
    pub weak_keys: Vec<PathBuf>,
}

/// `[billing]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Billing {
    /// The file with the secret that payment providers sign with; none: no payments are taken by webhook.
    pub webhook_secret_file: Option<PathBuf>,
}

/// Whether names at and below `localhost` are taken to be this machine without asking DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalhostNames {
    /// Yes if the main listener can only be reached from this machine and its public URL says so too (behind a proxy it
    /// does not); then nobody else can use it to look inside.
    #[default]
    Auto,
    /// Yes.
    Yes,
    /// No.
    No,
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, from 1, when it is known.
    pub line: Option<usize>,
    /// The key with its tables, as in `server.listen`; empty when the text as a whole is meant.
    pub key: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Config {
    /// Reads and checks a file: the one named, else `config/chancery.toml` if there is one, else the built-in defaults.
    /// All faults are found at once.
    pub fn load(file: Option<&Path>) -> Result<Self, Vec<Fault>> {
        let usual = Path::new(USUAL_FILE);
        match file.or_else(|| usual.exists().then_some(usual)) {
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| vec![Fault::new(&name, "", format!("the file cannot be read: {error}"))])?;
                Self::parse(&text, &name)
            }
            None => Self::parse(BUILT_IN, "built-in defaults"),
        }
    }

    /// Reads and checks the text of a file; `name` is what faults call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, Vec<Fault>> {
        let (mut config, document) = document::read(text, name)?;
        if let Some(url) = environment("CHANCERY_STORE_URL") {
            config.store.url = Some(url);
        }
        config.digest = Some((name.to_owned(), files::sha256(text)));
        config.written = written::settings(text);
        let faults = config.check().into_iter().map(|fault| document.locate(fault)).collect::<Vec<_>>();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Moves the main listener. A `public_url` on this machine moves along, so that `--listen` (and port 0, once the
    /// listener is bound) needs no second setting.
    pub fn listen_at(&mut self, address: SocketAddr) {
        self.server.public_url = moved(&self.server.public_url, self.server.listen, address);
        self.server.listen = address;
    }

    /// The same for the pki listener.
    pub fn pki_listen_at(&mut self, address: SocketAddr) {
        self.pki.public_url = moved(&self.pki.public_url, self.pki.listen, address);
        self.pki.listen = address;
    }

    /// The validator's settings, with `localhost` among the static names where `localhost_names` says so. What the file
    /// itself says of `localhost` stays.
    pub fn validation_settings(&self) -> va::Settings {
        let mut settings = self.validation.clone();
        if self.knows_localhost() {
            settings.static_names.entry("localhost".to_owned()).or_insert(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        settings
    }

    /// The CA's settings: names below `localhost` are certified where they are known to be this machine.
    pub fn ca_settings(&self) -> ca::Settings {
        ca::Settings { localhost_names: self.knows_localhost(), ..self.ca.clone() }
    }

    fn knows_localhost(&self) -> bool {
        match self.localhost_names {
            LocalhostNames::Auto => self.server.listen.ip().is_loopback() && is_this_machine(&self.server.public_url),
            LocalhostNames::Yes => true,
            LocalhostNames::No => false,
        }
    }

    /// The store's settings, its directory in the data directory unless the file says otherwise.
    pub fn store_settings(&self) -> store::Settings {
        let path = match self.store.path.as_os_str().is_empty() {
            true => self.server.data_dir.join("store"),
            false => self.store.path.clone(),
        };
        store::Settings { path, ..self.store.clone() }
    }

    /// The sender's settings, its spool in the data directory unless the file says otherwise.
    pub fn post_settings(&self) -> post::Settings {
        let spool = match self.notices.spool.as_os_str().is_empty() {
            true => self.server.data_dir.join("spool"),
            false => self.notices.spool.clone(),
        };
        post::Settings { spool, ..self.notices.clone() }
    }

    /// What connections to any listener may take.
    pub fn http_limits(&self) -> http::Limits {
        http::Limits {
            max_connections: self.server.max_connections,
            max_connections_per_address: self.server.max_connections_per_address,
            header_timeout: Duration::from_secs(self.server.header_timeout_s),
            idle_timeout: Duration::from_secs(self.server.idle_timeout_s),
            body_timeout: Duration::from_secs(self.server.body_timeout_s),
            answer_timeout: Duration::from_secs(self.server.answer_timeout_s),
            max_buffered_bytes: self.server.max_buffered_mb << 20,
            max_body_bytes: self.server.max_body_bytes,
            stop_timeout: Duration::from_secs(self.server.stop_timeout_s),
            ..http::Limits::default()
        }
    }
}

/// The operator token that the command line may be given out of sight of other users.
pub fn token_from_environment() -> Option<String> {
    environment("CHANCERY_TOKEN")
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `url` with the port of `to`, if it names this machine and the port of `from`.
fn moved(url: &str, from: SocketAddr, to: SocketAddr) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    if !is_this_machine(url)
        || parsed.port_or_known_default() != Some(from.port())
        || parsed.set_port(Some(to.port())).is_err()
    {
        return url.to_owned();
    }
    parsed.as_str().trim_end_matches('/').to_owned()
}

/// Whether the host of a URL can only be this machine.
fn is_this_machine(url: &str) -> bool {
    let Ok(parsed) = Url::parse(url) else { return false };
    match parsed.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// 127.0.0.1 at a port.
fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Default for Server {
    fn default() -> Self {
        let limits = http::Limits::default();
        Self {
            node: 0,
            listen: loopback(14000),
            public_url: "https://localhost:14000".to_owned(),
            data_dir: PathBuf::from("chancery-data"),
            tls: None,
            max_connections: limits.max_connections,
            max_connections_per_address: limits.max_connections_per_address,
            header_timeout_s: limits.header_timeout.as_secs(),
            idle_timeout_s: limits.idle_timeout.as_secs(),
            body_timeout_s: limits.body_timeout.as_secs(),
            answer_timeout_s: limits.answer_timeout.as_secs(),
            max_buffered_mb: limits.max_buffered_bytes >> 20,
            max_body_bytes: limits.max_body_bytes,
            stop_timeout_s: limits.stop_timeout.as_secs(),
        }
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self { listen: loopback(14080), public_url: "http://localhost:14080".to_owned() }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self { listen: loopback(14090) }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self { products: "config/catalog.toml".into(), names: "config/names.toml".into(), weak_keys: Vec::new() }
    }
}

impl Fault {
    /// A fault of a key, its line not known yet.
    pub fn new(file: &str, key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, key: key.into(), reason: reason.into() }
    }
}

/// `file:line: key: reason`, one line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.reason.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests;
