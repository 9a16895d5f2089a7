//! Confirmation letters: who needs one, what files are taken, whether another may take its place (DOC).

use serde_json::{Value, json};

use crate::acme_tools::{DAY, has_parts, look};
use crate::desk_tools::{Company, GIF, JPG, PDF, PNG, PRICED, approve, person, registered, reviewer, with_role};
use crate::support::operator::Operator;
use crate::support::world::World;

#[tokio::test]
async fn who_needs_a_letter_depends_on_brand_and_profile() {
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    for (rule, product, approved, status) in [
        ("DOC-01", "trustasia-ov-single", false, "pending-letter"),
        ("DOC-01", "securesite-ev-single", false, "pending-letter"),
        ("DOC-04", "trustasia-ov-single", true, "pending-validation"),
        ("DOC-04", "geotrust-ov-single", true, "pending-validation"),
        ("DOC-05", "globalsign-ov-single", true, "pending-letter"),
        ("DOC-05", "globalsign-ov-single", false, "pending-letter"),
        // its own papers come on top.
        ("DOC-06", "globalsign-ev-single", true, "pending-letter"),
        ("DOC-07", "dnspod-sm-ov", false, "pending-letter"),
        ("DOC-07", "dnspod-sm-ov", true, "pending-letter"),
        ("DOC-08", "wotrus-ov", false, "pre-review"),
    ] {
        let company = Company::new(&world).await;
        let purchase = company.buy(&world, product).await;
        let form = match approved {
            true => {
                let organisation = company.rest.post("/profiles/organisations", &registered()).await["id"].take();
                let administrator = company.rest.post("/profiles/administrators", &person()).await["id"].take();
                for made in [&organisation, &administrator] {
                    approve(&desk, made.as_str().unwrap()).await.expect(200);
                }
                json!({ "organisation": organisation, "administrator": administrator })
            }
            false => json!({ "organisation": registered(), "administrator": person() }),
        };
        let applied = company.apply_with(&purchase, &form).await.expect(200).json();
        assert_eq!(applied["status"], status, "{rule} {product} {approved}");
        if rule == "DOC-06" {
            company.upload(&purchase, PDF).await.expect(204);
            let hints = company.application(&purchase).await["hints"].to_string();
            has_parts(&hints, &["mails review papers", "2 to 3 business days", "DOC-06"]);
        }
    }
}

#[tokio::test]
async fn files_are_taken_by_their_content_and_size() {
    let world = World::documented_but(&PRICED).await;
    let most = |size: usize| [PDF, &vec![b' '; size - PDF.len()]].concat();
    let html = [b"<html><script>alert(1)</script>", PDF].concat();
    for (rule, product, content, status) in [
        ("DOC-02", "trustasia-ov-single", PDF, 204),
        ("DOC-02", "trustasia-ov-single", PNG, 204),
        ("DOC-02", "trustasia-ov-single", JPG, 204),
        ("DOC-02", "trustasia-ov-single", GIF, 415),
        ("DOC-02", "trustasia-ov-single", &b""[..], 415),
        ("DOC-02", "trustasia-ov-single", b"MZ\x90\0", 415),
        ("DOC-02", "trustasia-ov-single", &html, 415),
        ("DOC-02", "trustasia-ov-single", &most(1_400_000), 204),
        ("DOC-02", "trustasia-ov-single", &most(1_400_001), 413),
        ("DOC-07", "dnspod-sm-ov", GIF, 204),
        // DOC-12: a photo.
        ("DOC-12", "dnspod-sm-ov", JPG, 204),
        ("DOC-07", "dnspod-sm-ov", PNG, 415),
        ("DOC-07", "dnspod-sm-ov", &most(1_400_001), 413),
    ] {
        let company = Company::new(&world).await;
        let purchase = company.buy(&world, product).await;
        let letter = company.apply(&purchase).await["letter"].take();
        assert_eq!(letter["photo"], rule != "DOC-02", "{rule}: {letter}");
        let answer = company.upload(&purchase, content).await;
        assert_eq!(answer.status.as_u16(), status, "{rule} {product} {}: {answer}", content.len());
        if status != 204 {
            let kinds = if product == "dnspod-sm-ov" { "JPG, GIF or PDF" } else { "JPG, PNG or PDF" };
            has_parts(answer.json()["detail"].as_str().unwrap(), &[&format!("Use {kinds} up to 1.4 MB"), rule]);
            assert_eq!(company.application(&purchase).await["status"], "pending-letter", "{rule}");
        }
    }
}

#[tokio::test]
async fn another_letter_is_taken_while_the_first_is_reviewed_or_never() {
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    // DOC-03
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    let review = company.apply(&purchase).await["id"].take();
    company.upload(&purchase, PDF).await.expect(204);
    let first = company.application(&purchase).await["letter"]["document"].take();
    company.upload(&purchase, PNG).await.expect(204);
    let second = company.application(&purchase).await["letter"].take();
    assert!(second["document"] != first && second["replaceable"] == true, "{second}");
    approve(&desk, review.as_str().unwrap()).await.expect(200);
    let late = company.upload(&purchase, PDF).await.expect(409);
    has_parts(late.json()["detail"].as_str().unwrap(), &["was approved", "DOC-03"]);
    // DOC-07
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "dnspod-sm-ov").await;
    company.apply(&purchase).await;
    company.upload(&purchase, PDF).await.expect(204);
    let again = company.upload(&purchase, PDF).await.expect(409);
    has_parts(again.json()["detail"].as_str().unwrap(), &["already uploaded and cannot be replaced", "DOC-07"]);
    // Before there is anything to confirm.
    let purchase = company.buy(&world, "dnspod-sm-ov").await;
    company.upload(&purchase, PDF).await.expect(409);
    company.rest.get(&format!("/purchases/{purchase}/letter")).await.expect(409);
}

