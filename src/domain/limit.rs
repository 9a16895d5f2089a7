//! Rate limits as values: what is limited, how much of it in which time, and for whom another rate holds.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccountId, CustomerId, Timestamp};

/// Defines the limits with their names: the keys of `[limits]` and what refusals and the REST API call them.
macro_rules! limits {
    ($($(#[$doc:meta])* $limit:ident = $name:literal $what:literal;)*) => {
        /// What is limited.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Limit {
            $($(#[$doc])* $limit,)*
        }

        impl Limit {
            /// All of them.
            pub const ALL: &[Limit] = &[$(Limit::$limit),*];

            /// The key in `[limits]`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$limit => $name),* }
            }

            /// What is counted, in the plural.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$limit => $what),* }
            }
        }
    };
}

limits! {
    /// ACME requests from one address; of IPv6 from one /64.
    RequestsPerAddress = "requests_per_address" "requests";
    /// The same of an IPv6 /48.
    RequestsPerNetwork = "requests_per_network" "requests";
    /// New accounts from one address; of IPv6 from one /64.
    AccountsPerAddress = "accounts_per_address" "new accounts";
    /// The same of an IPv6 /48.
    AccountsPerNetwork = "accounts_per_network" "new accounts";
    /// External account bindings that fail, by address.
    FailedBindings = "failed_bindings" "failed account bindings";
    /// New orders and pre-authorizations of an account.
    OrdersPerAccount = "orders_per_account" "new orders";
    /// The same of all accounts of a customer.
    OrdersPerCustomer = "orders_per_customer" "new orders";
    /// Authorizations of an account that wait for an answer.
    PendingAuthorizations = "pending_authorizations" "pending authorizations";
    /// Failed validations of an account for a name.
    FailedValidations = "failed_validations" "failed validations";
    /// Certificates for names below a registered domain.
    CertificatesPerDomain = "certificates_per_domain" "certificates";
    /// Certificates for exactly the same names.
    CertificatesPerNames = "certificates_per_names" "certificates";
    /// Requests to the REST API with a token.
    ApiRequests = "api_requests" "requests to the REST API";
    /// Diagnoses of a caller.
    Diagnoses = "diagnoses" "diagnoses";
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(40).collect::<String>();
        let found = Self::ALL.iter().find(|limit| limit.name() == text).copied();
        found.ok_or_else(|| format!("there is no limit \"{}\"", shown().escape_debug()))
    }
}

/// So many in so much time; none is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// How many at once from rest, and on the average in `per_s`. 0 is no limit.
    pub count: u32,
    /// Seconds until so many have come back.
    pub per_s: u32,
}

impl Rate {
    /// No limit.
    pub const OFF: Self = Self { count: 0, per_s: 3600 };

    /// So many in so many seconds.
    pub const fn of(count: u32, per_s: u32) -> Self {
        Self { count, per_s }
    }

    /// So many an hour.
    pub const fn hourly(count: u32) -> Self {
        Self::of(count, 3600)
    }

    /// Whether anything is limited.
    pub const fn is_on(self) -> bool {
        self.count > 0
    }

    /// The time in which so many come back.
    pub const fn per(self) -> Duration {
        Duration::from_secs(self.per_s as u64)
    }

    /// That time as people say it, as in `3 h`.
    pub fn period(self) -> String {
        let units = [("d", 86_400), ("h", 3600), ("min", 60)];
        let fits = units.iter().find(|(_, seconds)| self.per_s >= *seconds && self.per_s.is_multiple_of(*seconds));
        let (unit, seconds) = fits.copied().unwrap_or(("s", 1));
        format!("{} {unit}", self.per_s / seconds)
    }

    /// What is wrong with it, if anything is.
    pub fn fault(self) -> Option<String> {
        let longest = 366 * 86_400;
        match self {
            Self { per_s, .. } if per_s == 0 || per_s > longest => {
                Some(format!("a period of {per_s} s is not between 1 s and 366 days"))
            }
            // Finer than a microsecond nothing is counted.
            Self { count, per_s } if u64::from(count) > u64::from(per_s) * 1000 => {
                Some(format!("{count} in {per_s} s is more than 1000 a second; 0 is no limit"))
            }
            _ => None,
        }
    }
}

/// As in `300 in 3 h`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.count, self.period())
    }
}

/// Reads a time as `90s`, `10m`, `3h` or `7d`: seconds.
pub fn parse_period(text: &str) -> Result<u32, String> {
    let refuse = || format!("\"{text}\" is no time like 90s, 10m, 3h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(refuse)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(refuse()),
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number: u32 = if digits { number.parse().map_err(|_| refuse())? } else { return Err(refuse()) };
    number.checked_mul(unit).ok_or_else(refuse)
}

/// A range of addresses, as in `192.0.2.0/24`; a single address is one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The range of so many bits around an address; more bits than it has are all of them.
    pub fn around(address: IpAddr, bits: u8) -> Self {
        let address = plain(address);
        match address {
            IpAddr::V4(ip) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self { address: IpAddr::V4((u32::from(ip) & mask).into()), bits }
            }
            IpAddr::V6(ip) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self { address: IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask)), bits }
            }
        }
    }

    /// What counts as one place: an address, and of IPv6 the /64 that one subscriber has to himself.
    pub fn place(address: IpAddr) -> Self {
        Self::around(address, if plain(address).is_ipv4() { 32 } else { 64 })
    }

    /// The /48 that one site has of IPv6 (RFC 6177); none of IPv4.
    pub fn site(address: IpAddr) -> Option<Self> {
        plain(address).is_ipv6().then(|| Self::around(address, 48))
    }

    /// Whose connections and memory count together: an address, and of IPv6 the site, which may use all its subnets at once.
    pub fn group(address: IpAddr) -> Self {
        Self::site(address).unwrap_or_else(|| Self::place(address))
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = plain(address);
        address.is_ipv4() == self.address.is_ipv4() && Self::around(address, self.bits) == *self
    }

    /// How narrow it is: of two that contain an address, the one with more bits is meant.
    pub fn bits(&self) -> u8 {
        self.bits
    }
}

