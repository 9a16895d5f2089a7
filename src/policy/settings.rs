//! `[settings]` of the catalogue: what the documents leave open or contradict each other in, each as one named setting
//! with the recommended value as its default (section 24 of the rules: ).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::catalog::{Class, Day, ceiling};
use super::fault::Fault;
use super::words::is_word;
use crate::domain::Timestamp;
use crate::domain::plan::CaaMode;

/// The settings. What concerns the life of certificates beyond issuing is kept for the use cases that come to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The table of `[ip_matrices]` that says which brands and types take IP addresses.
    pub ip_matrix: String,
    /// The table for brands that the first one does not list.
    pub ip_matrix_fallback: String,
    /// Whether the documented products take private addresses; no document lets them (IP-04).
    pub allow_private_ip: bool,
    /// The table of `[quotas]` that holds.
    pub quota_variant: String,
    /// Days for showing control of the names of an order, with any method (X-03, VAL-13).
    pub dns_record_deadline_days: u32,
    /// Most days of a fresh certificate (X-04, VALIDITY-01).
    pub max_validity_days: u32,
    /// Most days of a renewed certificate (X-04, VALIDITY-02).
    pub max_validity_days_renewed: u32,
    /// Days on top of the remaining ones at a renewal, 0 to 90 (X-05, VALIDITY-06).
    pub rollover_extra_days: u32,
    /// Whether the public calendar of shrinking lifetimes holds too (design decision 8).
    pub validity_schedule: Schedule,
    /// Whether a file may prove a wildcard name: no; a code ceiling (X-08, VAL-08).
    pub wildcard_allows_file: bool,
    /// Which keys the documented products take.
    pub key_policy: KeyPolicy,
    /// Whether a key serves one order only (X-10, CSR-04).
    pub csr_unique_per_order: bool,
    /// Whether a reissue may keep its key.
    pub csr_reuse_on_reissue: bool,
    /// Whether the same customer may renew the same names with the same key (X-10, design decision 4).
    pub csr_reuse_on_auto_renew: bool,
    /// Whether a reissue may have other names (X-11, REISSUE-06).
    pub reissue_may_change_domains: bool,
    /// What lets a reissue skip validation; any one suffices.
    pub reissue_skip_validation: Vec<Skip>,
    /// Days after issuance in which a reissue is not validated anew (VAL-35).
    pub reissue_fresh_days: u32,
    /// Days that a retained validation serves a reissue of a paid certificate (VAL-34).
    pub validation_reuse_days: u32,
    /// Which parents of ordered names are free.
    pub parent_free_rule: ParentRule,
    /// What becomes of an order with a sensitive word, by product type; types that are not here have no word filter (X-14,
    /// design decision 5).
    pub word_scope: BTreeMap<Class, WordOutcome>,
    /// Where in a name a sensitive word counts (X-14, WORD-09).
    pub word_match: WordMatch,
    /// Words beside those of the list (X-14, WORD-03).
    pub word_extra: Vec<String>,
    /// When the list's entry for IP addresses counts (X-01, WORD-01).
    pub word_ip_entry: IpEntry,
    /// Most characters of a name, wildcard and dots included (X-15, DOM-11).
    pub name_max_chars: u32,
    /// Most labels of a name (X-15, DOM-02).
    pub name_max_levels: u32,
    /// How CAA records are read.
    pub caa_mode: CaaMode,
    /// Days before its end at which a certificate's renewal begins.
    pub renewal_window_days: u32,
    /// Most bytes of an uploaded letter ("1.4 MB", DOC-02).
    pub letter_max_bytes: u32,
    /// Days that an uploaded letter is kept; then it is deleted.
    pub letter_retention_days: u32,
    /// Whether GlobalSign EV needs a letter too.
    pub globalsign_ev_letter: bool,
    /// Certificates issued before this day are revoked through support only (REVOKE-07).
    pub revocation_cutoff_date: Day,
    /// Whom the limits on revocation bind.
    pub revoke_restrictions_apply_to: RevokeScope,
    /// Whether file validation needs a resource bought from the provider (X-28, VAL-27); here nobody has one, so `true`
    /// takes http-01 away.
    pub file_needs_cloud_resource: bool,
    /// Days from the opening of the renewal window to the expiry reminder.
    pub expiry_reminder_day_offset: u32,
    /// How often a free certificate can be reissued (REISSUE-02).
    pub free_reissue_limit: u32,
}

/// Which calendar of lifetimes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The documented caps alone.
    Documented,
    /// Also Baseline Requirements 6.3.2 and 4.2.1: 200 days from 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15.
    BaselineRequirements,
}

/// Which keys the documented products take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPolicy {
    /// Those that the catalogue names.
    Catalogue,
    /// RSA with 2048 bits alone (CSR-02).
    #[serde(rename = "rsa2048-only")]
    Rsa2048Only,
}

/// What lets a reissue skip validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Skip {
    /// Less than three days since the original (VAL-35).
    #[serde(rename = "age_lt_3_days")]
    Fresh,
    /// The same CSR (VAL-36). ACME learns of the CSR after the validation, so this never decides there.
    #[serde(rename = "same_csr")]
    SameCsr,
    /// Validated within the last 13 months (VAL-34).
    #[serde(rename = "reuse_13_months")]
    Retained,
}