#[tokio::test]
async fn of_a_letter_that_was_replaced_nothing_is_kept() {
    let world = World::documented().await;
    let company = Company::new(&world).await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    company.apply(&purchase).await;
    let mut documents = Vec::new();
    for content in [PDF, PNG] {
        company.upload(&purchase, content).await.expect(204);
        let document = company.application(&purchase).await["letter"]["document"].take();
        documents.push(format!("/documents/{}", document.as_str().unwrap()));
    }
    company.rest.get(&documents[0]).await.expect(404);
    assert_eq!(&company.rest.get(&documents[1]).await.expect(200).body[..], PNG);
}

#[tokio::test]
async fn a_letter_is_for_its_owner_and_reviewers_alone() {
    let world = World::documented().await;
    let (company, other) = (Company::new(&world).await, Company::new(&world).await);
    let desk = reviewer(&world, "Wang").await;
    let purchase = company.buy(&world, "trustasia-ov-single").await;
    company.apply(&purchase).await;
    let other_upload = other.upload(&purchase, PDF).await;
    other_upload.expect(404);
    company.upload(&purchase, PDF).await.expect(204);
    let document = company.application(&purchase).await["letter"]["document"].take();
    let path = format!("/documents/{}", document.as_str().unwrap());
    for (who, status) in [(&company.rest, 200), (&desk, 200), (&Operator::of(&world), 200), (&other.rest, 404)] {
        let answer = who.get(&path).await.expect(status);
        if status == 200 {
            assert_eq!((&answer.body[..], answer.header("content-type")), (PDF, Some("application/pdf")));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(answer.header("content-disposition").unwrap().starts_with("attachment"));
        }
    }
    // The order's path leads to the same letter.
    let (url, _) = company.ready(&world, "trustasia-ov-single", &["a.zone-one.cn"]).await;
    let order = url.rsplit('/').next().unwrap();
    let template = company.rest.get(&format!("/orders/{order}/letter")).await.expect(200);
    assert!(template.body.starts_with(b"%PDF-"));
    let uploaded = company.rest.request("PUT", &format!("/orders/{order}/letter"), "image/png", PNG.to_vec()).await;
    uploaded.expect(204);
    other.rest.get(&format!("/orders/{order}/letter")).await.expect(404);
    let nobody = with_role(&world, json!({ "name": "x", "role": "customer", "customer": other.id })).await;
    nobody.get(&format!("/purchases/{purchase}/letter")).await.expect(404);
}

/// A certificate of that product, and the next purchase when it is about to end.
async fn renewing(world: &World, company: &Company, desk: &Operator, product: &str, letter: bool) -> (String, Value) {
    let names = ["shop.zone-one.cn"];
    let purchase = company.buy(world, product).await;
    let review = company.apply(&purchase).await["id"].as_str().unwrap().to_owned();
    if letter {
        company.upload(&purchase, PDF).await.expect(204);
    } else {
        approve(desk, &review).await.expect(200);
    }
    approve(desk, &review).await.expect(200);
    let (_, order) = company.ready(world, product, &names).await;
    assert_eq!(company.finalize(&order, &names).await.expect(200).json()["status"], "valid", "{product}");
    world.pass(345 * DAY).await;
    let next = company.buy(world, product).await;
    let placed = company.place(product, &names).await;
    (
        next,
        json!({ "status": placed.status.as_u16(), "url": placed.header("location"), "detail": placed.json()["detail"] }),
    )
}

#[tokio::test]
async fn a_renewal_takes_over_the_data_and_needs_a_letter_again_or_none() {
    let world = World::documented_but(&PRICED).await;
    let desk = reviewer(&world, "Wang").await;
    for (rule, product, letter, status) in [
        // RENEW-05, RENEW-07
        ("DOC-09", "trustasia-ov-single", true, "pending-letter"),
        ("DOC-09", "globalsign-ov-single", true, "pending-letter"),
        // RENEW-09: nothing is uploaded, reviewers look again.
        ("RENEW-09", "wotrus-ov", false, "pre-review"),
        // REVIEW-09, X-23: the same data, nobody needs to approve; and its validation is retained.
        ("REVIEW-09", "dnspod-sm-ov", true, "validated"),
    ] {
        let company = Company::new(&world).await;
        let (next, placed) = renewing(&world, &company, &desk, product, letter).await;
        let taken_over = company.application(&next).await;
        assert_eq!(taken_over["status"], status, "{rule} {product}: {taken_over} {placed}");
        assert!(
            taken_over["renews"].is_string() && taken_over["organisation"]["id"].is_string(),
            "{rule}: {taken_over}"
        );
        match rule {
            "RENEW-09" => has_parts(placed["detail"].as_str().unwrap(), &["Pre-review pending"]),
            "REVIEW-09" => {
                // Issued at once, without a person.
                let url = placed["url"].as_str().unwrap();
                let names = ["shop.zone-one.cn"];
                let (_, order) = company.ready(&world, product, &names).await;
                assert_eq!(company.finalize(&order, &names).await.expect(200).json()["status"], "valid");
                assert_eq!(look(&company.acme, url).await["status"], "valid");
                let history = taken_over["approved_until"].as_str().unwrap();
                assert!(history < (world.now() + 60 * DAY).to_string().as_str(), "no longer than the first: {history}");
            }
            _ => {
                // REVIEW-10: after the letter it is called pending validation.
                company.upload(&next, PDF).await.expect(204);
                assert_eq!(company.application(&next).await["stage"], "choice of method");
                let hints = company.application(&next).await["hints"].to_string();
                has_parts(&hints, &["call and the domain confirmation e-mail", "REVIEW-10", "REVIEW-14"]);
            }
        }
    }
}
