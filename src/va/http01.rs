//! http-01: the key authorization in a file of the name's web server (RFC 8555 section 8.3, VAL-19 to VAL-25).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONNECTION, HOST, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect, retry};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::{Host, Url};

use super::dns::Dns;
use super::reach::{self, Addresses};
use super::trail::{Fault, Trail, clean, root_cause};
use super::{BoxError, Settings, Task, tlsalpn01};
use crate::domain::{DnsName, Identifier, Kind};

/// RFC 8555 section 10.4: a limit on redirects.
const MAX_REDIRECTS: usize = 10;
/// Most bytes of a body that are looked at. A key authorization has fewer than 100.
pub(super) const MAX_BODY: usize = 4096;
/// Most addresses of a name that are tried one by one.
const MOST_TRIED: usize = 8;
/// Longest URL that a redirect may lead to.
const MAX_URL: usize = 2000;

tokio::task_local! {
    /// The one address that the request under way may dial.
    static DIAL: SocketAddr;
}

/// The web client of all validations.
pub(super) struct Http {
    client: Client,
    http_port: u16,
    https_port: u16,
    allow_private: bool,
    follow_redirects: bool,
    connect_timeout: Duration,
    /// What is said after a failed connection.
    advice: String,
}

/// Where a file is asked for: its URL, and the addresses of the host that may be dialled, best first.
#[derive(Debug)]
pub(super) struct Place {
    pub url: Url,
    pub candidates: Vec<IpAddr>,
}

/// Gives reqwest the address that was judged fit, so that no second lookup can bring another (DNS rebinding).
struct Vetted;

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let vetted =
            DIAL.try_with(|addr| *addr).map_err(|_| BoxError::from(format!("{} was not vetted", name.as_str())));
        Box::pin(std::future::ready(vetted.map(|addr| Box::new(std::iter::once(addr)) as Addrs)))
    }
}

/// What came back for one URL.
struct Seen {
    status: StatusCode,
    /// Where a redirect leads.
    location: Option<String>,
    body: Vec<u8>,
    /// Whether there was more than `MAX_BODY`.
    cut: bool,
    from: SocketAddr,
}

impl Http {
    /// A client that opens a connection for each request, follows nothing, repeats nothing and knows no proxy.
    pub fn new(settings: &Settings) -> Result<Self, BoxError> {
        let client = Client::builder()
            .user_agent("chancery")
            // RFC 8555 section 10.2: a redirect to https tells nothing that http would not, so any certificate does.
            .tls_backend_preconfigured(tlsalpn01::any_certificate(&[])?)
            .dns_resolver(Arc::new(Vetted))
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(settings.connect_timeout())
            .build()?;
        Ok(Self {
            client,
            http_port: settings.http_port,
            https_port: settings.tls_port,
            allow_private: settings.allow_private_addresses,
            follow_redirects: settings.follow_redirects,
            connect_timeout: settings.connect_timeout(),
            advice: reach::advice(&settings.source_addresses),
        })
    }

    /// Where the file of a challenge is.
    pub async fn locate(&self, dns: &Dns, task: &Task, trail: &Trail) -> Result<Place, Fault> {
        self.place(dns, start(&task.identifier, &task.token)?, trail).await
    }

    /// Looks whether the name's web server shows the key authorization; gives the number of redirects that led to it.
    pub async fn look(&self, dns: &Dns, task: &Task, place: &Place, trail: &Trail) -> Result<usize, Fault> {
        let mut seen = self.fetch(place, trail).await?;
        let mut url = place.url.clone();
        for redirects in 0..=MAX_REDIRECTS {
            if !seen.status.is_redirection() {
                return judge(&url, &seen, &task.key_authorization).map(|()| redirects);
            }
            url = self.next(&url, &seen)?;
            if redirects < MAX_REDIRECTS {
                refuse_static(dns, &url)?;
                seen = self.fetch(&self.place(dns, url.clone(), trail).await?, trail).await?;
            }
        }
        Err(Fault::passing(
            Kind::Connection,
            format!("{} led to more than {MAX_REDIRECTS} redirects.", shown(&place.url)),
        ))
    }

