//! The word filter: whether a name holds a sensitive word, however long the list is (WORD-01 to WORD-09).

use std::fmt;

use aho_corasick::AhoCorasick;

use super::settings::WordMatch;
use crate::domain::DnsName;

/// A list of words, prepared such that a name is gone through once.
#[derive(Clone)]
pub struct WordFilter {
    words: Vec<String>,
    /// For each word, whether it does not count as the top-level label itself (WORD-02).
    exempt_as_tld: Vec<bool>,
    how: WordMatch,
    matcher: AhoCorasick,
}

impl WordFilter {
    /// Of words that pass `is_word`; where several are found, the one that comes first here is told.
    pub(super) fn new(words: Vec<String>, not_as_tld: &[String], how: WordMatch) -> Self {
        let matcher = AhoCorasick::new(&words).expect("the list is far below the two billion states of a matcher");
        let exempt_as_tld = words.iter().map(|word| not_as_tld.contains(word)).collect();
        Self { words, exempt_as_tld, how, matcher }
    }

    /// The first word of the list that a name holds, in its ASCII or its Unicode form.
    pub fn find(&self, name: &DnsName) -> Option<&str> {
        let base = name.base();
        let found = self.first_in(base);
        // A-labels hide words of other scripts.
        let hidden = base.contains("xn--").then(|| self.first_in(&idna::domain_to_unicode(base).0)).flatten();
        found.into_iter().chain(hidden).min().map(|place| self.words[place].as_str())
    }

    fn first_in(&self, name: &str) -> Option<usize> {
        let tld = name.rfind('.').map_or(0, |dot| dot + 1);
        let found = self.matcher.find_overlapping_iter(name).filter(|found| {
            let (start, end) = (found.start(), found.end());
            // WORD-09: what bounds the word on either side decides.
            let stands_between = |bounds: &[u8]| {
                let bound = |byte: Option<&u8>| byte.is_none_or(|byte| bounds.contains(byte));
                let name = name.as_bytes();
                bound(start.checked_sub(1).and_then(|before| name.get(before))) && bound(name.get(end))
            };
            let counts = match self.how {
                WordMatch::Substring => true,
                WordMatch::Token => stands_between(b".-"),
                WordMatch::Label => stands_between(b"."),
            };
            // WORD-02
            counts && !(start == tld && end == name.len() && self.exempt_as_tld[found.pattern().as_usize()])
        });
        found.map(|found| found.pattern().as_usize()).min()
    }
}

impl fmt::Debug for WordFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WordFilter").field("words", &self.words).field("how", &self.how).finish_non_exhaustive()
    }
}

impl Default for WordFilter {
    fn default() -> Self {
        Self::new(Vec::new(), &[], WordMatch::Substring)
    }
}

/// Whether this can be a sensitive word: part of a label in lower case, as its Unicode form has it.
pub(super) fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let foreign = |c: char| !c.is_ascii() && c.is_alphanumeric();
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| plain(c) || foreign(c))
        && (text.is_ascii() || matches!(idna::domain_to_unicode(text), (same, Ok(())) if same == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(how: WordMatch, name: &str) -> Option<String> {
        let words = ["live", "pay", "hp", "支付"].map(str::to_owned).to_vec();
        let filter = WordFilter::new(words, &["live".to_owned()], how);
        filter.find(&DnsName::parse(name).unwrap()).map(str::to_owned)
    }

    #[test]
    fn words_are_found_as_the_match_mode_says() {
        use WordMatch::{Label, Substring, Token};
        for (rule, name, word, modes) in [
            ("WORD-01", "pay.zone.cn", "pay", &[Substring, Token, Label][..]),
            ("WORD-01", "*.pay.zone.cn", "pay", &[Substring, Token, Label]),
            ("WORD-01", "my-pay.zone.cn", "pay", &[Substring, Token]),
            ("WORD-09", "repaying.zone.cn", "pay", &[Substring]),
            ("WORD-09", "php.zone.cn", "hp", &[Substring]),
            ("WORD-01", "zone.pay", "pay", &[Substring, Token, Label]),
            ("WORD-02", "zone.live", "live", &[]),
            ("WORD-02", "live.live", "live", &[Substring, Token, Label]),
            ("WORD-02", "zone.olive", "live", &[Substring]),
            ("WORD-02", "live.zone.cn", "live", &[Substring, Token, Label]),
            ("WORD-01", "pa.y.cn", "pay", &[]),
            ("WORD-01", "xn--pay-joa.cn", "pay", &[Substring, Token]),
            ("WORD-04", "xn--bnq818boic.cn", "支付", &[Substring]),
            ("WORD-04", "xn--bnq875c.cn", "支付", &[Substring, Token, Label]),
        ] {
            for how in [Substring, Token, Label] {
                let expected = modes.contains(&how).then_some(word);
                assert_eq!(found(how, name).as_deref(), expected, "{rule} {name} {how:?}");
            }
        }
    }

    #[test]
    fn of_several_words_the_first_of_the_list_is_told() {
        assert_eq!(found(WordMatch::Substring, "php-pay.cn").as_deref(), Some("pay"));
        assert_eq!(WordFilter::default().find(&DnsName::parse("pay.cn").unwrap()), None);
    }

    #[test]
    fn a_word_is_part_of_a_label() {
        for (text, good) in
            [("pay", true), ("a-b", true), ("支付", true), ("", false), ("Pay", false), ("a.b", false), ("Ü", false)]
        {
            assert_eq!(is_word(text), good, "{text}");
        }
    }
}
