//! The download of certificates, through the real router.

use serde_json::json;

use crate::acme_tools::{ders, has_parts, parsed, url};
use crate::ca_tools::{RSA2048, openssl, openssl_request};
use crate::support::client::{Client, csr};
use crate::support::world::{BASE, World};

/// Verifies a chain as a TLS client would: the first block, the others in between, up to a root.
fn verify(world: &World, chain: &str, root: &str) -> Result<String, String> {
    let file = |name: &str, text: &str| {
        let path = world.scratch().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (chain, root) = (file("chain.pem", chain), file("root.pem", root));
    let at = world.now().as_secs().to_string();
    let how = ["verify", "-x509_strict", "-purpose", "sslserver", "-attime", &at];
    openssl(&[&how[..], &["-CAfile", &root, "-untrusted", &chain, &chain]].concat())
}

#[tokio::test]
async fn a_chain_is_of_the_form_that_clients_read() {
    let world = World::new().await;
    let client = world.client().await;
    let (order, _) = world.certificate(&client, &["www.example.com"]).await;
    let answer = client.post_as_get(url(&order, "certificate")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    // Clients would fetch and append what "up" leads to.
    assert!(answer.links("up").is_empty() && answer.links("alternate").is_empty());
    let text = answer.text();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with("\n-----END CERTIFICATE-----\n"));
    assert!(!text.contains("\n\n") && !text.contains('\r'));
    let mut inside = false;
    for line in text.lines() {
        match line {
            "-----BEGIN CERTIFICATE-----" | "-----END CERTIFICATE-----" => {
                inside = !inside;
                assert_eq!(inside, line.contains("BEGIN"));
            }
            line => assert!(inside && line.len() <= 64 && line.bytes().all(|b| b.is_ascii_graphic()), "{line:?}"),
        }
    }
    let chain = ders(&text);
    assert_eq!(chain.len(), 2);
    for pair in chain.windows(2) {
        let (below, above) = (parsed(&pair[0]), parsed(&pair[1]));
        assert_eq!(below.issuer(), above.subject());
        below.verify_signature(Some(above.public_key())).unwrap();
    }
    assert!(parsed(&chain[1]).subject() != parsed(&chain[1]).issuer(), "the root is left out");
    assert_eq!(client.post_as_get(url(&order, "certificate")).await.expect(200).text(), text, "it never changes");
}

#[tokio::test]
async fn the_chain_verifies_up_to_the_published_root() {
    let world = World::new().await;
    let client = world.client().await;
    let root = client.get(&format!("{BASE}/root.pem")).await.expect(200).text();
    let names = ["www.example.com", "*.example.com", "127.0.0.1"];
    let (_, chain) = world.certificate(&client, &names).await;
    verify(&world, &chain, &root).unwrap();
    let (_, order) = world.ready_order(&client, &["www.example.com"]).await;
    let request = openssl_request(RSA2048, &["-addext", "subjectAltName=DNS:www.example.com"]);
    let done = client.finalize(&order, &request).await.expect(200).json();
    verify(&world, &client.certificate(&done).await, &root).unwrap();
    // Not so up to another root.
    let other = World::new().await;
    let other = other.stranger().get(&format!("{BASE}/root.pem")).await.expect(200).text();
    verify(&world, &chain, &other).unwrap_err();
}

#[tokio::test]
async fn alternate_chains_are_linked_one_by_one() {
    let world = World::with(|config| config.ca.alternate_roots = 1).await;
    let client = world.client().await;
    let (order, default) = world.certificate(&client, &["example.com"]).await;
    let place = url(&order, "certificate");
    let answer = client.post_as_get(place).await.expect(200);
    let alternates = answer.links("alternate");
    assert_eq!(alternates.len(), 1);
    let link =
        answer.headers.get_all("link").iter().find(|value| value.to_str().unwrap().contains("alternate")).unwrap();
    assert_eq!(link, &format!("<{}>;rel=\"alternate\"", alternates[0]));
    let other = client.post_as_get(&alternates[0]).await.expect(200);
    assert_eq!(other.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(other.links("alternate"), [place]);
    let (default, other) = (ders(&default), ders(&other.text()));
    assert_eq!(default[0], other[0], "one and the same certificate");
    assert_ne!(default[1], other[1]);
    let (first, second) = (parsed(&default[1]), parsed(&other[1]));
    assert_eq!((first.subject(), first.public_key()), (second.subject(), second.public_key()));
    assert_ne!(first.issuer(), second.issuer());
    // The alternate leads to the other root, which the PKI listener gives out.
    let base = &world.config.pki.public_url;
    let root = Client::new(world.pki(), base).get(&format!("{base}/issuer/root-2.cer")).await.expect(200).body;
    let pem = |ders: &[Vec<u8>]| ders.iter().map(|der| crate::ca_tools::pem(der)).collect::<String>();
    verify(&world, &pem(&other), &crate::ca_tools::pem(&root)).unwrap();
    for chain in ["2", "-1", "x", "+1", "01", "99999999999999999999999"] {
        client.post_as_get(&format!("{place}/{chain}")).await.expect_problem(404, "malformed");
    }
    let stranger = world.client().await;
    stranger.post_as_get(&alternates[0]).await.expect_problem(404, "malformed");
}

#[tokio::test]
async fn certificates_are_given_to_their_owner_alone() {
    let world = World::new().await;
    let (client, stranger) = (world.client().await, world.client().await);
    world.web.serve_any(&client.thumbprint());
    let (order, _) = world.certificate(&client, &["example.com"]).await;
    let place = url(&order, "certificate");
    stranger.post_as_get(place).await.expect_problem(404, "malformed");
    client.get(place).await.expect_problem(405, "malformed");
    client.post(place, &json!({})).await.expect_problem(400, "malformed");
    let serial = place.rsplit('/').next().unwrap();
    assert!(serial.len() >= 22, "the URL can't be guessed");
    for other in [serial.to_uppercase(), format!("0{serial}"), serial[1..].to_owned(), "0".repeat(40), "x".to_owned()] {
        if other != serial {
            client.post_as_get(&format!("{BASE}/acme/certificate/{other}")).await.expect_problem(404, "malformed");
        }
    }
    // A revoked one is still the owner's to fetch, an expired one too.
    let der = ders(&client.certificate(&order).await).swap_remove(0);
    client.revoke(&der, None).await.expect(200);
    world.pass(100 * crate::acme_tools::DAY).await;
    assert_eq!(ders(&client.certificate(&order).await)[0], der);
    client.deactivate().await.expect(200);
    client.post_as_get(place).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn every_certificate_of_an_account_has_its_own_url() {
    let world = World::new().await;
    let client = world.client().await;
    let (first, _) = world.certificate(&client, &["example.com"]).await;
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    let second = client.finalize(&order, &csr(&["example.com"]).0).await.expect(200).json();
    assert_ne!(first["certificate"], second["certificate"]);
    has_parts(url(&second, "certificate"), &[BASE]);
}
