//! Accounts (RFC 8555 sections 7.1.2, 7.3 and 11.1): registration, terms, contacts, updates.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery::domain::account::Account;
use chancery::domain::authz::AuthzStatus;
use chancery::domain::certificate::CertificateStanding;
use chancery::domain::order::OrderStatus;
use chancery::domain::plan::Method;
use chancery::domain::{Identifier, Kind};
use chancery::policy::admission::Request;
use chancery::ra::NewOrder;
use serde_json::{Value, json};

use crate::support::client::{Client, challenge, csr, csr_with};
use crate::support::dns::Failure;
use crate::support::signer::Signer;
use crate::support::world::{BASE, World};

#[tokio::test]
async fn a_new_account_is_shown_with_its_url_and_what_was_given() {
    let world = World::new().await;
    let mut client = world.stranger();
    let contact = json!(["mailto:admin@example.com", "mailto:b+c@mail.example.org"]);
    let created = client
        .new_account_of(json!({
            "contact": contact, "termsOfServiceAgreed": true, "onlyReturnExisting": false, "status": "revoked",
            "orders": "https://other.test/orders", "favouriteColour": "blue", "externalAccountBinding": null,
        }))
        .await
        .expect(201);
    let url = created.location().to_owned();
    assert!(url.starts_with(&format!("{BASE}/acme/account/")), "ACC-01: {url}");
    let expected = json!({
        "status": "valid", "contact": contact, "termsOfServiceAgreed": true, "orders": format!("{url}/orders"),
    });
    assert_eq!(created.json(), expected, "ACC-02 to ACC-05");
    let fetched = client.post_as_get(&url).await.expect(200);
    assert_eq!(fetched.json(), expected, "ACU-01");
    assert_eq!(fetched.location(), url);
    let orders = client.post_as_get(&format!("{url}/orders")).await.expect(200);
    assert_eq!(orders.json(), json!({ "orders": [] }), "ORL-01");
}

#[tokio::test]
async fn an_account_without_contacts_and_terms_says_so() {
    let world = World::new().await;
    let mut client = world.stranger();
    let created = client.new_account_of(json!({})).await.expect(201).json();
    assert_eq!(created["contact"], json!([]));
    assert_eq!(created.get("termsOfServiceAgreed"), None, "ACC-02: what was not agreed to is not claimed");
}

#[tokio::test]
async fn the_same_key_again_finds_its_account_as_it_was() {
    let world = World::new().await;
    let mut client = world.stranger();
    let created = client.new_account_of(json!({ "contact": ["mailto:a@example.com"] })).await.expect(201);
    for payload in [
        json!({}),
        json!({ "onlyReturnExisting": true }),
        json!({ "contact": ["mailto:other@example.com"], "termsOfServiceAgreed": true }),
        json!({ "contact": ["tel:+1"], "status": "deactivated" }),
    ] {
        let again = client.new_account_of(payload.clone()).await.expect(200);
        assert_eq!(again.location(), created.location(), "ACC-07: {payload}");
        assert_eq!(again.json(), created.json(), "ACC-07: {payload}");
    }
}

#[tokio::test]
async fn only_an_account_that_is_there_is_returned_on_demand() {
    let world = World::new().await;
    let mut client = world.stranger();
    for _ in 0..2 {
        let answer = client.new_account_of(json!({ "onlyReturnExisting": true, "termsOfServiceAgreed": true })).await;
        answer.expect_problem(400, "accountDoesNotExist");
        assert_eq!(answer.header("location"), None);
    }
    client.new_account().await.expect(201);
    client.new_account_of(json!({ "onlyReturnExisting": true })).await.expect(200);
}

#[tokio::test]
async fn one_key_registered_many_times_at_once_has_one_account() {
    let world = World::new().await;
    let client = world.stranger();
    let requests: Vec<_> = (0..12)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.new_account().await })
        })
        .collect();
    let (mut urls, mut created) = (BTreeSet::new(), 0);
    for request in requests {
        let answer = request.await.unwrap();
        // Clones share the last answer's nonce and take it in turns, so none of them is refused for it.
        assert!(matches!(answer.status.as_u16(), 200 | 201), "ACC-09: {answer}");
        created += usize::from(answer.status == 201);
        urls.insert(answer.location().to_owned());
    }
    assert_eq!((urls.len(), created), (1, 1), "ACC-09");
}

