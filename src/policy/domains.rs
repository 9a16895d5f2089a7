//! Where registration ends and ownership begins: public suffixes and primary domains (section 27 of the rules: by the
//! public suffix list).

/// The primary domain that a name is or lies in: one label more than its public suffix (QUOTA-03). None for a public
/// suffix itself. `name` is in lower case and without `*.`.
pub fn primary(name: &str) -> Option<&str> {
    psl::domain_str(name)
}

/// Whether the public suffix list has this name as a suffix: nobody owns all that lies below it. A single label that the
/// list does not know is not one, so that private networks can use it.
pub fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == name.as_bytes())
}

/// Whether a name is a suffix below which a registry lets people register. Those that a company keeps for its customers
/// (`github.io`) are not, because the company may order them.
pub fn is_registry_suffix(name: &str) -> bool {
    let registry = |suffix: &psl::Suffix<'_>| suffix.typ() == Some(psl::Type::Icann);
    psl::suffix(name.as_bytes()).is_some_and(|suffix| registry(&suffix) && suffix.as_bytes() == name.as_bytes())
}

/// How many labels a name has, the top-level one included and an asterisk too (DOM-14).
pub fn levels(name: &str) -> usize {
    name.split('.').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_in_what_their_owner_registered() {
        for (name, owned, public, registry, depth) in [
            ("zone.cn", Some("zone.cn"), false, false, 2),
            ("a.b.zone.cn", Some("zone.cn"), false, false, 4),
            ("zone.com.cn", Some("zone.com.cn"), false, false, 3),
            ("com.cn", None, true, true, 2),
            ("github.io", None, true, false, 2),
            ("me.github.io", Some("me.github.io"), false, false, 3),
            ("host.internal-network", Some("host.internal-network"), false, false, 2),
        ] {
            let found = (primary(name), is_public_suffix(name), is_registry_suffix(name), levels(name));
            assert_eq!(found, (owned, public, registry, depth), "QUOTA-03, DOM-14: {name}");
        }
    }
}
