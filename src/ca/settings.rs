//! `[ca]` of the configuration: what it may say, and what follows from it.

use serde::Deserialize;

use super::signer::KeyKind;
use super::{
    MAX_COMMON_NAME, MAX_SHARDS, USUAL_SM2_ISSUER, generation, is_of_family, is_sm2_name, rsa_name, sm2, sm2_name,
    token,
};

/// `[ca]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `organizationName` of root and intermediates.
    pub organization: String,
    /// `countryName` of root and intermediates, two capital letters.
    pub country: String,
    /// Days that the root is valid, 2922 to 9132 (Baseline Requirements 7.1.2.1.1).
    pub root_days: u32,
    /// Days that intermediates are valid.
    pub intermediate_days: u32,
    /// Names of the ECDSA issuing intermediates; products name one of them as their `issuer`.
    pub issuers: Vec<String>,
    /// Whether subjects with RSA keys are signed by an RSA intermediate (of the same name with `-rsa`).
    pub rsa_issuers: bool,
    /// Those of `issuers` under whose name SM2 keys are certified (CAT-13), by an SM2 intermediate (of the same name with `-sm2`)
    /// below an SM2 root. A build without SM2 has none.
    pub sm2_issuers: Vec<String>,
    /// How many further roots cross-sign the intermediates; each gives an alternate chain.
    pub alternate_roots: u8,
    /// How many shards each issuer's CRL has: a power of two, at most 1024. Changing it later is safe.
    pub crl_shards: u16,
    /// Hours after which a CRL is made anew although nothing was revoked, 1 to 96 (Baseline Requirements 4.9.7).
    pub crl_hours: u16,
    /// Days from a CRL to its `nextUpdate`, 1 to 10 (Baseline Requirements 7.2); at least a day more than `crl_hours`.
    pub crl_days: u16,
    /// Bits of the keys of RSA intermediates: 2048, 3072 or 4096. A signature costs about 0.2 ms of CPU with 2048, 1.2 ms with
    /// 4096.
    pub rsa_bits: u16,
    /// Whether leaves say where their status can be asked for (`id-ad-ocsp`). The answers are given either way.
    pub ocsp: bool,
    /// A token that keys live on, instead of files.
    pub pkcs11: Option<token::Settings>,
    /// Whether this is the CA of a private network, which certifies internal names and reserved addresses, for up to 825
    /// days. What every other CA signs keeps to the Baseline Requirements in this.
    pub private: bool,
    /// Whether names below `localhost` are certified too: they are this machine, as `validation.localhost_names` says.
    #[serde(skip)]
    pub localhost_names: bool,
    /// Which ceiling no certificate's validity may exceed, whatever the catalogue says.
    pub validity_schedule: Schedule,
}

/// Ceilings of validity (Baseline Requirements 6.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// 398 days at any time, as before 2026-03-15.
    #[default]
    Documented,
    /// 200 days since 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15.
    BaselineRequirements,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            organization: "Chancery".to_owned(),
            country: "CN".to_owned(),
            root_days: 7300,
            intermediate_days: 3650,
            issuers: ["chancery", "chancery-s", "chancery-g", "chancery-d"].map(str::to_owned).to_vec(),
            rsa_issuers: true,
            sm2_issuers: vec![USUAL_SM2_ISSUER.to_owned()],
            alternate_roots: 0,
            crl_shards: 16,
            crl_hours: 24,
            crl_days: 7,
            rsa_bits: 2048,
            ocsp: true,
            pkcs11: None,
            private: false,
            localhost_names: false,
            validity_schedule: Schedule::Documented,
        }
    }
}

