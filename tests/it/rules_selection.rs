//! The family SEL: what is recommended to whom, over REST, open to everybody.

use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::world::World;

async fn recommended(anybody: &Operator, asked: &Value) -> Vec<Value> {
    let answer = anybody.send("POST", "/recommendations", asked).await.expect(200).json();
    answer["recommended"].as_array().unwrap().clone()
}

fn texts<'v>(found: &'v Value, member: &str) -> Vec<&'v str> {
    found[member].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_answer_leads_to_the_documented_type_with_its_reason() {
    let world = World::documented().await;
    let anybody = Operator::with(&world, None);
    // Rule, answers, type and shape that come first, its first product.
    for (rule, asked, class, shape, product) in [
        ("SEL-01", json!({ "sector": "finance" }), "ev", "single", "trustasia-ev-single"),
        ("SEL-01", json!({ "sector": "finance", "wildcard": true }), "ev", "multi", "trustasia-ev-multi"),
        ("SEL-02", json!({ "sector": "education" }), "ov", "wildcard", "trustasia-ov-wildcard"),
        ("SEL-02", json!({ "sector": "government" }), "ov", "wildcard", "trustasia-ov-wildcard"),
        ("SEL-02", json!({ "sector": "internet" }), "ov", "wildcard", "trustasia-ov-wildcard"),
        (
            "SEL-03",
            json!({ "sector": "individual", "purpose": "content", "has_licence": true }),
            "dv",
            "single",
            "trustasia-dv-multi",
        ),
        ("SEL-04", json!({ "sector": "individual" }), "dv", "single", "trustasia-dv-multi"),
        ("SEL-04", json!({ "sector": "finance", "has_licence": false }), "dv", "single", "trustasia-dv-multi"),
        ("SEL-04", json!({ "kind": "individual", "wildcard": true }), "dv", "wildcard", "trustasia-dv-wildcard"),
        ("SEL-04", json!({ "kind": "individual", "free": true }), "dv-free", "single", "trustasia-dv-free"),
        ("SEL-05", json!({ "purpose": "payment" }), "ev", "single", "trustasia-ev-single"),
        ("SEL-06", json!({ "sector": "enterprise" }), "ov", "single", "trustasia-ov-single"),
        ("SEL-06", json!({ "names": 3 }), "ov", "multi", "trustasia-ov-multi"),
        ("SEL-07", json!({ "purpose": "interface" }), "ov", "single", "trustasia-ov-single"),
        ("SEL-10", json!({ "sector": "small-business" }), "ov", "single", "trustasia-ov-single"),
    ] {
        let found = recommended(&anybody, &asked).await;
        let best = &found[0];
        assert_eq!((&best["class"], &best["shape"]), (&json!(class), &json!(shape)), "{rule}, {asked}: {found:#?}");
        assert_eq!(texts(best, "products")[0], product, "{rule}, {asked}");
        let reasons = texts(best, "reasons");
        assert!(reasons[0].contains(rule), "{rule}: {reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains("SEL-09")), "{rule}: {reasons:?}");
        // SEL-04: nothing else may be recommended without a licence.
        if rule == "SEL-04" {
            assert!(found.iter().all(|other| other["class"].as_str().unwrap().starts_with("dv")), "{found:#?}");
        }
    }
}

#[tokio::test]
async fn one_click_recommends_one_product() {
    let world = World::documented().await;
    let anybody = Operator::with(&world, None);
    // SEL-08
    let found = recommended(&anybody, &json!({ "quick": true })).await;
    assert_eq!(found.len(), 1);
    assert_eq!(texts(&found[0], "products"), ["trustasia-ov-single"]);
    assert!(texts(&found[0], "reasons")[0].contains("SEL-08"));
    // What is recommended can be had.
    anybody.get("/products/trustasia-ov-single").await.expect(200);
    for wrong in [json!({ "sector": "moon" }), json!({ "what": 1 })] {
        anybody.send("POST", "/recommendations", &wrong).await.expect(400);
    }
    // A private CA's catalogue has nothing that the documents recommend.
    let private = World::new().await;
    assert!(recommended(&Operator::with(&private, None), &json!({ "quick": true })).await.is_empty());
}
