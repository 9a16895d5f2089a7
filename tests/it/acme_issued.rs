//! What stands in a certificate that was ordered through the real router.

use std::collections::BTreeSet;

use x509_parser::prelude::{DistributionPointName, GeneralName, ParsedExtension, X509Certificate};

use crate::acme_tools::{authority_key_identifier, ders, leaf, parsed};
use crate::ca_tools::{P384, RSA2048, openssl_request};
use crate::support::client::{Client, csr};
use crate::support::world::World;

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let found = certificate.subject_alternative_name().unwrap().unwrap();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => {
            <[u8; 4]>::try_from(*octets).map(std::net::Ipv4Addr::from).unwrap().to_string()
        }
        other => panic!("{other}"),
    };
    found.value.general_names.iter().map(text).collect()
}

fn extension<T>(certificate: &X509Certificate<'_>, pick: impl Fn(&ParsedExtension<'_>) -> Option<T>) -> T {
    let mut found = certificate.extensions().iter().filter_map(|extension| pick(extension.parsed_extension()));
    found.next().expect("such an extension")
}

fn uri(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::URI(uri) => (*uri).to_owned(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_certificate_holds_what_was_ordered_and_nothing_of_the_csr_but_its_key() {
    let world = World::new().await;
    let client = world.client().await;
    let ordered = ["b.example", "*.a.example", "127.0.0.1"];
    let (_, order) = world.ready_order(&client, &ordered).await;
    let further = [
        "-subj",
        "/C=XX/O=Somebody Else/OU=Here/CN=b.example",
        "-addext",
        "subjectAltName=DNS:*.A.example,IP:127.0.0.1,DNS:B.example",
        "-addext",
        "keyUsage=critical,digitalSignature,keyAgreement,nonRepudiation",
        "-addext",
        "extendedKeyUsage=clientAuth,codeSigning",
        "-addext",
        "certificatePolicies=1.2.3.4",
        "-addext",
        "nsComment=hello",
    ];
    let request = openssl_request(P384, &further);
    let done = client.finalize(&order, &request).await.expect(200).json();
    let chain = ders(&client.certificate(&done).await);
    let (leaf, issuer) = (parsed(&chain[0]), parsed(&chain[1]));
    assert_eq!(names(&leaf), ordered);
    assert_eq!(leaf.subject().to_string(), "CN=b.example");
    assert_eq!(leaf.issuer(), issuer.subject());
    leaf.verify_signature(Some(issuer.public_key())).unwrap();
    let csr = chancery::ca::csr::parse(&request).unwrap();
    assert_eq!(leaf.public_key().raw, csr.spki);

    let identifier = extension(&issuer, |extension| match extension {
        ParsedExtension::SubjectKeyIdentifier(found) => Some(found.0.to_vec()),
        _ => None,
    });
    assert_eq!(authority_key_identifier(&chain[0]), identifier);
    let own_identifier = extension(&leaf, |extension| match extension {
        ParsedExtension::SubjectKeyIdentifier(found) => Some(found.0.to_vec()),
        _ => None,
    });
    assert_eq!(own_identifier.len(), 20);
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert_eq!(usage.flags, 1, "digitalSignature alone");
    let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && !purposes.client_auth && !purposes.code_signing && purposes.other.is_empty());
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    let policies = extension(&leaf, |extension| match extension {
        ParsedExtension::CertificatePolicies(found) => {
            Some(found.iter().map(|p| p.policy_id.to_id_string()).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(policies, ["2.23.140.1.2.1"]);
    assert_eq!(leaf.extensions().len(), 9, "no extension of the request is copied");

    // Both URLs lead to what they promise.
    let (pki, base) = (world.pki(), world.config.pki.public_url.clone());
    let fetch = async |url: String| Client::new(pki.clone(), &base).get(&url).await.expect(200).body.to_vec();
    let access = extension(&leaf, |extension| match extension {
        ParsedExtension::AuthorityInfoAccess(found) => {
            Some(found.accessdescs.iter().map(|a| uri(&a.access_location)).collect::<Vec<_>>())
        }
        _ => None,
    });
    let points = extension(&leaf, |extension| match extension {
        ParsedExtension::CRLDistributionPoints(found) => Some(
            found
                .iter()
                .map(|p| match &p.distribution_point {
                    Some(DistributionPointName::FullName(names)) => uri(&names[0]),
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>(),
        ),
        _ => None,
    });
    // The responder, then the issuer's certificate.
    assert!(access.len() == 2 && access.iter().all(|url| url.starts_with(&base)), "{access:?}");
    assert!(points.len() == 1 && points[0].starts_with(&base), "{points:?}");
    assert_eq!(fetch(access[1].clone()).await, chain[1]);
    let crl = fetch(points[0].clone()).await;
    let (_, crl) =
        <x509_parser::prelude::CertificateRevocationList<'_> as x509_parser::prelude::FromDer<_>>::from_der(&crl)
            .unwrap();
    crl.verify_signature(issuer.public_key()).unwrap();
}

#[tokio::test]
async fn an_rsa_key_is_certified_by_an_rsa_issuer() {
    let world = World::new().await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &["example.com"]).await;
    let request = openssl_request(RSA2048, &["-addext", "subjectAltName=DNS:example.com"]);
    let done = client.finalize(&order, &request).await.expect(200).json();
    let chain = ders(&client.certificate(&done).await);
    let (leaf, issuer) = (parsed(&chain[0]), parsed(&chain[1]));
    leaf.verify_signature(Some(issuer.public_key())).unwrap();
    assert!(matches!(issuer.public_key().parsed(), Ok(x509_parser::public_key::PublicKey::RSA(_))));
    assert_eq!(leaf.key_usage().unwrap().unwrap().value.flags, 5, "digitalSignature and keyEncipherment");

    let (_, chain) = world.certificate(&client, &["other.example"]).await;
    let chain = ders(&chain);
    assert!(matches!(parsed(&chain[1]).public_key().parsed(), Ok(x509_parser::public_key::PublicKey::EC(_))));
}

#[tokio::test]
async fn the_common_name_is_the_first_that_fits_or_none() {
    let world = World::new().await;
    let client = world.client().await;
    let long = format!("{}.{}.example", "a".repeat(40), "b".repeat(40));
    let (_, chain) = world.certificate(&client, &[&long, "short.example"]).await;
    assert_eq!(parsed(&leaf(&chain)).subject().to_string(), "CN=short.example");
    let (_, chain) = world.certificate(&client, &[&long]).await;
    assert_eq!(parsed(&leaf(&chain)).subject().to_string(), "");
    let placed = client
        .new_order_of(crate::acme_tools::order_of(&["plain.example"], serde_json::json!({ "profile": "single" })));
    let order = placed.await.expect(201).json();
    world.prove(&client, &client.authorizations(&order).await[0]).await.expect(200);
    let done = client.finalize(&order, &csr(&["plain.example"]).0).await.expect(200).json();
    assert_eq!(parsed(&leaf(&client.certificate(&done).await)).subject().to_string(), "", "the product wants none");
}

#[tokio::test]
async fn serials_are_unique_positive_and_long() {
    let world = World::new().await;
    let client = world.client().await;
    let mut serials = BTreeSet::new();
    for _ in 0..10 {
        let (_, chain) = world.certificate(&client, &["example.com"]).await;
        let serial = parsed(&leaf(&chain)).raw_serial().to_vec();
        assert_eq!(serial.len(), 20);
        assert_eq!(serial[0] & 0x80, 0);
        serials.insert(serial);
    }
    assert_eq!(serials.len(), 10);
}
