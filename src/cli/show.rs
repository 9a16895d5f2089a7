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
    if !value.is_object() {
        return plain(value);
    }
    let mut simple = Vec::new();
    let mut tables = String::new();
    sort_members("", value, &mut simple, &mut tables);
    let width = simple.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 1;
    let lines: String = simple.iter().map(|(name, text)| format!("{:width$} {text}\n", format!("{name}:"))).collect();
    lines + &tables
}

/// Tells members that are lines, under their names with dots, from lists of objects, which are tables.
fn sort_members(path: &str, value: &Value, simple: &mut Vec<(String, String)>, tables: &mut String) {
    match value {
        Value::Object(members) if !is_plain(value) => {
            for (name, value) in members {
                let name = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                sort_members(&name, value, simple, tables);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() && !is_plain(item)) => {
            let mut columns: Vec<&str> = Vec::new();
            for name in items.iter().filter_map(Value::as_object).flat_map(|item| item.keys()) {
                if !columns.contains(&name.as_str()) {
                    columns.push(name);
                }
            }
            let table: String = table_of(items, &columns).lines().map(|line| format!("  {line}\n")).collect();
            tables.push_str(&format!("{path}:\n{table}"));
        }
        other => simple.push((path.to_owned(), plain(other))),
    }
}

fn table_of(records: &[Value], columns: &[&str]) -> String {
    let heads = columns.iter().map(|column| column.to_uppercase().replace(['_', '.'], " ")).collect();
    let cells = |record: &Value| columns.iter().map(|column| plain(&member(record, column))).collect::<Vec<_>>();
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

/// The member at a path with dots; of a list, that of each item.
fn member(value: &Value, path: &str) -> Value {
    match (value, path.split_once('.')) {
        (Value::Array(items), _) => items.iter().map(|item| member(item, path)).collect(),
        (_, Some((first, rest))) => member(&value[first], rest),
        (_, None) => value[path].clone(),
    }
}

/// Whether an object is shown as one text: an identifier by its value, a problem by what it says.
fn is_plain(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|members| members.contains_key("detail") || (members.len() == 2 && members.contains_key("type")))
}

/// A value on one line, with control characters made visible: names are what strangers chose.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) if is_plain(value) => plain(members.get("detail").unwrap_or(&value["value"])),
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
    fn members_of_members_are_named_with_dots() {
        let product = json!({ "id": "a", "price": { "base": "1.00" }, "causes": [{ "name": "x" }, { "name": "y" }] });
        assert_eq!(
            table_of(&[product.clone(), json!({ "id": "b" })], &["id", "price.base", "causes.name"]),
            "ID  PRICE BASE  CAUSES NAME\na   1.00        x, y\nb   -           -\n"
        );
        assert_eq!(lines_of(&product), "id:         a\nprice.base: 1.00\ncauses:\n  NAME\n  x\n  y\n");
    }

    #[test]
    fn lists_of_objects_are_tables_and_problems_are_told_by_their_detail() {
        let order = json!({
            "id": "o",
            "problem": { "kind": "caa", "detail": "no" },
            "validations": [{ "name": "a.cn", "problem": { "kind": "dns", "detail": "gone" } }, { "name": "b.example.cn" }]
        });
        let text =
            "id:      o\nproblem: no\nvalidations:\n  NAME          PROBLEM\n  a.cn          gone\n  b.example.cn  -\n";
        assert_eq!(lines_of(&order), text);
    }

    #[test]
    fn records_are_lines_without_control_characters() {
        let text = lines_of(&json!({ "name": "a\u{1b}[2Jb", "names": ["x", { "type": "dns", "value": "y" }] }));
        assert_eq!(text, "name:  a\\u{1b}[2Jb\nnames: x, y\n");
    }
}
