//! What a certificate names: DNS names (A-labels, lower case, perhaps a wildcard) and IP addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Error, Kind, Problem, Result};

/// A DNS name as it may stand in a certificate: lower-case ASCII, A-labels, no trailing dot, at most one asterisk and
/// that as the whole first label (RFC 8555 section 7.1.4, RFC 5280 section 7.2, Baseline Requirements 7.1.2.7.12).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

/// An identifier of an order (RFC 8555 section 9.7.7; RFC 8738).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum Identifier {
    /// Type `dns`.
    Dns(DnsName),
    /// Type `ip`.
    Ip(IpAddr),
}

/// `{"type": .., "value": ..}`, as ACME and the store write it.
#[derive(Serialize, Deserialize)]
struct Wire {
    r#type: std::borrow::Cow<'static, str>,
    value: String,
}

impl DnsName {
    /// Parses a name, folding its case. The error names the name and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(260).collect();
            Err(Error::malformed(format!("\"{}\" is not a DNS name: {why}", shown.escape_debug())))
        };
        let name = text.to_ascii_lowercase();
        let base = name.strip_prefix("*.").unwrap_or(&name);
        if text.is_empty() {
            return refuse("it is empty");
        }
        if !text.is_ascii() {
            return refuse("it holds characters outside ASCII; write internationalised names as A-labels (xn--..)");
        }
        if name.len() > 253 {
            return refuse("it is longer than 253 characters");
        }
        if name.ends_with('.') {
            return refuse("it ends in a dot; leave the trailing dot out");
        }
        // DOM-05
        if base.split('.').filter(|label| label.contains('*')).count() > usize::from(base.len() == name.len()) {
            return refuse("only one wildcard label is allowed: an asterisk as the whole first label (DOM-05)");
        }
        if base.contains('*') {
            return refuse("an asterisk may only be the whole first label, as in *.example.com");
        }
        for label in base.split('.') {
            if label.is_empty() {
                return refuse("it has an empty label (two dots in a row, or a leading dot)");
            }
            if label.len() > 63 {
                return refuse("it has a label of more than 63 characters");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                // DOM-11
                return refuse("use letters, digits and hyphens (DOM-11)");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return refuse("a label may not begin or end with a hyphen");
            }
            if label.as_bytes().get(2..4) == Some(b"--") && !is_a_label(label) {
                return refuse("a label with hyphens in places 3 and 4 must be a valid A-label (RFC 5890)");
            }
        }
        if !base.contains('.') {
            // DOM-17
            return refuse("enter a fully qualified name of at least two labels, as in example.com (DOM-17)");
        }
        if base.rsplit('.').next().is_some_and(|tld| tld.bytes().all(|b| b.is_ascii_digit())) {
            return refuse("its last label is a number; use an identifier of type \"ip\" for an address");
        }
        Ok(Self(name))
    }

    /// A host name as this server may have it itself: also of a single label, such as `localhost`.
    pub fn host(text: &str) -> Result<Self> {
        match Self::parse(&format!("{text}.host")) {
            Ok(name) if !name.is_wildcard() => Ok(Self(text.to_ascii_lowercase())),
            Ok(_) => Err(Error::malformed(format!("\"{text}\" is a wildcard, not a host name"))),
            Err(error) => Err(error),
        }
    }

    /// The whole name, asterisk included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name begins with `*.`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name without `*.`.
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }
}

/// Whether a label that looks like one is an A-label: it decodes, and its decoded form encodes to it again.
fn is_a_label(label: &str) -> bool {
    label.starts_with("xn--")
        && matches!(idna::domain_to_unicode(label), (unicode, Ok(())) if !unicode.is_ascii()
            && idna::domain_to_ascii_strict(&unicode).is_ok_and(|ascii| ascii == label))
}

impl Identifier {
    /// Parses what a client sent. Unknown types are `unsupportedIdentifier`, bad values `malformed`.
    pub fn parse(kind: &str, value: &str) -> Result<Self> {
        match kind {
            "dns" => DnsName::parse(value).map(Self::Dns),
            "ip" => parse_ip(value).map(Self::Ip),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Error::new(
                    Kind::UnsupportedIdentifier,
                    format!(
                        "Identifiers of type \"{}\" are not supported; use \"dns\" or \"ip\".",
                        shown.escape_debug()
                    ),
                ))
            }
        }
    }

    /// The type as ACME writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// Whether this is a wildcard name.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.is_wildcard())
    }

    /// What an authorization proves: the name without `*.` (RFC 8555 section 7.1.3), or the address.
    #[must_use]
    pub fn base(&self) -> Identifier {
        match self {
            Self::Dns(name) => Self::Dns(DnsName(name.base().to_owned())),
            Self::Ip(ip) => Self::Ip(*ip),
        }
    }
}

