//! The directory, nonces, and what all answers have in common.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::client::{Client, JOSE, Response};
use crate::support::resources::resources;
use crate::support::world::{BASE, World};

#[tokio::test]
async fn the_directory_lists_what_the_server_has_and_nothing_else() {
    let world = World::new().await;
    let answer = world.stranger().get(&format!("{BASE}/directory")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"), "TR-10");
    let directory = answer.json();
    for name in ["newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"] {
        let url = directory[name].as_str().unwrap_or_else(|| panic!("DIR-01, DIR-02, DIR-08: {name} in {directory}"));
        assert!(url.starts_with(&format!("{BASE}/acme/")), "{name}: {url}");
    }
    let meta = directory["meta"].as_object().expect("DIR-03");
    assert_eq!(meta["externalAccountRequired"], false, "DIR-07");
    assert_eq!(meta["caaIdentities"], json!(["ca.test", "single.ca.test"]), "DIR-06");
    let profiles: Vec<&String> = meta["profiles"].as_object().expect("DIR-09").keys().collect();
    assert_eq!(profiles, ["any", "bound", "single"], "DIR-09");
    for (name, url) in meta["profiles"].as_object().unwrap() {
        assert!(url::Url::parse(url.as_str().unwrap()).is_ok(), "DIR-09: {name}: {url}");
    }
    let known = BTreeSet::from(["caaIdentities", "externalAccountRequired", "profiles"]);
    let given: BTreeSet<&str> = meta.keys().map(String::as_str).collect();
    assert_eq!(given, known, "DIR-04, DIR-05, DIR-10 to DIR-15: what is not offered or configured is left out");
}

#[tokio::test]
async fn the_directory_tells_the_terms_the_website_and_the_need_of_a_binding() {
    let world = World::with(|config| {
        config.acme.terms_of_service = Some("https://ca.test/terms".to_owned());
        config.acme.external_account_required = true;
        config.website = Some("https://ca.test/".to_owned());
    })
    .await;
    let meta = world.stranger().directory().await["meta"].take();
    assert_eq!(meta["termsOfService"], "https://ca.test/terms", "DIR-04");
    assert_eq!(meta["website"], "https://ca.test/", "DIR-05");
    assert_eq!(meta["externalAccountRequired"], true, "DIR-07");
}

#[tokio::test]
async fn one_member_of_the_directory_is_never_the_same() {
    let client = World::new().await.stranger();
    let (one, two) = (client.directory().await, client.directory().await);
    let names = |directory: &Value| directory.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let differing: Vec<String> = names(&one).symmetric_difference(&names(&two)).cloned().collect();
    assert_eq!(differing.len(), 2, "DIR-16: {differing:?}");
    for name in names(&one).intersection(&names(&two)) {
        assert_eq!(one[name], two[name], "DIR-17: {name}");
    }
}

#[tokio::test]
async fn the_directory_is_found_under_its_short_name_with_the_same_urls() {
    let world = World::new().await;
    let (long, short) = (world.stranger(), world.stranger().with_directory(format!("{BASE}/dir")));
    for name in ["newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"] {
        assert_eq!(long.resource(name).await, short.resource(name).await);
    }
}

#[tokio::test]
async fn a_products_directory_orders_that_product() {
    let world = World::new().await;
    let client = world.client().await.with_directory(format!("{BASE}/product/single/directory"));
    let profiles = client.directory().await["meta"]["profiles"].take();
    assert_eq!(profiles.as_object().unwrap().keys().collect::<Vec<_>>(), ["single"]);
    let order = client.new_order(&["www.example.com"]).await.expect(201).json();
    assert_eq!(order["profile"], "single");
    let names = json!([{ "type": "dns", "value": "same.example.com" }]);
    client.new_order_of(json!({ "identifiers": names, "profile": "single" })).await.expect(201);
    let other = client.new_order_of(json!({ "identifiers": names, "profile": "any" })).await;
    assert!(other.expect_problem(400, "invalidProfile").contains("\"single\""), "{other}");
    let name = json!({ "identifier": { "type": "dns", "value": "www.example.com" } });
    let authz = client.post(&client.resource("newAuthz").await, &name).await.expect(201).json();
    assert_eq!(authz["challenges"].as_array().unwrap().len(), 1, "single offers http-01 alone: {authz}");
    for resource in ["newNonce", "newAccount", "revokeCert", "keyChange", "renewalInfo"] {
        assert_eq!(client.resource(resource).await, world.stranger().resource(resource).await);
    }
}

#[tokio::test]
async fn a_directory_of_no_product_is_not_there() {
    let world = World::new().await;
    let client = world.client().await;
    let place = |name: &str| format!("{BASE}/{name}");
    client.get(&place("product/none/directory")).await.expect_problem(404, "malformed");
    client.post_as_get(&place("product/none/directory")).await.expect_problem(404, "malformed");
    let order = json!({ "identifiers": [{ "type": "dns", "value": "www.example.com" }] });
    client.post(&place("acme/product/none/new-order"), &order).await.expect_problem(404, "malformed");
    let authz = json!({ "identifier": { "type": "dns", "value": "www.example.com" } });
    client.post(&place("acme/product/none/new-authz"), &authz).await.expect_problem(404, "malformed");
}

#[tokio::test]
async fn what_may_be_fetched_by_get_may_be_fetched_by_post_as_get() {
    let world = World::new().await;
    let client = world.client().await;
    for path in ["/directory", "/dir", "/product/any/directory"] {
        let url = format!("{BASE}{path}");
        let (got, posted) = (client.get(&url).await.expect(200), client.post_as_get(&url).await.expect(200));
        assert_eq!(got.json()["newOrder"], posted.json()["newOrder"], "URL-09: {path}");
        assert_eq!(got.header("replay-nonce"), None, "{path}");
        assert!(posted.header("replay-nonce").is_some(), "NON-01: {path}");
        client.post(&url, &json!({})).await.expect_problem(400, "malformed");
        world.stranger().raw(&url, "", JOSE).await.expect_problem(400, "malformed");
    }
    let url = client.resource("newNonce").await;
    let posted = client.post_as_get(&url).await.expect(204);
    let nonce = posted.header("replay-nonce").expect("URL-09, NON-01").to_owned();
    assert_eq!(posted.header("cache-control"), Some("no-store"), "NON-15");
    assert_usable(&client, &nonce).await;
}

#[tokio::test]
async fn new_nonces_come_with_200_to_head_and_204_to_get_and_are_never_the_same() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.resource("newNonce").await;
    let mut seen = BTreeSet::new();
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204)] {
        for _ in 0..50 {
            let answer = client.request(method.clone(), &url, None, Body::empty()).await.expect(status);
            assert!(answer.body.is_empty(), "NON-14");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "NON-15");
            let nonce = answer.header("replay-nonce").expect("NON-13, NON-14").to_owned();
            assert!(nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "NON-05: {nonce}");
            assert!(seen.insert(nonce), "NON-04");
        }
    }
    // Clients that begin with a HEAD that has a content type, as acme.sh does.
    client.request(Method::HEAD, &url, Some(JOSE), Body::empty()).await.expect(200);
    assert_usable(&client, seen.first().unwrap()).await;
    assert_usable(&client, seen.last().unwrap()).await;
}

