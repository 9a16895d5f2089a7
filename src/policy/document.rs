//! A TOML file as it is written: read so that every fault is found, with its key and its line.

use std::fmt::Write as _;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::Fault;

/// A file, where its keys stand, and what of it is still to be read.
pub struct Document<'t> {
    text: &'t str,
    whole: DeTable<'t>,
    rest: DeTable<'t>,
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Place(usize),
}

impl<'t> Document<'t> {
    /// Splits a file into its keys; the faults are those of text that is no TOML.
    pub fn parse(text: &'t str) -> Result<Self, Vec<Fault>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let whole = table.into_inner();
        let document = Self { text, rest: whole.clone(), whole };
        if errors.is_empty() {
            return Ok(document);
        }
        let told = |error: toml::de::Error| Fault {
            line: error.span().map(|span| document.line(span.start)),
            ..Fault::new("", error.message())
        };
        Err(errors.into_iter().map(told).collect())
    }

    /// Reads a section, its default if it is absent. Serde stops at the first fault: it is told, its key is taken out, and
    /// the section is read again for the next.
    pub fn section<T: DeserializeOwned + Default>(&mut self, key: &str, faults: &mut Vec<Fault>) -> T {
        let value = self.rest.remove(key);
        value.and_then(|value| self.read(value, key, faults)).unwrap_or_default()
    }

    /// Reads the members of an array of tables that can be read, each with its place.
    pub fn list<T: DeserializeOwned>(&mut self, key: &str, faults: &mut Vec<Fault>) -> Vec<(usize, T)> {
        let Some(value) = self.rest.remove(key) else { return Vec::new() };
        let span = value.span();
        let DeValue::Array(items) = value.into_inner() else {
            let line = Some(self.line(span.start));
            faults.push(Fault { line, ..Fault::new(key, format!("write it as [[{key}]]")) });
            return Vec::new();
        };
        let mut read = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            read.extend(self.read(item.clone(), &format!("{key}[{place}]"), faults).map(|item| (place, item)));
        }
        read
    }

    /// Reads everything that no other call has taken.
    pub fn remainder<T: DeserializeOwned>(&mut self, faults: &mut Vec<Fault>) -> Option<T> {
        let rest = std::mem::take(&mut self.rest);
        self.read(Spanned::new(0..self.text.len(), DeValue::Table(rest)), "", faults)
    }

    /// Takes out a key of a section: what it holds, and its line.
    pub fn take(&mut self, section: &str, key: &str) -> Option<DeValue<'t>> {
        match self.rest.get_mut(section).map(Spanned::get_mut) {
            Some(DeValue::Table(section)) => section.remove(key).map(Spanned::into_inner),
            _ => None,
        }
    }

    /// Tells of every section that no call has taken.
    pub fn refuse_others(&self, faults: &mut Vec<Fault>) {
        for key in self.rest.keys() {
            let line = Some(self.line(key.span().start));
            faults.push(Fault { line, ..Fault::new(key.get_ref().as_ref(), "there is no such section") });
        }
    }

    /// The fault with the line of its key, or of the nearest table above it that is there.
    #[must_use]
    pub fn locate(&self, fault: Fault) -> Fault {
        if fault.line.is_some() {
            return fault;
        }
        let (mut line, mut table, mut array) = (None, Some(&self.whole), None);
        for step in steps(&fault.key) {
            let value = match (&step, table, array) {
                (Step::Key(name), Some(inside), _) => {
                    let Some((key, value)) = inside.iter().find(|(key, _)| key.get_ref() == name) else { break };
                    line = Some(self.line(key.span().start));
                    value
                }
                (Step::Place(place), _, Some(inside)) => {
                    let inside: &toml::de::DeArray<'_> = inside;
                    let Some(value) = inside.get(*place) else { break };
                    line = Some(self.line(value.span().start));
                    value
                }
                _ => break,
            };
            (table, array) = (value.get_ref().as_table(), value.get_ref().as_array());
        }
        Fault { line, ..fault }
    }

    fn read<T: DeserializeOwned>(
        &self,
        mut value: Spanned<DeValue<'t>>,
        key: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<T> {
        let mut taken: Vec<String> = Vec::new();
        loop {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let span = error.span();
            let steps = span.as_ref().and_then(|span| path_to(value.get_ref(), span)).unwrap_or_default();
            let fault = Fault {
                line: span.map(|span| self.line(span.start)),
                ..Fault::new(joined(key, &steps), error.message().trim_end())
            };
            // What was taken out for a fault of its own is not missed.
            let missed = |taken: &String| {
                let (table, name) = taken.rsplit_once('.').unwrap_or(("", taken));
                table == fault.key && fault.reason == format!("missing field `{name}`")
            };
            if !taken.iter().any(missed) {
                faults.push(fault.clone());
            }
            // An array goes as a whole, so that the places of its members stay true.
            let array = steps.iter().position(|step| matches!(step, Step::Place(_)));
            let steps = &steps[..array.unwrap_or(steps.len())];
            if steps.is_empty() || !remove(value.get_mut(), steps) {
                return None;
            }
            taken.push(joined(key, steps));
        }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// The innermost key or member that a span is about: the span is the key's own, or within its value.
fn path_to(value: &DeValue<'_>, span: &Range<usize>) -> Option<Vec<Step>> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let further = |step: Step, inner: &Spanned<DeValue<'_>>, own: bool| {
        let deeper = path_to(inner.get_ref(), span);
        (deeper.is_some() || own || within(inner.span())).then(|| {
            let mut path = vec![step];
            path.extend(deeper.unwrap_or_default());
            path
        })
    };
    match value {
        DeValue::Table(table) => table
            .iter()
            .find_map(|(key, inner)| further(Step::Key(key.get_ref().to_string()), inner, within(key.span()))),
        DeValue::Array(items) => {
            items.iter().enumerate().find_map(|(place, inner)| further(Step::Place(place), inner, false))
        }
        _ => None,
    }
}

/// Takes a key out; whether it was there.
fn remove(value: &mut DeValue<'_>, path: &[Step]) -> bool {
    let (DeValue::Table(table), [Step::Key(first), rest @ ..]) = (value, path) else { return false };
    match rest {
        [] => table.remove(first.as_str()).is_some(),
        rest => table.get_mut(first.as_str()).is_some_and(|inner| remove(inner.get_mut(), rest)),
    }
}

/// `key.inner[2].name`
fn joined(key: &str, steps: &[Step]) -> String {
    steps.iter().fold(key.to_owned(), |mut path, step| {
        match step {
            Step::Key(name) if path.is_empty() => path.push_str(name),
            Step::Key(name) => path.extend([".", name]),
            Step::Place(place) => write!(path, "[{place}]").expect("writing to a string does not fail"),
        }
        path
    })
}

/// What `joined` puts together.
fn steps(key: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in key.split('.') {
        let (name, places) = part.split_once('[').unwrap_or((part, ""));
        steps.push(Step::Key(name.to_owned()));
        let places = places.split(['[', ']']).filter_map(|place| place.parse().ok());
        steps.extend(places.map(Step::Place));
    }
    steps
}
