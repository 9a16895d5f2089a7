//! Key pairs made here, and CSRs that were made elsewhere.

use std::path::Path;

use rcgen::KeyPair;
use serde_json::json;

use crate::portfolio_tools::{Owner, run};
use crate::support::client::{csr, csr_with};
use crate::support::operator::Operator;
use crate::support::world::World;

/// Whether any file below a directory holds these octets.
fn found_below(directory: &Path, octets: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found_below(&path, octets),
            false => std::fs::read(path).unwrap().windows(octets.len()).any(|window| window == octets),
        }
    })
}

#[tokio::test]
async fn a_key_pair_is_made_and_its_private_key_is_unreadable_at_rest() {
    // CSR-01, KEY-01, KEY-02
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    for (key, algorithm) in [("rsa-2048", "2048 bit"), ("p-256", "256 bit")] {
        let asked = json!({ "names": ["www.example.com", "example.com"], "key": key, "name": "of the shop" });
        let made = owner.api.post("/csrs", &asked).await;
        assert_eq!(
            (&made["private_key"], &made["key"], &made["name"]),
            (&json!("kept"), &json!(key), &json!("of the shop"))
        );
        assert!(made.get("hosting").is_none());
        let path = format!("/csrs/{}", made["id"].as_str().unwrap());
        assert_eq!(owner.api.get(&path).await.expect(200).json(), made);
        let answer = owner.api.get(&format!("{path}/private-key")).await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let private = answer.text();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), &private).unwrap();
        std::fs::write(directory.path().join("csr"), made["csr"].as_str().unwrap()).unwrap();
        let public = run(directory.path(), "openssl", &["pkey", "-in", "key", "-pubout"]);
        assert_eq!(run(directory.path(), "openssl", &["req", "-in", "csr", "-verify", "-noout", "-pubkey"]), public);
        let text = run(directory.path(), "openssl", &["req", "-in", "csr", "-noout", "-text"]);
        for expected in [algorithm, "DNS:www.example.com", "DNS:example.com"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let der = pem::parse(&private).unwrap().into_contents();
        let secret = &der[der.len() - 48..];
        assert!(found_below(&world.data_dir(), made["id"].as_str().unwrap().as_bytes()), "the record is in the files");
        assert!(!found_below(&world.data_dir(), secret), "the key is not");
        let line = private.lines().nth(1).unwrap();
        assert!(!found_below(&world.data_dir(), line.as_bytes()), "nor as text");
    }
}

#[tokio::test]
async fn a_private_key_is_for_its_customer_alone() {
    let world = World::documented().await;
    let (owner, other) = (Owner::new(&world).await, Owner::new(&world).await);
    let (made, _) = owner.key_pair(&["www.example.com"]).await;
    let path = format!("/csrs/{}", made["id"].as_str().unwrap());
    let key = format!("{path}/private-key");
    for (method, path) in [("GET", &path), ("GET", &key), ("DELETE", &path)] {
        other.api.send(method, path, &json!({})).await.expect(404);
    }
    assert_eq!(other.api.get("/csrs").await.expect(200).json()["items"], json!([]));
    let operator = Operator::of(&world);
    operator.get(&path).await.expect(200);
    operator.get(&key).await.expect(403);
    let page = operator.get(&format!("/csrs?customer={}", owner.id)).await.expect(200).json();
    assert_eq!(page["items"], json!([made]));
    let der = pem::parse(made["csr"].as_str().unwrap()).unwrap().into_contents();
    let id = made["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.ra().own_key_pair(&owner.id, &id).await.unwrap(), der);
    assert!(world.ra().own_key_pair(&other.id, &id).await.is_err());
}

#[tokio::test]
async fn a_password_locks_the_key_and_is_not_kept() {
    // KEY-04, KEY-06, KEY-09
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let ask = |password: &str| json!({ "names": ["www.example.com"], "password": password });
    for weak in ["short1!", "onlysmallletters", "1234567890"] {
        let told = owner.refusal("POST", "/csrs", ask(weak), 400).await;
        assert!(told.contains("Choose a stronger password") && told.contains("KEY-09"), "{told}");
        assert!(told.contains("cannot be recovered") && told.contains("KEY-04"), "{told}");
    }
    let made = owner.api.post("/csrs", &ask("Correct-Horse-7")).await;
    assert_eq!(made["private_key"], "locked");
    assert!(made["hosting"].as_str().unwrap().contains("Remove the key password to deploy here"), "KEY-06");
    let private =
        owner.api.get(&format!("/csrs/{}/private-key", made["id"].as_str().unwrap())).await.expect(200).text();
    assert!(private.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "KEY-04: {private}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key"), &private).unwrap();
    let open = ["pkey", "-in", "key", "-noout", "-passin", "pass:Correct-Horse-7"];
    run(directory.path(), "openssl", &open);
    assert!(!found_below(&world.data_dir(), b"Correct-Horse-7"), "the service does not store it (KEY-04)");
}

