//! The rules of the family CAA, through the server; each row names its rule.

use chancery::domain::Kind;
use chancery::domain::plan::CaaMode;
use chancery::domain::plan::Method::{Dns01, Http01};
use chancery::va::{CaaTerms, Va};
use serde_json::{Value, json};

use crate::acme_tools::{HOUR, add_product, has_parts, order_of, problem};
use crate::support::client::{Client, challenge, csr};
use crate::support::dns::{Dns, Failure};
use crate::support::signer::b64;
use crate::support::world::World;
use crate::va_world;

/// The two records that the rules advise (CAA-06), for the test catalogue's issuer.
const ADVICE: &[&str] =
    &["Add `0 issue \"ca.test\"` and `0 issuewild \"ca.test\"` at ", "or remove the record (DIAG-14)."];

/// What comes of an order for a name whose challenge of that kind is met: the challenge as it is in the end.
async fn proven(world: &World, client: &Client, name: &str, product: &str, kind: &str) -> Value {
    let order = client.new_order_of(order_of(&[name], json!({ "profile": product }))).await.expect(201).json();
    let authz = client.authorizations(&order).await.swap_remove(0);
    let offer = challenge(&authz, kind);
    if kind == "dns-01" {
        let proof = client.key_authorization(offer["token"].as_str().unwrap());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, proof.as_bytes());
        world.dns.txt(&format!("_acme-challenge.{}", name.trim_start_matches("*.")), &b64(digest));
    }
    client.respond(&offer).await.expect(200).json()
}

/// A zone: owners, tags and values of CAA records.
type Records = &'static [(&'static str, &'static str, &'static str)];

fn publish(dns: &Dns, records: Records) {
    for (owner, tag, value) in records {
        dns.a(owner, "127.0.0.1").caa(owner, 0, tag, value);
    }
}

#[tokio::test]
async fn each_caa_rule_accepts_and_refuses() {
    let world = World::with(|config| {
        add_product(config, "nameless", "validation_reuse_days = 5\ncaa_identities = []");
    })
    .await;
    let client = world.client().await;
    let foreign = "permits only \"other.test\": `0 issue \"other.test\"` permits another CA";
    let no_name = &["no CAA issuer name yet", "every restricting record refuses", "operator", "(CAA-10)."][..];
    // Rule, product, name, records, and what a refusal says.
    let rows: &[(&str, &str, &str, Records, Option<&[&str]>)] = &[
        ("CAA-01", "any", "one.example", &[], None),
        ("CAA-01", "any", "*.one.example", &[], None),
        ("CAA-02", "any", "two.example", &[("two.example", "issue", "ca.test")], None),
        (
            "CAA-02",
            "any",
            "two-too.example",
            &[("two-too.example", "issue", "other.test"), ("two-too.example", "issue", "ca.test")],
            None,
        ),
        (
            "CAA-02",
            "any",
            "foreign.example",
            &[("foreign.example", "issue", "other.test")],
            Some(&["CAA at foreign.example ", foreign, "so foreign.example is refused."]),
        ),
        ("CAA-02", "any", "nobody.example", &[("nobody.example", "issue", ";")], Some(&["permits nobody: "])),
        (
            "CAA-03",
            "any",
            "both.example",
            &[("both.example", "issue", "ca.test"), ("both.example", "issuewild", "ca.test")],
            None,
        ),
        ("CAA-03", "any", "*.both.example", &[], None),
        // without a setting to the contrary RFC 8659 holds, where one tag is enough.
        (
            "X-16",
            "any",
            "plain.example",
            &[("plain.example", "issue", "ca.test"), ("plain.example", "issuewild", ";")],
            None,
        ),
        ("X-16", "any", "*.plain.example", &[], Some(&["permits nobody: `0 issuewild \";\"`", "so *.plain.example"])),
        (
            "CAA-09",
            "any",
            "a.b.own.up.example",
            &[("own.up.example", "issue", "ca.test"), ("up.example", "issue", ";")],
            None,
        ),
        (
            "CAA-09",
            "any",
            "a.b.up.example",
            &[],
            Some(&["CAA at up.example permits nobody", "so a.b.up.example is refused"]),
        ),
        ("CAA-10", "nameless", "free.example", &[], None),
        ("CAA-10", "nameless", "mail.example", &[("mail.example", "iodef", "mailto:a@mail.example")], None),
        ("CAA-10", "nameless", "bound.example", &[("bound.example", "issue", "ca.test")], Some(no_name)),
    ];
    for (rule, product, name, records, refused) in rows {
        publish(&world.dns, records);
        let kind = if name.starts_with("*.") { "dns-01" } else { "http-01" };
        let seen = proven(&world, &client, name, product, kind).await;
        let Some(parts) = refused else {
            assert_eq!(seen["status"], "valid", "{rule}, {name}: {seen}");
            continue;
        };
        assert_eq!(seen["status"], "invalid", "{rule}, {name}: {seen}");
        problem(&seen["error"], "caa", parts);
        if *product == "any" {
            has_parts(seen["error"]["detail"].as_str().unwrap(), ADVICE);
        }
    }
}

#[tokio::test]
async fn caa_is_checked_whichever_method_is_used() {
    let world = World::new().await;
    let client = world.client().await;
    // CAA-04, VAL-40.
    for kind in ["http-01", "dns-01"] {
        for (name, issuer, status) in [("good", "ca.test", "valid"), ("bad", "other.test", "invalid")] {
            let name = format!("{name}-{kind}.example");
            world.dns.a(&name, "127.0.0.1").caa(&name, 0, "issue", issuer);
            let seen = proven(&world, &client, &name, "any", kind).await;
            assert_eq!(seen["status"], status, "CAA-04, {name}: {seen}");
            if status == "invalid" {
                problem(&seen["error"], "caa", &[&name, "(DIAG-14)."]);
            }
        }
    }
}