    /// Those of a name's addresses that take no connection, and how many there are. What may not be dialled is not tried.
    pub async fn deaf(
        &self,
        dns: &Dns,
        identifier: &Identifier,
        trail: &Trail,
    ) -> Result<(Vec<SocketAddr>, usize), Fault> {
        let addresses = match identifier {
            Identifier::Dns(name) => dns.addresses(name.base(), trail).await?,
            Identifier::Ip(ip) => Addresses::literal(*ip),
        };
        let configured = addresses.configured;
        let one = |ip| {
            reach::vet(&identifier.to_string(), &Addresses { found: vec![ip], configured }, self.allow_private, trail)
        };
        let open: Vec<IpAddr> =
            addresses.found.into_iter().take(MOST_TRIED).filter_map(|ip| one(ip).ok()).flatten().collect();
        let tried = open.iter().map(|ip| (SocketAddr::new(*ip, self.http_port), self.connect_timeout));
        let mut trying: JoinSet<_> = tried.map(connects).collect();
        let mut deaf = Vec::new();
        while let Some(Ok((addr, why))) = trying.join_next().await {
            trail.note(format!("connecting to {addr}: {}", why.as_deref().unwrap_or("it takes connections")));
            deaf.extend(why.map(|_| addr));
        }
        deaf.sort();
        Ok((deaf, open.len()))
    }

    async fn place(&self, dns: &Dns, url: Url, trail: &Trail) -> Result<Place, Fault> {
        let (host, addresses) = match url.host() {
            Some(Host::Ipv4(ip)) => (ip.to_string(), Addresses::literal(ip.into())),
            Some(Host::Ipv6(ip)) => (ip.to_string(), Addresses::literal(ip.into())),
            Some(Host::Domain(name)) => (name.to_owned(), dns.addresses(known_name(dns, name)?, trail).await?),
            None => return Err(Fault::lasting(Kind::Connection, format!("{} names no host.", shown(&url)))),
        };
        let candidates = reach::vet(&host, &addresses, self.allow_private, trail)?;
        Ok(Place { url, candidates })
    }

