//! Uploaded certificates of whatever CA (UPLOAD-01 to UPLOAD-11, REVOKE-04, DIAG-24).

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::paper_keystores::files_of;
use crate::portfolio_tools::{Owner, run};
use crate::support::operator::Operator;
use crate::support::world::World;

/// A CA of somebody else, with a leaf for `www.example.com` (`leaf.pem`, `leaf.key`, `ca.pem`), made by openssl.
pub struct Elsewhere(TempDir);

impl Elsewhere {
    /// With a key of that kind; `days` from now until the leaf ends, by the clock of this machine.
    pub fn new(key: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let openssl = |arguments: &[&str]| run(directory.path(), "openssl", arguments);
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let subject = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Other CA", "-days", "3000"];
        openssl(&[&["req", "-x509"], &curve[..], &subject].concat());
        let request = ["-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=www.example.com"];
        openssl(&[&["req", "-newkey"], key, &request].concat());
        std::fs::write(directory.path().join("san"), "subjectAltName=DNS:www.example.com,DNS:example.com,IP:192.0.2.7")
            .unwrap();
        let sign = ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(&[&sign[..], &["-out", "leaf.pem", "-days", "365", "-extfile", "san"]].concat());
        Self(directory)
    }

    /// Two pairs of the Chinese standard: `sig.*` and `enc.*`, and the CA above them.
    fn sm2() -> Self {
        let directory = TempDir::new().unwrap();
        let openssl = |arguments: &[&str]| run(directory.path(), "openssl", arguments);
        for name in ["ca", "sig", "enc"] {
            openssl(&["ecparam", "-genkey", "-noout", "-name", "SM2", "-out", &format!("{name}.key")]);
        }
        let root =
            ["req", "-x509", "-new", "-key", "ca.key", "-sm3", "-subj", "/CN=SM CA", "-days", "3000", "-out", "ca.pem"];
        openssl(&root);
        for (certificate, key) in [("sig", "sig"), ("enc", "enc"), ("both", "sig")] {
            let (csr, pem, key) = (format!("{certificate}.csr"), format!("{certificate}.pem"), format!("{key}.key"));
            openssl(&["req", "-new", "-key", &key, "-sm3", "-subj", "/CN=sm.example.com", "-out", &csr]);
            let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-sm3", "-CAcreateserial"];
            openssl(&[&sign[..], &["-days", "365", "-out", &pem]].concat());
        }
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "enc.key", "-out", "enc8.key"]);
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    /// An upload of the leaf with its chain.
    pub fn upload(&self) -> Value {
        json!({
            "standard": "international", "name": "The shop's", "tags": { "team": "shop" }, "project": "retail",
            "certificate": self.text("leaf.pem") + &self.text("ca.pem"), "private_key": self.text("leaf.key"),
        })
    }

    fn sm2_upload(&self) -> Value {
        json!({
            "standard": "sm2", "name": "SM",
            "certificate": self.text("sig.pem") + &self.text("ca.pem"),
            // UPLOAD-06: as the documents print it.
            "private_key": self.text("sig.key").replace("END EC PRIVATE KEY", "END PRIVATE KEY"),
            "encryption_certificate": self.text("enc.pem") + &self.text("ca.pem"),
            "encryption_private_key": self.text("enc8.key"),
        })
    }
}

pub const EC: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn with(upload: &Value, changes: &[(&str, Value)]) -> Value {
    let mut upload = upload.clone();
    for (member, value) in changes {
        match value {
            Value::Null => drop(upload.as_object_mut().unwrap().remove(*member)),
            value => upload[*member] = value.clone(),
        }
    }
    upload
}

async fn refused(owner: &Owner, upload: Value) -> String {
    owner.refusal("POST", "/uploaded-certificates", upload, 400).await
}

