//! Profiles over REST: who sees and makes them.

use serde_json::json;

use crate::acme_tools::has_parts;
use crate::desk_tools::{Company, organisation, person, registered, reviewer};
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn profiles_are_made_listed_and_shown_to_their_customer_alone() {
    let world = World::documented().await;
    let (company, other) = (Company::new(&world).await, Company::new(&world).await);
    let operator = Operator::of(&world);
    for (path, form) in [
        ("/profiles/organisations", registered()),
        ("/profiles/administrators", person()),
        ("/profiles/contacts", person()),
    ] {
        let made = company.rest.post(path, &form).await;
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        for (member, value) in form.as_object().unwrap() {
            assert_eq!(&made[member], value, "{path}");
        }
        assert_eq!(made["customer"], json!(company.id));
        let standing = if path == "/profiles/contacts" { "approved" } else { "submitted" };
        assert_eq!(made["standing"], standing, "{path}");
        assert_eq!(company.rest.get(&one).await.expect(200).json(), made);
        assert_eq!(company.rest.get(path).await.expect(200).json()["items"], json!([made]));
        assert_eq!(other.rest.get(path).await.expect(200).json()["items"], json!([]));
        other.rest.get(&one).await.expect(404);
        other.rest.get(&format!("{path}?customer={}", company.id)).await.expect(404);
        let of_company = format!("{path}?customer={}", company.id);
        assert_eq!(operator.get(&of_company).await.expect(200).json()["items"], json!([made]));
        operator.get(path).await.expect(400);
        reviewer(&world, "Wang").await.get(path).await.expect(403);
        for unknown in ["x", "AAAAAAAAAAAAAAAAAAAAAA"] {
            company.rest.get(&format!("{path}/{unknown}")).await.expect(404);
        }
    }
}

#[tokio::test]
async fn forms_that_can_not_be_read_make_nothing() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let mut odd = registered();
    for (member, value) in [
        ("business_category", json!("Club")),
        ("jurisdiction", json!({ "country": "China" })),
        ("jurisdiction", json!({ "country": "CN", "locality": "Shenzhen" })),
        ("registration_number", json!("№ 7")),
    ] {
        let kept = odd["registration"][member].take();
        odd["registration"][member] = value;
        company.rest.send("POST", "/profiles/organisations", &odd).await.expect(400);
        odd["registration"][member] = kept;
    }
    let mut unit = organisation();
    unit["organisational_unit"] = json!("IT");
    let refused = company.rest.send("POST", "/profiles/organisations", &unit).await.expect(400);
    has_parts(refused.json()["detail"].as_str().unwrap(), &["organisational_unit"]);
    assert_eq!(company.rest.get("/profiles/organisations").await.expect(200).json()["items"], json!([]));
}
