//! The real server as a process of its own, that can be killed at any moment.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::dns::Dns;
use super::target::Target;
use super::wire::{PATIENCE, Wire};

/// Two products with one way of proof, which differ in the CAA identity: what one has proven serves the other after
/// another look at CAA.
const CATALOG: &str = r#"
[[products]]
id = "usual"
title = "Proven by http-01"
issuer = "chancery"
names = { max = 10 }
keys = ["p-256"]
methods = ["http-01"]
validity_days = 90
validation_reuse_days = 30
caa_identities = ["ca.test"]

[[products]]
id = "other"
title = "The same for another CAA identity"
issuer = "chancery"
names = { max = 10 }
keys = ["p-256"]
methods = ["http-01"]
validity_days = 90
validation_reuse_days = 30
caa_identities = ["other.ca.test"]
"#;

/// Where a server is installed: its configuration, its data, its log. Every port is one that is free at the start.
pub struct Installation {
    place: TempDir,
}

impl Installation {
    /// A server that has not run yet, and that will see the world through these two.
    pub fn new(dns: &Dns, web: &Target) -> Self {
        let place = TempDir::new().unwrap();
        let catalog = place.path().join("catalog.toml");
        std::fs::write(&catalog, CATALOG).unwrap();
        let (dns, web) = (dns.addr(), web.port());
        let config = format!(
            r#"
            [server]
            public_url = "https://localhost:14000"
            [pki]
            listen = "127.0.0.1:0"
            public_url = "http://localhost:0"
            [monitor]
            listen = "127.0.0.1:0"
            [acme]
            default_product = "usual"
            validation_tries = 1
            finalize_wait_ms = 20000
            [validation]
            resolvers = ["{dns}"]
            http_port = {web}
            allow_private_addresses = true
            [ca]
            private = true
            [catalog]
            products = "{}"
            "#,
            catalog.display()
        );
        std::fs::write(place.path().join("chancery.toml"), config).unwrap();
        Self { place }
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// The store in it.
    pub fn store(&self) -> PathBuf {
        self.data_dir().join("store")
    }

    /// Starts the server, which is not ready yet when this returns.
    pub fn spawn(&self) -> Process {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.place.path().join("chancery.toml"))
            .arg("--data-dir")
            .arg(self.data_dir())
            .env_remove("CHANCERY_STORE_URL")
            .current_dir(self.place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (tell_ready, ready) = oneshot::channel();
        let (tell_end, ended) = oneshot::channel::<()>();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            if let Some(line) = lines.next() {
                drop(tell_ready.send(line));
            }
            lines.for_each(drop);
            drop(tell_end);
        });
        Process { child, ready: Some(ready), ended, root: self.data_dir().join("root.pem") }
    }

    /// Starts the server and waits until it accepts connections.
    pub async fn start(&self) -> (Process, Wire) {
        let mut process = self.spawn();
        let wire = process.ready().await;
        (process, wire)
    }

    fn log(&self) -> PathBuf {
        self.place.path().join("server.log")
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!("the server's last words:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// A server process; killed when this is dropped.
pub struct Process {
    child: Child,
    ready: Option<oneshot::Receiver<String>>,
    ended: oneshot::Receiver<()>,
    root: PathBuf,
}

impl Process {
    /// Waits until it says `ready`; the way to it.
    pub async fn ready(&mut self) -> Wire {
        let line = timeout(PATIENCE, self.ready.take().expect("asked once")).await.expect("ready in time");
        let line = line.expect("the server ended before it was ready");
        let directory = line.strip_prefix("ready ").unwrap_or_else(|| panic!("not ready: {line}"));
        let base = directory.strip_suffix("/directory").unwrap_or_else(|| panic!("no directory: {line}"));
        Wire::new(base, &self.root)
    }

    /// SIGKILL: the end, at whatever it was doing.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: the server is asked to stop.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        // Nothing is ever sent: the other end of the pipe closes with the process.
        drop(timeout(PATIENCE, &mut self.ended).await.expect("the server ends in time"));
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Says something past the capture of the test's output, so that it is seen when the test succeeds.
pub fn announce(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