impl Settings {
    /// One sentence for each fault, beginning with the key it is about.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let organization = self.organization.trim();
        demand(
            organization == self.organization && (1..=64).contains(&organization.chars().count()),
            "organization: 1 to 64 characters, without white space around them",
        );
        demand(
            self.country.len() == 2 && self.country.bytes().all(|b| b.is_ascii_uppercase()),
            "country: two capital letters (ISO 3166-1)",
        );
        demand((2922..=9132).contains(&self.root_days), "root_days: 2922 to 9132 (Baseline Requirements 7.1.2.1.1)");
        demand(
            (1..=self.root_days).contains(&self.intermediate_days),
            "intermediate_days: at least 1 and at most root_days",
        );
        demand(self.alternate_roots <= 8, "alternate_roots: at most 8");
        demand(
            self.crl_shards.is_power_of_two() && self.crl_shards <= MAX_SHARDS,
            "crl_shards: a power of two, at most 1024",
        );
        demand((1..=96).contains(&self.crl_hours), "crl_hours: 1 to 96 (Baseline Requirements 4.9.7)");
        demand(
            (1..=10).contains(&self.crl_days) && u32::from(self.crl_hours) + 24 <= u32::from(self.crl_days) * 24,
            "crl_days: 1 to 10 (Baseline Requirements 7.2), and a day longer than crl_hours at least, so that a list that \
             could not be made in time is still good",
        );
        demand(matches!(self.rsa_bits, 2048 | 3072 | 4096), "rsa_bits: 2048, 3072 or 4096");
        demand(!self.issuers.is_empty(), "issuers: at least one name");
        for name in &self.issuers {
            demand(
                is_issuer_name(name),
                &format!(
                    "issuers: \"{name}\" is not 1 to 40 lower-case letters, digits and inner hyphens, or begins with \
                     \"root\" or ends in \"-rsa\" or \"-sm2\", which are names of this CA's own"
                ),
            );
            demand(self.issuers.iter().filter(|other| *other == name).count() == 1, "issuers: each name once");
            if let Some(family) = self.issuers.iter().find(|other| *other != name && is_of_family(name, other)) {
                demand(false, &format!("issuers: \"{name}\" is what a later generation of \"{family}\" is called"));
            }
        }
        for name in &self.sm2_issuers {
            // The usual name may stand there although other families were named.
            let known = self.issuers.contains(name) || name == USUAL_SM2_ISSUER;
            demand(known, &format!("sm2_issuers: \"{name}\" is not one of issuers"));
            let once = self.sm2_issuers.iter().filter(|other| *other == name).count() == 1;
            demand(once, "sm2_issuers: each name once");
        }
        for name in self.intermediates().map(|(name, _)| name).chain(self.sm2_intermediates()) {
            demand(
                self.intermediate_common_name(&name).chars().count() <= MAX_COMMON_NAME,
                &format!("organization, issuers: the common name of \"{name}\" would exceed 64 characters"),
            );
        }
        faults.extend(self.pkcs11.iter().flat_map(|token| token.faults(&self.issuers)));
        faults
    }

    /// The issuer family, the kind of key and the generation (from 1) of an intermediate's name.
    pub(super) fn intermediate_of(&self, name: &str) -> Option<(String, KeyKind, u32)> {
        self.intermediates().find_map(|(base, kind)| Some((base.clone(), kind, generation(name, &base)?)))
    }

    pub(super) fn intermediates(&self) -> impl Iterator<Item = (String, KeyKind)> + '_ {
        self.issuers.iter().flat_map(|name| {
            let rsa = self.rsa_issuers.then(|| (rsa_name(name), KeyKind::Rsa(self.rsa_bits)));
            [Some((name.clone(), KeyKind::P256)), rsa].into_iter().flatten()
        })
    }

    /// The families that certify SM2 keys: none in a build without SM2.
    pub fn sm2_families(&self) -> impl Iterator<Item = &String> {
        self.sm2_issuers.iter().filter(|name| sm2::IS_BUILT_IN && self.issuers.contains(name))
    }

    pub(super) fn sm2_intermediates(&self) -> impl Iterator<Item = String> {
        self.sm2_families().map(|name| sm2_name(name))
    }

    /// `<organization> <Issuer> TLS CA <generation>`; the issuer is left out where it only repeats the organization.
    pub(super) fn intermediate_common_name(&self, name: &str) -> String {
        let known = self.intermediate_of(name);
        let (base, generation) = known.as_ref().map_or((name, 1), |(base, _, number)| (base, *number));
        let (family, kind) = match (base.strip_suffix("-rsa"), base.strip_suffix("-sm2")) {
            (Some(family), _) => (family, "TLS RSA CA"),
            (_, Some(family)) => (family, "TLS SM2 CA"),
            (None, None) => (base, "TLS CA"),
        };
        if family.eq_ignore_ascii_case(&self.organization) {
            return format!("{} {kind} {generation}", self.organization);
        }
        let capital = |word: &str| match word.split_at_checked(1) {
            Some((first, rest)) => first.to_ascii_uppercase() + rest,
            None => String::new(),
        };
        let family: Vec<String> = family.split('-').map(capital).collect();
        format!("{} {} {kind} {generation}", self.organization, family.join(" "))
    }
}

fn is_issuer_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=40).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
        && !name.starts_with("root")
        && !name.ends_with("-rsa")
        && !is_sm2_name(name)
}
