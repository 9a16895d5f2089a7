//! Downloads for servers (INSTALL-01 to INSTALL-13, KEY-05, KEY-07).

use serde_json::json;

use crate::acme_tools::DAY;
use crate::paper_keystores::files_of;
use crate::portfolio_tools::{Owner, run};
use crate::support::operator::Operator;
use crate::support::world::World;

async fn bundle(owner: &Owner, id: &str, format: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
    let answer = owner.api.get(&format!("/certificates/{id}/bundle?format={format}")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    files_of(&answer.body)
}

#[tokio::test]
async fn a_bundle_has_the_whole_chain_and_the_key_that_is_kept_here() {
    // INSTALL-01 to INSTALL-04, INSTALL-06, INSTALL-08
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.kept(&world, &["www.zone.cn"]).await;
    let files = bundle(&owner, &id, "nginx").await;
    let directory = world.scratch();
    std::fs::write(directory.join("root.pem"), world.ra().root_pem()).unwrap();
    for (name, content) in &files {
        std::fs::write(directory.join(name), content).unwrap();
    }
    let crt = "1_www.zone.cn_cert.crt";
    let verify = ["verify", "-attime", "1795262460", "-CAfile", "root.pem", "-untrusted", crt, crt];
    assert!(run(directory, "openssl", &verify).contains("OK"), "INSTALL-06");
    let public = run(directory, "openssl", &["pkey", "-in", "2_www.zone.cn.key", "-pubout"]);
    assert_eq!(run(directory, "openssl", &["x509", "-in", crt, "-noout", "-pubkey"]), public);
    let files = bundle(&owner, &id, "tomcat-pfx").await;
    std::fs::write(directory.join("store.pfx"), &files["www.zone.cn.pfx"]).unwrap();
    let pass = format!("pass:{}", String::from_utf8(files["keystorePass.txt"].clone()).unwrap());
    run(directory, "openssl", &["pkcs12", "-in", "store.pfx", "-nodes", "-passin", &pass]);
    let readme = String::from_utf8(files["README.txt"].clone()).unwrap();
    for rule in ["INSTALL-09", "INSTALL-10", "INSTALL-11", "INSTALL-12", "INSTALL-13"] {
        assert!(readme.contains(rule), "{rule}");
    }
    let told = owner.refusal("GET", &format!("/certificates/{id}/bundle?format=lighttpd"), json!({}), 400).await;
    assert!(told.contains("Unknown format"), "{told}");
    let other = Owner::new(&world).await;
    let path = format!("/certificates/{id}/bundle?format=nginx");
    other.api.get(&path).await.expect(404);
    let without = files_of(&Operator::of(&world).get(&path).await.expect(200).body);
    assert!(!without.contains_key("2_www.zone.cn.key"), "operators get no private keys");
}

#[tokio::test]
async fn without_its_key_a_certificate_comes_as_pem_alone() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.certificate(&world, &["www.zone.cn"]).await;
    let files = bundle(&owner, &id, "pem").await;
    assert_eq!(files.keys().collect::<Vec<_>>(), ["1_www.zone.cn_cert.crt", "README.txt"]);
    let told = owner.refusal("GET", &format!("/certificates/{id}/bundle?format=iis"), json!({}), 400).await;
    assert!(told.contains("(CSR-11)"), "{told}");
}

#[tokio::test]
async fn a_locked_key_opens_with_its_password_in_a_header() {
    // KEY-04, KEY-07
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let asked = json!({ "names": ["www.zone.cn"], "password": "Correct-Horse-7" });
    let made = owner.api.post("/csrs", &asked).await;
    let csr = pem::parse(made["csr"].as_str().unwrap()).unwrap().into_contents();
    let id = owner.certificate_for(&world, &["www.zone.cn"], &csr).await;
    let files = bundle(&owner, &id, "nginx").await;
    assert!(files["2_www.zone.cn.key"].starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let path = format!("/certificates/{id}/bundle?format=iis");
    let told = owner.refusal("GET", &path, json!({}), 403).await;
    assert!(told.contains("reissues the certificate") && told.contains("(KEY-04, KEY-07)"), "{told}");
    for (password, status) in [("Correct-Horse-7", 200), ("Wrong-Horse-7", 403)] {
        let headers = [("chancery-key-password", password)];
        owner.api.get_with(&path, &headers).await.expect(status);
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_not_downloaded() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.kept(&world, &["www.zone.cn"]).await;
    Operator::of(&world).send("POST", &format!("/certificates/{id}/revoke"), &json!({})).await.expect(200);
    let told = owner.refusal("GET", &format!("/certificates/{id}/bundle?format=nginx"), json!({}), 409).await;
    assert!(told.contains("was revoked"), "{told}");
}

#[tokio::test]
async fn while_it_is_being_revoked_a_certificate_is_neither_downloaded_nor_deployed() {
    // REVOKE-01
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let id = owner.kept(&world, &["www.zone.cn"]).await;
    // The proof that it rests on is over by then, so that another one is to be shown first.
    world.pass(8 * DAY).await;
    let begun = owner.api.post(&format!("/certificates/{id}/revocations"), &json!({})).await;
    assert_eq!(begun["status"], "awaiting-proof", "{begun}");
    let told = owner.refusal("GET", &format!("/certificates/{id}/bundle?format=nginx"), json!({}), 403).await;
    assert!(told.contains("Revocation is under way") && told.contains("(REVOKE-01)"), "{told}");
    let wanted = json!({ "resources": [{ "type": "cdn", "id": "edge", "url": "https://example.com/hook" }] });
    let told = owner.refusal("POST", &format!("/certificates/{id}/deployments"), wanted, 403).await;
    assert!(told.contains("(REVOKE-01)"), "{told}");
}

#[tokio::test]
async fn certificates_of_globalsign_come_with_advice_for_windows_7() {
    // INSTALL-07
    let from = "brand = \"globalsign\"\ntype = \"ov\"\nshape = \"single\"";
    let world = World::documented_but(&[(from, "brand = \"globalsign\"\ntype = \"dv\"\nshape = \"single\"")]).await;
    let owner = Owner::new(&world).await;
    world.buy(&owner.id, "globalsign-ov-single", 1, 1).await;
    let id = owner.certificate(&world, &["www.zone.cn"]).await;
    assert_eq!(owner.shown(&id).await["product"], "globalsign-ov-single");
    let readme = String::from_utf8(bundle(&owner, &id, "nginx").await["README.txt"].clone()).unwrap();
    for expected in ["INSTALL-07", "2019-05-27", "2020-05-27", "cross certificate as the last block"] {
        assert!(readme.contains(expected), "{expected}: {readme}");
    }
}
