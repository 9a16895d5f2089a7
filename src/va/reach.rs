//! Which addresses may be dialled.

use std::net::IpAddr;

use super::trail::{Fault, Trail};
use crate::domain::Kind;
use crate::domain::identifier::is_special_purpose;

/// Where a host is, before anyone has judged whether it may be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The addresses, IPv6 first.
    pub found: Vec<IpAddr>,
    /// Whether the operator wrote them into the configuration.
    pub configured: bool,
}

impl Addresses {
    /// The address that a URL or an identifier names.
    pub fn literal(ip: IpAddr) -> Self {
        Self { found: vec![ip], configured: false }
    }
}

/// The addresses to try: the first IPv6 address that may be dialled, then the first such IPv4 address.
///
/// RFC 8555 section 10.4: a validator that can be pointed at inner addresses is a way into the CA's network.
pub(super) fn vet(host: &str, addresses: &Addresses, allow_private: bool, trail: &Trail) -> Result<Vec<IpAddr>, Fault> {
    let free = allow_private || addresses.configured;
    let (open, shut): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.found.iter().partition(|ip| free || !is_special_purpose(**ip));
    for ip in &shut {
        trail.note(format!("{ip} of {host} may not be dialled: it is a special-purpose address"));
    }
    let first = |v6: bool| open.iter().find(|ip| ip.is_ipv6() == v6).copied();
    let chosen: Vec<IpAddr> = first(true).into_iter().chain(first(false)).collect();
    match (chosen.is_empty(), shut.first()) {
        (true, Some(ip)) => Err(Fault::lasting(
            Kind::Connection,
            format!(
                "{host} has the address {ip}, which is private, loopback or otherwise special-purpose (RFC 6890); this \
                 server connects to public addresses only."
            ),
        )),
        _ => Ok(chosen),
    }
}

/// What helps when a connection fails (VAL-26, DIAG-06); `sources` are the addresses that validations come from.
pub(super) fn advice(sources: &[IpAddr]) -> String {
    let sources: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
    let allowed = match sources.as_slice() {
        [] => "our validation addresses".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    };
    format!("Allow {allowed} on firewall and data centre (DIAG-06).")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vetted(found: &[&str], configured: bool, allow_private: bool) -> Result<Vec<String>, Fault> {
        let addresses = Addresses { found: found.iter().map(|ip| ip.parse().unwrap()).collect(), configured };
        let chosen = vet("host", &addresses, allow_private, &Trail::default());
        chosen.map(|ips| ips.iter().map(IpAddr::to_string).collect())
    }

    #[test]
    fn the_first_public_address_of_each_family_is_dialled_ipv6_first() {
        let found = ["2a00::1", "2a00::2", "1.1.1.1", "8.8.8.8"];
        assert_eq!(vetted(&found, false, false).unwrap(), ["2a00::1", "1.1.1.1"]);
        assert_eq!(vetted(&["fd00::1", "10.0.0.1", "8.8.8.8"], false, false).unwrap(), ["8.8.8.8"]);
    }

    #[test]
    fn the_advice_lists_the_addresses_that_the_operator_gave() {
        let of = |sources: &[&str]| advice(&sources.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(of(&[]), "Allow our validation addresses on firewall and data centre (DIAG-06).");
        assert_eq!(of(&["192.0.2.1"]), "Allow 192.0.2.1 on firewall and data centre (DIAG-06).");
        let three = of(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
        assert_eq!(three, "Allow 192.0.2.1, 192.0.2.2 and 2001:db8::1 on firewall and data centre (DIAG-06).");
    }

    #[test]
    fn special_purpose_addresses_are_dialled_only_when_the_operator_said_so() {
        let fault = vetted(&["::ffff:127.0.0.1", "169.254.169.254"], false, false).unwrap_err();
        assert!(fault.problem.detail.contains("::ffff:127.0.0.1"), "{}", fault.problem.detail);
        assert!(!fault.may_heal);
        assert_eq!(vetted(&["127.0.0.1"], true, false).unwrap(), ["127.0.0.1"]);
        assert_eq!(vetted(&["127.0.0.1"], false, true).unwrap(), ["127.0.0.1"]);
    }
}
