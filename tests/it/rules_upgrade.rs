//! From a free certificate to a paid one (UPGRADE-01 to UPGRADE-04).

use serde_json::{Value, json};

use crate::portfolio_tools::Owner;
use crate::support::operator::Operator;
use crate::support::world::World;

fn products(answer: &Value) -> Vec<&str> {
    answer["proposals"].as_array().unwrap().iter().map(|one| one["product"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_free_certificate_is_offered_paid_ones_for_its_name() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let path = format!("/certificates/{}/upgrades", owner.certificate(&world, &["shop.zone.cn"]).await);
    let answer = owner.api.send("POST", &path, &json!({})).await.expect(200).json();
    // UPGRADE-01
    assert_eq!(answer["name"], "shop.zone.cn");
    assert_eq!(products(&answer), ["trustasia-dv-wildcard", "trustasia-dv-multi"], "the cheapest first");
    for proposal in answer["proposals"].as_array().unwrap() {
        assert!(proposal["names"].as_array().unwrap().contains(&json!("shop.zone.cn")), "{proposal}");
    }
    assert_eq!(answer["proposals"][0]["domain_type"], "wildcard");
    assert!(answer["otherwise"].as_str().unwrap().contains("(UPGRADE-03)"));
    // UPGRADE-04
    let comparison = answer["comparison"].as_array().unwrap();
    for what in
        ["support", "installation service", "wildcard names", "quota", "keys", "IP addresses", "common suffixes"]
    {
        assert!(comparison.iter().any(|row| row["what"] == what), "{what}");
    }
    let quota = comparison.iter().find(|row| row["what"] == "quota").unwrap();
    assert!(quota["free"].as_str().unwrap().contains("individuals 50, organisations 10"));
    let told = owner.refusal("POST", &path, json!({ "names": ["other.zone.cn"] }), 400).await;
    assert!(told.contains("Other names need a new purchase (UPGRADE-01)"), "{told}");
    assert_eq!(owner.api.get("/purchases").await.expect(200).json()["items"], json!([]), "nothing was bought");
    let wildcard = json!({ "product": "trustasia-dv-wildcard", "buy": true });
    owner.refusal("POST", &path, wildcard.clone(), 403).await;
    let bought = Operator::of(&world).send("POST", &path, &wildcard).await.expect(201).json();
    let purchases = owner.api.get("/purchases").await.expect(200).json();
    assert_eq!(
        (&purchases["items"][0]["id"], &purchases["items"][0]["product"]),
        (&bought["purchase"], &wildcard["product"])
    );
    for refused in [json!({ "buy": true }), json!({ "product": "trustasia-ov-single" })] {
        owner.refusal("POST", &path, refused, 400).await;
    }
}

#[tokio::test]
async fn dnspods_products_are_proposed_where_they_have_a_price() {
    // UPGRADE-02
    let priced = "id = \"dnspod-sm-dv\"\nprice = { base = 200 }\nyears = [1, 2, 3]";
    let world = World::documented_but(&[("id = \"dnspod-sm-dv\"", priced)]).await;
    let owner = Owner::new(&world).await;
    let path = format!("/certificates/{}/upgrades", owner.certificate(&world, &["shop.zone.cn"]).await);
    for years in 1..=3_u32 {
        let answer = owner.api.send("POST", &path, &json!({ "years": years })).await.expect(200).json();
        assert_eq!(products(&answer), ["dnspod-sm-dv"]);
        let proposal = &answer["proposals"][0];
        assert_eq!((&proposal["domain_type"], &proposal["years"]), (&json!("single"), &json!(years)));
        assert_eq!(proposal["price"], format!("{}.00", 200 * years));
    }
}

#[tokio::test]
async fn only_free_certificates_are_upgraded() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    world.buy(&owner.id, "trustasia-dv-multi", 2, 1).await;
    let id = owner.certificate(&world, &["a.zone.cn", "b.zone.cn"]).await;
    let told = owner.refusal("POST", &format!("/certificates/{id}/upgrades"), json!({}), 409).await;
    assert!(told.contains("(UPGRADE-01, UPGRADE-03)"), "{told}");
}