#[tokio::test]
async fn certificates_of_whatever_ca_are_kept_with_their_keys() {
    // UPLOAD-01, UPLOAD-03, UPLOAD-09
    let world = World::documented().await;
    let (owner, other) = (Owner::new(&world).await, Owner::new(&world).await);
    let p384 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    for (algorithm, kind) in
        [(&EC[..], "P-256"), (&["rsa:2048"], "RSA 2048"), (&p384, "P-384"), (&["ed25519"], "Ed25519")]
    {
        let elsewhere = Elsewhere::new(algorithm);
        let made = owner.api.post("/uploaded-certificates", &elsewhere.upload()).await;
        assert_eq!(
            (&made["status"], &made["type"], &made["key"]),
            (&json!("uploaded"), &json!("uploaded"), &json!(kind))
        );
        assert_eq!(made["names"], json!(["www.example.com", "example.com", "192.0.2.7"]));
        assert_eq!((&made["issuer"], &made["name"]), (&json!("CN=Other CA"), &json!("The shop's")));
        assert_eq!((&made["tags"], &made["project"]), (&json!({ "team": "shop" }), &json!("retail")));
        let id = made["id"].as_str().unwrap();
        let bundle = owner.api.get(&format!("/certificates/{id}/bundle?format=pem")).await.expect(200);
        let files = files_of(&bundle.body);
        for (name, content) in &files {
            std::fs::write(elsewhere.path().join(name), content).unwrap();
        }
        let public = run(elsewhere.path(), "openssl", &["pkey", "-in", "2_www.example.com.key", "-pubout"]);
        let leaf = ["x509", "-in", "1_www.example.com_cert.crt", "-noout", "-pubkey"];
        assert_eq!(run(elsewhere.path(), "openssl", &leaf), public);
        other.api.get(&format!("/certificates/{id}")).await.expect(404);
    }
    let listed = owner.api.get("/certificates?status=uploaded").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn older_forms_of_keys_and_chains_in_any_order_are_read() {
    // UPLOAD-03, X-24
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    for (algorithm, convert) in [(&EC[..], &["ec", "-in"][..]), (&["rsa:2048"], &["rsa", "-traditional", "-in"])] {
        let elsewhere = Elsewhere::new(algorithm);
        run(elsewhere.path(), "openssl", &[convert, &["leaf.key", "-out", "old.key"]].concat());
        let old = elsewhere.text("old.key");
        assert!(old.starts_with("-----BEGIN RSA PRIVATE KEY") || old.starts_with("-----BEGIN EC PRIVATE KEY"), "{old}");
        let chain = elsewhere.text("ca.pem") + "some text\n" + &elsewhere.text("leaf.pem");
        let changes = [("private_key", json!(old)), ("certificate", json!(chain))];
        let made = owner.api.post("/uploaded-certificates", &with(&elsewhere.upload(), &changes)).await;
        let bundle = format!("/certificates/{}/bundle?format=nginx", made["id"].as_str().unwrap());
        let files = files_of(&owner.api.get(&bundle).await.expect(200).body);
        let chain = pem::parse_many(&files["1_www.example.com_cert.crt"]).unwrap();
        assert_eq!(chain.len(), 2);
        assert_eq!(chain[0], pem::parse(elsewhere.text("leaf.pem")).unwrap(), "the leaf first");
    }
}

#[tokio::test]
async fn what_is_incomplete_or_does_not_fit_is_refused_with_the_reason() {
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let (elsewhere, second) = (Elsewhere::new(&EC), Elsewhere::new(&EC));
    let (good, leaf) = (elsewhere.upload(), elsewhere.text("leaf.pem"));
    let forged = leaf.clone() + &second.text("ca.pem");
    for (changes, told) in [
        (vec![("standard", Value::Null)], "Choose the standard"),
        (vec![("standard", json!("german"))], "(UPLOAD-02)"),
        (vec![("certificate", Value::Null)], "Part \"certificate\" is missing (UPLOAD-03)"),
        (vec![("private_key", Value::Null)], "Part \"private_key\" is missing (UPLOAD-03)"),
        (vec![("certificate", json!("x"))], "Not a PEM certificate"),
        (vec![("private_key", json!("x"))], "Not a PEM key"),
        (vec![("private_key", json!(elsewhere.text("leaf.pem")))], "Not a PEM key"),
        (vec![("certificate", json!(leaf))], "Intermediate certificates are missing"),
        (vec![("certificate", json!(leaf))], "(UPLOAD-04)"),
        (vec![("certificate", json!(forged))], "was not signed by"),
        (vec![("private_key", json!(second.text("leaf.key")))], "The private key is that of none of the certificates"),
        (vec![("encryption_certificate", json!(leaf))], "(UPLOAD-02)"),
        (vec![("certificate_file", json!("leaf.der"))], "(UPLOAD-08)"),
        (vec![("key_file", json!("leaf.crt"))], "(UPLOAD-08)"),
        (vec![("name", json!("x".repeat(201)))], "(META-01)"),
    ] {
        let detail = refused(&owner, with(&good, &changes)).await;
        assert!(detail.contains(told), "{told}: {detail}");
    }
    // UPLOAD-11, DIAG-24
    let broken = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    for unreadable in [broken, "", &forged] {
        let detail = refused(&owner, with(&good, &[("certificate", json!(unreadable))])).await;
        assert!(
            detail.contains("check the standard") && detail.contains("/api/v1/help/DIAG-24 (UPLOAD-11"),
            "{detail}"
        );
    }
    owner.api.get("/help/DIAG-24").await.expect(200);
    assert_eq!(owner.api.get("/certificates").await.expect(200).json()["items"], json!([]), "nothing was kept");
    // UPLOAD-08
    let files = [("certificate_file", json!("1_www_cert.CRT")), ("key_file", json!("2_www.key"))];
    owner.api.post("/uploaded-certificates", &with(&good, &files)).await;
}

#[tokio::test]
async fn the_chinese_standard_has_four_parts() {
    // UPLOAD-02, UPLOAD-05, UPLOAD-06
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let elsewhere = Elsewhere::sm2();
    let good = elsewhere.sm2_upload();
    let made = owner.api.post("/uploaded-certificates", &good).await;
    assert_eq!((&made["key"], &made["names"]), (&json!("SM2"), &json!(["sm.example.com"])));
    for part in ["certificate", "private_key", "encryption_certificate", "encryption_private_key"] {
        let detail = refused(&owner, with(&good, &[(part, Value::Null)])).await;
        assert!(detail.contains(&format!("Part \"{part}\" is missing (UPLOAD-05")), "{detail}");
    }
    // UPLOAD-06: the marker that matches is taken too.
    owner.api.post("/uploaded-certificates", &with(&good, &[("private_key", json!(elsewhere.text("sig.key")))])).await;
    let swapped = [("private_key", json!(elsewhere.text("enc8.key")))];
    assert!(refused(&owner, with(&good, &swapped)).await.contains("that of none of the certificates"));
    let bundle = format!("/certificates/{}/bundle?format=nginx", made["id"].as_str().unwrap());
    let files = files_of(&owner.api.get(&bundle).await.expect(200).body);
    assert_eq!(files.len(), 5, "two certificates, two keys, advice: {:?}", files.keys());
    std::fs::write(elsewhere.path().join("out.key"), &files["4_sm.example.com_encryption.key"]).unwrap();
    let public = |key| run(elsewhere.path(), "openssl", &["pkey", "-in", key, "-pubout"]);
    assert_eq!(public("out.key"), public("enc.key"));
}

#[tokio::test]
async fn a_chain_of_the_chinese_standard_with_a_forged_signature_is_refused() {
    // UPLOAD-11
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let (elsewhere, second) = (Elsewhere::sm2(), Elsewhere::sm2());
    let good = elsewhere.sm2_upload();
    // Both CAs have the same name.
    let forged = elsewhere.text("sig.pem") + &second.text("ca.pem");
    let detail = refused(&owner, with(&good, &[("certificate", json!(forged))])).await;
    assert!(detail.contains("was not signed by \"CN=SM CA\""), "{detail}");
    let forged = elsewhere.text("enc.pem") + &second.text("ca.pem");
    let detail = refused(&owner, with(&good, &[("encryption_certificate", json!(forged))])).await;
    assert!(detail.contains("was not signed by \"CN=SM CA\""), "{detail}");
    // Under the identifier of RFC 8998, as others sign.
    let sign = ["x509", "-req", "-in", "sig.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-sm3", "-CAcreateserial"];
    let sign = [&sign[..], &["-sigopt", "distid:1234567812345678", "-days", "365", "-out", "named.pem"]].concat();
    run(elsewhere.path(), "openssl", &sign);
    let named = json!(elsewhere.text("named.pem") + &elsewhere.text("ca.pem"));
    owner.api.post("/uploaded-certificates", &with(&good, &[("certificate", named)])).await;
}

#[tokio::test]
async fn one_key_file_may_be_that_of_both_certificates() {
    // UPLOAD-07
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let elsewhere = Elsewhere::sm2();
    let both = json!(elsewhere.text("both.pem") + &elsewhere.text("ca.pem"));
    let changes = [("encryption_certificate", both), ("encryption_private_key", Value::Null)];
    owner.api.post("/uploaded-certificates", &with(&elsewhere.sm2_upload(), &changes)).await;
}

#[tokio::test]
async fn an_uploaded_certificate_is_deleted_at_will_and_never_revoked() {
    // UPLOAD-10, REVOKE-04, DELETE-01
    let world = World::documented().await;
    let owner = Owner::new(&world).await;
    let made = owner.api.post("/uploaded-certificates", &Elsewhere::new(&EC).upload()).await;
    let path = format!("/certificates/{}", made["id"].as_str().unwrap());
    let answer = Operator::of(&world).send("POST", &format!("{path}/revoke"), &json!({})).await.expect(400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("ask the CA that issued it (REVOKE-04)"));
    owner.api.send("DELETE", &path, &json!({})).await.expect(403);
    owner.api.send("DELETE", &format!("{path}?confirm=true"), &json!({})).await.expect(204);
    owner.api.get(&path).await.expect(404);
    assert_eq!(owner.api.get("/certificates").await.expect(200).json()["items"], json!([]));
}
