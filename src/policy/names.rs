//! Names for which nothing is issued, read from `config/names.toml`.

use serde::Deserialize;

use super::fault::{Fault, toml_fault};
use crate::domain::{DnsName, Identifier};

/// The file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// Domains that are refused with everything below them (Baseline Requirements 4.2.1, high-risk requests).
    refused: Vec<String>,
}

impl Names {
    /// Reads the file's text, with every fault that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let names: Self = toml::from_str(text).map_err(|fault| vec![toml_fault(text, &fault)])?;
        let good = |name: &String| DnsName::host(name).is_ok_and(|host| host.as_str() == name);
        let bad = names.refused.iter().filter(|name| !good(name)).map(|name| Fault {
            key: "refused".to_owned(),
            reason: format!("\"{name}\" is not a domain name in lower case"),
        });
        let faults: Vec<Fault> = bad.collect();
        if faults.is_empty() { Ok(names) } else { Err(faults) }
    }

    /// The refused domain that a name is or lies in.
    pub fn refusal(&self, identifier: &Identifier) -> Option<&str> {
        let Identifier::Dns(name) = identifier else { return None };
        let below = |domain: &&String| match name.base().strip_suffix(domain.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        };
        self.refused.iter().find(below).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_domain_takes_its_subdomains_along_and_nothing_else() {
        let names = Names::parse("refused = [\"example.com\"]").unwrap();
        let refused = |name: &str| names.refusal(&Identifier::parse("dns", name).unwrap()).is_some();
        assert!(refused("example.com") && refused("a.b.example.com") && refused("*.example.com"));
        assert!(!refused("notexample.com") && !refused("example.com.net"));
        assert_eq!(Names::parse("refused = [\"Example.com\"]").unwrap_err()[0].key, "refused");
        assert_eq!(Names::parse("refuse = []").unwrap_err()[0].key, "line 1");
    }
}
