//! What the documents say, as tables, and the shipped files that must say the same.

use chancery::policy::catalog::Catalog;
use chancery::policy::names::Names;

/// The shipped catalogue's text.
pub const CATALOG: &str = include_str!("../../config/catalog.toml");

/// The shipped lists of names.
pub const NAMES: &str = include_str!("../../config/names.toml");

/// The rows of the price list: id, rule, brand, type, shape, base, included, extra, years, most days, most days renewed.
pub fn price_list() -> Vec<[&'static str; 11]> {
    rows(include_str!("../../testdata/price-list.csv"))
}

/// The rows of the two tables for IP addresses: table, brand, ov, ov-pro, dv, dv-free, ev, ev-pro.
pub fn ip_matrix() -> Vec<[&'static str; 8]> {
    rows(include_str!("../../testdata/ip-matrix.csv"))
}

/// The rows of the table of free names: brand, type (none for all), `www` for the primary name, parent.
pub fn free_names() -> Vec<[&'static str; 4]> {
    rows(include_str!("../../testdata/free-names.csv"))
}

/// The catalogue as it is shipped.
pub fn catalog() -> Catalog {
    catalog_of(CATALOG)
}

/// A catalogue of that text, with the shipped lists of names.
pub fn catalog_of(text: &str) -> Catalog {
    Catalog::parse(text).unwrap().with_names(Names::parse(NAMES).unwrap())
}

fn rows<const N: usize>(csv: &'static str) -> Vec<[&'static str; N]> {
    let cells = |line: &'static str| line.split(',').collect::<Vec<_>>().try_into().unwrap();
    let rows: Vec<_> = csv.lines().skip(1).map(cells).collect();
    assert!(!rows.is_empty());
    rows
}
