//! Whether CAA records permit issuance (RFC 8659), with the parameters of RFC 8657.

use std::collections::BTreeSet;

use super::CaaTerms;
use super::dns::{CaaRecord, Dns};
use super::trail::{Fault, Trail, clean};
use crate::domain::Kind;
use crate::domain::plan::CaaMode;

/// Most records that a problem quotes.
const QUOTED: usize = 3;

/// The value of an `issue` or `issuewild` property (RFC 8659 section 4.2).
#[derive(Debug, PartialEq, Eq)]
struct IssueValue<'v> {
    /// The issuer's domain name; empty: no issuer.
    issuer: &'v str,
    /// Tags and values, in the order written.
    parameters: Vec<(&'v str, &'v str)>,
}

/// Looks whether the CAA records that hold for `name` permit issuance under `terms`.
///
/// CAA-09, RFC 8659 section 3: the records of the nearest ancestor that has any count, the root's do not.
pub(super) async fn look(dns: &Dns, name: &str, wildcard: bool, terms: &CaaTerms, trail: &Trail) -> Result<(), Fault> {
    let mut at = Some(name);
    while let Some(domain) = at {
        // CAA-07: a lookup that fails ends the search, for no one knows what the records would have said.
        let answer = dns.caa(domain, trail).await?;
        if !answer.records.is_empty() {
            return judge(&answer.records, wildcard, terms)
                .map_err(|why| {
                    trail.note(format!("CAA at {domain} {why}"));
                    refusal(domain, &format!("{}{name}", if wildcard { "*." } else { "" }), &why, terms)
                })
                .map(|()| trail.note(format!("CAA at {domain} permits; {}", dns.assurance())));
        }
        at = domain.split_once('.').map(|(_, parent)| parent);
    }
    // CAA-01
    trail.note(format!("CAA permits: no records at {name} and above; {}", dns.assurance()));
    Ok(())
}

/// CAA-02: what the client is told: to take the record away (CAA-05), or to add those of CAA-06, which permit in either mode.
fn refusal(domain: &str, name: &str, why: &str, terms: &CaaTerms) -> Fault {
    let way_out = match terms.identities.as_slice() {
        // CAA-10
        [] => {
            "This product's brand has no CAA issuer name yet, so every restricting record refuses: remove the record, \
               or let the operator of this CA set a name (CAA-10)."
                .to_owned()
        }
        [issuer, others @ ..] => {
            let others: String = others.iter().map(|other| format!(" (or \"{other}\")")).collect();
            format!(
                "Add `0 issue \"{issuer}\"` and `0 issuewild \"{issuer}\"`{others} at {domain} (`@` in its own zone), \
                 or remove the record (DIAG-14)."
            )
        }
    };
    Fault::lasting(Kind::Caa, format!("CAA at {domain} {why}, so {name} is refused. {way_out}"))
}

/// Judges the record set that counts; the error is what follows "CAA at so-and-so".
pub(super) fn judge(records: &[CaaRecord], wildcard: bool, terms: &CaaTerms) -> Result<(), String> {
    // RFC 8659 section 4.5: a critical property that is not understood forbids.
    if let Some(record) = records.iter().find(|record| record.critical && !is_known(&record.tag)) {
        return Err(format!("permits nobody: `{record}` is critical and unknown here"));
    }
    let tagged = |tag: &str| -> Vec<&CaaRecord> {
        records.iter().filter(|record| record.tag.eq_ignore_ascii_case(tag)).collect()
    };
    let (issue, issuewild) = (tagged("issue"), tagged("issuewild"));
    match terms.mode {
        // RFC 8659 section 4.1: without issue (or issuewild) there is no restriction.
        _ if issue.is_empty() && issuewild.is_empty() => Ok(()),
        // RFC 8659 section 4.3: issuewild is for wildcards alone, and where there is one, issue is not.
        CaaMode::Rfc8659 if wildcard && !issuewild.is_empty() => permits_any(&issuewild, terms),
        CaaMode::Rfc8659 if issue.is_empty() => Ok(()),
        CaaMode::Rfc8659 => permits_any(&issue, terms),
        // CAA-03, X-16: both tags must name the issuer, whatever the name.
        CaaMode::BothTags if issue.is_empty() => Err(one_tag("issuewild", "issue")),
        CaaMode::BothTags if issuewild.is_empty() => Err(one_tag("issue", "issuewild")),
        CaaMode::BothTags => permits_any(&issue, terms).and_then(|()| permits_any(&issuewild, terms)),
    }
}

