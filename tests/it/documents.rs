//! What the documents say, as tables, the shipped files that must say the same, and orders that are tried row by row.

use chancery::domain::customer::CustomerKind;
use chancery::policy::catalog::{Catalog, Sale};
use chancery::policy::names::Names;
use serde_json::{Value, json};

use crate::support::world::World;

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

/// The payload of an order for names and IP addresses; of a profile, if it is named.
pub fn order_for(profile: Option<&str>, names: &[&str]) -> Value {
    let kind = |name: &str| if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    let identifiers: Vec<Value> = names.iter().map(|name| json!({ "type": kind(name), "value": name })).collect();
    let mut payload = json!({ "identifiers": identifiers });
    if let Some(profile) = profile {
        payload["profile"] = json!(profile);
    }
    payload
}

/// What is to become of an order.
pub enum Expect {
    /// It is taken, with so many names charged; for a paid product, as many are bought first.
    Taken(u32),
    /// It is refused with this status and type, in these words.
    Refused(u16, &'static str, &'static [&'static str]),
}

/// Places orders and compares what becomes of them: the rule, the product, the names.
pub async fn try_orders(world: &World, rows: &[(&str, &str, &[&str], Expect)]) {
    let catalog = world.ra().catalog();
    for (rule, profile, names, expected) in rows {
        let paid = matches!(catalog.product(profile).unwrap().sale, Sale::Paid(_));
        // A customer for each row, so that no row pays for another.
        let client = match paid {
            true => {
                let customer = world.customer(CustomerKind::Enterprise).await;
                if let Expect::Taken(charged) = expected {
                    world.buy(&customer, profile, *charged, 1).await;
                }
                world.client_of(&customer).await
            }
            false => world.client().await,
        };
        let answer = client.new_order_of(order_for(Some(profile), names)).await;
        let shown = format!("{rule} {profile} {names:?}: {answer}");
        match expected {
            Expect::Taken(_) => {
                assert_eq!(answer.status.as_u16(), 201, "{shown}");
                // SAN-09: what comes free is proven too.
                assert_eq!(answer.json()["authorizations"].as_array().unwrap().len(), names.len(), "{shown}");
                assert_eq!(answer.json()["profile"], *profile, "{shown}");
            }
            Expect::Refused(status, kind, parts) => {
                assert_eq!(answer.status.as_u16(), *status, "{shown}");
                let urn = format!("urn:ietf:params:acme:error:{kind}");
                assert_eq!(answer.json()["type"], urn, "{shown}");
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(rule) && detail.len() < 1500, "{shown}");
                assert!(parts.iter().all(|part| detail.contains(part)), "{parts:?} {shown}");
                assert_eq!(answer.json().get("identifier"), None, "{shown}");
            }
        }
    }
}
