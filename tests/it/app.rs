//! The whole server over its sockets: what it shows operators, and its own certificate over time.

use std::sync::Arc;
use std::time::Duration;

use chancery::app::{self, Running};
use chancery::clock::{SystemClock, TestClock};
use chancery::config::Config;
use chancery::domain::Timestamp;
use chancery::{clock::Clock, store};
use reqwest::tls::TlsInfo;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(86_400);

fn config(directory: &TempDir) -> Config {
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.server.data_dir = directory.path().join("data");
    config.server.public_url = "https://localhost:0".to_owned();
    config.server.listen = anywhere;
    config.pki.public_url = "http://localhost:0".to_owned();
    config.pki.listen = anywhere;
    config.monitor.listen = anywhere;
    config
}

async fn running(directory: &TempDir, clock: Arc<dyn Clock>) -> Running {
    app::start(config(directory), clock).await.unwrap()
}

/// A client without connections yet, which takes every certificate.
fn client() -> reqwest::Client {
    // The first test of the process to come here sets it for all.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap()
}

/// The certificate that a new connection is shown, whatever its time.
async fn shown(running: &Running) -> Vec<u8> {
    let answer = client().get(&running.directory_url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

fn validity(der: &[u8]) -> (u64, u64) {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let validity = certificate.validity();
    let seconds = |moment: i64| u64::try_from(moment).unwrap();
    (seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_certificate_comes_from_its_ca_and_is_renewed_before_it_ends() {
    let directory = TempDir::new().unwrap();
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_795_262_400)));
    let running = running(&directory, clock.clone()).await;
    let first = shown(&running).await;
    let (start, end) = validity(&first);
    assert!(start <= clock.now().as_secs() && clock.now().as_secs() < end);
    let (_, certificate) = X509Certificate::from_der(&first).unwrap();
    assert_eq!(certificate.issuer().iter_common_name().next().unwrap().as_str().unwrap(), "Chancery TLS CA 1");

    clock.advance(Duration::from_secs(end - start) / 2);
    assert_eq!(shown(&running).await, first, "nothing is renewed at half its time");
    clock.advance(Duration::from_secs(end - start) / 4);
    let renewed = async {
        loop {
            let now = shown(&running).await;
            if now != first {
                return now;
            }
        }
    };
    let second = tokio::time::timeout(Duration::from_secs(30), renewed).await.expect("not renewed in time");
    assert!(clock.now() < Timestamp::from_secs(end), "the first was still good");
    assert!(validity(&second).1 > end + 10 * DAY.as_secs());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_health_readiness_and_metrics_and_the_store_is_free_after_a_stop() {
    let directory = TempDir::new().unwrap();
    let running = running(&directory, Arc::new(SystemClock)).await;
    let monitor = format!("http://{}", running.monitor);
    for path in ["healthz", "readyz"] {
        assert_eq!(client().get(format!("{monitor}/{path}")).send().await.unwrap().status(), 200, "{path}");
    }
    shown(&running).await;
    let metrics = client().get(format!("{monitor}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = "chancery_http_requests_total{method=\"GET\",route=\"/directory\",status=\"200\"}";
    assert!(metrics.contains(line), "{metrics}");
    running.stop().await.unwrap();
    let settings = store::Settings { path: config(&directory).store_settings().path, ..store::Settings::default() };
    assert!(store::check(&settings).unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_listener_refuses_still_brings_a_nonce_and_the_way_to_the_directory() {
    let directory = TempDir::new().unwrap();
    let running = running(&directory, Arc::new(SystemClock)).await;
    let url = running.directory_url.replace("/directory", "/acme/new-account");
    let most = config(&directory).server.max_body_bytes;
    let request = client().post(url).header("content-type", "application/jose+json").body(vec![b'a'; most + 1]);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 413);
    // RFC 8555 section 6.5: error responses carry a nonce too; section 7.1: every resource but the directory links to it.
    assert!(answer.headers().contains_key("replay-nonce"));
    assert_eq!(answer.headers()["link"], format!("<{}>;rel=\"index\"", running.directory_url));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    running.stop().await.unwrap();
}