async fn assert_usable(client: &Client, nonce: &str) {
    let url = client.kid().to_owned();
    let mut header = client.header(&url).await;
    header["nonce"] = json!(nonce);
    client.send(&url, &client.signer.jws(&header, b"")).await.expect(200);
}

#[tokio::test]
async fn methods_that_a_resource_does_not_have_are_refused_with_those_it_has() {
    let world = World::new().await;
    let client = world.client().await;
    let others = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "PROPFIND"];
    for resource in resources(&world, &client).await {
        for method in others {
            assert_not_allowed(&client, method, &resource.url, "POST").await;
        }
    }
    for path in ["/directory", "/dir", "/product/any/directory", "/acme/new-nonce"] {
        for method in &others[2..] {
            assert_not_allowed(&client, method, &format!("{BASE}{path}"), "GET,HEAD,POST").await;
        }
    }
    for path in ["/root.pem", "/acme/renewal-info/AAAA.AAAA"] {
        for method in ["POST", "PUT", "DELETE"] {
            assert_not_allowed(&client, method, &format!("{BASE}{path}"), "GET,HEAD").await;
        }
    }
}

/// TR-15, URL-05.
async fn assert_not_allowed(client: &Client, method: &str, url: &str, allowed: &str) {
    let asked = Method::from_bytes(method.as_bytes()).unwrap();
    let answer = client.request(asked, url, None, Body::empty()).await.expect(405);
    assert_eq!(answer.header("allow"), Some(allowed), "{method} {url}");
    let is_directory = url.ends_with("/dir") || url.ends_with("/directory");
    assert_eq!(answer.links("index").len(), usize::from(!is_directory), "TR-11: {method} {url}");
    if method == "HEAD" {
        assert!(answer.body.is_empty(), "{method} {url}");
    } else {
        assert!(answer.expect_problem(405, "malformed").contains(method), "{method} {url}");
    }
    assert_eq!(answer.header("replay-nonce").is_some(), method == "POST", "NON-02: {method} {url}");
}

