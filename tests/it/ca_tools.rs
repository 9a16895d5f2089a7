//! What the tests of the CA share: a CA in a temporary directory, plans, requests, and the openssl command line.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chancery::ca::{Ca, LeafPlan, Settings, csr};
use chancery::domain::csr::Csr;
use chancery::domain::{Identifier, Serial, Timestamp};
use tempfile::TempDir;

pub const PKI: &str = "http://pki.chancery.test:14080";

/// 2026-11-21T12:00:00Z and half a second.
pub const NOW: Timestamp = Timestamp::from_millis(1_795_262_400_500);

pub const DAY: Duration = Duration::from_secs(86_400);

/// The usual settings with a single issuer.
pub fn one_issuer() -> Settings {
    Settings { issuers: vec!["chancery".to_owned()], crl_shards: 1, ..Settings::default() }
}

pub struct TestCa {
    pub ca: Ca,
    pub directory: TempDir,
    pub settings: Settings,
}

impl TestCa {
    pub fn new() -> Self {
        Self::with(Settings { rsa_issuers: false, ..one_issuer() })
    }

    /// With the addresses and names of documentation, which only a private CA certifies.
    pub fn with(settings: Settings) -> Self {
        Self::exactly(Settings { private: true, ..settings })
    }

    pub fn exactly(settings: Settings) -> Self {
        let directory = TempDir::new().unwrap();
        let ca = Ca::open(&directory.path().join("keys"), &settings, PKI, NOW).unwrap();
        Self { ca, directory, settings }
    }

    pub fn keys(&self) -> std::path::PathBuf {
        self.directory.path().join("keys")
    }

    pub fn reopen(&self, settings: &Settings, now: Timestamp) -> Result<Ca, String> {
        Ca::open(&self.keys(), settings, PKI, now).map_err(|error| error.to_string())
    }

    /// Puts a file into the temporary directory; gives its path as text.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Prepares and signs.
    pub fn issue(&self, plan: &LeafPlan) -> chancery::ca::Signed {
        self.ca.sign(self.ca.prepare(plan).unwrap()).unwrap()
    }
}

pub fn names(texts: &[&str]) -> Vec<Identifier> {
    let name = |text: &&str| match text.parse::<std::net::IpAddr>() {
        Ok(ip) => Identifier::Ip(ip),
        Err(_) => Identifier::parse("dns", text).unwrap(),
    };
    texts.iter().map(name).collect()
}

pub fn plan(csr: &Csr, texts: &[&str]) -> LeafPlan {
    LeafPlan {
        serial: Serial::random(),
        issuer: "chancery".to_owned(),
        names: names(texts),
        subject: None,
        common_name: None,
        spki: csr.spki.clone(),
        key: csr.key,
        not_before: NOW.whole_second(),
        not_after: NOW.whole_second() + 90 * DAY - Duration::from_secs(1),
    }
}

pub fn openssl(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is on the PATH");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout) + &text(&output.stderr)),
        false => Err(format!("openssl {}: {}{}", arguments.join(" "), text(&output.stdout), text(&output.stderr))),
    }
}

/// A request in DER by `openssl req`, with a new key made by the arguments `key` and further arguments.
pub fn openssl_request(key: &[&str], further: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key_file, out) = (path("key.pem"), path("csr.der"));
    let mut generate = key.to_vec();
    generate.extend(["-out", &key_file]);
    openssl(&generate).unwrap();
    sign_request(Path::new(&key_file), &out, further)
}

fn sign_request(key: &Path, out: &str, further: &[&str]) -> Vec<u8> {
    let mut request = vec!["req", "-new", "-outform", "DER", "-key", key.to_str().unwrap(), "-out", out];
    if !further.contains(&"-subj") {
        request.extend(["-subj", "/"]);
    }
    request.extend(further);
    openssl(&request).unwrap();
    std::fs::read(out).unwrap()
}

pub const P256: &[&str] = &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub const P384: &[&str] = &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
pub const RSA2048: &[&str] = &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// A parsed request with a new key and no names.
pub fn request(key: &[&str]) -> Csr {
    csr::parse(&openssl_request(key, &[])).unwrap()
}

pub fn pem(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}
