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

/// How many labels a name has, the top-level one included and an asterisk too (DOM-14).
pub fn levels(name: &str) -> usize {
    name.split('.').count()
}
