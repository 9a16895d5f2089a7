//! tls-alpn-01: the digest of the key authorization in a certificate shown to `acme-tls/1` (RFC 8737, RFC 8738).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs as provider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::asn1_rs::{FromDer, Sequence};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::dns::Dns;
use super::reach::{self, Addresses};
use super::trail::{Fault, Trail, clean, root_cause};
use super::{BoxError, Settings, Task};
use crate::domain::{Identifier, Kind};

const PROTOCOL: &[u8] = b"acme-tls/1";
/// id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31, DER without tag and length.
const ACME_IDENTIFIER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];

/// The TLS client of all validations.
pub(super) struct Tls {
    connector: TlsConnector,
    port: u16,
    allow_private: bool,
    connect_timeout: Duration,
    /// What is said after a failed connection.
    advice: String,
}

impl Tls {
    /// A client that offers `acme-tls/1` and nothing else (RFC 8737 section 3).
    pub fn new(settings: &Settings) -> Result<Self, BoxError> {
        Ok(Self {
            connector: TlsConnector::from(Arc::new(any_certificate(&[PROTOCOL])?)),
            port: settings.tls_port,
            allow_private: settings.allow_private_addresses,
            connect_timeout: settings.connect_timeout(),
            advice: reach::advice(&settings.source_addresses),
        })
    }

    /// Looks whether the server shows the certificate that proves control.
    pub async fn look(&self, dns: &Dns, task: &Task, trail: &Trail) -> Result<(), Fault> {
        let (server_name, addresses) = match &task.identifier {
            Identifier::Dns(name) => (name.to_string(), dns.addresses(name.as_str(), trail).await?),
            Identifier::Ip(ip) => (reverse_name(*ip), Addresses::literal(*ip)),
        };
        let host = task.identifier.to_string();
        let candidates = reach::vet(&host, &addresses, self.allow_private, trail)?;
        let (stream, addr) = self.connect(&host, &candidates, trail).await?;
        trail.begin(Kind::Tls, format!("shaking hands with {addr} for {host}"));
        let shown = self.handshake(stream, &server_name).await;
        let place = format!("The server of {host} at {addr}");
        let certificate = shown.map_err(|(kind, why)| {
            trail.note(format!("TLS with {addr}, server name {server_name}: {why}"));
            Fault::passing(kind, format!("{place} {why}."))
        })?;
        trail.note(format!(
            "TLS with {addr}, server name {server_name}: acme-tls/1, a certificate of SHA-256 {}",
            hex(digest::digest(&digest::SHA256, &certificate).as_ref())
        ));
        judge(&certificate, &task.identifier, &task.key_authorization)
            .map_err(|why| Fault::passing(Kind::Unauthorized, format!("{place} shows a certificate that {why}.")))
    }

    /// Connects to the first of the addresses that takes a connection.
    async fn connect(&self, host: &str, to: &[IpAddr], trail: &Trail) -> Result<(TcpStream, SocketAddr), Fault> {
        let mut failed = Fault::passing(Kind::Dns, format!("There is no address for {host}."));
        for ip in to {
            let addr = SocketAddr::new(*ip, self.port);
            trail.begin(Kind::Connection, format!("connecting to {addr} for {host}"));
            let why = match tokio::time::timeout(self.connect_timeout, TcpStream::connect(addr)).await {
                Ok(Ok(stream)) => return Ok((stream, addr)),
                Ok(Err(error)) => root_cause(&error),
                Err(_) => "timed out".to_owned(),
            };
            trail.note(format!("connecting to {addr}: {why}"));
            let detail = format!("Connecting to {host} at {addr} failed: {why}. {}", self.advice);
            failed = Fault::passing(Kind::Connection, detail);
        }
        Err(failed)
    }

    /// The certificate that the server shows.
    async fn handshake(&self, stream: TcpStream, server_name: &str) -> Result<CertificateDer<'static>, (Kind, String)> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| (Kind::Malformed, format!("can't be asked for by the name {server_name}")))?;
        let mut stream = self.connector.connect(name, stream).await.map_err(|error| {
            (Kind::Tls, format!("did not complete the TLS handshake for acme-tls/1: {}", root_cause(&error)))
        })?;
        // RFC 8737 section 4: no data is sent, the connection ends here. How the peer takes it is its affair.
        let _ = stream.shutdown().await;
        let (_, session) = stream.get_ref();
        // RFC 8737 section 3.
        if session.alpn_protocol() != Some(PROTOCOL) {
            return Err((Kind::Tls, "speaks TLS but did not choose the application protocol acme-tls/1".to_owned()));
        }
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        shown.cloned().ok_or_else(|| (Kind::Tls, "shows no certificate".to_owned()))
    }
}

