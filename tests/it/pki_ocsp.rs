//! OCSP through the PKI listener, with openssl as the relying party.

use std::slice::from_ref;
use std::time::Duration;

use chancery::domain::audit::Act;
use chancery::domain::certificate::Certificate;
use chancery::domain::{Identifier, Serial};
use chancery::store::records::Record as _;
use chancery::store::{Key, WriteSet};
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::Oid;

use crate::acme_tools::{HOUR, authority_key_identifier, has_parts, parsed};
use crate::ca_tools::{TestCa, openssl};
use crate::http_support::{TestServer, patient};
use crate::ocsp_tools::*;
use crate::support::client::csr;
use crate::support::dns::Failure;
use crate::support::world::World;

const NAME: &str = "www.example.com";

fn serial(certificate: &[u8]) -> Vec<u8> {
    parsed(certificate).raw_serial().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_believes_answers_for_both_kinds_of_issuer_over_both_methods() {
    let world = World::new().await;
    let client = world.client().await;
    let server = TestServer::plain(world.pki(), patient()).await;
    let url = format!("http://{}/ocsp", server.address);
    for (by, algorithm, certificate) in [
        ("chancery", "ecdsa-with-SHA256", issued(&world, &client, &[NAME]).await),
        ("chancery-rsa", "sha256WithRSAEncryption", issued_rsa(&world, &client, "rsa.example.com").await),
    ] {
        let party = RelyingParty::of(&world, by, &certificate);
        for further in [&["-no_nonce"][..], &["-nonce"], &["-no_nonce", "-sha256"], &["-nonce", "-sha256"]] {
            let request = party.request(further);
            for answer in [get(&world.pki(), &request).await.1, post(&world.pki(), &request).await] {
                let told = party.verify(&answer);
                let signed = format!("Signature Algorithm: {algorithm}");
                has_parts(&told, &["OCSP Response Status: successful", "Cert Status: good", "Responder Id: ", &signed]);
                // A nonce when one is asked for, and then only.
                assert_eq!(told.contains("OCSP Nonce"), further.contains(&"-nonce"), "{told}");
                assert!(!told.contains("no nonce in response"), "{told}");
            }
        }
        // The whole way: openssl asks over HTTP, with a nonce, and judges.
        let told = party.ask(&url, &[]);
        has_parts(&told, &["Response verify OK", "leaf.pem: good", "Next Update: Nov 25 12:00:00 2026 GMT"]);
        client.revoke(&certificate, Some(1)).await.expect(200);
        let told = party.ask(&url, &[]);
        has_parts(&told, &["Response verify OK", "leaf.pem: revoked", "Reason: keyCompromise"]);
        has_parts(&told, &["Revocation Time: Nov 21 12:00:00 2026 GMT"]);
    }
    server.stop.send_replace(true);
}

#[tokio::test]
async fn a_revocation_shows_at_once_with_its_time_and_reason() {
    let world = world().await;
    let client = world.client().await;
    for (reason, told) in
        [(None, "none"), (Some(0), "none"), (Some(1), "1"), (Some(3), "3"), (Some(4), "4"), (Some(5), "5")]
    {
        // Each of a key of its own, so that one compromise is not another's.
        let certificate = issued(&world, &client, &[NAME]).await;
        let request = request(&[id_of(&world, "chancery", &certificate)]);
        assert_eq!(ask(&world.pki(), &request).await.statuses(), ["good"]);
        world.clock.advance(HOUR);
        let revoked = world.now();
        client.revoke(&certificate, reason).await.expect(200);
        // The kept "good" is gone at once, and the time is that of the revocation ever after.
        let expected = format!("revoked {} {told}", generalized(revoked));
        assert_eq!(ask(&world.pki(), &request).await.statuses(), [expected.as_str()]);
        world.clock.advance(HOUR);
        let again = ask(&world.pki(), &request).await;
        assert_eq!((again.statuses(), &again.produced), (vec![expected.as_str()], &generalized(revoked)));
    }
}

#[tokio::test]
async fn what_was_not_issued_is_never_good() {
    let world = World::new().await;
    let client = world.client().await;
    let certificate = issued(&world, &client, &[NAME]).await;
    let [ec, rsa, root] = ["chancery", "chancery-rsa", "root"].map(|name| issuer(&world, name));
    let own = serial(&certificate);
    let some = Serial::random();
    let router = world.pki();
    // CABF-OCS-05: serials that nobody gave out, of whatever form, and one that another issuer gave out.
    for unknown in [some.as_bytes(), &[1], &[0], &[0xff], &[0x80, 1], &[0, 0xff], &[0x7f; 32]] {
        let answer = ask(&router, &request(&[cert_id(&ec, unknown, SHA1)])).await;
        assert_eq!(answer.statuses(), ["unknown"], "{unknown:02x?}");
        // The serial may be given out soon.
        assert_eq!(answer.singles[0].next_update, generalized(world.now() + Duration::from_secs(300)));
    }
    assert_eq!(ask(&router, &request(&[cert_id(&rsa, &own, SHA2)])).await.statuses(), ["unknown"]);
    // CABF-OCS-13: issuers that are not ours, or that nobody is to be asked about here, are refused without a signature.
    let other = TestCa::new();
    let stranger = other.ca.issuer_der("chancery").unwrap().to_vec();
    let sha384 = (&aws_lc_rs::digest::SHA384, &[0x06, 0x09, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2][..]);
    for foreign in [
        vec![cert_id(&stranger, &own, SHA1)],
        vec![cert_id(&root, &serial(&ec), SHA1)],
        vec![cert_id(&ec, &own, sha384)],
        // One answer has one signature, and one issuer's responder cannot speak for another issuer.
        vec![cert_id(&ec, &own, SHA1), cert_id(&rsa, &own, SHA1)],
        vec![cert_id(&ec, &own, SHA1), cert_id(&stranger, &own, SHA1)],
    ] {
        assert_eq!(ask(&router, &request(&foreign)).await.code, UNAUTHORIZED);
        assert_eq!(post(&router, &request(&foreign)).await, [0x30, 3, 0x0a, 1, UNAUTHORIZED]);
    }
    // The hash of the name alone, or of the key alone, names no issuer.
    let (ours, theirs) = (cert_id(&ec, &own, SHA1), cert_id(&rsa, &own, SHA1));
    let (ours, theirs) = (elements(&ours)[0].1, elements(&theirs)[0].1);
    let part = |of: &[u8], number: usize| elements(of)[number].1.to_vec();
    let mixed = |name: &[u8], key: &[u8]| {
        let (algorithm, name, key) = (der(SEQUENCE, &[&part(ours, 0)]), part(name, 1), part(key, 2));
        der(SEQUENCE, &[&algorithm, &der(OCTETS, &[&name]), &der(OCTETS, &[&key]), &der(2, &[&own])])
    };
    assert_eq!(ask(&router, &request(&[mixed(ours, ours)])).await.statuses(), ["good"]);
    for half in [mixed(ours, theirs), mixed(theirs, ours)] {
        assert_eq!(ask(&router, &request(&[half])).await.code, UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_recorded_serial_is_unknown_until_its_certificate_is_signed() {
    let mut world = World::with(|config| {
        config.ca.rsa_issuers = false;
        config.acme.finalize_wait_ms = 1;
    })
    .await;
    let client = world.client().await;
    let (_, order) = world.ready_order(&client, &[NAME]).await;
    // CAA is looked at again so late, and cannot be: the serial is recorded, and nothing is signed.
    world.clock.advance(9 * HOUR);
    world.dns.fail_type(NAME, "CAA", Failure::ServFail);
    let finalized = client.finalize(&order, &csr(&[NAME]).0).await.expect(200);
    let recorded = world.audit().await.into_iter().find_map(|act| match act {
        Act::OrderFinalized { serial, .. } => Some(serial),
        _ => None,
    });
    let recorded = recorded.unwrap_or_else(|| panic!("{:?}", finalized.json()));
    let id = cert_id(&issuer(&world, "chancery"), recorded.as_bytes(), SHA1);
    assert_eq!(ask(&world.pki(), &request(&[id])).await.statuses(), ["unknown"]);
}

#[tokio::test]
async fn the_servers_own_certificates_are_good_once_they_are_signed() {
    let mut world = world().await;
    let names = vec![Identifier::parse("dns", "ca.test").unwrap()];
    let own = world.ra().issue_server_certificate(names, "chancery").await.unwrap().chain.swap_remove(0);
    let request = request(&[id_of(&world, "chancery", &own)]);
    let answer = ask(&world.pki(), &request).await;
    assert_eq!(answer.statuses(), ["good"]);
    let responder = id_of(&world, "chancery", &answer.certificates[0]);
    assert_eq!(ask(&world.pki(), &crate::ocsp_tools::request(from_ref(&responder))).await.statuses(), ["good"]);
    // Both are still good for who saw them, although the keys of both are gone.
    world.restart().await;
    assert_eq!(ask(&world.pki(), &request).await.statuses(), ["good"]);
    assert_eq!(ask(&world.pki(), &crate::ocsp_tools::request(&[responder])).await.statuses(), ["good"]);
    let acts = world.audit().await;
    let certified = acts.iter().filter(|act| matches!(act, Act::ResponderCertified { .. })).count();
    let signed = acts.iter().filter(|act| matches!(act, Act::OwnCertificateSigned { .. })).count();
    assert_eq!((certified, signed), (2, 3), "{acts:?}");
}

#[tokio::test]
async fn nonces_are_shown_back_when_they_are_asked_for_and_bounded() {
    let world = world().await;
    let client = world.client().await;
    let id = id_of(&world, "chancery", &issued(&world, &client, &[NAME]).await);
    let router = world.pki();
    for length in [1, 15, 16, 32, 33, 127, 128] {
        let octets = vec![length as u8; length];
        let answer = ask(&router, &request_with(from_ref(&id), &nonce(&octets))).await;
        assert_eq!((answer.statuses(), answer.nonce.as_deref()), (vec!["good"], Some(&octets[..])), "{length}");
    }
    assert_eq!(ask(&router, &request(from_ref(&id))).await.nonce, None);
    // RFC 9654 section 2.1; one that is no OCTET STRING within its extension; two of them.
    let two = [nonce(&[1; 32]), nonce(&[1; 32])].concat();
    for bad in [nonce(&[]), nonce(&[7; 129]), extension(NONCE, false, &[7; 32]), extension(NONCE, false, &[]), two] {
        assert_eq!(ask(&router, &request_with(from_ref(&id), &bad)).await.code, MALFORMED, "{bad:02x?}");
    }
    // What is asked with a nonce is signed for that ask alone.
    let (response, first) = get(&router, &request_with(from_ref(&id), &nonce(&[1; 32]))).await;
    assert_eq!(response.headers()["cache-control"], "private, max-age=0");
    assert!(["etag", "expires", "last-modified"].iter().all(|name| !response.headers().contains_key(*name)));
    assert_ne!(get(&router, &request_with(&[id], &nonce(&[2; 32]))).await.1, first);
}

#[tokio::test]
async fn one_request_may_ask_about_twenty_certificates_of_an_issuer() {
    let world = world().await;
    let client = world.client().await;
    let (good, revoked) = (issued(&world, &client, &[NAME]).await, issued(&world, &client, &["b.example.com"]).await);
    client.revoke(&revoked, Some(4)).await.expect(200);
    let router = world.pki();
    let none = cert_id(&issuer(&world, "chancery"), &[9], SHA2);
    let ids = [id_of(&world, "chancery", &good), id_of(&world, "chancery", &revoked), none.clone()];
    let answer = ask(&router, &request(&ids)).await;
    let withdrawn = format!("revoked {} 4", generalized(world.now()));
    assert_eq!(answer.statuses(), ["good", &withdrawn, "unknown"]);
    // Each CertID comes back as it was written.
    assert_eq!(answer.singles.iter().map(|single| single.id.clone()).collect::<Vec<_>>(), ids);
    assert!(!get(&router, &request(&ids)).await.0.headers().contains_key("etag"));
    let many = |count: usize| request_with(&vec![none.clone(); count], &nonce(&[1; 128]));
    assert_eq!(ask(&router, &many(20)).await.statuses().len(), 20);
    assert_eq!(ask(&router, &many(21)).await.code, MALFORMED);
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_not_dropped() {
    let world = world().await;
    let router = world.pki();
    let id = cert_id(&issuer(&world, "chancery"), &[1], SHA1);
    let good = request(from_ref(&id));
    assert_eq!(ask(&router, &good).await.statuses(), ["unknown"]);
    // Variants that are requests all the same: the version written out, a name of who asks, a signature.
    let list = der(SEQUENCE, &[&der(SEQUENCE, &[&id])]);
    let tbs = |before: &[u8], after: &[u8]| der(SEQUENCE, &[before, &list, after]);
    let version = |number: u8| der(0xa0, &[&[2, 1, number]]);
    let requestor = der(0xa1, &[&der(0x82, &[b"x"])]);
    let signature = der(0xa0, &[&der(SEQUENCE, &[b"\x05\x00"])]);
    let strange = |critical| der(0xa2, &[&der(SEQUENCE, &[&extension(STRANGE, critical, b"x")])]);
    let single = |critical| der(0xa0, &[&der(SEQUENCE, &[&extension(STRANGE, critical, b"x")])]);
    let with_single = |critical| der(SEQUENCE, &[&der(SEQUENCE, &[&der(SEQUENCE, &[&id, &single(critical)])])]);
    for fine in [
        der(SEQUENCE, &[&tbs(&version(0), &[])]),
        der(SEQUENCE, &[&tbs(&requestor, &[]), &signature]),
        der(SEQUENCE, &[&tbs(&[], &strange(false))]),
        der(SEQUENCE, &[&with_single(false)]),
    ] {
        assert_eq!(ask(&router, &fine).await.statuses(), ["unknown"], "{fine:02x?}");
    }
    let nested =
        (0..2_000).fold(Vec::new(), |inner, _| if inner.len() > 4_000 { inner } else { der(SEQUENCE, &[&inner]) });
    let odd = cert_id(&issuer(&world, "chancery"), &[0, 1], SHA1);
    let short_hash = der(SEQUENCE, &[&der(SEQUENCE, &[SHA1.1]), &[4, 1, 1], &[4, 1, 1], &[2, 1, 1]]);
    let mut bad = vec![
        Vec::new(),
        b"garbage".to_vec(),
        vec![0; 4_000],
        vec![0xff; 4_096],
        vec![SEQUENCE; 4_096],
        nested,
        [&good[..], &[0]].concat(),
        der(SEQUENCE, &[&tbs(&version(1), &[])]),
        der(SEQUENCE, &[&tbs(&[], &strange(true))]),
        der(SEQUENCE, &[&with_single(true)]),
        der(SEQUENCE, &[&tbs(&[], &der(0xa2, &[&der(SEQUENCE, &[])]))]),
        request(&[]),
        request(&[odd]),
        request(&[cert_id(&issuer(&world, "chancery"), &[], SHA1)]),
        request(&[cert_id(&issuer(&world, "chancery"), &[1; 33], SHA1)]),
        request(&[short_hash]),
        der(SEQUENCE, &[&tbs(&[], &[]), &signature, &signature]),
    ];
    bad.extend((0..good.len()).map(|end| good[..end].to_vec()));
    for octets in bad {
        assert_eq!(ask(&router, &octets).await.code, MALFORMED, "{octets:02x?}");
    }
    // Longer than any request may be, by either way; a good one within does not save it.
    let long = request_with(&[id], &extension(STRANGE, false, &[0; 4_096]));
    assert_eq!(ask(&router, &long).await.code, MALFORMED);
    assert_eq!(Answer::read(&post(&router, &vec![0x30; 1 << 20]).await).code, MALFORMED);
    for path in ["", "%", "%zz", "!!!!", "M", "-_", "%ff%fe", "////", "MAA=/x"] {
        let (response, body) = get_path(&router, path).await;
        assert_eq!(Answer::read(&body).code, MALFORMED, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn base64_is_found_in_a_path_however_it_is_written() {
    let world = world().await;
    let router = world.pki();
    // Serials are tried until the text has both of base64's own signs, and a slash behind a slash.
    let text = (0u32..).find_map(|number| {
        let serial = [&[1][..], &number.to_be_bytes(), &[0xff; 6]].concat();
        let text = pem::encode(&pem::Pem::new("X", request(&[cert_id(&issuer(&world, "chancery"), &serial, SHA1)])));
        let text: String = text.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
        (text.contains('+') && text.contains("//")).then_some(text)
    });
    let text = text.unwrap();
    let lower = text.replace('/', "%2f").replace('+', "%2b").replace('=', "%3d");
    let upper = text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    for path in [text.clone(), lower, upper, text.trim_end_matches('=').to_owned(), format!("/{text}")] {
        let (_, body) = get_path(&router, &path).await;
        assert_eq!(Answer::read(&body).statuses(), ["unknown"], "{path}");
    }
}

#[tokio::test]
async fn a_responder_certificate_is_of_its_profile() {
    let world = World::new().await;
    let client = world.client().await;
    for (by, certificate) in [
        ("chancery", issued(&world, &client, &[NAME]).await),
        ("chancery-rsa", issued_rsa(&world, &client, "rsa.example.com").await),
    ] {
        let answer = ask(&world.pki(), &request(&[id_of(&world, by, &certificate)])).await;
        let [responder] = &answer.certificates[..] else { panic!("{answer:?}") };
        let (responder, above) = (parsed(responder), issuer(&world, by));
        let above = parsed(&above);
        // CABF-OCS-07: signed by the issuer itself, with a key of its own of the issuer's kind.
        responder.verify_signature(Some(above.public_key())).unwrap();
        assert_eq!(responder.issuer().as_raw(), above.subject().as_raw());
        assert_eq!(responder.public_key().algorithm, above.public_key().algorithm);
        assert_ne!(responder.public_key().raw, above.public_key().raw);
        let common = format!("{} OCSP", above.subject().iter_common_name().next().unwrap().as_str().unwrap());
        assert_eq!(responder.subject().iter_common_name().next().unwrap().as_str().unwrap(), common);
        assert_eq!(responder.subject().iter_organization().count(), 1);
        let validity = responder.validity();
        assert_eq!(validity.not_before.timestamp() as u64, world.now().as_secs() - 3_600);
        assert_eq!(validity.not_after.timestamp() as u64, world.now().as_secs() + 14 * 86_400 - 1);
        assert!(serial(&answer.certificates[0]).len() == 20);
        let no_check = Oid::from(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5]).unwrap();
        for extension in responder.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::KeyUsage(usage) => assert!(extension.critical && usage.flags == 1, "{usage:?}"),
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    assert!(!extension.critical && usage.ocsp_signing && extension.value.len() == 12, "{usage:?}");
                }
                ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::SubjectKeyIdentifier(_) => {
                    assert!(!extension.critical);
                }
                _ => assert!(extension.oid == no_check && extension.value == [5, 0] && !extension.critical),
            }
        }
        assert_eq!(responder.extensions().len(), 5);
        assert_eq!(authority_key_identifier(&answer.certificates[0]), world_key_identifier(&above));
        // CABF-OCS-10: the answer names it by the SHA-1 of its key.
        let key = &responder.public_key().subject_public_key.data;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, key);
        assert_eq!(answer.by_key, hash.as_ref());
        // A second parser reads it too.
        let file = world.scratch().join("responder.der");
        std::fs::write(&file, &answer.certificates[0]).unwrap();
        let told = openssl(&["x509", "-inform", "DER", "-noout", "-text", "-in", file.to_str().unwrap()]).unwrap();
        has_parts(
            &told,
            &["OCSP No Check", "OCSP Signing", "X509v3 Key Usage: critical\n                Digital Signature\n"],
        );
    }
}

fn world_key_identifier(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<u8> {
    let found = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(found) => Some(found.0.to_vec()),
        _ => None,
    });
    found.unwrap()
}

#[tokio::test]
async fn leaves_name_the_responder_unless_the_settings_say_otherwise() {
    for named in [true, false] {
        let world = World::with(|config| {
            config.ca.rsa_issuers = false;
            config.ca.ocsp = named;
        })
        .await;
        let client = world.client().await;
        let certificate = issued(&world, &client, &[NAME]).await;
        let certificate_parsed = parsed(&certificate);
        let access = certificate_parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => Some(access),
            _ => None,
        });
        let told: Vec<String> = access
            .unwrap()
            .accessdescs
            .iter()
            .map(|access| format!("{} {}", access.access_method.to_id_string(), access.access_location))
            .collect();
        let base = &world.config.pki.public_url;
        let ocsp = format!("1.3.6.1.5.5.7.48.1 URI({base}/ocsp)");
        let issuer = format!("1.3.6.1.5.5.7.48.2 URI({base}/issuer/chancery.cer)");
        assert_eq!(told, if named { vec![ocsp, issuer] } else { vec![issuer] });
        // Certificates from before a change of the setting may still be asked about.
        let request = request(&[id_of(&world, "chancery", &certificate)]);
        assert_eq!(ask(&world.pki(), &request).await.statuses(), ["good"]);
    }
}

