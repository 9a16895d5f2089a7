//! Questions to the DNS, answered as plain data. The only file that knows hickory.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{DnssecSummary, Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use super::reach::Addresses;
use super::trail::{Fault, Trail, clean, root_cause};
use super::{BoxError, Settings};
use crate::domain::{Kind, Problem};

/// A chain of aliases longer than this is taken for a loop.
const MAX_ALIASES: usize = 8;
/// A stub resolver without a cache: a validation must see what is there now.
pub(super) struct Dns {
    handle: Handle,
    options: DnsRequestOptions,
    limit: Duration,
    static_names: BTreeMap<String, IpAddr>,
    dnssec: bool,
    /// How many questions were answered.
    answered: AtomicU64,
}

/// The records of one type that a name has, aliases followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer<T> {
    /// The records; none is an answer too.
    pub records: Vec<T>,
    /// Whether there is such a name at all; false: NXDOMAIN.
    pub exists: bool,
    /// Where aliases led, if there were any.
    pub alias: Option<String>,
}

/// A CAA record (RFC 8659 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaaRecord {
    /// Whether an issuer that does not know the tag must not issue.
    pub critical: bool,
    /// The property's name, as written.
    pub tag: String,
    /// The property's value.
    pub value: Vec<u8>,
}

#[derive(Clone)]
enum Handle {
    Plain(RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>),
    Validating(DnssecDnsHandle<RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>>),
}

impl Dns {
    /// A resolver after the settings; fails when there is no server to ask or the trust anchor can't be read.
    pub fn new(settings: &Settings) -> Result<Self, BoxError> {
        let limit = Duration::from_millis(settings.dns_timeout_ms);
        let servers = match settings.resolvers.as_slice() {
            [] => system_resolvers()?,
            chosen => chosen.to_vec(),
        };
        let mut options = ResolverOpts::default();
        // Two attempts fill the time that one question may take.
        options.timeout = limit / 2;
        options.attempts = 1;
        options.num_concurrent_reqs = 1;
        options.validate = settings.dnssec;
        options.case_randomization = settings.randomize_case;
        let pool = NameServerPool::from_config(
            servers.into_iter().map(name_server),
            Arc::new(PoolContext::new(options, TlsConfig::new()?)),
            TokioRuntimeProvider::default(),
        );
        let handle = RetryDnsHandle::new(pool, 1);
        let handle = match (settings.dnssec, &settings.trust_anchor) {
            (false, _) => Handle::Plain(handle),
            (true, None) => Handle::Validating(DnssecDnsHandle::new(handle)),
            (true, Some(file)) => Handle::Validating(DnssecDnsHandle::with_trust_anchor(handle, trust_anchor(file)?)),
        };
        let mut options = DnsRequestOptions::default();
        options.edns_set_dnssec_ok = settings.dnssec;
        options.case_randomization = settings.randomize_case;
        let key = |name: &str| name.trim_matches('.').to_ascii_lowercase();
        let static_names = settings.static_names.iter().map(|(name, ip)| (key(name), *ip)).collect();
        Ok(Self { handle, options, limit, static_names, dnssec: settings.dnssec, answered: AtomicU64::default() })
    }

    /// The TXT records of a name, the character-strings of each joined (RFC 1035 section 3.3.14).
    pub async fn txt(&self, name: &str, trail: &Trail) -> Result<Answer<Vec<u8>>, Fault> {
        self.records(name, RecordType::TXT, trail).await
    }

    /// The CAA records of a name.
    pub async fn caa(&self, name: &str, trail: &Trail) -> Result<Answer<CaaRecord>, Fault> {
        self.records(name, RecordType::CAA, trail).await
    }

    /// The addresses of a name, IPv6 first; it is a failure if there is none.
    pub async fn addresses(&self, name: &str, trail: &Trail) -> Result<Addresses, Fault> {
        if let Some(ip) = self.static_address(name) {
            trail.note(format!("{name} has the configured address {ip}"));
            return Ok(Addresses { found: vec![ip], configured: true });
        }
        let (v6, v4) = tokio::join!(
            self.records::<IpAddr>(name, RecordType::AAAA, trail),
            self.records::<IpAddr>(name, RecordType::A, trail)
        );
        let found: Vec<IpAddr> = [&v6, &v4].into_iter().flatten().flat_map(|answer| answer.records.clone()).collect();
        if !found.is_empty() {
            return Ok(Addresses { found, configured: false });
        }
        let (v4, v6) = (v4?, v6?);
        let what = if v4.exists || v6.exists { "no A or AAAA record" } else { "no such name (NXDOMAIN)" };
        Err(Fault::passing(Kind::Dns, format!("There is {what} for {name}{}.", v4.via())))
    }

