//! HTTPS: both protocols over TLS, silence during the handshake, and a certificate that changes while the server runs.

use std::sync::Arc;

use axum::Router;
use axum::http::Version;
use axum::routing::get;
use chancery::http::{Limits, ServerCertificate};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use crate::http_support::{SOON, TestServer, patient, self_signed, until_closed};

fn routes() -> Router {
    Router::new().route("/version", get(|version: Version| async move { format!("{version:?}") }))
}

/// A client that trusts one certificate and nothing else.
fn client_trusting(pem: &str) -> reqwest::ClientBuilder {
    // Fails when an earlier test did it, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]).no_proxy()
}

async fn server_with(limits: Limits) -> (TestServer, Arc<ServerCertificate>, String) {
    let (chain, key, pem) = self_signed();
    let certificate = Arc::new(ServerCertificate::new(chain, key).unwrap());
    let server = TestServer::start(routes(), limits, Some(Arc::clone(&certificate))).await;
    (server, certificate, pem)
}

fn url(server: &TestServer) -> String {
    format!("https://localhost:{}/version", server.address.port())
}

#[tokio::test]
async fn both_protocols_are_spoken_as_alpn_decides() {
    let (server, _, pem) = server_with(patient()).await;
    for (client, version) in [(client_trusting(&pem), "HTTP/2.0"), (client_trusting(&pem).http1_only(), "HTTP/1.1")] {
        let answer = client.build().unwrap().get(url(&server)).send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"].len(), 22);
        assert_eq!(answer.text().await.unwrap(), version);
    }
}

#[tokio::test]
async fn a_certificate_is_swapped_without_a_restart() {
    let (server, certificate, old) = server_with(patient()).await;
    let (chain, key, new) = self_signed();
    client_trusting(&old).build().unwrap().get(url(&server)).send().await.unwrap();
    certificate.replace(chain, key).unwrap();
    client_trusting(&new).build().unwrap().get(url(&server)).send().await.unwrap();
    client_trusting(&old).build().unwrap().get(url(&server)).send().await.unwrap_err();
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_and_the_old_one_stays() {
    let (server, certificate, old) = server_with(patient()).await;
    let (chain, _, _) = self_signed();
    let (_, key, _) = self_signed();
    certificate.replace(chain, key).unwrap_err();
    client_trusting(&old).build().unwrap().get(url(&server)).send().await.unwrap();
}

#[tokio::test]
async fn silence_instead_of_a_handshake_is_closed() {
    let (server, _, _) = server_with(Limits { tls_timeout: SOON, ..patient() }).await;
    assert_eq!(until_closed(&mut server.connect().await).await, "");
}

#[tokio::test]
async fn half_a_preface_of_http2_over_tls_is_closed() {
    let (server, _, pem) = server_with(Limits { header_timeout: SOON, ..patient() }).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = server.connect().await;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(b"PRI * HTTP").await.unwrap();
    // What comes first are the server's own settings, in binary; that it ends is the point.
    until_closed(&mut stream).await;
}
