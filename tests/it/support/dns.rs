//! A DNS server on loopback (UDP and TCP) that answers as a recursive resolver answers a stub.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_server::proto::op::{Edns, Message, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CAA, CNAME, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// The server; it stops when this is dropped. Names are given without a trailing dot, in any case; `*.` is a wildcard.
pub struct Dns {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _tasks: JoinSet<()>,
}

/// How a name fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Answers SERVFAIL.
    ServFail,
    /// Answers REFUSED.
    Refused,
    /// Never answers.
    Drop,
}

#[derive(Default)]
struct Zone {
    records: BTreeMap<(String, RecordType), Vec<RData>>,
    failures: BTreeMap<(String, Option<RecordType>), Failure>,
    trouble: Option<Failure>,
    default_address: Option<IpAddr>,
    leaves_aliases: bool,
    lowers_case: bool,
    queries: Vec<String>,
    spellings: BTreeSet<String>,
}

impl Dns {
    /// Starts an empty server: every name is NXDOMAIN.
    pub async fn start() -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // The UDP port of the same number may be another process's.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let addr = tcp.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, zone.clone()));
        tasks.spawn(serve_tcp(tcp, zone.clone()));
        Self { addr, zone, _tasks: tasks }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Adds an A record.
    pub fn a(&self, name: &str, ip: &str) -> &Self {
        self.add(name, RData::A(A(ip.parse().unwrap())))
    }

    /// Adds an AAAA record.
    pub fn aaaa(&self, name: &str, ip: &str) -> &Self {
        self.add(name, RData::AAAA(AAAA(ip.parse().unwrap())))
    }

    /// Adds a TXT record; a long value is split into strings of 255 bytes.
    pub fn txt(&self, name: &str, value: &str) -> &Self {
        let pieces: Vec<&str> = value.as_bytes().chunks(255).map(|c| std::str::from_utf8(c).unwrap()).collect();
        self.txt_pieces(name, if pieces.is_empty() { &[""] } else { &pieces })
    }

    /// Adds a TXT record of these character-strings.
    pub fn txt_pieces(&self, name: &str, pieces: &[&str]) -> &Self {
        self.add(name, RData::TXT(TXT::new(pieces.iter().map(|&piece| piece.to_owned()).collect())))
    }

    /// Takes away all TXT records of a name.
    pub fn clear_txt(&self, name: &str) -> &Self {
        self.zone.lock().records.remove(&(key(name), RecordType::TXT));
        self
    }

    /// Adds a CNAME record.
    pub fn cname(&self, name: &str, target: &str) -> &Self {
        self.add(name, RData::CNAME(CNAME(fqdn(target))))
    }

    /// Adds a CAA record.
    pub fn caa(&self, name: &str, flags: u8, tag: &str, value: &str) -> &Self {
        let mut caa = CAA::new_issue(flags & 0x80 != 0, None, Vec::new());
        caa.reserved_flags = flags & 0x7f;
        caa.tag = tag.to_owned();
        caa.value = value.as_bytes().to_vec();
        self.add(name, RData::CAA(caa))
    }

    /// Takes away everything known of a name, failures included.
    pub fn clear(&self, name: &str) -> &Self {
        let mut zone = self.zone.lock();
        zone.records.retain(|(owner, _), _| *owner != key(name));
        zone.failures.retain(|(owner, _), _| *owner != key(name));
        drop(zone);
        self
    }

    /// Makes every question about a name fail.
    pub fn fail(&self, name: &str, failure: Failure) -> &Self {
        self.zone.lock().failures.insert((key(name), None), failure);
        self
    }

    /// Makes the questions of one type ("A", "TXT", "CAA", ..) about a name fail.
    pub fn fail_type(&self, name: &str, kind: &str, failure: Failure) -> &Self {
        self.zone.lock().failures.insert((key(name), Some(kind.parse().unwrap())), failure);
        self
    }

    /// Makes every question about whatever fails, or no more.
    pub fn fail_everything(&self, failure: Option<Failure>) -> &Self {
        self.zone.lock().trouble = failure;
        self
    }

    /// Every name without records then has this address.
    pub fn default_address(&self, ip: &str) -> &Self {
        self.zone.lock().default_address = Some(ip.parse().unwrap());
        self
    }

    /// Answers then hold only the first alias, and the stub has to ask for its target.
    pub fn leave_aliases_to_the_stub(&self) -> &Self {
        self.zone.lock().leaves_aliases = true;
        self
    }

    /// Answers then repeat the question in lower case, as some appliances do.
    pub fn lower_case_of_questions(&self) -> &Self {
        self.zone.lock().lowers_case = true;
        self
    }