#[tokio::test]
async fn terms_of_service_must_be_agreed_to() {
    const TERMS: &str = "https://ca.test/terms/2";
    let world = World::with(|config| config.acme.terms_of_service = Some(TERMS.to_owned())).await;
    let mut client = world.stranger();
    for payload in [json!({}), json!({ "termsOfServiceAgreed": false }), json!({ "contact": ["mailto:a@example.com"] })]
    {
        let refused = client.new_account_of(payload.clone()).await;
        assert!(refused.expect_problem(403, "userActionRequired").contains(TERMS), "ACC-15: {payload}");
        assert_eq!(refused.json()["instance"], TERMS, "ERR-12");
        assert_eq!(refused.links("terms-of-service"), [TERMS]);
    }
    for odd in [json!("true"), json!(1), json!([true])] {
        client.new_account_of(json!({ "termsOfServiceAgreed": odd })).await.expect_problem(400, "malformed");
    }
    client.new_account_of(json!({ "onlyReturnExisting": true })).await.expect_problem(400, "accountDoesNotExist");
    let created = client.new_account().await.expect(201).json();
    assert_eq!(created["termsOfServiceAgreed"], true);
    client.new_account_of(json!({})).await.expect(200);
}

/// ACC-10 to ACC-14.
const CONTACTS: &[(&str, Option<(&str, &str)>)] = &[
    ("mailto:admin@example.com", None),
    ("MAILTO:Admin@Example.COM", None),
    ("mailto:o'hara+acme@mail.example.co", None),
    ("mailto:a%23b@example.com", None),
    ("mailto:a@xn--bcher-kva.example", None),
    ("mailto:a@example.com?subject=x", Some(("invalidContact", "?"))),
    ("mailto:a@example.com?", Some(("invalidContact", "?"))),
    ("mailto:a@example.com,b@example.com", Some(("invalidContact", "more than one"))),
    ("mailto:a@example.com%2Cb@example.com", Some(("invalidContact", "more than one"))),
    ("mailto:", Some(("invalidContact", "e-mail"))),
    ("mailto:@example.com", Some(("invalidContact", "e-mail"))),
    ("mailto:a@", Some(("invalidContact", "e-mail"))),
    ("mailto:a@b@example.com", Some(("invalidContact", "e-mail"))),
    ("mailto:a@example", Some(("invalidContact", "e-mail"))),
    ("mailto:a@*.example.com", Some(("invalidContact", "e-mail"))),
    ("mailto:a@192.0.2.1", Some(("invalidContact", "e-mail"))),
    ("mailto:a b@example.com", Some(("invalidContact", "characters"))),
    ("mailto:b\u{fc}cher@example.com", Some(("invalidContact", "characters"))),
    ("mailto:a@example.com\r\nBcc: b@example.com", Some(("invalidContact", "characters"))),
    ("admin@example.com", Some(("invalidContact", "mailto:"))),
    ("", Some(("invalidContact", "mailto:"))),
    ("tel:+12025551212", Some(("unsupportedContact", "mailto:"))),
    ("https://example.com/", Some(("unsupportedContact", "mailto:"))),
    ("data:text/plain,x", Some(("unsupportedContact", "mailto:"))),
];

#[tokio::test]
async fn contacts_are_single_mail_addresses_at_registration_and_at_updates() {
    let world = World::new().await;
    let holder = world.client().await;
    for (contact, refusal) in CONTACTS {
        let payload = json!({ "contact": ["mailto:first@example.com", contact] });
        let mut client = world.stranger();
        for answer in [client.new_account_of(payload.clone()).await, holder.post(holder.kid(), &payload).await] {
            match refusal {
                None => assert_eq!(answer.ok().json()["contact"][1], *contact, "ACC-11"),
                Some((kind, told)) => {
                    let detail = answer.expect_problem(400, kind);
                    assert!(detail.contains(told), "ACU-05: {contact}: {detail}");
                }
            }
        }
        if refusal.is_some() {
            let existing = client.new_account_of(json!({ "onlyReturnExisting": true })).await;
            existing.expect_problem(400, "accountDoesNotExist");
        }
    }
    let many: Vec<String> = (0..11).map(|n| format!("mailto:{n}@example.com")).collect();
    world.stranger().new_account_of(json!({ "contact": many })).await.expect_problem(400, "invalidContact");
    let long = format!("mailto:{}@example.com", "a".repeat(400));
    world.stranger().new_account_of(json!({ "contact": [long] })).await.expect_problem(400, "invalidContact");
}

