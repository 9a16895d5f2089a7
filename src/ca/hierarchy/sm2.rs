//! The hierarchy of the national standard: a root of its own, and under it an SM2 intermediate for each family that has one.
//! Nothing crosses over to the other hierarchy, which the Baseline Requirements are for.

use std::sync::Arc;
use std::time::Duration;

use super::{Authority, Hierarchy, Opening};
use crate::ca::national::NewAuthority;
use crate::ca::signer::{Key, KeyKind};
use crate::ca::{Refusal, SM2_ROOT, is_sm2_name, sm2};

impl Opening<'_> {
    /// Adds root and intermediates for SM2: those of the settings, and those that still owe CRLs. A build without SM2 passes them
    /// over.
    pub(super) fn add_national(&self, present: &[String], hierarchy: &mut Hierarchy) -> Result<(), Refusal> {
        let named: Vec<String> = self.settings.sm2_intermediates().collect();
        let retired = present.iter().filter(|name| is_sm2_name(name) && !named.contains(name));
        let retired: Vec<&String> = retired.collect();
        let begun = present.iter().any(|name| name == SM2_ROOT);
        if !sm2::IS_BUILT_IN || (named.is_empty() && retired.is_empty() && !begun) {
            return Ok(());
        }
        if !begun && present.iter().any(|name| is_sm2_name(name)) {
            let told =
                "the key directory holds keys of SM2 intermediates but not root-sm2.key; restore it from a back-up";
            return Err(told.into());
        }
        self.refuse_to_begin(begun, &named, &hierarchy.roots)?;
        let root = self.national_root()?;
        for name in &named {
            hierarchy.intermediates.push(Arc::new(self.national_intermediate(name, &root)?));
        }
        for name in retired {
            // Without its certificate it has signed nothing.
            if self.vault.certificate(name)?.is_none() {
                continue;
            }
            let retired = self.national_authority(name, self.national_key(name)?)?;
            retired.check_signed_by(&root)?;
            if retired.check_not_expired(self.now).is_ok() {
                hierarchy.intermediates.push(Arc::new(retired));
            }
        }
        hierarchy.roots.push(root);
        Ok(())
    }

    /// Where roots are offline the server makes none of its own, and so begins no hierarchy for SM2.
    fn refuse_to_begin(&self, begun: bool, named: &[String], roots: &[Authority]) -> Result<(), Refusal> {
        if begun || roots.iter().all(|root| !root.key.is_away()) {
            return Ok(());
        }
        Err(no_root(named))
    }

    fn national_root(&self) -> Result<Authority, Refusal> {
        let key = self.national_key(SM2_ROOT)?;
        if self.vault.certificate(SM2_ROOT)?.is_none() {
            let common = format!("{} SM2 Root R1", self.settings.organization);
            let not_before = self.now.whole_second();
            let not_after = not_before + days(self.settings.root_days);
            let name = [self.settings.country.as_str(), &self.settings.organization, &common];
            let der = NewAuthority { name, key: &key, not_before, not_after }.self_signed()?;
            self.vault.store_certificate(SM2_ROOT, &der)?;
        }
        let root = self.national_authority(SM2_ROOT, key)?;
        root.check_signed_by(&root)?;
        root.check_not_expired(self.now)?;
        Ok(root)
    }

    /// The key of that name, made if neither it nor its certificate exists.
    fn national_key(&self, name: &str) -> Result<Key, Refusal> {
        match self.vault.key(name)? {
            Some(key) => Ok(key),
            None if self.vault.certificate(name)?.is_some() => {
                Err(format!("the key directory holds {name}.pem but not {name}.key; restore it from a back-up").into())
            }
            None => self.vault.create_key(name, KeyKind::Sm2),
        }
    }

    fn national_authority(&self, name: &str, key: Key) -> Result<Authority, Refusal> {
        let der = self.vault.certificate(name)?;
        Authority::load(name, key, der.ok_or_else(|| format!("{name}.pem vanished while it was being used"))?)
    }

    fn national_intermediate(&self, name: &str, root: &Authority) -> Result<Authority, Refusal> {
        let key = self.national_key(name)?;
        if self.vault.certificate(name)?.is_none() {
            let common = self.settings.intermediate_common_name(name);
            let not_before = self.now.whole_second();
            let not_after = (not_before + days(self.settings.intermediate_days)).min(root.not_after);
            let subject = [self.settings.country.as_str(), &self.settings.organization, &common];
            let new = NewAuthority { name: subject, key: &key, not_before, not_after };
            self.vault.store_certificate(name, &new.signed_by(root, self.urls)?)?;
        }
        let mut intermediate = self.national_authority(name, key)?;
        intermediate.check_signed_by(root)?;
        intermediate.not_after = intermediate.not_after.min(root.not_after);
        intermediate.check_not_expired(self.now)?;
        Ok(intermediate)
    }
}

/// Why there is nobody to certify SM2 keys where roots are offline.
pub(in crate::ca) fn no_root(named: &[String]) -> Refusal {
    format!(
        "sm2_issuers: there is no {SM2_ROOT}.key for {}, and where roots are offline none is made on the server; set \
         sm2_issuers = [] in [ca], or bring root and intermediates for SM2 here from a back-up (docs/keys.md)",
        named.join(", ")
    )
    .into()
}

/// So many days, the last second left out (RFC 5280 section 4.1.2.5 counts both ends).
fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400 - 1)
}
