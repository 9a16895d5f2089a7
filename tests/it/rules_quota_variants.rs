//! The variants of the quota of free certificates (QUOTA-08 to QUOTA-13, X-02): the scheme of 2023, the one before, and
//! the change from one to another.

use chancery::domain::customer::{CustomerKind, Tier};
use chancery::policy::catalog::Catalog;
use serde_json::json;

use crate::acme_tools::{DAY, order_of};
use crate::rules_quota::{SHIPPED, accepted, buyer, domain_used, figures, issued, quota, refused};
use crate::support::world::World;

/// The shipped catalogue with another variant.
async fn variant(name: &str) -> World {
    World::documented_but(&[("quota_variant = \"2024-03\"", &format!("quota_variant = \"{name}\""))]).await
}

#[tokio::test]
async fn the_scheme_of_2023_has_a_quota_for_each_kind_of_customer() {
    use CustomerKind::{Enterprise, Individual};
    let world = variant("2023-09").await;
    for (rule, kind, tier, most) in [
        ("QUOTA-08", Individual, Tier::Standard, 20),
        ("QUOTA-08", Individual, Tier::V2, 50),
        ("QUOTA-09", Enterprise, Tier::Standard, 10),
        ("QUOTA-09", Enterprise, Tier::Kept, 20),
    ] {
        let shown = format!("{rule}, {kind:?} {tier:?}");
        println!("{shown}: {most}");
        let (customer, client) = buyer(&world, kind, tier).await;
        for n in 0..most {
            accepted(&client, &format!("h{n}.zone-{most}-{n}.cn")).await;
        }
        let usage = quota(&world, &customer).await.usage;
        assert_eq!((usage.any.used, usage.any.total), (most, Some(most)), "{shown}");
        let elsewhere =
            if (kind, tier) == (Individual, Tier::Standard) { " for domains registered elsewhere" } else { "" };
        let told = format!("{most} of {most} free certificates{elsewhere} are in use");
        refused(&world, &client.new_order(&["zone-x.cn"]).await, &[&told, rule], Some(world.now() + 3 * DAY));
    }
    // QUOTA-11: a primary domain has 20 here too.
    let (_, client) = buyer(&world, Individual, Tier::V2).await;
    for n in 0..20 {
        accepted(&client, &format!("h{n}.zone.cn")).await;
    }
    let told = ["20 of 20 free certificates of \"zone.cn\" are in use", "QUOTA-02"];
    refused(&world, &client.new_order(&["zone.cn"]).await, &told, Some(world.now() + 3 * DAY));
}

#[tokio::test]
async fn the_providers_domains_have_a_quota_of_their_own_which_is_used_first() {
    let world = variant("2023-09").await;
    // QUOTA-13: an operator knows which they are.
    for n in 0..4 {
        world.ra().set_provider_domain(&format!("provided-{n}.cn"), true).await.unwrap();
    }
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let used = async || {
        let usage = quota(&world, &customer).await.usage;
        (usage.provider.unwrap().used, usage.any.used, usage.whole().used, usage.whole().total)
    };
    for n in 0..15 {
        accepted(&client, &format!("h{n}.provided-0.cn")).await;
        accepted(&client, &format!("h{n}.provided-1.cn")).await;
    }
    // QUOTA-10
    assert_eq!(used().await, (30, 0, 30, Some(50)));
    for n in 0..19 {
        accepted(&client, &format!("h{n}.provided-2.cn")).await;
    }
    assert_eq!(used().await, (30, 19, 49, Some(50)));
    accepted(&client, "elsewhere.cn").await;
    let end = Some(world.now() + 3 * DAY);
    let told = ["50 of 50 free certificates are in use", "QUOTA-08"];
    refused(&world, &client.new_order(&["h0.provided-3.cn"]).await, &told, end);
    let told = ["20 of 20 free certificates for domains registered elsewhere are in use", "QUOTA-08"];
    refused(&world, &client.new_order(&["another.cn"]).await, &told, end);
    // What returns to the provider's quota serves the provider's domains alone, and is used before the other.
    let first = order_of(&["h0.provided-0.cn"], json!({}));
    let placed = client.new_order_of(first).await.expect(201).json();
    client.post(placed["authorizations"][0].as_str().unwrap(), &json!({ "status": "deactivated" })).await.expect(200);
    refused(&world, &client.new_order(&["another.cn"]).await, &told, end);
    assert_eq!(used().await, (29, 20, 49, Some(50)));
    // All slots that were noted are 30, of which one is free: it is found before the other quota is asked.
    accepted(&client, "h1.provided-3.cn").await;
    assert_eq!(used().await, (30, 20, 50, Some(50)));
    // QUOTA-13: a domain that moves away is a domain like any other.
    world.ra().set_provider_domain("provided-3.cn", false).await.unwrap();
    refused(&world, &client.new_order(&["h2.provided-3.cn"]).await, &told, end);
}