#[tokio::test]
async fn whatever_is_not_there_is_a_problem_of_status_404() {
    let world = World::new().await;
    let client = world.client().await;
    let id = "AAAAAAAAAAAAAAAAAAAAAA";
    for path in [
        "/",
        "/acme",
        "/acme/",
        "/acme/nothing",
        "/acme/new-account/",
        "//acme/new-account",
        "/ACME/new-account",
        "/acme/account/",
        "/directory/",
        "/acme/order/x/y/z",
    ] {
        let url = format!("{BASE}{path}");
        for answer in [client.get(&url).await, client.post_as_get(&url).await] {
            answer.expect_problem(404, "malformed");
            assert_eq!(answer.links("index"), [format!("{BASE}/directory")], "TR-11: {path}");
        }
    }
    let serial = "40".repeat(20);
    for path in [
        format!("order/{id}"),
        "order/x".to_owned(),
        "order/%ff".to_owned(),
        "order/%00".to_owned(),
        "order/..%2f..%2fetc%2fpasswd".to_owned(),
        format!("order/{id}%20"),
        format!("authz/{id}"),
        "authz/%ff".to_owned(),
        format!("challenge/{id}/http-01"),
        format!("challenge/{id}/nothing-01"),
        "challenge/%ff/%fe".to_owned(),
        format!("certificate/{serial}"),
        format!("certificate/{}", serial.to_uppercase().replace('4', "A")),
        "certificate/00".to_owned(),
        format!("certificate/{serial}/1"),
        format!("certificate/{serial}/-1"),
        format!("certificate/{serial}/99999999999999999999999"),
        "certificate/%ff/0".to_owned(),
    ] {
        let answer = client.post_as_get(&format!("{BASE}/acme/{path}")).await;
        answer.expect_problem(404, "malformed");
        assert!(answer.header("replay-nonce").is_some(), "NON-02: {path}");
    }
    client
        .post(&format!("{BASE}/acme/order/{id}/finalize"), &json!({ "csr": "" }))
        .await
        .expect_problem(404, "malformed");
    client.get(&format!("{BASE}/product/%ff/directory")).await.expect_problem(404, "malformed");
}