fn one_tag(there: &str, missing: &str) -> String {
    format!("has `{there}` but no `{missing}`, and both must name the issuer (CAA-03)")
}

/// Whether one of these records permits. If not, whom they permit, and why each does not.
fn permits_any(records: &[&CaaRecord], terms: &CaaTerms) -> Result<(), String> {
    let mut reasons = Vec::new();
    for record in records {
        match permits(record, terms) {
            Ok(()) => return Ok(()),
            Err(why) => reasons.push(format!("`{record}` {why}")),
        }
    }
    let values = records.iter().filter_map(|record| parse(&record.value));
    let issuers: BTreeSet<String> =
        values.filter(|value| !value.issuer.is_empty()).map(|value| clean(value.issuer.as_bytes())).collect();
    let whom = if issuers.is_empty() { "nobody".to_owned() } else { format!("only {}", in_short(issuers, ", ")) };
    Err(format!("permits {whom}: {}", in_short(reasons, "; ")))
}

/// The first few of some texts, and how many there are besides.
fn in_short(texts: impl IntoIterator<Item = String>, between: &str) -> String {
    let mut texts: Vec<String> = texts.into_iter().collect();
    if texts.len() > QUOTED {
        let more = texts.split_off(QUOTED).len();
        texts.push(format!("and {more} more"));
    }
    texts.join(between)
}

fn is_known(tag: &str) -> bool {
    ["issue", "issuewild", "iodef"].iter().any(|known| tag.eq_ignore_ascii_case(known))
}

fn permits(record: &CaaRecord, terms: &CaaTerms) -> Result<(), String> {
    // RFC 8659 section 4.2: a value that does not match the grammar is as good as no issuer.
    let Some(value) = parse(&record.value) else { return Err("is malformed, which forbids everyone".to_owned()) };
    if value.issuer.is_empty() {
        return Err("forbids everyone".to_owned());
    }
    if !terms.identities.iter().any(|identity| identity.eq_ignore_ascii_case(value.issuer)) {
        return Err("permits another CA".to_owned());
    }
    let of = |tag: &str| -> Vec<&str> {
        value.parameters.iter().filter(|(t, _)| t.eq_ignore_ascii_case(tag)).map(|(_, value)| *value).collect()
    };
    // RFC 8657 section 3: several accounturi parameters can't be satisfied.
    match of("accounturi").as_slice() {
        [] => {}
        [uri] if *uri == terms.account_uri => {}
        [_] => return Err(format!("permits another account than {}", terms.account_uri)),
        _ => return Err("names several accounts, which permits none".to_owned()),
    }
    let method = terms.method.as_str();
    if of("validationmethods").iter().all(|methods| lists(methods, method)) {
        Ok(())
    } else {
        Err(format!("permits other validation methods than {method}"))
    }
}

/// Whether a comma-separated list of labels is well-formed and has this one (RFC 8657 section 4).
fn lists(labels: &str, wanted: &str) -> bool {
    let well_formed = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    labels.split(',').all(well_formed) && labels.split(',').any(|label| label == wanted)
}

/// Parses after the grammar of RFC 8659 section 4.2; none if the value does not match it.
fn parse(value: &[u8]) -> Option<IssueValue<'_>> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
    let (issuer, parameters) = match text.split_once(';') {
        Some((issuer, parameters)) => (issuer, trim(parameters)),
        None => (text, ""),
    };
    let issuer = trim(issuer);
    if !issuer.is_empty() && !issuer.split('.').all(is_label) {
        return None;
    }
    if parameters.is_empty() {
        return Some(IssueValue { issuer, parameters: Vec::new() });
    }
    let parameters: Option<Vec<_>> = parameters.split(';').map(parse_parameter).collect();
    Some(IssueValue { issuer, parameters: parameters? })
}

fn parse_parameter(text: &str) -> Option<(&str, &str)> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (trim(tag), trim(value));
    // %x21-3A / %x3C-7E: printable, no space, no semicolon.
    (is_label(tag) && value.bytes().all(|b| b.is_ascii_graphic() && b != b';')).then_some((tag, value))
}

