//! Lists of names for which rules of their own hold, read from `config/names.toml`: sensitive words, suffixes, domains
//! that are refused altogether.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::catalog::Class;
use super::document::Document;
use super::fault::Fault;
use super::settings::Settings;
use super::words::{WordFilter, is_word};
use crate::domain::{DnsName, Identifier};

/// The lists, such that how long they are does not matter to a name that is looked up.
#[derive(Debug, Clone, Default)]
pub struct Names {
    refused: HashSet<String>,
    words: Vec<String>,
    words_not_as_tld: Vec<String>,
    suffixes: Vec<SuffixRule>,
    /// The places in `suffixes` of the rules that each suffix has.
    by_suffix: HashMap<String, Vec<usize>>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Form {
    /// Domains that are refused with everything below them (Baseline Requirements 4.2.1, high-risk requests).
    refused: Vec<String>,
    /// Words that the security review looks for (WORD-01).
    words: Vec<String>,
    /// Those of them that don't count as the top-level label (WORD-02).
    words_not_as_tld: Vec<String>,
}

/// Suffixes that some products don't take (TLD-01 to TLD-04).
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

impl Names {
    /// Reads the file's text, with every fault that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut document = Document::parse(text)?;
        let mut faults = Vec::new();
        let suffixes = document.list::<SuffixRule>("suffixes", &mut faults);
        let form: Form = document.remainder(&mut faults).unwrap_or_default();
        check(&form, &suffixes, &mut faults);
        if !faults.is_empty() {
            return Err(faults.into_iter().map(|fault| document.locate(fault)).collect());
        }
        let suffixes: Vec<SuffixRule> = suffixes.into_iter().map(|(_, rule)| rule).collect();
        let mut by_suffix: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, rule) in suffixes.iter().enumerate() {
            for suffix in &rule.of {
                by_suffix.entry(suffix.clone()).or_default().push(place);
            }
        }
        Ok(Self {
            refused: form.refused.into_iter().collect(),
            words: form.words,
            words_not_as_tld: form.words_not_as_tld,
            suffixes,
            by_suffix,
        })
    }

    /// The refused domain that a name is or lies in.
    pub fn refusal(&self, identifier: &Identifier) -> Option<&str> {
        let Identifier::Dns(name) = identifier else { return None };
        domains_of(name).find_map(|domain| self.refused.get(domain)).map(String::as_str)
    }

    /// The rule that keeps a name's suffix from products of that type, and the suffix. Of several the first of the file.
    pub fn suffix_rule(&self, name: &DnsName, class: Class) -> Option<(&SuffixRule, &str)> {
        let for_class = |rule: &SuffixRule| rule.types.is_empty() || rule.types.contains(&class);
        let known = domains_of(name).filter_map(|domain| self.by_suffix.get_key_value(domain));
        known
            .flat_map(|(suffix, places)| places.iter().map(move |place| (*place, suffix.as_str())))
            .filter(|(place, _)| for_class(&self.suffixes[*place]))
            .min()
            .map(|(place, suffix)| (&self.suffixes[place], suffix))
    }

    /// The filter of these words and those that the settings add (WORD-03).
    pub(super) fn word_filter(&self, settings: &Settings) -> WordFilter {
        let words = self.words.iter().chain(&settings.word_extra).cloned().collect();
        WordFilter::new(words, &self.words_not_as_tld, settings.word_match)
    }
}

/// What is wrong with the values.
fn check(form: &Form, suffixes: &[(usize, SuffixRule)], faults: &mut Vec<Fault>) {
    let mut demand = |holds: bool, key: String, reason: String| {
        if !holds {
            faults.push(Fault::new(key, reason));
        }
    };
    let good = |name: &str| DnsName::host(name).is_ok_and(|host| host.as_str() == name);
    let domain = "is not a domain name in lower case (A-labels, no dot at either end)";
    for (place, name) in form.refused.iter().enumerate() {
        demand(good(name), format!("refused[{place}]"), format!("\"{name}\" {domain}"));
    }
    for (place, word) in form.words.iter().enumerate() {
        demand(is_word(word), format!("words[{place}]"), format!("\"{word}\" is not part of a label in lower case"));
    }
    for (place, word) in form.words_not_as_tld.iter().enumerate() {
        let reason = format!("\"{word}\" is not one of \"words\"");
        demand(form.words.contains(word), format!("words_not_as_tld[{place}]"), reason);
    }
    for (place, rule) in suffixes {
        let key = |key: &str| format!("suffixes[{place}].{key}");
        demand(!rule.of.is_empty(), key("of"), "name at least one suffix".to_owned());
        for (member, suffix) in rule.of.iter().enumerate() {
            demand(good(suffix), key(&format!("of[{member}]")), format!("\"{suffix}\" {domain}"));
        }
        demand(
            !rule.types.contains(&Class::Private),
            key("types"),
            "the type \"private\" has no rules for suffixes; use \"refused\"".to_owned(),
        );
        for (name, text) in [("reason", &rule.reason), ("rule", &rule.rule)] {
            demand(!text.trim().is_empty(), key(name), "people are told this; it can't be empty".to_owned());
        }
    }
}

/// A name and everything that it lies in, up to the top-level domain.
fn domains_of(name: &DnsName) -> impl Iterator<Item = &str> {
    let base = name.base();
    std::iter::once(base).chain(base.match_indices('.').map(|(dot, _)| &base[dot + 1..]))
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
    }

    #[test]
    fn of_several_suffix_rules_the_first_that_is_for_the_type_holds() {
        let names = Names::parse(
            "[[suffixes]]\nof = [\"cn\"]\ntypes = [\"dv\"]\nreason = \"a\"\nrule = \"A\"\n\
             [[suffixes]]\nof = [\"gov.cn\", \"cn\"]\nreason = \"b\"\nrule = \"B\"\n",
        )
        .unwrap();
        for (name, class, expected) in [
            ("zone.cn", Class::Dv, Some(("A", "cn"))),
            ("zone.gov.cn", Class::Dv, Some(("A", "cn"))),
            ("zone.cn", Class::DvFree, Some(("B", "cn"))),
            ("zone.gov.cn", Class::Ov, Some(("B", "cn"))),
            ("*.gov.cn", Class::Ov, Some(("B", "cn"))),
            ("cn.com", Class::Dv, None),
            ("zonecn.com", Class::Dv, None),
        ] {
            let found = names.suffix_rule(&DnsName::parse(name).unwrap(), class);
            assert_eq!(found.map(|(rule, suffix)| (rule.rule.as_str(), suffix)), expected, "{name}");
        }
    }

    #[test]
    fn every_fault_is_told_with_key_and_line() {
        let text = "\
refused = [\"zone.cn\", \"Zone.cn\", 7]
words = [
  \"good\",
  \"Pay\",
]
words_not_as_tld = [\"pay\"]
colour = \"green\"

[[suffixes]]
of = [\".ru\", \"ru\"]
types = [\"dv-free\", \"gold\"]
reason = \" \"
rule = \"A\"

[[suffixes]]
of = []
reason = \"b\"
rule = \"B\"
sort = 1
";
        let faults = Names::parse(text).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.line.unwrap(), fault.key.as_str())).collect();
        let expected = [
            (11, "suffixes[0].types[1]"),
            (19, "suffixes[1].sort"),
            (7, "colour"),
            (1, "refused[2]"),
            (4, "words[1]"),
            (6, "words_not_as_tld[0]"),
            (10, "suffixes[0].of[0]"),
            (12, "suffixes[0].reason"),
            (16, "suffixes[1].of"),
        ];
        assert_eq!(told, expected, "{faults:#?}");
    }
}