    /// How many questions were answered until now, whoever asked them.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether the resolvers do their work: some question was answered since so many were, or else this one is, which every
    /// resolver can answer: what the name servers of the root are. One question at most, within its time.
    pub async fn works_since(&self, answered: u64) -> bool {
        self.answered() != answered || self.ask(&Name::root(), RecordType::NS).await.is_ok()
    }

    /// What answers are worth, for the evidence.
    pub fn assurance(&self) -> &'static str {
        if self.dnssec { "answers passed DNSSEC validation" } else { "DNSSEC is not validated" }
    }

    /// Whether the configuration says where this name is.
    pub fn is_static(&self, name: &str) -> bool {
        self.static_address(name).is_some()
    }

    fn static_address(&self, name: &str) -> Option<IpAddr> {
        let mut at = Some(name);
        while let Some(suffix) = at {
            if let Some(ip) = self.static_names.get(suffix) {
                return Some(*ip);
            }
            at = suffix.split_once('.').map(|(_, parent)| parent);
        }
        None
    }

    async fn records<T: Held>(&self, name: &str, kind: RecordType, trail: &Trail) -> Result<Answer<T>, Fault> {
        if self.is_static(name) {
            return Ok(Answer { records: Vec::new(), exists: true, alias: None });
        }
        trail.begin(Kind::Dns, format!("asking the DNS for {kind} records of {name}"));
        match self.follow(name, kind).await {
            Ok(answer) => {
                trail.note(format!("{kind} {name}{}: {}", answer.via(), answer.summary()));
                Ok(answer)
            }
            Err(Failure { why, may_heal, .. }) => {
                trail.note(format!("{kind} {name}: {why}"));
                let detail = match kind {
                    // CAA-07: a fault of the zone to be put right, and no permission.
                    RecordType::CAA => format!("CAA of {name} could not be read: {why}. Check the zone (DIAG-15)."),
                    // VAL-17: what the names' own servers are for the most part to blame for.
                    _ if may_heal => format!(
                        "The DNS lookup of {kind} records for {name} failed: {why}. Check your name servers and their \
                         limits on queries (DIAG-11)."
                    ),
                    _ => format!("The DNS lookup of {kind} records for {name} failed: {why}."),
                };
                Err(Fault { problem: Problem::new(Kind::Dns, detail), may_heal })
            }
        }
    }

    /// Asks, and asks again for the target while the answer is only an alias.
    async fn follow<T: Held>(&self, name: &str, kind: RecordType) -> Result<Answer<T>, Failure> {
        let mut at = fqdn(name)?;
        let mut aliases = 0;
        loop {
            self.may_be_asked(&at, aliases > 0)?;
            let response = self.ask(&at, kind).await?;
            let asked = at.clone();
            let records: Vec<T> = picked(&response, &mut at, &mut aliases)?;
            // A recursive server has looked at the target of an alias; an authoritative one leaves it to us. And a
            // validated alias without its target proves nothing of the target, for anyone can cut an answer short.
            let told = !self.is_validating() && (response.recursion_available || response.soa().is_some());
            if records.is_empty() && at != asked && !told {
                continue;
            }
            let exists = !records.is_empty() || response.response_code != ResponseCode::NXDomain;
            let alias = (aliases > 0).then(|| plain(&at));
            return Ok(Answer { records, exists, alias });
        }
    }

    fn is_validating(&self) -> bool {
        matches!(self.handle, Handle::Validating(_))
    }

    /// Names that are never asked for: RFC 6761 section 6.3 (localhost), RFC 7686 section 2 (onion), and targets of
    /// aliases that lead to names of the configuration, whose addresses are dialled without further questions.
    fn may_be_asked(&self, name: &Name, is_alias: bool) -> Result<(), Failure> {
        let text = plain(name);
        let last = text.rsplit('.').next().unwrap_or_default();
        if last == "localhost" || last == "onion" || (is_alias && self.is_static(&text)) {
            return Err(Failure::lasting(format!("{} is never looked up", clean(text.as_bytes()))));
        }
        Ok(())
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, Failure> {
        let response = self.put(name, kind).await;
        if response.as_ref().err().is_none_or(|failure| failure.answered) {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        response
    }

    async fn put(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, Failure> {
        let query = Query::query(name.clone(), kind);
        let (handle, options) = (&self.handle, self.options);
        let asking = async {
            match handle {
                Handle::Plain(handle) => handle.lookup(query, options).first_answer().await,
                Handle::Validating(handle) => handle.lookup(query, options).first_answer().await,
            }
        };
        let response = match tokio::time::timeout(self.limit, asking).await {
            Ok(result) => result.or_else(negative)?,
            Err(_) => return Err(Failure::unanswered(format!("no answer within {} ms", self.limit.as_millis()))),
        };
        judge(response, self.is_validating())
    }
}

/// Lets only real answers through; RFC 8659 section 3 forbids to take a failure for "no records".
fn judge(response: DnsResponse, validating: bool) -> Result<DnsResponse, Failure> {
    match response.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Err(Failure::code(code)),
    }
    if validating {
        // What could not be proven either way (a DS record withheld, say) counts as little as what is bogus.
        let judged = response.answers.iter().filter(|record| record.record_type() != RecordType::RRSIG);
        let doubtful = judged.clone().any(|record| !matches!(record.proof, Proof::Secure | Proof::Insecure));
        if doubtful || DnssecSummary::from_records(response.authorities.iter()) == DnssecSummary::Bogus {
            return Err(Failure::passing("DNSSEC validation failed".to_owned()));
        }
    }
    let refers = response.answers.is_empty()
        && response.soa().is_none()
        && response.authorities.iter().any(|record| record.record_type() == RecordType::NS);
    if refers {
        return Err(Failure::unanswered("the resolver answered with a referral, so it is not a recursive one".into()));
    }
    Ok(response)
}

/// The records of one kind that an answer has of a name, its aliases followed: `at` becomes where they lead, and `aliases`
/// counts them.
fn picked<T: Held>(response: &DnsResponse, at: &mut Name, aliases: &mut usize) -> Result<Vec<T>, Failure> {
    while let Some(target) = response.answers.iter().find_map(|record| alias_of(record, at)) {
        *at = target.clone();
        *aliases += 1;
        if *aliases > MAX_ALIASES {
            return Err(Failure::passing(format!("more than {MAX_ALIASES} aliases (CNAME) in a row")));
        }
    }
    Ok(response.answers.iter().filter(|r| r.name == *at).filter_map(|r| T::pick(&r.data)).collect())
}

/// What can be asked for: how it is read from a record and shown to people.
pub(super) trait Held: Sized {
    /// The value, if the record has it.
    fn pick(data: &RData) -> Option<Self>;
    /// The value as it may stand in a problem or a log.
    fn shown(&self) -> String;
}

impl Held for IpAddr {
    fn pick(data: &RData) -> Option<Self> {
        data.ip_addr()
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Held for Vec<u8> {
    fn pick(data: &RData) -> Option<Self> {
        if let RData::TXT(txt) = data { Some(txt.txt_data.concat()) } else { None }
    }

    fn shown(&self) -> String {
        clean(self)
    }
}

impl Held for CaaRecord {
    fn pick(data: &RData) -> Option<Self> {
        let RData::CAA(caa) = data else { return None };
        Some(Self { critical: caa.issuer_critical, tag: caa.tag.clone(), value: caa.value.clone() })
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

/// As in a zone file, but for the flags, of which only the critical one means anything.
impl fmt::Display for CaaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flags, tag) = (if self.critical { 128 } else { 0 }, clean(self.tag.as_bytes()));
        write!(f, "{flags} {} {}", tag.trim_matches('"'), clean(&self.value))
    }
}

impl<T> Answer<T> {
    /// Where aliases led, as an insertion after the name.
    pub fn via(&self) -> String {
        let to = self.alias.as_ref().map(|to| clean(to.as_bytes()));
        to.map(|to| format!(" (an alias of {})", to.trim_matches('"'))).unwrap_or_default()
    }
}

impl<T: Held> Answer<T> {
    fn summary(&self) -> String {
        const SHOWN: usize = 50;
        let shown: Vec<String> = self.records.iter().take(SHOWN).map(Held::shown).collect();
        match self.records.len() {
            0 if self.exists => "none".to_owned(),
            0 => "no such name".to_owned(),
            1..=SHOWN => shown.join(", "),
            more => format!("{}, and {} more", shown.join(", "), more - SHOWN),
        }
    }
}

/// Why a lookup failed.
struct Failure {
    why: String,
    may_heal: bool,
    /// Whether it is an answer, be it of no use; else the resolver may be to blame.
    answered: bool,
}

impl Failure {
    fn passing(why: String) -> Self {
        Self { why, may_heal: true, answered: true }
    }

    fn lasting(why: String) -> Self {
        Self { may_heal: false, ..Self::passing(why) }
    }

    fn unanswered(why: String) -> Self {
        Self { answered: false, ..Self::passing(why) }
    }

    fn code(code: ResponseCode) -> Self {
        Self::unanswered(format!("the resolver answered {}", format!("{code:?}").to_ascii_uppercase()))
    }
}

/// Hickory tells "no records" as an error; it is an answer.
fn negative(error: NetError) -> Result<DnsResponse, Failure> {
    let why = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let mut message = hickory_resolver::proto::op::Message::query().into_response();
            message.metadata.recursion_available = true;
            message.metadata.response_code = none.response_code;
            message.add_query(*none.query);
            message.add_authorities(none.authorities.iter().flat_map(|records| records.iter().cloned()));
            return DnsResponse::from_message(message)
                .map_err(|error| Failure::passing(format!("its answer is malformed: {error}")));
        }
        // An unsigned zone proves nothing, and its answer counts as any other's.
        NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. }) => return Ok(*response),
        NetError::Dns(DnsError::Nsec { .. } | DnsError::DnssecBogus) => {
            return Err(Failure::passing("DNSSEC validation failed".to_owned()));
        }
        NetError::Dns(DnsError::ResponseCode(code)) => return Err(Failure::code(code)),
        NetError::Timeout => "the resolver did not answer".to_owned(),
        NetError::Io(error) => format!("the resolver can't be reached: {}", root_cause(&*error)),
        other => clean(other.to_string().as_bytes()).trim_matches('"').to_owned(),
    };
    Err(Failure::unanswered(why))
}