#[tokio::test]
async fn the_providers_quota_is_looked_through_before_the_other_is_used() {
    let few = "provider = { individual = 1, individual-v2 = 0, enterprise = 0, enterprise-kept = 0 }";
    let world = World::documented_but(&[
        ("quota_variant = \"2024-03\"", "quota_variant = \"2023-09\""),
        ("provider = { individual = 30, individual-v2 = 0, enterprise = 0, enterprise-kept = 0 }", few),
    ])
    .await;
    world.ra().set_provider_domain("provided.cn", true).await.unwrap();
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let der = issued(&world, &client, "provided.cn").await;
    client.revoke(&der, None).await.expect(200);
    // QUOTA-10: its slot is free again, although nobody has taken it off the ledger.
    accepted(&client, "a.provided.cn").await;
    let usage = quota(&world, &customer).await.usage;
    assert_eq!((usage.provider.unwrap().used, usage.any.used), (1, 0));
}

#[tokio::test]
async fn the_legacy_scheme_has_twenty_for_everybody_and_no_limit_of_domains() {
    let world = variant("legacy").await;
    // QUOTA-12
    for kind in [CustomerKind::Individual, CustomerKind::Enterprise] {
        let (_, client) = buyer(&world, kind, Tier::Standard).await;
        for n in 0..20 {
            accepted(&client, &format!("h{n}.zone.cn")).await;
        }
        let told = ["20 of 20 free certificates are in use", "QUOTA-01"];
        refused(&world, &client.new_order(&["zone.cn"]).await, &told, Some(world.now() + 3 * DAY));
    }
    assert_eq!(domain_used(&world, "zone.cn").await, 40);
}

#[tokio::test]
async fn another_variant_counts_what_is_there_already() {
    let world = variant("2023-09").await;
    world.ra().set_provider_domain("provided.cn", true).await.unwrap();
    let (customer, client) = buyer(&world, CustomerKind::Individual, Tier::Standard).await;
    let first = issued(&world, &client, "h0.provided.cn").await;
    for n in 1..20 {
        accepted(&client, &format!("h{n}.provided.cn")).await;
    }
    accepted(&client, "elsewhere.cn").await;
    // 20 of the provider's quota and one of the other are 21 of 20 in the newer scheme.
    let path = &world.config.catalog.products;
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text.replace("quota_variant = \"2023-09\"", "quota_variant = \"2024-03\"")).unwrap();
    world.ra().replace_catalog(world.config.load_catalog().unwrap().catalog, "").await.unwrap();
    let usage = quota(&world, &customer).await.usage;
    assert_eq!((usage.any.used, usage.any.total, usage.provider), (21, Some(20), None));
    // Two have to end before there is room for one.
    let end = world.now() + 3 * DAY;
    refused(&world, &client.new_order(&["another.cn"]).await, &["21 of 20"], Some(end));
    client.revoke(&first, None).await.expect(200);
    refused(&world, &client.new_order(&["another.cn"]).await, &["20 of 20"], Some(end));
}

#[test]
fn the_shipped_figures_are_the_documented_ones() {
    let shipped = std::fs::read_to_string("config/catalog.toml").unwrap();
    for (rule, variant, any, provider, domain) in [
        ("QUOTA-01, QUOTA-02", "2024-03", [20, 20, 20, 20], None, Some(20)),
        ("QUOTA-08, QUOTA-09, QUOTA-11", "2023-09", [20, 50, 10, 20], Some([30, 0, 0, 0]), Some(20)),
        ("QUOTA-12", "legacy", [20, 20, 20, 20], None, None),
    ] {
        let text = shipped.replace("quota_variant = \"2024-03\"", &format!("quota_variant = \"{variant}\""));
        let catalog = Catalog::parse(&text).unwrap();
        let rules = catalog.quota().unwrap();
        let tiers =
            |t: &chancery::policy::catalog::TierQuota| [t.individual, t.individual_v2, t.enterprise, t.enterprise_kept];
        assert_eq!(tiers(&rules.any), any, "{rule}");
        assert_eq!(rules.provider.as_ref().map(tiers), provider, "{rule}");
        assert_eq!(rules.primary_domain, domain, "{rule}");
    }
    // the newest unless something else is set.
    assert_eq!(Catalog::parse(&shipped).unwrap().settings().quota_variant, "2024-03");
}

#[test]
fn a_catalogue_whose_quota_cannot_be_kept_is_refused() {
    let shipped = std::fs::read_to_string("config/catalog.toml").unwrap();
    for (from, to, key) in [
        ("quota_variant = \"2024-03\"", "quota_variant = \"2025-01\"", "settings.quota_variant"),
        (SHIPPED, &figures(2_001, 20), "quotas.2024-03"),
        (SHIPPED, &figures(20, 2_001), "quotas.2024-03"),
        // CAT-07: several names would be of several primary domains.
        ("type = \"dv-free\"\nshape = \"single\"", "type = \"dv-free\"\nshape = \"multi\"", "products[13].shape"),
    ] {
        assert!(shipped.contains(from), "{from}");
        let faults = Catalog::parse(&shipped.replacen(from, to, 1)).unwrap_err();
        assert!(faults.iter().any(|fault| fault.key == key), "{key} is not in {faults:?}");
    }
}