#[tokio::test]
async fn an_update_replaces_the_contacts_and_ignores_the_rest() {
    let world = World::new().await;
    let mut client = world.stranger();
    let before = client.new_account_of(json!({ "contact": ["mailto:a@example.com"] })).await.expect(201).json();
    let url = client.kid().to_owned();
    for ignored in [
        json!({}),
        json!({ "termsOfServiceAgreed": true, "orders": "x", "externalAccountBinding": {}, "foo": [1] }),
        json!({ "status": "valid" }),
        json!({ "status": "revoked" }),
        json!({ "status": "Deactivated" }),
        json!({ "contact": null }),
        json!({ "key": client.jwk(), "onlyReturnExisting": true }),
    ] {
        let answer = client.post(&url, &ignored).await.expect(200).json();
        assert_eq!(answer, before, "ACU-03: {ignored}");
    }
    for contact in [json!(["mailto:b@example.com", "mailto:c@example.com"]), json!([]), json!(["mailto:d@example.com"])]
    {
        let answer = client.post(&url, &json!({ "contact": contact, "status": "valid" })).await.expect(200);
        assert_eq!(answer.json()["contact"], contact, "ACU-02");
        assert_eq!(client.post_as_get(&url).await.json()["contact"], contact, "ACU-02");
    }
    for bad in [json!({ "contact": "mailto:a@example.com" }), json!({ "contact": [1] }), json!({ "status": 1 })] {
        client.post(&url, &bad).await.expect_problem(400, "malformed");
    }
    assert_eq!(client.post_as_get(&url).await.json()["contact"], json!(["mailto:d@example.com"]));
}

