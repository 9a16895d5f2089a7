//! Lists of names for which rules of their own hold, read from `config/names.toml`: sensitive words, suffixes, domains
//! that are refused altogether.

use serde::Deserialize;

use super::catalog::Class;
use super::fault::{Fault, toml_fault};
use super::settings::{Settings, WordMatch};
use crate::domain::{DnsName, Identifier};

/// The file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// Domains that are refused with everything below them (Baseline Requirements 4.2.1, high-risk requests).
    refused: Vec<String>,
    /// Words that the security review looks for (WORD-01).
    words: Vec<String>,
    /// Those of them that don't count as the top-level label (WORD-02).
    words_not_as_tld: Vec<String>,
    /// Suffixes that some products don't take (TLD-01 to TLD-03).
    suffixes: Vec<SuffixRule>,
}

/// Suffixes that some products don't take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuffixRule {
    /// The suffixes: one label or more, without a leading dot.
    pub of: Vec<String>,
    /// The types that don't take them; none: all documented ones.
    #[serde(default)]
    pub types: Vec<Class>,
    /// What is told, with `{suffix}` for the suffix.
    pub reason: String,
    /// The rule.
    pub rule: String,
}

/// Whether this can be a sensitive word.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl Names {
    /// Reads the file's text, with every fault that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let names: Self = toml::from_str(text).map_err(|fault| vec![toml_fault(text, &fault)])?;
        let mut faults = Vec::new();
        let mut fault = |key: String, reason: String| faults.push(Fault { key, reason });
        let good = |name: &String| DnsName::host(name).is_ok_and(|host| host.as_str() == name);
        for name in names.refused.iter().filter(|name| !good(name)) {
            fault("refused".to_owned(), format!("\"{name}\" is not a domain name in lower case"));
        }
        for word in names.words.iter().filter(|word| !is_word(word)) {
            let reason = format!("\"{word}\" is not made of lower-case letters, digits and hyphens");
            fault("words".to_owned(), reason);
        }
        for word in names.words_not_as_tld.iter().filter(|word| !names.words.contains(word)) {
            fault("words_not_as_tld".to_owned(), format!("\"{word}\" is not one of \"words\""));
        }
        for (place, rule) in names.suffixes.iter().enumerate() {
            for suffix in rule.of.iter().filter(|suffix| !good(suffix)) {
                let reason = format!("\"{suffix}\" is not a domain name in lower case without a leading dot");
                fault(format!("suffixes[{place}].of"), reason);
            }
        }
        if faults.is_empty() { Ok(names) } else { Err(faults) }
    }

    /// The refused domain that a name is or lies in.
    pub fn refusal(&self, identifier: &Identifier) -> Option<&str> {
        let Identifier::Dns(name) = identifier else { return None };
        self.refused.iter().find(|domain| lies_in(name.base(), domain)).map(String::as_str)
    }

    /// The rule that keeps a name's suffix from products of that type, and the suffix.
    pub fn suffix_rule(&self, name: &DnsName, class: Class) -> Option<(&SuffixRule, &str)> {
        let for_class = |rule: &&SuffixRule| rule.types.is_empty() || rule.types.contains(&class);
        self.suffixes.iter().filter(for_class).find_map(|rule| {
            rule.of.iter().find(|suffix| lies_in(name.base(), suffix)).map(|suffix| (rule, suffix.as_str()))
        })
    }

    /// The first sensitive word that a name holds (WORD-01), in its ASCII or its Unicode form.
    pub fn sensitive_word<'a>(&'a self, name: &DnsName, settings: &'a Settings) -> Option<&'a str> {
        let base = name.base();
        let (unicode, _) = idna::domain_to_unicode(base);
        let words = self.words.iter().chain(&settings.word_extra);
        words.map(String::as_str).find(|word| {
            // WORD-02: as the top-level label itself such a word is not counted.
            let counts = |text: &str| {
                let labels = match text.rsplit_once('.') {
                    Some((labels, tld)) if tld == *word && self.is_exempt_as_tld(word) => labels,
                    _ => text,
                };
                labels.split('.').any(|label| holds(label, word, settings.word_match))
            };
            counts(base) || (unicode != base && counts(&unicode))
        })
    }

    fn is_exempt_as_tld(&self, word: &str) -> bool {
        self.words_not_as_tld.iter().any(|exempt| exempt == word)
    }
}

/// WORD-09: how a word is looked for in a label.
fn holds(label: &str, word: &str, how: WordMatch) -> bool {
    match how {
        WordMatch::Substring => label.contains(word),
        WordMatch::Token => label.split('-').any(|token| token == word),
        WordMatch::Label => label == word,
    }
}

/// Whether a name is that domain or lies below it.
fn lies_in(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_domain_covers_what_lies_below_it() {
        let names = Names::parse("refused = [\"example.com\", \"localhost\"]").unwrap();
        let refused = |name: &str| names.refusal(&Identifier::parse("dns", name).unwrap()).is_some();
        for (name, expected) in [
            ("example.com", true),
            ("*.example.com", true),
            ("a.b.example.com", true),
            ("notexample.com", false),
            ("example.com.cn", false),
            ("shop.localhost", true),
        ] {
            assert_eq!(refused(name), expected, "{name}");
        }
        assert_eq!(Names::parse("refused = [\"Example.com\"]").unwrap_err()[0].key, "refused");
        assert_eq!(Names::parse("words = [\"Pay\"]").unwrap_err()[0].key, "words");
        assert_eq!(Names::parse("words_not_as_tld = [\"pay\"]").unwrap_err()[0].key, "words_not_as_tld");
    }
}
