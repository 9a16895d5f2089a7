//! A signed DNS on loopback: one zone from the root down, with its own key as the trust anchor.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_server::proto::dnssec::rdata::{DNSKEY, DNSSECRData};
use hickory_server::proto::dnssec::{DnssecSigner, SigningKey};
use hickory_server::proto::op::Message;
use hickory_server::proto::rr::rdata::{NS, SOA};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// The server; it stops when this is dropped.
pub struct SignedDns {
    addr: SocketAddr,
    anchor: tempfile::NamedTempFile,
    _server: Server<Catalog>,
}

impl SignedDns {
    /// Serves these records, signed, and then these others, added to the zone without a signature.
    pub async fn start(signed: &[(&str, RData)], forged: &[(&str, RData)]) -> Self {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        let public = key.to_public_key().unwrap();
        let dnskey = DNSKEY::from_key(&public);
        let anchor = format!(". 3600 IN DNSKEY 257 3 15 {}\n", STANDARD.encode(public.into_inner()));

        let mut zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            Name::root(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
            Some(NxProofKind::Nsec),
        );
        let host = || Name::from_ascii("ns.invalid.").unwrap();
        let soa = RData::SOA(SOA::new(host(), host(), 1, 3600, 3600, 3600, 60));
        zone.upsert_mut(Record::from_rdata(Name::root(), 60, soa), 0);
        zone.upsert_mut(Record::from_rdata(Name::root(), 60, RData::NS(NS(host()))), 0);
        for (name, data) in signed {
            zone.upsert_mut(record(name, data), 0);
        }
        let signer = DnssecSigner::new(dnskey, Box::new(key), Name::root(), Duration::from_secs(3600));
        zone.add_zone_signing_key_mut(signer).unwrap();
        zone.secure_zone_mut().unwrap();
        for (name, data) in forged {
            zone.upsert_mut(record(name, data), 2);
        }

        let mut catalog = Catalog::new();
        catalog.upsert(Name::root().into(), vec![Arc::new(zone)]);
        let mut server = Server::new(catalog);
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let addr = tcp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 4096);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), anchor).unwrap();
        Self { addr, anchor: file, _server: server }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The file with the key that the zone is signed with.
    pub fn trust_anchor(&self) -> PathBuf {
        self.anchor.path().to_owned()
    }
}

/// Someone between the resolver and us, who hands on answers without the records of one type (UDP only).
pub struct Cutter {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Cutter {
    /// Cuts records of `kind` out of the answers of `upstream`, signatures included.
    pub async fn start(upstream: SocketAddr, kind: RecordType) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let beyond = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        beyond.connect(upstream).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (len, peer) = socket.recv_from(&mut buffer).await.unwrap();
                beyond.send(&buffer[..len]).await.unwrap();
                let len = beyond.recv(&mut buffer).await.unwrap();
                let mut answer = Message::from_vec(&buffer[..len]).unwrap();
                answer.metadata.recursion_available = true;
                answer.answers.retain(|record| match &record.data {
                    RData::DNSSEC(DNSSECRData::RRSIG(signature)) => signature.input().type_covered != kind,
                    _ => record.record_type() != kind,
                });
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        Self { addr, _tasks: tasks }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn record(name: &str, data: &RData) -> Record {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    Record::from_rdata(name, 60, data.clone())
}