fn alias_of<'r>(record: &'r Record, name: &Name) -> Option<&'r Name> {
    match &record.data {
        RData::CNAME(target) if record.name == *name && record.dns_class == DNSClass::IN => Some(&target.0),
        _ => None,
    }
}

/// A name as people write it: without its final dot, in lower case.
fn plain(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned()
}

/// The name with its final dot, which keeps search lists out.
fn fqdn(name: &str) -> Result<Name, Failure> {
    let mut parsed =
        Name::from_ascii(name).map_err(|error| Failure::lasting(format!("it is not a name for the DNS: {error}")))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

fn name_server(addr: SocketAddr) -> NameServerConfig {
    // TCP takes over where an answer is cut off.
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = addr.port();
    }
    NameServerConfig::new(addr.ip(), true, connections)
}

/// The servers of `/etc/resolv.conf`. Its search list and options are for people, not for a CA.
fn system_resolvers() -> Result<Vec<SocketAddr>, BoxError> {
    const FILE: &str = "/etc/resolv.conf";
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .collect();
    if servers.is_empty() {
        return Err(format!("{FILE} names no name server; set validation.resolvers").into());
    }
    Ok(servers)
}

fn trust_anchor(file: &Path) -> Result<Arc<TrustAnchors>, BoxError> {
    let anchors = TrustAnchors::from_file(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Arc::new(anchors))
}

/// What a message of the DNS, as it comes over the wire, says of `name`; none if it is no answer.
#[cfg(any(test, fuzzing))]
pub(super) fn read_message<T: Held>(message: &[u8], name: &str, validating: bool) -> Option<Answer<T>> {
    let response = DnsResponse::from_buffer(message.to_vec()).ok()?;
    let response = judge(response, validating).ok()?;
    let (mut at, mut aliases) = (fqdn(name).ok()?, 0);
    let records: Vec<T> = picked(&response, &mut at, &mut aliases).ok()?;
    let exists = !records.is_empty() || response.response_code != ResponseCode::NXDomain;
    let answer = Answer { records, exists, alias: (aliases > 0).then(|| plain(&at)) };
    assert!(answer.via().len() + answer.summary().len() < 100_000, "what is noted of an answer is short");
    Some(answer)
}
