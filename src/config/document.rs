//! The text of a configuration file: read so that every fault is found and has its line.

use toml::de::DeValue;

use super::{Config, Fault, LocalhostNames};
use crate::policy::document::Document as Written;
use crate::policy::fault::Fault as Told;

/// Where the keys of a file stand.
pub(super) struct Document<'t> {
    name: &'t str,
    written: Written<'t>,
}

/// Reads a file as far as keys and types go; what the values mean is judged elsewhere.
pub(super) fn read<'t>(text: &'t str, name: &'t str) -> Result<(Config, Document<'t>), Vec<Fault>> {
    let mut faults = Vec::new();
    let in_file = |faults: Vec<Told>| faults.into_iter().map(|fault| fault.in_file(name)).collect::<Vec<_>>();
    let mut written = Written::parse(text).map_err(in_file)?;
    // These stand in a module's table but are not the module's own settings: whether `localhost` is known depends on where
    // the server listens, and the web site is none of the use cases' business.
    let (mut localhost_names, mut website) = (LocalhostNames::Auto, None);
    match written.take("validation", "localhost_names") {
        None => {}
        Some(DeValue::String(text)) if text == "auto" => {}
        Some(DeValue::Boolean(true)) => localhost_names = LocalhostNames::Yes,
        Some(DeValue::Boolean(false)) => localhost_names = LocalhostNames::No,
        Some(_) => {
            let reason = "this is \"auto\", true or false";
            faults.push(written.locate(Told::new("validation.localhost_names", reason)));
        }
    }
    match written.take("acme", "website") {
        None => {}
        Some(DeValue::String(text)) => website = Some(text.into_owned()),
        Some(_) => faults.push(written.locate(Told::new("acme.website", "this is a string"))),
    }
    match written.remainder::<Config>(&mut faults) {
        Some(config) if faults.is_empty() => {
            Ok((Config { localhost_names, website, ..config }, Document { name, written }))
        }
        _ => Err(in_file(faults)),
    }
}

impl Document<'_> {
    /// The fault with file and line of its key filled in, or of the nearest table above it that is there.
    pub(super) fn locate(&self, fault: Fault) -> Fault {
        self.written.locate(Told { line: fault.line, key: fault.key, reason: fault.reason }).in_file(self.name)
    }
}