#[tokio::test]
async fn an_issuer_that_issues_no_more_is_still_answered_for() {
    let mut world = world().await;
    let client = world.client().await;
    let certificates = [issued(&world, &client, &[NAME]).await, issued(&world, &client, &["b.example.com"]).await];
    client.revoke(&certificates[1], Some(5)).await.expect(200);
    let revoked = format!("revoked {} 5", generalized(world.now()));
    let ids = certificates.each_ref().map(|certificate| id_of(&world, "chancery", certificate));
    world.config.ca.issuers = vec!["another".to_owned()];
    let catalog = std::fs::read_to_string(&world.config.catalog.products).unwrap();
    std::fs::write(&world.config.catalog.products, catalog.replace("issuer = \"chancery\"", "issuer = \"another\""))
        .unwrap();
    world.restart().await;
    assert_eq!(ask(&world.pki(), &request(&ids)).await.statuses(), ["good", &revoked]);
}

#[tokio::test]
async fn a_store_that_is_broken_is_an_internal_error_and_says_nothing_of_a_status() {
    let mut world = world().await;
    let client = world.client().await;
    let (whole, broken) = (issued(&world, &client, &[NAME]).await, issued(&world, &client, &["b.example.com"]).await);
    let serial = chancery::ca::certificate::serial_of(&broken).unwrap();
    let [whole, broken] = [&whole, &broken].map(|der| request(&[id_of(&world, "chancery", der)]));
    assert_eq!(ask(&world.pki(), &broken).await.statuses(), ["good"]);
    world
        .with_store(async |kv| {
            let set = WriteSet {
                puts: vec![(Key { space: Certificate::SPACE, id: serial.as_bytes().to_vec() }, "rubbish".into())],
                ..WriteSet::default()
            };
            kv.commit(set).await.unwrap();
        })
        .await;
    let octets = post(&world.pki(), &broken).await;
    assert_eq!(octets, [0x30, 3, 0x0a, 1, INTERNAL]);
    let (response, body) = get(&world.pki(), &broken).await;
    assert_eq!((response.headers()["cache-control"].to_str().unwrap(), body), ("no-store", octets));
    assert_eq!(ask(&world.pki(), &whole).await.statuses(), ["good"]);
}
