//! What a configuration file says, by its keys, as the audit log keeps it: what was changed is told with what it was.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::files::sha256;

/// Most characters of a value; of longer ones the digest tells whether they changed.
const LONGEST: usize = 400;

/// A setting that holds a secret: of that the digest is told.
const SECRET: &str = "store.url";

/// The settings of a file that was read before, by their keys with their tables; none of one that is no TOML.
pub(super) fn settings(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(table) = text.parse::<Table>() {
        collect("", table, &mut found);
    }
    found
}

fn collect(above: &str, table: Table, found: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = if above.is_empty() { key } else { format!("{above}.{key}") };
        match value {
            Value::Table(inner) => collect(&key, inner, found),
            value => {
                let text = value.to_string();
                let shown = if key == SECRET || text.chars().count() > LONGEST {
                    format!("SHA-256 {}", sha256(&text))
                } else {
                    text
                };
                found.insert(key, shown);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_by_their_keys_and_secrets_are_not() {
        let url = "postgres://chancery:hush@localhost/chancery";
        let text = format!(
            "[server]\nnode = 3\n[store]\nurl = \"{url}\"\n[validation.perspectives]\nremotes = [{{ name = \"a\" }}]\n\
             [acme]\nwebsite = \"{}\"\n",
            "x".repeat(500)
        );
        let told = settings(&text);
        assert_eq!(told["server.node"], "3");
        assert_eq!(told["validation.perspectives.remotes"], "[{ name = \"a\" }]");
        assert_eq!(told["store.url"], format!("SHA-256 {}", sha256(&format!("\"{url}\""))));
        assert_eq!(told["acme.website"].len(), "SHA-256 ".len() + 64);
        assert!(!format!("{told:?}").contains("hush") && settings("= 1").is_empty());
    }
}
