//! What is wrong with a file of the catalogue.

/// A fault of a catalogue file: the key and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the file, e.g. `products[2].validity_days`.
    pub key: String,
    /// What is wrong, with the value, and what would be right.
    pub reason: String,
}

/// What the TOML reader found wrong, with its line.
pub(super) fn toml_fault(text: &str, fault: &toml::de::Error) -> Fault {
    let line = fault.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
    Fault { key: format!("line {line}"), reason: fault.message().to_owned() }
}
