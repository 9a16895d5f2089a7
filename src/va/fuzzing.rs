//! Fuzz targets of this module; see `crate::fuzzing`.

use std::net::IpAddr;

use super::dns::{self, Answer, CaaRecord};
use super::{CaaTerms, caa as judgement, tlsalpn01};
use crate::domain::plan::{CaaMode, Method};
use crate::domain::{DnsName, Identifier};

const NAME: &str = "www.example.com";

/// A message of the DNS as it comes over the wire, read for every kind of record that is asked for.
pub fn dns(message: &[u8]) {
    for validating in [false, true] {
        let _: Option<Answer<Vec<u8>>> = dns::read_message(message, NAME, validating);
        let _: Option<Answer<IpAddr>> = dns::read_message(message, NAME, validating);
        let caa: Option<Answer<CaaRecord>> = dns::read_message(message, NAME, validating);
        if let Some(answer) = caa {
            judge(&answer.records);
        }
    }
}

/// The contents of CAA records (RFC 8659 section 4.1), each behind an octet with its length, in an answer of the DNS.
pub fn caa(octets: &[u8]) {
    let mut records = Vec::new();
    let (mut count, mut rest) = (0_u16, octets);
    while let [length, after @ ..] = rest {
        let (content, following) = after.split_at(usize::from(*length).min(after.len()));
        // The name of the question, type CAA, class IN, a minute.
        records.extend([0xc0, 12, 1, 1, 0, 1, 0, 0, 0, 60, 0]);
        records.extend(u8::try_from(content.len()));
        records.extend(content);
        (count, rest) = (count + 1, following);
    }
    let question = [&[3][..], b"www", &[7], b"example", &[3], b"com", &[0, 1, 1, 0, 1]].concat();
    let header = [&[0, 1, 0x81, 0x80, 0, 1][..], &count.to_be_bytes(), &[0; 4]].concat();
    let message = [header, question, records].concat();
    let answer: Option<Answer<CaaRecord>> = dns::read_message(&message, NAME, false);
    if let Some(answer) = answer {
        judge(&answer.records);
    }
    // What the parser of messages would not let through.
    judge(&[CaaRecord { critical: false, tag: "issue".to_owned(), value: octets.to_vec() }]);
}

fn judge(records: &[CaaRecord]) {
    let terms = |identities: &[&str], mode| CaaTerms {
        identities: identities.iter().map(|name| (*name).to_owned()).collect(),
        account_uri: "https://ca.test/acme/account/1".to_owned(),
        method: Method::Http01,
        mode,
    };
    let issuers = ["issue", "issuewild"];
    let restricts = records.iter().any(|record| issuers.iter().any(|tag| record.tag.eq_ignore_ascii_case(tag)));
    for mode in [CaaMode::Rfc8659, CaaMode::BothTags] {
        for wildcard in [false, true] {
            let permitted = judgement::judge(records, wildcard, &terms(&["ca.example"], mode));
            let nobody = judgement::judge(records, wildcard, &terms(&[], mode));
            assert!(nobody.is_err() || permitted.is_ok(), "who has no name is permitted no more than who has one");
            assert!(permitted.is_err() || restricts || nobody.is_ok(), "what does not restrict permits everybody");
            if let Err(why) = permitted {
                assert!(why.len() < 20_000, "a refusal is no longer than people read");
            }
        }
    }
}

/// The certificate that a server shows to `acme-tls/1`.
pub fn tls_alpn(octets: &[u8]) {
    let Ok(name) = DnsName::parse(NAME) else { return };
    for identifier in [Identifier::Dns(name), Identifier::Ip([192, 0, 2, 1].into())] {
        if let Err(why) = tlsalpn01::judge(octets, &identifier, "token.thumbprint") {
            assert!(why.len() < 4_000, "a refusal is no longer than people read");
        }
    }
}
