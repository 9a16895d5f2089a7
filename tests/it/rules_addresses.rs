//! IP addresses (IP-01 to IP-09), through newOrder under either table of the documents.

use serde_json::Value;

use crate::documents::Expect::{Refused, Taken};
use crate::documents::{order_for, try_orders};
use crate::support::world::World;

const IP: &str = "9.9.9.9";

#[tokio::test]
async fn addresses_go_with_the_products_that_the_table_names() {
    let world = World::documented().await;
    let shape = |parts| Refused(400, "invalidProfile", parts);
    let private = || Refused(400, "rejectedIdentifier", &["private addresses need a private CA"]);
    try_orders(
        &world,
        &[
            ("IP-01", "trustasia-ov-wildcard", &[IP], shape(&["single or multi products only", IP])),
            ("IP-01", "trustasia-ov-multiwildcard", &["*.zone-one.cn", IP], shape(&["single or multi products only"])),
            ("IP-02", "trustasia-dv-multi", &[IP], shape(&["which \"trustasia-dv-multi\" does not take"])),
            ("IP-02", "geotrust-ov-single", &[IP], shape(&["IP address"])),
            ("IP-02", "securesite-ovpro-multi", &["zone-one.cn", IP], shape(&["IP address"])),
            ("IP-02", "trustasia-ev-single", &[IP], shape(&["IP address"])),
            ("IP-03", "trustasia-ov-single", &[IP], Taken(1)),
            ("IP-03", "trustasia-ov-multi", &[IP, "2606:4700:4700::1111", "zone-one.cn"], Taken(3)),
            ("IP-04", "trustasia-ov-single", &["10.0.0.1"], private()),
            ("IP-04", "trustasia-ov-single", &["127.0.0.1"], private()),
            ("IP-04", "trustasia-ov-multi", &["fd00::1"], private()),
            ("IP-05", "trustasia-dv-free", &[IP], shape(&["Buy a paid product for wildcard, several names or IP"])),
        ],
    )
    .await;
    // RFC 8738: an address is proven by http-01.
    let customer = world.customer(chancery::domain::customer::CustomerKind::Enterprise).await;
    let client = world.client_of(&customer).await;
    world.buy(&customer, "trustasia-ov-single", 1, 1).await;
    let order = client.new_order_of(order_for(Some("trustasia-ov-single"), &["1.1.1.1"])).await.expect(201).json();
    let authz = client.authorizations(&order).await.remove(0);
    let offered: Vec<&Value> = authz["challenges"].as_array().unwrap().iter().map(|offer| &offer["type"]).collect();
    assert_eq!(offered, ["http-01"]);
}

#[tokio::test]
async fn the_other_table_lets_other_products_take_addresses() {
    // X-01; IP-06 and IP-09 are about products that an operator prices first.
    let priced = "id = \"dnspod-sm-ev\"\nprice = { base = 10, included = 2, extra = 5 }";
    let guide = ("ip_matrix = \"faq\"", "ip_matrix = \"guide\"");
    let world = World::documented_but(&[guide, ("id = \"dnspod-sm-ev\"", priced)]).await;
    let shape = |parts| Refused(400, "invalidProfile", parts);
    try_orders(
        &world,
        &[
            ("IP-02", "securesite-ovpro-single", &[IP], Taken(1)),
            ("IP-02", "geotrust-ov-single", &[IP], Taken(1)),
            ("IP-02", "globalsign-ov-multi", &["zone-one.cn", IP], Taken(2)),
            ("IP-02", "globalsign-ev-single", &[IP], shape(&["IP address"])),
            ("IP-02", "trustasia-dv-multi", &[IP], shape(&["IP address"])),
            ("IP-01", "securesite-ov-wildcard", &[IP], shape(&["single or multi"])),
            ("IP-05", "trustasia-dv-free", &[IP], shape(&["Buy a paid product"])),
            ("IP-06", "dnspod-sm-ev", &[IP], Taken(1)),
            ("IP-09", "dnspod-sm-ev", &[IP, "zone-one.cn"], Taken(2)),
            ("IP-04", "dnspod-sm-ev", &["192.168.1.1"], Refused(400, "rejectedIdentifier", &["private CA"])),
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_decide_over_private_addresses_and_the_lists_entry_for_addresses() {
    let world = World::documented_but(&[("allow_private_ip = false", "allow_private_ip = true")]).await;
    try_orders(&world, &[("IP-04", "trustasia-ov-single", &["10.0.0.1"], Taken(1))]).await;

    // WORD-01 lists addresses as a kind; X-01 leaves them to the matrix unless an operator says otherwise.
    let always = ("word_ip_entry = \"where-matrix-forbids\"", "word_ip_entry = \"always\"");
    let scope = ("dv = \"review\" }", "ov = \"refuse\" }");
    let refused = || Refused(400, "rejectedIdentifier", &["security check", "is an IP address"]);
    let world = World::documented_but(&[always, scope]).await;
    try_orders(&world, &[("WORD-01", "trustasia-ov-single", &[IP], refused())]).await;
    let world = World::documented_but(&[scope]).await;
    try_orders(&world, &[("IP-03", "trustasia-ov-single", &[IP], Taken(1))]).await;
}

#[tokio::test]
async fn where_no_product_takes_addresses_they_are_of_an_unsupported_type() {
    let world =
        World::documented_but(&[("trustasia = [\"ov\"]\nglobalsign = []", "trustasia = []\nglobalsign = []")]).await;
    let unsupported = |parts| Refused(400, "unsupportedIdentifier", parts);
    try_orders(
        &world,
        &[
            ("IP-02", "trustasia-ov-single", &[IP], unsupported(&["IP address"])),
            ("IP-05", "trustasia-dv-free", &[IP], unsupported(&["IP address"])),
        ],
    )
    .await;
}