/// Which parents of ordered names are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParentRule {
    /// That of every name of level three or more (SAN-03).
    #[serde(rename = "level3plus")]
    Level3Plus,
    /// The primary name of its `www` and of the wildcard right under it (SAN-04, SAN-05).
    WwwAndSecondLevelWildcard,
}

/// What becomes of an order with a sensitive word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WordOutcome {
    /// It is refused.
    Refuse,
    /// A person looks at it before it is issued.
    Review,
    /// Nothing.
    None,
}

/// Where in a name a sensitive word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WordMatch {
    /// Anywhere in a label.
    Substring,
    /// As a part between dots or hyphens.
    Token,
    /// As a whole label.
    Label,
}

/// When the word list's entry for IP addresses counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpEntry {
    /// Where no product may take them anyway: the matrix decides.
    WhereMatrixForbids,
    /// For every product with a word filter.
    Always,
}

/// Whom the limits on revocation bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevokeScope {
    /// All certificates but those of WoTrus under the international standard.
    AllButWotrusInternational,
    /// All certificates but those of WoTrus and DNSPod GM.
    AllButWotrusAndDnspodSm,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ip_matrix: "faq".to_owned(),
            ip_matrix_fallback: "guide".to_owned(),
            allow_private_ip: false,
            quota_variant: "2024-03".to_owned(),
            dns_record_deadline_days: 3,
            max_validity_days: 397,
            max_validity_days_renewed: 398,
            rollover_extra_days: 90,
            validity_schedule: Schedule::Documented,
            wildcard_allows_file: false,
            key_policy: KeyPolicy::Catalogue,
            csr_unique_per_order: true,
            csr_reuse_on_reissue: true,
            csr_reuse_on_auto_renew: true,
            reissue_may_change_domains: false,
            reissue_skip_validation: vec![Skip::Fresh, Skip::SameCsr, Skip::Retained],
            reissue_fresh_days: 3,
            validation_reuse_days: 397,
            parent_free_rule: ParentRule::Level3Plus,
            word_scope: BTreeMap::from([(Class::DvFree, WordOutcome::Refuse), (Class::Dv, WordOutcome::Review)]),
            word_match: WordMatch::Substring,
            word_extra: vec!["pay".to_owned()],
            word_ip_entry: IpEntry::WhereMatrixForbids,
            name_max_chars: 64,
            name_max_levels: 100,
            caa_mode: CaaMode::Rfc8659,
            renewal_window_days: 30,
            letter_max_bytes: 1_400_000,
            letter_retention_days: 1_095,
            globalsign_ev_letter: true,
            // 2020-03-25
            revocation_cutoff_date: Day(Timestamp::from_secs(1_585_094_400)),
            revoke_restrictions_apply_to: RevokeScope::AllButWotrusInternational,
            file_needs_cloud_resource: false,
            expiry_reminder_day_offset: 1,
            free_reissue_limit: 1,
        }
    }
}

impl Settings {
    /// What is wrong with the values; ceilings can only be tightened by a file.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault::new(format!("settings.{key}"), reason));
            }
        };
        demand(
            !self.wildcard_allows_file,
            "wildcard_allows_file",
            "a file never proves a wildcard name (VAL-08, Baseline Requirements 3.2.2.4.18); this must stay false"
                .into(),
        );
        for (key, value, least, most) in [
            ("dns_record_deadline_days", self.dns_record_deadline_days, 1, ceiling::DEADLINE_DAYS),
            ("max_validity_days", self.max_validity_days, 1, ceiling::PUBLIC_DAYS),
            ("max_validity_days_renewed", self.max_validity_days_renewed, 1, ceiling::PUBLIC_DAYS),
            ("renewal_window_days", self.renewal_window_days, 1, 90),
            ("validation_reuse_days", self.validation_reuse_days, 1, ceiling::REUSE_DAYS),
            ("rollover_extra_days", self.rollover_extra_days, 0, ceiling::ROLLOVER_DAYS),
            ("reissue_fresh_days", self.reissue_fresh_days, 0, ceiling::FRESH_DAYS),
            ("expiry_reminder_day_offset", self.expiry_reminder_day_offset, 0, 30),
            ("free_reissue_limit", self.free_reissue_limit, 0, 100),
            ("letter_max_bytes", self.letter_max_bytes, 1, ceiling::LETTER_BYTES),
            ("letter_retention_days", self.letter_retention_days, 1, 36_500),
            ("name_max_chars", self.name_max_chars, 1, ceiling::NAME_CHARS),
            ("name_max_levels", self.name_max_levels, 2, ceiling::NAME_LEVELS),
        ] {
            demand((least..=most).contains(&value), key, format!("{value} is not between {least} and {most}"));
        }
        demand(
            !self.word_scope.contains_key(&Class::Private),
            "word_scope",
            "the type \"private\" has no word filter".to_owned(),
        );
        for (place, word) in self.word_extra.iter().enumerate() {
            let reason = format!("\"{word}\" is not part of a label in lower case");
            demand(is_word(word), &format!("word_extra[{place}]"), reason);
        }
        faults
    }
}
