//! The server's own certificate, which can be replaced while connections are served.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// The certificate and key that TLS handshakes use from now on.
#[derive(Debug)]
pub struct ServerCertificate {
    shown: ArcSwap<CertifiedKey>,
    /// What clients must show; none: nothing.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl ServerCertificate {
    /// A certificate chain, leaf first, with the key of its leaf. Refuses a key that is not the leaf's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, rustls::Error> {
        Ok(Self { shown: ArcSwap::from_pointee(certified(chain, key)?), clients: None })
    }

    /// The same from PEM text, as certificate and key files hold it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, rustls::Error> {
        let (chain, key) = parse_pem(chain, key)?;
        Self::new(chain, key)
    }

    /// The same certificate, for clients alone that show one from below these trust anchors, and that speak TLS 1.3.
    pub fn for_clients_of(self, anchors: RootCertStore) -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider);
        Ok(Self { clients: Some(verifier.build().map_err(io::Error::other)?), ..self })
    }

    /// Handshakes that begin from now on use this chain and key; what was agreed before goes on. When it is refused,
    /// the old certificate stays.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        self.shown.store(Arc::new(certified(chain, key)?));
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

/// Reads a chain and a key from PEM text.
fn parse_pem(
    chain: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rustls::Error> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| rustls::Error::General(format!("the certificate file is not PEM: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| rustls::Error::General(format!("the key file holds no private key in PEM: {error}")))?;
    Ok((chain, key))
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, rustls::Error> {
    if chain.is_empty() {
        return Err(rustls::Error::NoCertificatesPresented);
    }
    // `from_der` compares the key with the leaf's, so a mismatch is found here and not by every client.
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
}

/// What accepts TLS with that certificate: TLS 1.2 and 1.3, HTTP/2 preferred, sessions resumed by tickets. Where clients
/// show certificates: TLS 1.3 alone, and every connection is judged anew.
pub(super) fn acceptor(certificate: Arc<ServerCertificate>) -> io::Result<TlsAcceptor> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = match &certificate.clients {
        None => {
            let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
            builder.map_err(io::Error::other)?.with_no_client_auth().with_cert_resolver(certificate.clone())
        }
        Some(clients) => {
            let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
            builder.with_client_cert_verifier(clients.clone()).with_cert_resolver(certificate.clone())
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    match certificate.clients {
        None => config.ticketer = aws_lc_rs::Ticketer::new().map_err(io::Error::other)?,
        Some(_) => config.send_tls13_tickets = 0,
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}
