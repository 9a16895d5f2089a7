//! The text of a configuration file: read so that every fault is found and has its line.

use std::ops::Range;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, Fault, LocalhostNames};

/// Where the keys of a file stand.
pub(super) struct Document<'t> {
    name: &'t str,
    text: &'t str,
    table: DeTable<'t>,
}

/// Reads a file as far as keys and types go; what the values mean is judged elsewhere.
pub(super) fn read<'t>(text: &'t str, name: &'t str) -> Result<(Config, Document<'t>), Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let document = Document { name, text, table: table.into_inner() };
    if !errors.is_empty() {
        let told = |error: toml::de::Error| Fault {
            line: error.span().map(|span| document.line(span.start)),
            ..Fault::new(name, "", error.message())
        };
        return Err(errors.into_iter().map(told).collect());
    }
    let mut faults = Vec::new();
    let mut rest = document.table.clone();
    let (mut localhost_names, mut website) = (LocalhostNames::Auto, None);
    match take(&mut rest, "validation", "localhost_names") {
        None => {}
        Some(DeValue::String(text)) if text == "auto" => {}
        Some(DeValue::Boolean(true)) => localhost_names = LocalhostNames::Yes,
        Some(DeValue::Boolean(false)) => localhost_names = LocalhostNames::No,
        Some(_) => {
            let reason = "this is \"auto\", true or false";
            faults.push(document.locate(Fault::new(name, "validation.localhost_names", reason)));
        }
    }
    match take(&mut rest, "acme", "website") {
        None => {}
        Some(DeValue::String(text)) => website = Some(text.into_owned()),
        Some(_) => faults.push(document.locate(Fault::new(name, "acme.website", "this is a string"))),
    }
    let config = loop {
        let whole = Spanned::new(0..text.len(), rest.clone());
        match Config::deserialize(toml::Deserializer::from(whole)) {
            Ok(config) => break Config { localhost_names, website, ..config },
            // Serde stops at the first fault: tell it, take its key out, and read again for the next.
            Err(error) => {
                let place = error.span().and_then(|span| path_at(&rest, &span));
                let key = place.as_ref().map(|path| path.join(".")).unwrap_or_default();
                let line = error.span().map(|span| document.line(span.start));
                faults.push(Fault { line, ..Fault::new(name, key, error.message()) });
                match place {
                    Some(path) => remove(&mut rest, &path),
                    None => return Err(faults),
                }
            }
        }
    };
    if faults.is_empty() { Ok((config, document)) } else { Err(faults) }
}

impl Document<'_> {
    /// The fault with file and line of its key filled in, or of the nearest table above it that is there.
    pub(super) fn locate(&self, fault: Fault) -> Fault {
        let mut table = &self.table;
        let mut line = None;
        for part in fault.key.split('.') {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == part) else { break };
            line = Some(self.line(key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        Fault { file: self.name.to_owned(), line, ..fault }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// Takes out a key that stands in a module's table but is not the module's own setting: whether `localhost` is known
/// depends on where the server listens, and the web site is none of the use cases' business.
fn take<'t>(table: &mut DeTable<'t>, section: &str, key: &str) -> Option<DeValue<'t>> {
    match table.get_mut(section).map(Spanned::get_mut) {
        Some(DeValue::Table(section)) => section.remove(key).map(Spanned::into_inner),
        _ => None,
    }
}

/// The innermost key that a span is about: the span is the key's own, or within its value.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        let name = key.get_ref().to_string();
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(mut path) = path_at(inner, span)
        {
            path.insert(0, name);
            return Some(path);
        }
        if within(key.span()) || within(value.span()) {
            return Some(vec![name]);
        }
    }
    None
}

fn remove(table: &mut DeTable<'_>, path: &[String]) {
    match path {
        [] => {}
        [last] => {
            table.remove(last.as_str());
        }
        [first, rest @ ..] => {
            if let Some(DeValue::Table(inner)) = table.get_mut(first.as_str()).map(Spanned::get_mut) {
                remove(inner, rest);
            }
        }
    }
}