#[tokio::test]
async fn whoever_follows_the_advice_is_accepted() {
    let world = World::new().await;
    let client = world.client().await;
    // CAA-05: the foreign record is removed. CAA-06: or the two records are added beside it.
    for (rule, name) in [("CAA-05", "removed.example"), ("CAA-06", "added.example"), ("CAA-06", "*.added.example")] {
        let (zone, kind) = (name.trim_start_matches("*."), if name.starts_with('*') { "dns-01" } else { "http-01" });
        world.dns.clear(zone).a(zone, "127.0.0.1").caa(zone, 0, "issue", "other.test");
        let seen = proven(&world, &client, name, "any", kind).await;
        problem(&seen["error"], "caa", ADVICE);
        match rule {
            "CAA-05" => world.dns.clear(zone),
            _ => world.dns.caa(zone, 0, "issue", "ca.test").caa(zone, 0, "issuewild", "ca.test"),
        };
        let seen = proven(&world, &client, name, "any", kind).await;
        assert_eq!(seen["status"], "valid", "{rule}, {name}: {seen}");
    }
}

#[tokio::test]
async fn a_lookup_that_fails_blocks_until_the_zone_is_put_right() {
    let world = World::new().await;
    let client = world.client().await;
    for failure in [Failure::ServFail, Failure::Refused] {
        // CAA-07, CAA-09: also one at a parent, for nobody knows what it would have said.
        for (name, at) in [("seven.example", "seven.example"), ("a.seven.example", "seven.example")] {
            world.dns.fail_type(at, "CAA", failure);
            let seen = proven(&world, &client, name, "any", "http-01").await;
            assert_eq!(seen["status"], "invalid", "CAA-07, {name}");
            problem(&seen["error"], "dns", &[&format!("CAA of {at} could not be read: "), "Check the zone (DIAG-15)."]);
            world.dns.clear(at);
        }
    }
    assert_eq!(proven(&world, &client, "seven.example", "any", "http-01").await["status"], "valid");
}

#[tokio::test]
async fn no_certificate_is_made_without_a_look_at_caa() {
    let world = World::new().await;
    let client = world.client().await;
    // CAA-08: at validation, and again when that look is too old to issue on.
    let (_, order) = world.ready_order(&client, &["eight.example"]).await;
    assert!(world.dns.queries().contains(&"CAA eight.example".to_owned()));
    world.pass(8 * HOUR).await;
    world.dns.caa("eight.example", 0, "issue", "other.test");
    let done = client.finalize(&order, &csr(&["eight.example"]).0).await.expect(200).json();
    assert_eq!(done["status"], "invalid");
    problem(&done["error"], "caa", &["CAA at eight.example permits only \"other.test\"", "(DIAG-14)."]);
    assert!(world.ra().certificates(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn both_tags_are_needed_where_the_catalogue_asks_for_it() {
    let mode: CaaMode = serde_json::from_str("\"seed-both-tags\"").unwrap();
    assert_eq!(mode, CaaMode::BothTags);
    assert_eq!(serde_json::from_str::<CaaMode>("\"rfc8659\"").unwrap(), CaaMode::default());
    let dns = Dns::start().await;
    let va = Va::new(va_world::settings(&dns)).unwrap();
    let both = &[("issue", "ca.example"), ("issuewild", "ca.example")][..];
    // CAA-03, X-16: what either mode says of ordinary names and of wildcards.
    for (n, (records, in_seeds, plain, wildcard)) in [
        (&[][..], true, true, true),
        (both, true, true, true),
        (&both[..1], false, true, true),
        (&both[1..], false, true, true),
        (&[("issue", "ca.example"), ("issuewild", "other.example")], false, true, false),
        (&[("issue", "other.example"), ("issuewild", "ca.example")], false, false, true),
        (&[("issue", "other.example"), ("issuewild", "other.example")], false, false, false),
        (&[("iodef", "mailto:a@b.example")], true, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let zone = format!("n{n}.example");
        for (tag, value) in records {
            dns.caa(&zone, 0, tag, value);
        }
        for (name, in_rfc) in [(zone.clone(), plain), (format!("*.{zone}"), wildcard), (format!("a.{zone}"), plain)] {
            for (mode, allowed) in [(CaaMode::BothTags, in_seeds), (CaaMode::Rfc8659, in_rfc)] {
                for method in [Http01, Dns01] {
                    let terms = CaaTerms { mode, ..va_world::terms(method) };
                    let wildcard = name.starts_with('*');
                    let outcome = va.check_caa(&va_world::identifier(&name), wildcard, &terms).await;
                    if allowed {
                        va_world::accepted(&outcome);
                    } else {
                        let parts = [&format!("CAA at {zone} "), "`0 issuewild \"ca.example\"`", "(DIAG-14)."];
                        va_world::refused(&outcome, Kind::Caa, &parts);
                    }
                }
            }
        }
    }
    let terms = CaaTerms { mode, ..va_world::terms(Http01) };
    let outcome = va.check_caa(&va_world::identifier("n2.example"), false, &terms).await;
    va_world::refused(&outcome, Kind::Caa, &["has `issue` but no `issuewild`, and both must name the issuer (CAA-03)"]);
}