#[tokio::test]
async fn a_pasted_csr_is_kept_with_its_key_or_without() {
    // CSR-01, CSR-03, CSR-11
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let as_pem = |der: &[u8]| pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der));
    let (der, _) = csr(&["a.example.com"]);
    let bare = owner.api.post("/csrs", &json!({ "csr": as_pem(&der) })).await;
    assert_eq!(bare["private_key"], "elsewhere");
    assert!(bare["hosting"].as_str().unwrap().contains("Upload the key to use hosting"), "CSR-11");
    owner.api.get(&format!("/csrs/{}/private-key", bare["id"].as_str().unwrap())).await.expect(404);
    let told = owner.refusal("POST", "/csrs", json!({ "csr": as_pem(&der) }), 409).await;
    assert!(told.contains("on file already"), "{told}");

    let key = KeyPair::generate().unwrap();
    let der = csr_with(&key, &["b.example.com"]);
    let kept = json!({ "csr": as_pem(&der), "private_key": key.serialize_pem() });
    assert_eq!(owner.api.post("/csrs", &kept).await["private_key"], "kept");
    let wrong = json!({ "csr": as_pem(&csr(&["c.example.com"]).0), "private_key": key.serialize_pem() });
    assert!(owner.refusal("POST", "/csrs", wrong, 400).await.contains("(CSR-11)"));
    let told = owner.refusal("POST", "/csrs", json!({ "csr": "not a request" }), 400).await;
    assert!(told.contains("(CSR-03)"), "{told}");
    for neither in [json!({}), json!({ "csr": as_pem(&der), "names": ["d.example.com"] }), json!({ "names": [] })] {
        owner.refusal("POST", "/csrs", neither, 400).await;
    }
}

#[tokio::test]
async fn only_kinds_of_keys_that_a_product_takes_are_made() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let told = owner.refusal("POST", "/csrs", json!({ "names": ["a.example.com"], "key": "p-384" }), 400).await;
    assert!(told.contains("(KEY-01, KEY-02)"), "{told}");
    let world = World::new().await;
    let owner = Owner::new(&world).await;
    let made = owner.api.post("/csrs", &json!({ "names": ["a.example.com", "192.0.2.1"], "key": "p-384" })).await;
    assert_eq!(made["identifiers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_deleted_key_is_gone() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let (made, csr) = owner.key_pair(&["www.example.com"]).await;
    let path = format!("/csrs/{}", made["id"].as_str().unwrap());
    owner.api.send("DELETE", &path, &json!({})).await.expect(204);
    owner.api.get(&path).await.expect(404);
    assert_eq!(owner.api.get("/csrs").await.expect(200).json()["items"], json!([]));
    // The same CSR may be put here again.
    let again = json!({ "csr": pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr)) });
    assert_eq!(owner.api.post("/csrs", &again).await["private_key"], "elsewhere");
}
