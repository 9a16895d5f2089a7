//! Where webhooks may lead: a host is looked up once, and only what was found fit is dialled, so that no second lookup can
//! bring another address (DNS rebinding).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::domain::identifier::is_special_purpose;

/// Gives the client the addresses of a host that may be dialled.
pub(super) struct Vetted {
    pub allow_private: bool,
}

/// A host has no address that may be dialled. Which it has is for the log alone: customers are told, and must not learn how
/// names are resolved inside the operator's network.
#[derive(Debug)]
pub(super) struct Shut;

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host's address is not public")
    }
}

impl std::error::Error for Shut {}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, allow_private) = (name.as_str().to_owned(), self.allow_private);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let (open, shut): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|addr| allow_private || !is_special_purpose(addr.ip()));
            match (open.is_empty(), shut.first()) {
                (true, Some(addr)) => {
                    // RFC 6890
                    tracing::warn!(host, ip = %addr.ip(), "a webhook leads to a special-purpose address");
                    Err(Shut.into())
                }
                _ => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

/// An address that a URL names itself is not looked up; it is judged here.
pub(super) fn vet_literal(url: &Url, allow_private: bool) -> Result<(), Shut> {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if allow_private || !is_special_purpose(ip) { Ok(()) } else { Err(Shut) }
}
