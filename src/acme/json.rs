//! Strict JSON: one object, no member name twice, no deep nesting, nothing after it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::domain::{Error, Result};

/// How deep arrays and objects may stand in each other. What ACME sends needs four.
const MAX_DEPTH: u8 = 16;

/// Reads `T` from a JSON object. `what` is the object's name in the refusal, as in "The payload is not ...".
///
/// Refuses as `malformed` what JSON parsers disagree about, and so what a client and this server could understand
/// differently: a name that stands twice in an object at any depth (RFC 8259 section 4, RFC 7515 section 4), text after
/// the object, nesting beyond 16, and everything that is not JSON in UTF-8.
pub fn object<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T> {
    let refuse = |e: serde_json::Error| Error::malformed(format!("The {what} cannot be read: {}.", shortened(&e)));
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Strict { left: MAX_DEPTH, within: Within::Document }.deserialize(&mut deserializer).map_err(refuse)?;
    deserializer.end().map_err(refuse)?;
    serde_json::from_slice(json).map_err(refuse)
}

/// serde quotes what it found; a client that sent a megabyte of it does not need it back.
fn shortened(error: &serde_json::Error) -> String {
    const MOST: usize = 200;
    let text = error.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Walks over a value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Strict {
    /// How many more levels may open.
    left: u8,
    within: Within,
}

#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// At the top, where serde would take an array for a struct.
    Document,
    Value,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let too_deep = || E::custom(format_args!("arrays and objects are nested more than {MAX_DEPTH} deep"));
        Ok(Self { left: self.left.checked_sub(1).ok_or_else(too_deep)?, within: Within::Value })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.within {
            Within::Document => deserializer.deserialize_map(self),
            Within::Value => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.within == Within::Document { "a JSON object" } else { "a JSON value" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut names: Vec<Cow<'de, str>> = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            names.push(name);
            members.next_value_seed(deeper)?;
        }
        // Sorting, so that an object of many names costs no more than its length.
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let name: String = pair[0].chars().take(40).collect();
                Err(A::Error::custom(format_args!("the member \"{}\" stands there twice", name.escape_debug())))
            }
            None => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while elements.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a member's name without copying it, unless it is written with escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