#[tokio::test]
async fn scripts_in_browsers_may_read_every_answer() {
    let world = World::new().await;
    let client = world.client().await;
    let mut answers = vec![
        client.get(&format!("{BASE}/directory")).await.expect(200),
        client.get(&client.resource("newNonce").await).await.expect(204),
        client.get(&format!("{BASE}/acme/nothing")).await.expect(404),
        client.get(&format!("{BASE}/acme/new-order")).await.expect(405),
        client.post_as_get(client.kid()).await.expect(200),
        client.new_order(&["www.example.com"]).await.expect(201),
        client.post(client.kid(), &json!([])).await.expect(400),
        client.raw(client.kid(), "", "text/plain").await.expect(415),
    ];
    for path in ["/directory", "/acme/new-nonce", "/acme/new-order", "/acme/order/AAAAAAAAAAAAAAAAAAAAAA"] {
        let asked = client.request(Method::OPTIONS, &format!("{BASE}{path}"), None, Body::empty()).await.expect(204);
        let listed = |name: &str| asked.header(name).unwrap_or_default().to_ascii_lowercase();
        assert!(listed("access-control-allow-methods").contains("post"), "{path}: {asked}");
        assert!(listed("access-control-allow-headers").contains("content-type"), "{path}: {asked}");
        answers.push(asked);
    }
    let exposed = |answer: &Response| answer.header("access-control-expose-headers").unwrap_or_default().to_owned();
    for answer in &answers[..8] {
        for header in ["Link", "Location", "Replay-Nonce", "Retry-After"] {
            assert!(exposed(answer).contains(header), "TR-08: {header} of {answer}");
        }
    }
    for answer in answers {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "TR-08: {answer}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer}");
    }
}

#[tokio::test]
async fn query_parameters_that_nobody_knows_change_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    for path in ["/directory?x=1", "/dir?", "/directory?a=%ff&a=b", "/root.pem?x"] {
        client.get(&format!("{BASE}{path}")).await.expect(200);
    }
    client.get(&format!("{}?x=1", client.resource("newNonce").await)).await.expect(204);
    client.post_as_get(&format!("{}?x=1", client.kid())).await.expect(200);
    client.post_as_get(&format!("{}/orders?x=1&x=%ff", client.kid())).await.expect(200);
    let order = json!({ "identifiers": [{ "type": "dns", "value": "www.example.com" }] });
    client.post(&format!("{}?x=1", client.resource("newOrder").await), &order).await.expect(201);
}

#[tokio::test]
async fn every_answer_but_the_directory_links_to_it_once() {
    let world = World::new().await;
    let client = world.client().await;
    let index = [format!("{BASE}/directory")];
    for resource in resources(&world, &client).await {
        let answer = resource.ask(&client).await;
        assert_eq!(answer.links("index"), index, "TR-11: {}: {answer}", resource.name);
    }
    assert_eq!(client.get(&client.resource("newNonce").await).await.links("index"), index);
    assert_eq!(client.get(&format!("{BASE}/acme/renewal-info/x")).await.expect(400).links("index"), index);
    for path in ["/directory", "/dir", "/product/any/directory"] {
        assert!(client.get(&format!("{BASE}{path}")).await.links("index").is_empty(), "TR-11: {path}");
    }
}

#[tokio::test]
async fn objects_are_application_json_and_moments_are_rfc_3339() {
    let world = World::new().await;
    let client = world.client().await;
    for resource in resources(&world, &client).await {
        let answer = resource.ask(&client).await;
        let expected = match resource.name {
            "certificate" | "certificate with another chain" => "application/pem-certificate-chain",
            _ if answer.status.is_success() => "application/json",
            _ => "application/problem+json",
        };
        assert_eq!(answer.header("content-type"), Some(expected), "TR-10: {}: {answer}", resource.name);
        let expires = || answer.json()["expires"].as_str().map(str::to_owned);
        if let Some(expires) = (expected == "application/json").then(expires).flatten() {
            assert!(chancery::domain::Timestamp::parse_rfc3339(&expires).is_some(), "TR-09: {expires}");
            assert!(expires.ends_with('Z'), "TR-09: {expires}");
        }
    }
}