    async fn fetch(&self, Place { url, candidates }: &Place, trail: &Trail) -> Result<Seen, Fault> {
        let port = self.port(url)?;
        let mut failed = None;
        for ip in candidates {
            let addr = SocketAddr::new(*ip, port);
            trail.begin(Kind::Connection, format!("fetching {} from {addr}", shown(url)));
            match self.request(url, addr).await {
                Ok(seen) => {
                    trail.note(format!("GET {} from {addr}: {}", shown(url), seen.summary()));
                    return Ok(seen);
                }
                Err(error) => {
                    let why = if error.is_timeout() { "timed out".to_owned() } else { root_cause(&error) };
                    trail.note(format!("GET {} from {addr}: {why}", shown(url)));
                    // RFC 8555 section 8.3 leaves the choice of address to us: IPv6 first, and IPv4 where nothing
                    // took the connection. A server that took it has had its say.
                    let again = error.is_connect();
                    failed = Some(self.fetch_fault(url, addr, &why, &error));
                    if !again {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| Fault::passing(Kind::Dns, format!("There is no address for {}.", shown(url)))))
    }

    async fn request(&self, url: &Url, addr: SocketAddr) -> reqwest::Result<Seen> {
        let mut target = url.clone();
        let literal = !matches!(url.host(), Some(Host::Domain(_)));
        if literal {
            // reqwest dials the address and the port of such a URL itself.
            let _ = target.set_port(Some(addr.port()));
        }
        let mut request = self.client.get(target).header(CONNECTION, "close");
        if literal {
            // RFC 8738 section 5: the Host header is the address alone.
            request = request.header(HOST, url.host_str().unwrap_or_default());
        }
        let exchange = async {
            let response = request.send().await?;
            Seen::read(response, addr).await
        };
        DIAL.scope(addr, exchange).await
    }

    /// The port that a URL stands for: 80 and 443 are where the settings say.
    fn port(&self, url: &Url) -> Result<u16, Fault> {
        match (url.scheme(), url.port()) {
            ("http", None) => Ok(self.http_port),
            ("https", None) => Ok(self.https_port),
            // Baseline Requirements 3.2.2.4.19: redirects lead to authorized ports only.
            ("http" | "https", Some(port)) if port == self.http_port || port == self.https_port => Ok(port),
            ("http" | "https", Some(port)) => Err(Fault::passing(
                Kind::Connection,
                format!(
                    "The redirect to {} leads to port {port}; only {} and {} are allowed.",
                    shown(url),
                    self.http_port,
                    self.https_port
                ),
            )),
            (scheme, _) => Err(Fault::passing(
                Kind::Connection,
                format!(
                    "The redirect to {} leads to the scheme {}; only http and https are allowed.",
                    shown(url),
                    clean(scheme.as_bytes())
                ),
            )),
        }
    }

    /// Where a redirect leads, if it is one that may be followed.
    fn next(&self, url: &Url, seen: &Seen) -> Result<Url, Fault> {
        let refuse = |kind: Kind, why: &str| {
            let target = match &seen.location {
                Some(location) => format!(" to {}", clean(location.as_bytes())),
                None => String::new(),
            };
            let detail = format!("{} at {} answered {}{target}; {why}.", shown(url), seen.from, seen.status.as_u16());
            Err(Fault::passing(kind, detail))
        };
        if !self.follow_redirects {
            // VAL-20: no redirect of any kind.
            let to = seen.location.as_ref().map_or("nowhere".to_owned(), |location| clean(location.as_bytes()));
            let (url, status) = (shown(url), seen.status.as_u16());
            let detail = format!(
                "{url} at {} redirects ({status}) to {to}; redirects are not followed, the content must come directly. \
                 Compare with what `wget -S {url}` shows (DIAG-03).",
                seen.from
            );
            return Err(Fault::passing(Kind::IncorrectResponse, detail));
        }
        // Baseline Requirements 3.2.2.4.19.
        if !matches!(seen.status.as_u16(), 301 | 302 | 307 | 308) {
            return refuse(Kind::Unauthorized, "only redirects with 301, 302, 307 or 308 are followed");
        }
        let Some(location) = &seen.location else {
            return refuse(Kind::IncorrectResponse, "a redirect needs a Location");
        };
        if location.len() > MAX_URL {
            return refuse(Kind::IncorrectResponse, "its Location is too long");
        }
        let Ok(mut next) = url.join(location) else {
            return refuse(Kind::IncorrectResponse, "its Location is not a URL");
        };
        next.set_fragment(None);
        if next.password().is_some() || !next.username().is_empty() {
            return refuse(Kind::Connection, "its Location carries a user name");
        }
        self.port(&next).map(|_| next)
    }

    fn fetch_fault(&self, url: &Url, addr: SocketAddr, why: &str, error: &reqwest::Error) -> Fault {
        let kind = if tlsalpn01::is_tls(error) { Kind::Tls } else { Kind::Connection };
        let detail = if error.is_connect() {
            format!("Connecting to {} at {addr} failed: {why}. {}", shown(url), self.advice)
        } else {
            // VAL-20: the address must answer with status 200 and the content.
            format!("Fetching {} at {addr} failed: {why}; a plain HTTP answer is needed (VAL-20).", shown(url))
        };
        Fault::passing(kind, detail)
    }
}

/// Why an address takes no connection; none if it does.
async fn connects((addr, within): (SocketAddr, Duration)) -> (SocketAddr, Option<String>) {
    let why = match tokio::time::timeout(within, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(root_cause(&error)),
        Err(_) => Some("timed out".to_owned()),
    };
    (addr, why)
}

impl Seen {
    async fn read(mut response: Response, from: SocketAddr) -> reqwest::Result<Self> {
        // Baseline Requirements 3.2.2.4.19: the final value of the Location header counts.
        let location = response.headers().get_all(LOCATION).iter().next_back();
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut seen = Self { status: response.status(), location, body: Vec::new(), cut: false, from };
        if seen.status.is_redirection() {
            return Ok(seen);
        }
        while let Some(chunk) = response.chunk().await? {
            let room = MAX_BODY - seen.body.len();
            seen.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                seen.cut = true;
                break;
            }
        }
        Ok(seen)
    }

    fn summary(&self) -> String {
        match &self.location {
            Some(location) => format!("{} to {}", self.status.as_u16(), clean(location.as_bytes())),
            None => {
                let more = if self.cut { "more than " } else { "" };
                format!("{}, {more}{} bytes", self.status.as_u16(), self.body.len())
            }
        }
    }
}

/// RFC 8555 section 8.3: the first request is plain http. For addresses see RFC 8738 section 5.
fn start(identifier: &Identifier, token: &str) -> Result<Url, Fault> {
    let host = match identifier {
        Identifier::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        other => other.to_string(),
    };
    let url = Url::parse(&format!("http://{host}/.well-known/acme-challenge/{token}")).ok();
    // A name such as 0x7f.0x1 is an address in a URL, and whoever has that address does not have the name.
    let same = |url: &Url| match (identifier, url.host()) {
        (Identifier::Dns(name), Some(Host::Domain(host))) => name.as_str() == host,
        (Identifier::Ip(IpAddr::V4(ip)), Some(Host::Ipv4(host))) => *ip == host,
        (Identifier::Ip(IpAddr::V6(ip)), Some(Host::Ipv6(host))) => *ip == host,
        _ => false,
    };
    url.filter(same)
        .ok_or_else(|| Fault::lasting(Kind::Malformed, format!("{identifier} can't be the host of a URL for http-01.")))
}

/// The names that the configuration gives addresses to are for those who ask for them, not for strangers' redirects.
fn refuse_static(dns: &Dns, url: &Url) -> Result<(), Fault> {
    match url.host() {
        Some(Host::Domain(name)) if dns.is_static(name) => {
            Err(Fault::lasting(Kind::Connection, format!("{} is not a place to be redirected to.", shown(url))))
        }
        _ => Ok(()),
    }
}

/// The host of a redirect must be a name that could be certified, or one of the configuration.
fn known_name<'n>(dns: &Dns, name: &'n str) -> Result<&'n str, Fault> {
    match DnsName::parse(name) {
        Ok(parsed) if !parsed.is_wildcard() => Ok(name),
        _ if dns.is_static(name) => Ok(name),
        Ok(_) => Err(Fault::passing(Kind::Dns, format!("{} can't be looked up.", clean(name.as_bytes())))),
        Err(error) => Err(Fault::passing(Kind::Dns, error.into_problem().detail)),
    }
}

