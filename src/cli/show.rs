//! How records look on the terminal: lines for one, a table for many, or JSON.

use std::io::{self, ErrorKind, Write as _};

use serde_json::Value;

use super::Failure;

/// The record as JSON.
pub(super) fn json(value: &Value) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value)?)
}

/// One `name: value` a line.
pub(super) fn record(value: &Value) -> Result<(), Failure> {
    line(lines_of(value).trim_end())
}

/// A row for each record, with these members.
pub(super) fn table(records: &[Value], columns: &[&str]) -> Result<(), Failure> {
    line(table_of(records, columns).trim_end())
}

/// Prints text. A reader that has seen enough (`| head`) is no failure.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let printed = if text.is_empty() { Ok(()) } else { writeln!(io::stdout(), "{text}") };
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// `1 fault`, `2 faults`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn lines_of(value: &Value) -> String {
    let Value::Object(members) = value else { return plain(value) };
    let width = members.keys().map(String::len).max().unwrap_or(0) + 1;
    members.iter().map(|(name, value)| format!("{:width$} {}\n", format!("{name}:"), plain(value))).collect()
}

fn table_of(records: &[Value], columns: &[&str]) -> String {
    let heads = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let cells = |record: &Value| columns.iter().map(|column| plain(&record[*column])).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(records.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect::<Vec<_>>();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A value on one line, with control characters made visible: names are what strangers chose.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        // An identifier, of which the value alone says what it is.
        Value::Object(members) if members.len() == 2 && members.contains_key("type") => plain(&value["value"]),
        other => other.to_string(),
    };
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_line_up_and_show_what_is_missing() {
        let records = [json!({ "id": "a", "not_after": null }), json!({ "id": "long", "not_after": "2027" })];
        assert_eq!(table_of(&records, &["id", "not_after"]), "ID    NOT AFTER\na     -\nlong  2027\n");
    }

    #[test]
    fn records_are_lines_without_control_characters() {
        let text = lines_of(&json!({ "name": "a\u{1b}[2Jb", "names": ["x", { "type": "dns", "value": "y" }] }));
        assert_eq!(text, "name:  a\\u{1b}[2Jb\nnames: x, y\n");
    }
}