/// IPv4 written as IPv6 (`::ffff:192.0.2.1`) is IPv4.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(60).collect::<String>();
        let refuse = || format!("\"{}\" is no range of addresses like 192.0.2.0/24", shown().escape_debug());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| refuse()))?;
        if bits > most || plain(address) != address {
            return Err(refuse());
        }
        let range = Self::around(address, bits);
        match range.address == address {
            true => Ok(range),
            false => Err(format!("\"{text}\" has bits behind its prefix; {range} is the range around it")),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(range: Network) -> Self {
        range.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        match self.bits == whole {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

/// What an order takes of the limits; decided when it is placed, and kept in it for the steps that follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allowance {
    /// A new order, and a certificate.
    #[default]
    Whole,
    /// A new order alone: its certificate stands in for one that was counted.
    Order,
    /// Nothing: it renews the very certificate that it says it replaces (RFC 9773 section 5).
    Nothing,
}

impl Allowance {
    /// Whether it takes all that there is to take.
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

/// For whom another rate holds. Written as `account:..`, `customer:..`, `addresses:..` or `name:..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// An ACME account.
    Account(AccountId),
    /// A customer with all its accounts.
    Customer(CustomerId),
    /// A range of addresses.
    Addresses(Network),
    /// A name: a registered domain, or a name that is validated, in lower case.
    Name(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Customer(id) => write!(f, "customer:{id}"),
            Self::Addresses(range) => write!(f, "addresses:{range}"),
            Self::Name(name) => write!(f, "name:{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(80).collect::<String>().escape_debug().to_string();
        let refuse = || format!("\"{}\" is none of account:.., customer:.., addresses:.. and name:..", shown());
        let (kind, value) = text.split_once(':').ok_or_else(refuse)?;
        match kind {
            "account" => value.parse().map(Self::Account).map_err(|_| refuse()),
            "customer" => value.parse().map(Self::Customer).map_err(|_| refuse()),
            "addresses" => value.parse().map(Self::Addresses),
            "name" if !value.is_empty() && value.len() <= 253 && value.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Self::Name(value.to_ascii_lowercase()))
            }
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// Another rate of a limit for somebody, set by an operator. There is one for each limit and subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The limit.
    pub limit: Limit,
    /// For whom.
    pub subject: Subject,
    /// The rate in its place; a count of 0 is no limit.
    pub rate: Rate,
    /// Why, in the operator's words.
    pub note: String,
    /// When it was set.
    pub at: Timestamp,
}

impl Override {
    /// Its name among the overrides.
    pub fn name(limit: Limit, subject: &Subject) -> String {
        format!("{limit}/{subject}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_rates_are_read_and_told() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("3h", 10_800), ("7d", 604_800)] {
            assert_eq!(parse_period(text), Ok(seconds));
        }
        for text in ["", "s", "3", "-1h", "3 h", "3w", "+3h", "99999999999d", "5000000000s", "3h\u{e9}", "\u{e9}"] {
            parse_period(text).unwrap_err();
        }
        assert_eq!(Rate::of(300, 10_800).to_string(), "300 in 3 h");
        assert_eq!(Rate::of(5, 604_800).to_string(), "5 in 7 d");
        assert_eq!(Rate::of(5, 90).to_string(), "5 in 90 s");
        assert!(Rate::of(5, 0).fault().is_some() && Rate::of(2_000_000, 1).fault().is_some());
        assert_eq!(Rate::of(1000, 1).fault(), None);
    }

    #[test]
    fn names_of_limits_go_both_ways() {
        for limit in Limit::ALL {
            assert_eq!(limit.name().parse::<Limit>(), Ok(*limit));
        }
    }

    #[test]
    fn networks_contain_what_they_should() {
        let range: Network = "192.0.2.0/24".parse().unwrap();
        assert!(range.contains("192.0.2.255".parse().unwrap()) && range.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!range.contains("192.0.3.0".parse().unwrap()) && !range.contains("::".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        let site = Network::site("2001:db8:1:2:3::4".parse().unwrap()).unwrap();
        assert_eq!(site.to_string(), "2001:db8:1::/48");
        assert_eq!(Network::place("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
        assert_eq!(Network::site("192.0.2.1".parse().unwrap()), None);
        assert_eq!(Network::group("2001:db8:1:2:3::4".parse().unwrap()), site);
        assert_eq!(Network::group("::ffff:192.0.2.7".parse().unwrap()).to_string(), "192.0.2.7");
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7");
        for text in ["192.0.2.1/24", "192.0.2.0/33", "::/129", "x", "", "1.2.3.4/", "::ffff:1.2.3.4/128"] {
            text.parse::<Network>().unwrap_err();
        }
    }

    #[test]
    fn subjects_go_both_ways() {
        let account = AccountId::random();
        for text in [format!("account:{account}"), "addresses:10.0.0.0/8".to_owned(), "name:example.com".to_owned()] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for text in ["", "account", "account:", "nobody:x", "name:", "name:a b"] {
            text.parse::<Subject>().unwrap_err();
        }
    }
}
