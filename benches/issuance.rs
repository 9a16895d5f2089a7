//! Whole issuances against a child server: how many a second, and what each costs the server.
//!
//! Every certificate is ordered over HTTPS with an ES256 account, validated by http-01 and CAA over loopback DNS, and
//! signed for a fresh P-256 key; every commit is flushed. The load shares the machine with the server, so what the load
//! costs is part of the rate; the server's own CPU time is read from the kernel. `cargo bench --bench issuance`.

#[expect(dead_code, reason = "each bench uses its own part of the load")]
mod load;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load::{Account, Server, Session, b64, text};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

fn main() {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    let seconds = std::env::var("CHANCERY_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let engine = std::env::var("CHANCERY_BENCH_ENGINE").unwrap_or_else(|_| "sled".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Duration::from_secs(seconds), &engine));
}

async fn run(length: Duration, engine: &str) {
    let thumbprints: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let web = web_server(thumbprints.clone()).await;
    let dns = dns_server().await;
    let catalog = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pebble-catalog.toml");
    let validation = format!("http_port = {}\nresolvers = [\"{dns}\"]\nallow_private_addresses = true", web.port());
    let server = Server::start(catalog.as_ref(), "default_product = \"default\"", &validation, engine);
    println!("engine {engine}, {} s each, load and server on the same cores", length.as_secs());
    println!("{:<34} {:>10} {:>12} {:>9} {:>9}", "load", "issued/s", "server CPU", "p50", "p99");
    for (clients, shared) in [(1, false), (8, false), (64, false), (64, true)] {
        let mut accounts = Vec::new();
        for number in 0..if shared { 1 } else { clients } {
            let account = Account::register(&server).await;
            thumbprints.lock().insert(format!("a{number}"), account.thumbprint.clone());
            accounts.push(Arc::new(account));
        }
        let label = match shared {
            true => format!("{clients} at once, one account"),
            false => format!("{clients} clients, an account each"),
        };
        measure(&server, &accounts, clients, length, &label).await;
    }
}

async fn measure(server: &Server, accounts: &[Arc<Account>], clients: usize, length: Duration, label: &str) {
    let issued = Arc::new(AtomicUsize::new(0));
    let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (cpu, began) = (server.cpu(), Instant::now());
    let load = (0..clients).map(|client| {
        let (issued, times) = (issued.clone(), times.clone());
        let number = client % accounts.len();
        let account = accounts[number].clone();
        tokio::spawn(async move {
            let mut session = account.session();
            while began.elapsed() < length {
                let name = format!("n{}.a{number}.bench.test", issued.fetch_add(1, Ordering::Relaxed));
                let start = Instant::now();
                issue(&mut session, &name).await;
                times.lock().push(start.elapsed());
            }
        })
    });
    let load: Vec<_> = load.collect();
    for task in load {
        task.await.expect("an issuance failed");
    }
    let (cpu, wall) = (server.cpu() - cpu, began.elapsed());
    let mut times = std::mem::take(&mut *times.lock());
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{label:<34} {:>10.0} {:>9.2} ms {:>6.1} ms {:>6.1} ms",
        times.len() as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / times.len() as f64,
        at(0.5),
        at(0.99),
    );
}

/// Order, authorization, challenge, poll, finalize, download: what a real client does.
async fn issue(session: &mut Session, name: &str) {
    let new_order = text(&session.account.directory["newOrder"]).to_owned();
    let asked = format!(r#"{{"identifiers":[{{"type":"dns","value":"{name}"}}]}}"#);
    let order = session.json(&new_order, &asked).await;
    let authz_url = text(&order["authorizations"][0]).to_owned();
    let authz = session.json(&authz_url, "").await;
    let offers = authz["challenges"].as_array().unwrap();
    let offer = offers.iter().find(|offer| offer["type"] == "http-01").unwrap();
    session.json(text(&offer["url"]), "{}").await;
    let mut authz = session.json(&authz_url, "").await;
    while authz["status"] == "pending" {
        authz = session.json(&authz_url, "").await;
    }
    assert_eq!(authz["status"], "valid", "{authz}");
    let payload = format!(r#"{{"csr":"{}"}}"#, b64(csr(name)));
    let order = session.json(text(&order["finalize"]), &payload).await;
    assert_eq!(order["status"], "valid", "{order}");
    let (_, chain) = session.post(text(&order["certificate"]), "").await;
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
}

fn csr(name: &str) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(&key).unwrap().der().to_vec()
}

/// Answers every http-01 request with the thumbprint of the account that the host's second label names.
async fn web_server(thumbprints: Arc<Mutex<HashMap<String, String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let thumbprints = thumbprints.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 2048];
                let mut length = 0;
                while !request[..length].ends_with(b"\r\n\r\n") {
                    match stream.read(&mut request[length..]).await {
                        Ok(read) if read > 0 => length += read,
                        _ => return,
                    }
                }
                let head = String::from_utf8_lossy(&request[..length]).to_ascii_lowercase();
                let host = head.split("\r\nhost:").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("");
                let account = host.trim().split('.').nth(1).unwrap_or("").to_owned();
                let path = String::from_utf8_lossy(&request[..length]);
                let token = path.split_whitespace().nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or("");
                let body = format!("{token}.{}", thumbprints.lock().get(&account).cloned().unwrap_or_default());
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

/// Answers A with 127.0.0.1 and everything else with no data, as a resolver would.
async fn dns_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let question = &packet[12..length];
            let Some(name) = question.iter().position(|byte| *byte == 0) else { continue };
            let question = &question[..name + 5];
            let is_a = question[name + 1..name + 3] == [0, 1];
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(question);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}
