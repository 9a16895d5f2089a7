//! What is wrong with a file of the catalogue.

/// A fault of a catalogue file: the key and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1, when it is known.
    pub line: Option<usize>,
    /// Where in the file, e.g. `products[2].validity_days`; empty when the text as a whole is meant.
    pub key: String,
    /// What is wrong, with the value, and what would be right.
    pub reason: String,
}

impl Fault {
    /// A fault of a key, its line not known yet.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { line: None, key: key.into(), reason: reason.into() }
    }
}
