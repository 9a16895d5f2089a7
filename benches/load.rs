//! What the benches against a child server share: the server, and accounts that sign requests.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Octets as base64url.
pub fn b64(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The server as a child process, in a directory of its own.
pub struct Server {
    child: Child,
    directory: String,
    root: Vec<u8>,
    _data: tempfile::TempDir,
}

impl Server {
    /// Starts with this catalogue and these further lines of configuration.
    pub fn start(catalog: &Path, acme: &str, validation: &str, engine: &str) -> Self {
        let data = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config = data.path().join("chancery.toml");
        let catalog = catalog.display();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://localhost:0\"\n\
             [pki]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://localhost:0\"\n\
             [monitor]\nlisten = \"127.0.0.1:0\"\n[store]\nengine = \"{engine}\"\n\
             [acme]\n{acme}\n[log]\nlevel = \"warn\"\n[validation]\n{validation}\n\
             [catalog]\nproducts = \"{catalog}\"\n[limits]\nenabled = false\n[ca]\nprivate = true\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let directory = line.trim().strip_prefix("ready ").expect("the server did not start").to_owned();
        let root = std::fs::read(data.path().join("data/root.pem")).unwrap();
        Self { child, directory, root, _data: data }
    }

    /// Where clients begin.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// What clients trust, PEM.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// A figure of the kernel about the server's memory, in kB: `VmRSS`, or `VmHWM` for the peak of it.
    pub fn memory_kb(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// CPU time of the server so far, user and system.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux that this runs on.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ACME account of the load.
pub struct Account {
    http: reqwest::Client,
    key: EcdsaKeyPair,
    jwk: Value,
    pub thumbprint: String,
    pub directory: Value,
    kid: String,
    nonce: String,
}

/// One of the account's clients, with its own chain of nonces.
pub struct Session {
    pub account: Arc<Account>,
    nonce: String,
}

impl Account {
    pub async fn register(server: &Server) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        let jwk = json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y });
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = b64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes()));
        let roots = reqwest::Certificate::from_pem_bundle(&server.root).unwrap();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only(roots).http1_only().build().unwrap();
        let directory: Value = http.get(&server.directory).send().await.unwrap().json().await.unwrap();
        let nonce = http.head(text(&directory["newNonce"])).send().await.unwrap();
        let nonce = nonce.headers()["replay-nonce"].to_str().unwrap().to_owned();
        let mut account = Self { http, key, jwk, thumbprint, directory, kid: String::new(), nonce };
        let url = text(&account.directory["newAccount"]).to_owned();
        let answer = account.send(&account.nonce, &url, r#"{"termsOfServiceAgreed":true}"#).await;
        assert_eq!(answer.status(), 201);
        account.kid = answer.headers()["location"].to_str().unwrap().to_owned();
        account
    }

    /// What names it in requests.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn session(self: &Arc<Self>) -> Session {
        Session { account: self.clone(), nonce: String::new() }
    }

    async fn send(&self, nonce: &str, url: &str, payload: &str) -> reqwest::Response {
        let mut header = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match self.kid.is_empty() {
            true => header["jwk"] = self.jwk.clone(),
            false => header["kid"] = json!(self.kid),
        }
        let (protected, payload) = (b64(header.to_string()), b64(payload));
        let signed = self.key.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).unwrap();
        let body = json!({ "protected": protected, "payload": payload, "signature": b64(signed) }).to_string();
        let request = self.http.post(url).header("content-type", "application/jose+json").body(body);
        request.send().await.unwrap()
    }
}

impl Session {
    pub async fn post(&mut self, url: &str, payload: &str) -> (String, String) {
        if self.nonce.is_empty() {
            let url = text(&self.account.directory["newNonce"]).to_owned();
            let answer = self.account.http.head(url).send().await.unwrap();
            self.nonce = answer.headers()["replay-nonce"].to_str().unwrap().to_owned();
        }
        let answer = self.account.send(&self.nonce, url, payload).await;
        self.nonce = answer.headers()["replay-nonce"].to_str().unwrap().to_owned();
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {body}");
        (location.unwrap_or_default(), body)
    }

    pub async fn json(&mut self, url: &str, payload: &str) -> Value {
        serde_json::from_str(&self.post(url, payload).await.1).unwrap()
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