fn judge(url: &Url, seen: &Seen, key_authorization: &str) -> Result<(), Fault> {
    let refuse = |why: String| Err(Fault::passing(Kind::IncorrectResponse, why));
    let place = format!("{} at {}", shown(url), seen.from);
    // VAL-20, VAL-25: 200 alone tells the file. Baseline Requirements 3.2.2.4.19 would take other successes too.
    if seen.status != StatusCode::OK {
        let status = seen.status.as_u16();
        let body = clean(&seen.body);
        return refuse(format!("{place} returned status {status}; 200 is needed. Its body is {body} (DIAG-02)."));
    }
    // VAL-21. RFC 8555 section 8.3: white space at the end is of no account.
    let found = match seen.body.trim_ascii_end() {
        _ if seen.cut => format!("more than {MAX_BODY} bytes"),
        body if body == key_authorization.as_bytes() => return Ok(()),
        _ => clean(&seen.body),
    };
    refuse(format!(
        "Content of {place} does not equal the expected value: it is {found} instead of the key authorization \
         \"{key_authorization}\" (DIAG-04)."
    ))
}

/// A URL as it may stand in a problem.
pub(super) fn shown(url: &Url) -> String {
    clean(url.as_str().as_bytes()).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_that_of_the_name_or_the_address() {
        let url = |kind: &str, value: &str| {
            Identifier::parse(kind, value).ok().and_then(|identifier| start(&identifier, "t").ok()).map(String::from)
        };
        let expected = |host: &str| Some(format!("http://{host}/.well-known/acme-challenge/t"));
        assert_eq!(url("dns", "www.example.com"), expected("www.example.com"));
        assert_eq!(url("dns", "xn--bcher-kva.example"), expected("xn--bcher-kva.example"));
        assert_eq!(url("ip", "1.1.1.1"), expected("1.1.1.1"));
        assert_eq!(url("ip", "2a00::1"), expected("[2a00::1]"));
        for name in ["0x01.0x01010101", "1.1.1.0x1", "example.0xff"] {
            assert_eq!(url("dns", name), None, "{name}");
        }
    }
}