/// RFC 8738 section 3: dotted decimal, or the text form of RFC 5952; other spellings are refused.
fn parse_ip(value: &str) -> Result<IpAddr> {
    let shown: String = value.chars().take(60).collect();
    let shown = shown.escape_debug();
    let ip = match value.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => return Err(Error::malformed(format!("\"{shown}\" is not an IP address."))),
    };
    if ip.to_string() != value {
        return Err(Error::malformed(format!("\"{shown}\" must be written as \"{ip}\" (RFC 8738 section 3).")));
    }
    Ok(ip)
}

/// Whether an address is of this machine, its neighbourhood or otherwise not part of the public internet (the special
/// purpose registries of RFC 6890 and its successors; embedded IPv4 addresses are judged as such).
pub fn is_special_purpose(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_special_v4(ip),
        IpAddr::V6(ip) => is_special_v6(ip),
    }
}

fn is_special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    a == 0
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 192 && b == 168)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224
}

fn is_special_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        // ::, ::1, IPv4-compatible, IPv4-mapped and SIIT forms speak of an IPv4 host or of none.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => true,
        [0, 0, 0, 0, 0, 0xffff, high, low] => is_special_v4(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_special_v4(v4(high, low)),
        [0x64, 0xff9b, 1, ..] => true,
        [0x100, 0, 0, ..] => true,
        // 2001::/23 protocol assignments (Teredo, benchmarking, ORCHID), documentation ranges, 6to4 of an IPv4 address.
        [0x2001, b, ..] if b < 0x200 || b == 0xdb8 => true,
        [0x2002, high, low, ..] => is_special_v4(v4(high, low)),
        [a, b, ..] => {
            (a & 0xfe00) == 0xfc00
                || (a & 0xffc0) == 0xfe80
                || (a & 0xffc0) == 0xfec0
                || (a & 0xff00) == 0xff00
                || (a == 0x3fff && b < 0x1000)
                || a == 0x5f00
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl From<Identifier> for Wire {
    fn from(identifier: Identifier) -> Self {
        Wire { r#type: identifier.kind().into(), value: identifier.to_string() }
    }
}

impl TryFrom<Wire> for Identifier {
    type Error = Problem;

    fn try_from(wire: Wire) -> Result<Self, Problem> {
        Identifier::parse(&wire.r#type, &wire.value).map_err(Error::into_problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_stand_in_a_certificate_are_kept_in_lower_case() {
        for (text, kept) in [
            ("example.com", "example.com"),
            ("WWW.Example.COM", "www.example.com"),
            ("*.example.com", "*.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a.b", "a.b"),
            ("1.2.3.example", "1.2.3.example"),
        ] {
            assert_eq!(DnsName::parse(text).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn other_names_are_refused() {
        let long = format!("{}.com", "a".repeat(64));
        let longer = format!("{}com", "a23456789.".repeat(26));
        for text in [
            "",
            ".",
            "com",
            "*",
            "*.com",
            "*.*.com",
            "a.*.com",
            "w*.example.com",
            "example.com.",
            ".example.com",
            "a..com",
            "-a.com",
            "a-.com",
            "a_b.com",
            "a b.com",
            "bücher.example",
            "ab--cd.com",
            "xn--a.com",
            "xn--zzzzzz99999.com",
            "1.2.3.4",
            "a.1",
            "a/b.com",
            "a\0.com",
            &long,
            &longer,
        ] {
            assert!(DnsName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_one_spelling() {
        assert!(Identifier::parse("ip", "192.0.2.1").is_ok());
        assert!(Identifier::parse("ip", "2001:db8::1").is_ok());
        for text in ["192.0.2.01", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "[::1]", "1", "", "example.com"] {
            assert!(Identifier::parse("ip", text).is_err(), "{text}");
        }
        assert_eq!(Identifier::parse("email", "a@b").unwrap_err().kind(), Kind::UnsupportedIdentifier);
    }

    #[test]
    fn special_purpose_addresses_are_known() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.31.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            assert!(is_special_purpose(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "2a00::1"] {
            assert!(!is_special_purpose(text.parse().unwrap()), "{text}");
        }
    }
}