    /// The questions so far, such as `TXT _acme-challenge.example.com` or `TXT big.example over TCP`.
    pub fn queries(&self) -> Vec<String> {
        self.zone.lock().queries.clone()
    }

    /// The names asked for so far, each as it was spelt.
    pub fn spellings(&self) -> BTreeSet<String> {
        self.zone.lock().spellings.clone()
    }

    fn add(&self, name: &str, data: RData) -> &Self {
        self.zone.lock().records.entry((key(name), data.record_type())).or_default().push(data);
        self
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    loop {
        // On some systems an ICMP error of an earlier answer surfaces here; it is of no concern.
        let Ok((len, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = zone.lock().answer(&buffer[..len], false);
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_stream(stream, zone.clone()));
    }
}

async fn serve_stream(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) {
    while let Ok(len) = stream.read_u16().await {
        let mut question = vec![0; len.into()];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let answer = zone.lock().answer(&question, true);
        if let Some(answer) = answer {
            let mut framed = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
            framed.extend(answer);
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

impl Zone {
    fn answer(&mut self, bytes: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(bytes).ok()?;
        let mut query = question.queries.first()?.clone();
        let (name, kind) = (key(&query.name().to_ascii()), query.query_type());
        self.spellings.insert(query.name().to_ascii());
        self.queries.push(format!("{kind} {name}{}", if tcp { " over TCP" } else { "" }));

        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = !self.leaves_aliases;
        match self.resolve(name, kind) {
            Ok((records, code)) => {
                answer.add_answers(records);
                answer.metadata.response_code = code;
            }
            Err(Failure::Drop) => return None,
            Err(Failure::ServFail) => answer.metadata.response_code = ResponseCode::ServFail,
            Err(Failure::Refused) => answer.metadata.response_code = ResponseCode::Refused,
        }
        if self.lowers_case {
            query.name = query.name.to_lowercase();
        }
        answer.add_query(query);
        if question.edns.is_some() {
            answer.set_edns(Edns::new());
        }
        let encoded = answer.to_vec().unwrap();
        let room = question.edns.as_ref().map_or(512, Edns::max_payload).min(1232);
        if tcp || encoded.len() <= room.into() { Some(encoded) } else { Some(answer.truncate().to_vec().unwrap()) }
    }

    fn resolve(&self, mut name: String, kind: RecordType) -> Result<(Vec<Record>, ResponseCode), Failure> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let mut answer = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let failure = [None, Some(kind)].iter().find_map(|kind| self.failures.get(&(name.clone(), *kind)));
            if let Some(failure) = failure {
                return Err(*failure);
            }
            let owner = fqdn(&name);
            let record = |data: &RData| Record::from_rdata(owner.clone(), 60, data.clone());
            let source = self.source_of(&name);
            if let Some(found) = self.records.get(&(source.clone(), kind)) {
                answer.extend(found.iter().map(record));
                return Ok((answer, ResponseCode::NoError));
            }
            match self.records.get(&(source, RecordType::CNAME)).map(Vec::as_slice) {
                Some([alias, ..]) if seen.insert(name.clone()) => {
                    answer.push(record(alias));
                    let RData::CNAME(target) = alias else { unreachable!("kept under its type") };
                    if self.leaves_aliases {
                        return Ok((answer, ResponseCode::NoError));
                    }
                    name = key(&target.0.to_ascii());
                }
                // A loop.
                Some([_, ..]) => return Err(Failure::ServFail),
                _ => break,
            }
        }
        let source = self.source_of(&name);
        let exists = self.exists(&source);
        let owned = self.records.keys().any(|(owner, _)| *owner == source);
        match (self.default_address, kind) {
            (Some(IpAddr::V4(ip)), RecordType::A) if !owned => {
                answer.push(Record::from_rdata(fqdn(&name), 60, RData::A(A(ip))));
            }
            (Some(IpAddr::V6(ip)), RecordType::AAAA) if !owned => {
                answer.push(Record::from_rdata(fqdn(&name), 60, RData::AAAA(AAAA(ip))));
            }
            (None, _) if !exists => return Ok((answer, ResponseCode::NXDomain)),
            _ => {}
        }
        Ok((answer, ResponseCode::NoError))
    }

    fn exists(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.records.keys().any(|(owner, _)| owner == name || owner.ends_with(&below))
    }

    /// Where a name's records stand: at itself, or at the wildcard below its nearest ancestor that exists (RFC 4592).
    fn source_of(&self, name: &str) -> String {
        let mut at = name;
        while !self.exists(at) {
            let Some((_, parent)) = at.split_once('.') else { return name.to_owned() };
            at = parent;
        }
        let wildcard = format!("*.{at}");
        if at != name && self.exists(&wildcard) { wildcard } else { name.to_owned() }
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn fqdn(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}