/// Judges the certificate (RFC 8737 section 3); the error is what follows "a certificate that".
pub(super) fn judge(certificate: &[u8], identifier: &Identifier, key_authorization: &str) -> Result<(), String> {
    let certificate = parse(certificate).ok_or("can't be parsed")?;
    let san = certificate.subject_alternative_name().map_err(|_| "has a malformed subjectAltName")?;
    let names = san.map_or(&[][..], |san| san.value.general_names.as_slice());
    let [name] = names else {
        return Err(format!("has {} names instead of {identifier} alone", names.len()));
    };
    let right = match (identifier, name) {
        (Identifier::Dns(wanted), GeneralName::DNSName(shown)) => shown.eq_ignore_ascii_case(wanted.as_str()),
        (Identifier::Ip(IpAddr::V4(wanted)), GeneralName::IPAddress(shown)) => *shown == wanted.octets(),
        (Identifier::Ip(IpAddr::V6(wanted)), GeneralName::IPAddress(shown)) => *shown == wanted.octets(),
        _ => false,
    };
    if !right {
        let shown = match name {
            GeneralName::DNSName(shown) => clean(shown.as_bytes()),
            GeneralName::IPAddress(shown) => format!("the address {}", hex(shown)),
            _ => "of another kind".to_owned(),
        };
        return Err(format!("has the name {shown} instead of {identifier}"));
    }
    let mut extensions = certificate.extensions().iter().filter(|e| e.oid.as_bytes() == ACME_IDENTIFIER);
    let (Some(extension), None) = (extensions.next(), extensions.next()) else {
        return Err("does not have exactly one acmeIdentifier extension".to_owned());
    };
    if !extension.critical {
        return Err("has an acmeIdentifier extension that is not critical".to_owned());
    }
    // An OCTET STRING of 32 bytes has but one DER form, and nothing may follow it.
    let digest = digest::digest(&digest::SHA256, key_authorization.as_bytes());
    if extension.value != [&[0x04, 0x20], digest.as_ref()].concat() {
        let (shown, wanted) = (hex(extension.value), hex(digest.as_ref()));
        let shown: String = shown.chars().take(200).collect();
        return Err(format!("has {shown} as its acmeIdentifier instead of 0420{wanted}"));
    }
    Ok(())
}

/// RFC 8738 section 6: the name below in-addr.arpa or ip6.arpa stands for the address in SNI.
fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|byte| [byte & 0xf, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

/// A TLS client that takes any certificate, from TLS 1.2 on (RFC 8737 section 4).
pub(super) fn any_certificate(protocols: &[&[u8]]) -> Result<ClientConfig, BoxError> {
    let provider = Arc::new(provider::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { algorithms }))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // A resumed session would show the certificate of an earlier look.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Whether an error comes from TLS rather than from the connection below it.
pub(super) fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        // An I/O error hides the error that it carries from `source`.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || carried.is_some_and(|carried| is_tls(carried)) {
            return true;
        }
        at = error.source();
    }
    false
}

/// Takes any certificate whose key signed the handshake. Rustls' own functions refuse certificates with critical
/// extensions that they don't know, and acmeIdentifier is one.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = parse(certificate).ok_or(CertificateError::BadEncoding)?;
        let key = certificate.public_key();
        let algorithm = key_algorithm(key.raw).ok_or(CertificateError::BadEncoding)?;
        let candidates = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        let valid = candidates.flat_map(|(_, algorithms)| algorithms.iter()).any(|candidate| {
            *candidate.public_key_alg_id() == *algorithm
                && candidate.verify_signature(&key.subject_public_key.data, message, signed.signature()).is_ok()
        });
        if valid { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = parse(certificate).ok_or(CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The content of the AlgorithmIdentifier in a SubjectPublicKeyInfo.
fn key_algorithm(spki: &[u8]) -> Option<Vec<u8>> {
    let (_, spki) = Sequence::from_der(spki).ok()?;
    let (_, algorithm) = Sequence::from_der(&spki.content).ok()?;
    Some(algorithm.content.into_owned())
}

/// A certificate with nothing behind it.
pub(super) fn parse(certificate: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(certificate).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_are_those_of_the_dns() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse_name("2001:db8::1".parse().unwrap()),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
