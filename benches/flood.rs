//! A client's issuance while 5,000 idle and slow connections are held: how long it takes, and how much memory the server has.
//!
//! A fifth of the connections each: idle after the handshake; a handshake that never ends; a header, and a body, that comes
//! octet by octet; and an answer that nobody reads. They come from 50 loopback addresses, and each that the server closes is
//! opened again at once. Meanwhile a client issues certificates, each with a new account over a new connection: while they come
//! in, and when all are there. Exits with 1 when one of the latter took 2 s or more, or the server's resident memory (`VmHWM`)
//! ever was 300 MB or more.
//! `cargo bench --bench flood`.

mod issuing;
#[expect(dead_code, reason = "each bench uses its own part of the load")]
mod load;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use issuing::{dns_server, issue, web_server};
use load::{Account, Server};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How many connections the flood holds.
const FLOOD: usize = 5_000;
/// From how many addresses.
const ADDRESSES: usize = 50;
/// The longest that an issuance may take, and the most memory of the server.
const LONGEST: Duration = Duration::from_secs(2);
const MOST_KB: u64 = 300 * 1024;
/// Between the octets of those that drip.
const DRIP: Duration = Duration::from_secs(2);

/// What the connections of the flood share.
struct Flood {
    address: SocketAddr,
    tls: TlsConnector,
    open: AtomicUsize,
    opened: AtomicUsize,
}

/// A connection that counts as open.
struct Held<'a>(&'a Flood);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn main() -> ExitCode {
    // Both ends of the flood are files of a process, on this side all of them.
    rlimit::increase_nofile_limit(20_000).unwrap();
    let count = std::env::var("CHANCERY_BENCH_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(count))
}

async fn run(count: usize) -> ExitCode {
    let thumbprints: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let web = web_server(thumbprints.clone()).await;
    let dns = dns_server().await;
    let catalog = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pebble-catalog.toml");
    let validation = format!("http_port = {}\nresolvers = [\"{dns}\"]\nallow_private_addresses = true", web.port());
    let server = Server::start(catalog.as_ref(), "default_product = \"default\"", &validation, "sled");
    println!("{:<44} {:>7} {:>9} {:>9} {:>9} {:>11}", "load", "issued", "p50", "p95", "max", "VmHWM");
    measure(&server, &thumbprints, 0..count, "nothing else").await;

    let flood = Arc::new(Flood::against(&server));
    for number in 0..FLOOD {
        let flood = flood.clone();
        tokio::spawn(async move { flood.hold(number).await });
    }
    let arriving = Instant::now();
    // What is measured here is who comes in beside thousands of handshakes, on the processors that make both sides of them.
    measure(&server, &thumbprints, count..count + 3, "5,000 connections coming in at once").await;
    while flood.open.load(Ordering::Relaxed) < FLOOD * 95 / 100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("flood: all there after {:.1} s", arriving.elapsed().as_secs_f64());
    let (worst, peak) = measure(&server, &thumbprints, 2 * count..3 * count, "5,000 idle and slow connections").await;
    let (open, opened) = (flood.open.load(Ordering::Relaxed), flood.opened.load(Ordering::Relaxed));
    println!(
        "flood: {open} connections open at the end, {opened} opened in all; VmRSS {} kB",
        server.memory_kb("VmRSS")
    );
    match worst < LONGEST && peak < MOST_KB {
        true => ExitCode::SUCCESS,
        false => {
            println!("missed: an issuance below {} s and memory below {MOST_KB} kB", LONGEST.as_secs());
            ExitCode::FAILURE
        }
    }
}

/// Issues so many certificates, one after the other. The longest time, and the peak of the server's memory in kB.
async fn measure(
    server: &Server,
    thumbprints: &Mutex<HashMap<String, String>>,
    numbers: Range<usize>,
    label: &str,
) -> (Duration, u64) {
    let count = numbers.len();
    let mut times = Vec::with_capacity(count);
    for number in numbers {
        let began = Instant::now();
        let account = Arc::new(Account::register(server).await);
        let own = format!("a{number}");
        thumbprints.lock().insert(own.clone(), account.thumbprint.clone());
        issue(&mut account.session(), &format!("n.{own}.bench.test")).await;
        times.push(began.elapsed());
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (worst, peak) = (at(1.0), server.memory_kb("VmHWM"));
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{label:<44} {count:>7} {:>6.0} ms {:>6.0} ms {:>6.0} ms {peak:>8} kB",
        millis(at(0.5)),
        millis(at(0.95)),
        millis(worst)
    );
    (worst, peak)
}

impl Flood {
    fn against(server: &Server) -> Self {
        let url = url::Url::parse(server.directory()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(server.root()) {
            roots.add(root.unwrap()).unwrap();
        }
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(tls));
        Self { address, tls, open: AtomicUsize::new(0), opened: AtomicUsize::new(0) }
    }

    /// Holds a connection, and another when the server has closed it.
    async fn hold(&self, number: usize) {
        loop {
            if let Some(stream) = self.connect(number).await {
                self.opened.fetch_add(1, Ordering::Relaxed);
                // Whichever way it ended, the next one follows.
                let _ = self.keep(number % 5, stream).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Counts a connection that the server keeps open, until dropped.
    fn held(&self) -> Held<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    async fn connect(&self, number: usize) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        let last = u8::try_from(2 + number % ADDRESSES).ok()?;
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).ok()?;
        socket.connect(self.address).await.ok()
    }

    async fn keep(&self, manner: usize, mut stream: TcpStream) -> std::io::Result<()> {
        if manner == 0 {
            // The head of a TLS record, and nothing behind it.
            stream.write_all(&[0x16, 3, 1, 2, 0]).await?;
            let _held = self.held();
            return until_closed(&mut stream).await;
        }
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.tls.connect(name, stream).await?;
        let _held = self.held();
        match manner {
            1 => until_closed(&mut stream).await,
            2 => drip(&mut stream, b"GET /directory HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await,
            3 => {
                let head = b"POST /acme/new-order HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n";
                drip(&mut stream, head).await
            }
            // Asks for more answers than fit into the buffers in between, and reads none.
            _ => drip(&mut stream, &b"GET /api/v1/help HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200)).await,
        }
    }
}

/// Reads until the server has closed the connection.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut buffer = [0; 256];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Sends a beginning, then an octet now and then, and reads nothing.
async fn drip(stream: &mut TlsStream<TcpStream>, beginning: &[u8]) -> std::io::Result<()> {
    stream.write_all(beginning).await?;
    loop {
        stream.flush().await?;
        tokio::time::sleep(DRIP).await;
        stream.write_all(b"a").await?;
    }
}