#[tokio::test]
async fn a_closed_accounts_key_opens_no_account_again() {
    let world = World::new().await;
    let mut client = world.client().await;
    let url = client.kid().to_owned();
    let closed = client.post(&url, &json!({ "status": "deactivated", "contact": ["mailto:a@example.com"] })).await;
    assert_eq!(closed.expect(200).json()["status"], "deactivated", "DEA-01");
    for payload in [json!({}), json!({ "onlyReturnExisting": true }), json!({ "termsOfServiceAgreed": true })] {
        let answer = client.new_account_of(payload).await;
        answer.expect_problem(401, "unauthorized");
        assert_eq!(answer.header("location"), None, "ACC-08");
    }
    for payload in [json!({ "status": "valid" }), json!({ "status": "deactivated" }), json!({})] {
        client.post(&url, &payload).await.expect_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_certified_key_is_no_account_key() {
    let world = World::new().await;
    let mut client = world.client().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let (_, order) = world.ready_order(&client, &["www.example.com"]).await;
    let done = client.finalize(&order, &csr_with(&key, &["www.example.com"])).await.expect(200);
    assert_eq!(done.json()["status"], "valid");
    let signer = || Signer::from_pkcs8("ES256", &key.serialize_der());
    let refused = Client::with_key(world.router(), BASE, signer()).new_account().await;
    assert!(refused.expect_problem(400, "badPublicKey").contains("certificate"), "SEC-09");
    client.change_key(signer()).await.expect_problem(400, "badPublicKey");
}

#[tokio::test]
async fn an_account_key_that_was_given_up_belongs_to_its_account_for_ever() {
    let world = World::new().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let signer = || Signer::from_pkcs8("ES256", &key.serialize_der());
    let mut client = world.client_with(signer()).await;
    client.change_key(Signer::generate("ES256")).await.expect(200);
    let mut thief = Client::with_key(world.router(), BASE, signer());
    thief.new_account_of(json!({ "onlyReturnExisting": true })).await.expect_problem(400, "accountDoesNotExist");
    let refused = thief.new_account().await;
    assert!(refused.expect_problem(400, "badPublicKey").contains("account"), "ACC-09: {refused}");
    let mut other = world.client().await;
    other.change_key(signer()).await.expect_problem(400, "badPublicKey");
    // Its own account may go back to it.
    client.change_key(signer()).await.expect(200);
    client.post_as_get(client.kid()).await.expect(200);
}

#[tokio::test]
async fn what_a_closed_account_left_open_comes_to_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    let (certified, _) = world.certificate(&client, &["kept.example.com"]).await;
    let (_, ready) = world.ready_order(&client, &["ready.example.com"]).await;
    let pending = client.new_order(&["pending.example.com"]).await.expect(201).json();
    let authz = client.authorizations(&pending).await.remove(0);
    client.deactivate().await.expect(200);
    client.finalize(&ready, &csr(&["ready.example.com"]).0).await.expect_problem(401, "unauthorized");
    client.respond(&challenge(&authz, "http-01")).await.expect_problem(401, "unauthorized");
    assert_eq!(world.ra().drain().await.map_err(|e| e.to_string()), Ok(()));
    // DEA-04: what was issued stays good.
    let serial = certified["certificate"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let certificate = world.ra().certificate_of(&serial).await.unwrap();
    assert_eq!(certificate.standing, CertificateStanding::Good, "DEA-04");
}

#[tokio::test]
async fn a_validation_that_goes_on_after_its_account_was_closed_proves_nothing() {
    let world = World::with(|config| {
        config.acme.challenge_wait_ms = 0;
        config.acme.validation_tries = 2;
    })
    .await;
    let client = world.client().await;
    let account = stored(&world, &client).await;
    world.dns.fail("late.example.com", Failure::ServFail);
    let order = client.new_order(&["late.example.com"]).await.expect(201).json();
    let offer = challenge(&client.authorizations(&order).await.remove(0), "http-01");
    client.respond(&offer).await.expect(200);
    world.ra().drain().await.unwrap();
    let id = offer["url"].as_str().unwrap().split('/').nth_back(1).unwrap().parse().unwrap();
    let status = || async { world.ra().authorization(&account, &id).await.unwrap().authz.status(world.now()) };
    assert_eq!(status().await, AuthzStatus::Pending, "there is a second try");
    client.deactivate().await.expect(200);
    world.dns.clear("late.example.com");
    let asked = world.web.requests().len();
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(status().await, AuthzStatus::Invalid, "DEA-03");
    assert_eq!(world.web.requests().len(), asked, "DEA-03: nobody is asked any more");
}

#[tokio::test]
async fn an_issuance_that_goes_on_after_its_account_was_closed_ends_without_a_certificate() {
    let world = World::with(|config| config.acme.finalize_wait_ms = 0).await;
    let client = world.client().await;
    let account = stored(&world, &client).await;
    let (url, order) = world.ready_order(&client, &["late.example.com"]).await;
    world.pass(Duration::from_secs(9 * 3600)).await;
    world.dns.fail_type("late.example.com", "CAA", Failure::ServFail);
    client.finalize(&order, &csr(&["late.example.com"]).0).await.expect(200);
    world.ra().drain().await.unwrap();
    let id = url.rsplit('/').next().unwrap().parse().unwrap();
    client.deactivate().await.expect(200);
    world.dns.clear("late.example.com");
    world.pass(Duration::from_secs(10)).await;
    let view = world.ra().order(&account, &id).await.unwrap();
    assert_eq!(view.status(), OrderStatus::Invalid, "DEA-03");
    assert!(view.problem().unwrap().detail.contains("deactivated"), "{:?}", view.problem());
    assert_eq!(world.ra().certificates(None, 10).await.unwrap().len(), 0, "DEA-03");
}

/// What each kind of request that writes comes to when the account changes between its signature and its commit.
async fn overtaken(world: &World, change: impl AsyncFnOnce(&mut Client)) -> Vec<Option<Kind>> {
    let mut client = world.client().await;
    let ra = world.ra();
    let (ready, _) = world.ready_order(&client, &["ready.example.com"]).await;
    let pending = client.new_order(&["pending.example.com"]).await.expect(201).json();
    let id = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let authz = id(pending["authorizations"][0].as_str().unwrap()).parse().unwrap();
    let seen = ra.account(&id(client.kid()).parse().unwrap()).await.unwrap();
    change(&mut client).await;
    let name = || Identifier::parse("dns", "new.example.com").unwrap();
    let request = Request { identifiers: vec![name()], ..Request::default() };
    let csr = csr(&["ready.example.com"]).0;
    vec![
        ra.create_order(&seen, NewOrder { request, replaces: None, by_server: false }).await.err(),
        ra.pre_authorize(&seen, &name(), None).await.err(),
        ra.answer_challenge(&seen, &authz, Method::Http01).await.err(),
        ra.finalize(&seen, &id(&ready).parse().unwrap(), &csr).await.err(),
        ra.update_contact(&seen, vec!["mailto:late@example.com".to_owned()]).await.err(),
    ]
    .into_iter()
    .map(|refused| refused.map(|error| error.kind()))
    .collect()
}

#[tokio::test]
async fn requests_that_run_into_an_update_of_their_account_are_carried_out_all_the_same() {
    let world = World::new().await;
    let results = overtaken(&world, async |client| {
        let contact = json!({ "contact": ["mailto:a@example.com"] });
        client.post(client.kid(), &contact).await.expect(200);
    });
    assert_eq!(results.await, [None; 5]);
}

#[tokio::test]
async fn requests_that_run_into_the_end_of_their_account_are_refused() {
    let world = World::new().await;
    let results = overtaken(&world, async |client| {
        client.deactivate().await.expect(200);
    });
    assert_eq!(results.await, [Some(Kind::AccountClosed); 5], "DEA-02");
}

#[tokio::test]
async fn requests_of_a_key_that_is_changed_meanwhile_are_refused() {
    let world = World::new().await;
    let results = overtaken(&world, async |client| {
        client.change_key(Signer::generate("ES256")).await.expect(200);
    });
    assert_eq!(results.await, [Some(Kind::Unauthorized); 5], "KEY-11");
}

/// The client's account as the server has it now.
async fn stored(world: &World, client: &Client) -> Account {
    let id = client.kid().rsplit('/').next().unwrap().parse().unwrap();
    world.ra().account(&id).await.unwrap().into_value()
}

/// An account's orders, page by page, and how many each page has.
async fn listed(client: &Client) -> (Vec<String>, Vec<usize>) {
    let mut url = format!("{}/orders", client.kid());
    let (mut orders, mut pages) = (Vec::new(), Vec::new());
    loop {
        let page = client.post_as_get(&url).await.expect(200);
        let found = page.json()["orders"].as_array().unwrap().clone();
        pages.push(found.len());
        orders.extend(found.iter().map(|order| order.as_str().unwrap().to_owned()));
        match page.links("next").pop() {
            Some(next) => url = next,
            None => return (orders, pages),
        }
    }
}

#[tokio::test]
async fn an_accounts_orders_are_listed_in_pages_each_once() {
    let world = World::new().await;
    let (client, other) = (world.client().await, world.client().await);
    other.new_order(&["other.example.com"]).await.expect(201);
    let mut placed = BTreeSet::new();
    for n in 0..203 {
        if n % 50 == 0 {
            world.clock.advance(Duration::from_secs(1));
        }
        let order = client.new_order(&[&format!("n{n}.example.com")]).await.expect(201);
        placed.insert(order.location().to_owned());
    }
    let (orders, pages) = listed(&client).await;
    assert_eq!(orders.len(), 203, "ORL-03: {pages:?}");
    assert_eq!(orders.into_iter().collect::<BTreeSet<_>>(), placed, "ORL-01, ORL-02");
    assert!(pages.len() >= 3, "ORL-03: {pages:?}");
    let own = format!("{}/orders", client.kid());
    for cursor in ["x", "", "00", &"zz".repeat(30), &"+0".repeat(30), &"\u{e9}".repeat(30), &"0".repeat(61)] {
        client.post_as_get(&format!("{own}?cursor={}", percent(cursor))).await.expect_problem(400, "malformed");
    }
    let first = client.post_as_get(&own).await.expect(200).links("next").pop().unwrap();
    let foreign = first.replace(client.kid(), other.kid());
    client.post_as_get(&foreign).await.expect_problem(403, "unauthorized");
    let found = other.post_as_get(&foreign).await.expect(200).json()["orders"].take();
    assert!(found.as_array().unwrap().iter().all(|order| !placed.contains(order.as_str().unwrap())), "URL-10: {found}");
}

fn percent(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02x}")).collect()
}

#[tokio::test]
async fn the_list_of_orders_has_those_that_are_open_or_done_and_leaves_out_the_failed() {
    let world = World::new().await;
    let client = world.client().await;
    world.certificate(&client, &["done.example.com"]).await;
    let (ready, _) = world.ready_order(&client, &["ready.example.com"]).await;
    let pending = client.new_order(&["pending.example.com"]).await.expect(201).location().to_owned();
    let failed = client.new_order(&["failed.example.com"]).await.expect(201);
    let authz = failed.json()["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&authz, &json!({ "status": "deactivated" })).await.expect(200);
    assert_eq!(client.post_as_get(failed.location()).await.json()["status"], "invalid");
    let (orders, _) = listed(&client).await;
    assert_eq!(orders.len(), 3, "{orders:?}");
    assert!(orders.contains(&ready) && orders.contains(&pending), "ORL-02");
    assert!(!orders.contains(&failed.location().to_owned()), "ORL-02");
    world.pass(Duration::from_secs(40 * 86_400)).await;
    let (orders, _) = listed(&client).await;
    assert_eq!(orders.len(), 1, "ORL-02: of open orders none outlives its time: {orders:?}");
    let _: Value = client.post_as_get(&orders[0]).await.expect(200).json();
}