/// `(ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT))`
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Takes `WSP` (space and tab) off both ends.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::Method;

    const ACCOUNT: &str = "https://ca.example/acme/acct/1";

    fn terms() -> CaaTerms {
        let identities = vec!["ca.example".to_owned(), "other.example".to_owned()];
        let mode = CaaMode::Rfc8659;
        CaaTerms { identities, account_uri: ACCOUNT.to_owned(), method: Method::Http01, mode }
    }

    fn record(critical: bool, tag: &str, value: &str) -> CaaRecord {
        CaaRecord { critical, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
    }

    fn permitted(records: &[(&str, &str)], wildcard: bool) -> bool {
        let records: Vec<_> = records.iter().map(|(tag, value)| record(false, tag, value)).collect();
        judge(&records, wildcard, &terms()).is_ok()
    }

    #[test]
    fn issue_values_that_match_the_grammar_are_parsed() {
        let parsed = |value: &'static str| parse(value.as_bytes()).map(|v| (v.issuer, v.parameters));
        assert_eq!(parsed(""), Some(("", vec![])));
        assert_eq!(parsed(" \t"), Some(("", vec![])));
        assert_eq!(parsed(";"), Some(("", vec![])));
        assert_eq!(parsed(" ca.example \t; "), Some(("ca.example", vec![])));
        assert_eq!(parsed("CA--x.example;a=b"), Some(("CA--x.example", vec![("a", "b")])));
        assert_eq!(parsed("ca.example; a = b ;\tc-d=e=f"), Some(("ca.example", vec![("a", "b"), ("c-d", "e=f")])));
        assert_eq!(parsed("; a="), Some(("", vec![("a", "")])));
    }

    #[test]
    fn issue_values_that_do_not_match_the_grammar_are_none() {
        for value in [
            "%%%%%",
            "ca.example.",
            ".ca.example",
            "ca..example",
            "-ca.example",
            "ca-.example",
            "ca_x.example",
            "ca.example other.example",
            "ca.example, other.example",
            "ca.example; a",
            "ca.example; =b",
            "ca.example; a=b;",
            "ca.example;;",
            "ca.example; a=b c",
            "ca.example; -a=b",
            "ca.example; a=b\u{7f}",
            "c\u{e4}.example",
            "ca.example\n",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(parse(b"ca.example\xff"), None);
    }

    #[test]
    fn the_record_set_decides_as_rfc_8659_says() {
        for (records, plain, wildcard) in [
            (&[("issue", "ca.example")][..], true, true),
            (&[("ISSUE", "CA.Example")], true, true),
            (&[("issue", "elsewhere.example")], false, false),
            (&[("issue", "elsewhere.example"), ("issue", "other.example")], true, true),
            (&[("issue", ";")], false, false),
            (&[("issue", "")], false, false),
            (&[("issue", "%%%%%")], false, false),
            (&[("issue", ";"), ("issue", "ca.example")], true, true),
            (&[("issue", "%%%%%"), ("issue", "ca.example")], true, true),
            (&[("iodef", "mailto:a@b.example")], true, true),
            (&[("unknown", "value")], true, true),
            // Section 4.3, the last two examples among them.
            (&[("issue", "ca.example"), ("issuewild", ";")], true, false),
            (&[("issuewild", "ca.example"), ("issue", ";")], false, true),
            (&[("issuewild", "elsewhere.example")], true, false),
            (&[("IssueWild", "ca.example")], true, true),
        ] {
            assert_eq!(permitted(records, false), plain, "{records:?}");
            assert_eq!(permitted(records, true), wildcard, "wildcard, {records:?}");
        }
    }

    #[test]
    fn both_tags_must_permit_where_that_is_asked_for() {
        let terms = CaaTerms { mode: CaaMode::BothTags, ..terms() };
        let judged = |records: &[(&str, &str)], wildcard| {
            let records: Vec<_> = records.iter().map(|(tag, value)| record(false, tag, value)).collect();
            judge(&records, wildcard, &terms)
        };
        for (records, refused) in [
            (&[("issue", "ca.example"), ("issuewild", "ca.example")][..], None),
            (&[("issue", "ca.example"), ("issuewild", "other.example")], None),
            (&[("issue", "ca.example"), ("issue", "x.example"), ("ISSUEWILD", "CA.example; policy=ev")], None),
            (&[("iodef", "mailto:a@b.example")], None),
            (&[("issue", "ca.example")], Some("has `issue` but no `issuewild`, and both must name")),
            (&[("issuewild", "ca.example")], Some("has `issuewild` but no `issue`")),
            (&[("issue", "ca.example"), ("issuewild", ";")], Some("permits nobody: `0 issuewild \";\"` forbids")),
            (&[("issue", "x.example"), ("issuewild", "ca.example")], Some("permits only \"x.example\": `0 issue")),
            (&[("issue", "ca.example; validationmethods=dns-01"), ("issuewild", "ca.example")], Some("other validat")),
        ] {
            for wildcard in [false, true] {
                match (judged(records, wildcard), refused) {
                    (Ok(()), None) => {}
                    (Err(why), Some(part)) if why.contains(part) => {}
                    (other, _) => panic!("{records:?}, {wildcard}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn parameters_restrict_as_rfc_8657_says() {
        for (value, expected) in [
            ("ca.example; accounturi=https://ca.example/acme/acct/1", true),
            ("ca.example; AccountURI=https://ca.example/acme/acct/1", true),
            ("ca.example; accounturi=https://ca.example/acme/acct/2", false),
            ("ca.example; accounturi=https://ca.example/acme/acct/1/", false),
            ("ca.example; accounturi=", false),
            ("ca.example; accounturi=https://ca.example/acme/acct/1; accounturi=https://ca.example/acme/acct/1", false),
            ("ca.example; validationmethods=http-01", true),
            ("ca.example; validationmethods=dns-01,http-01", true),
            ("ca.example; validationmethods=dns-01", false),
            ("ca.example; validationmethods=http-01,,", false),
            ("ca.example; validationmethods=HTTP-01", false),
            ("ca.example; validationmethods=", false),
            ("ca.example; validationmethods=http-01; validationmethods=dns-01", false),
            ("ca.example; accounturi=https://ca.example/acme/acct/1; validationmethods=dns-01", false),
            ("ca.example; policy=ev", true),
        ] {
            assert_eq!(permitted(&[("issue", value)], false), expected, "{value}");
        }
    }

    #[test]
    fn a_critical_property_that_is_unknown_forbids() {
        let permits = record(false, "issue", "ca.example");
        assert!(judge(&[permits.clone(), record(true, "tbs", "x")], false, &terms()).is_err());
        assert!(judge(&[permits.clone(), record(false, "tbs", "x")], false, &terms()).is_ok());
        assert!(judge(&[permits, record(true, "IODEF", "x")], false, &terms()).is_ok());
        assert!(judge(&[record(true, "issue", "ca.example")], false, &terms()).is_ok());
    }

    #[test]
    fn without_an_identity_every_restricting_record_refuses() {
        let terms = CaaTerms { identities: Vec::new(), ..terms() };
        assert!(judge(&[record(false, "issue", "ca.example")], false, &terms).is_err());
        assert!(judge(&[record(false, "iodef", "mailto:a@b.example")], false, &terms).is_ok());
    }

    proptest! {
        #[test]
        fn no_value_makes_the_parser_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&value);
            let _ = CaaRecord { critical: false, tag: "issue".to_owned(), value }.to_string();
        }

        #[test]
        fn what_is_parsed_is_spelt_in_the_grammars_alphabet(value in "[ -~\t;=.]{0,80}") {
            if let Some(parsed) = parse(value.as_bytes()) {
                prop_assert!(parsed.issuer.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'));
                for (tag, value) in parsed.parameters {
                    prop_assert!(is_label(tag));
                    prop_assert!(value.bytes().all(|b| (0x21..=0x3a).contains(&b) || (0x3c..=0x7e).contains(&b)));
                }
            }
        }

        #[test]
        fn a_value_written_by_the_grammar_is_read_back(
            issuer in "[a-z0-9](-{0,2}[a-z0-9]){0,3}(\\.[a-z0-9]{1,5}){0,3}",
            parameters in proptest::collection::vec(("[A-Za-z0-9](-?[a-z0-9]){0,3}", "[!-:<-~]{0,10}"), 1..4),
            space in "[ \t]{0,2}",
        ) {
            let list: Vec<String> =
                parameters.iter().map(|(tag, value)| format!("{tag}{space}={space}{value}{space}")).collect();
            let text = format!("{space}{issuer}{space};{space}{}", list.join(&format!(";{space}")));
            let parsed = parse(text.as_bytes());
            prop_assert!(parsed.is_some(), "{text:?}");
            let parsed = parsed.unwrap();
            prop_assert_eq!(parsed.issuer, issuer.as_str());
            let written: Vec<(&str, &str)> = parameters.iter().map(|(t, v)| (t.as_str(), v.as_str())).collect();
            prop_assert_eq!(parsed.parameters, written);
        }
    }
}
