//! From a free certificate to a paid one for the same name (UPGRADE-01 to UPGRADE-04).

use super::{Kept, Listed, NamesQuote, NewPurchase, Pay, QuotedNames, Ra};
use crate::domain::certificate::Certificate;
use crate::domain::portfolio::CertificateRef;
use crate::domain::{CustomerId, DnsName, Error, Identifier, Kind, PurchaseId, Result};
use crate::policy::catalog::{Class, Product, Shape};

/// What somebody wants of an upgrade; none of it only asks for proposals.
#[derive(Debug, Clone, Default)]
pub struct UpgradeWish {
    /// The product.
    pub product: Option<String>,
    /// Years.
    pub years: Option<u32>,
    /// The names, which must be those of the certificate.
    pub names: Option<Vec<String>>,
}

/// A product that a free certificate can become.
#[derive(Debug)]
pub struct Proposal {
    /// Its domain type.
    pub shape: Shape,
    /// Its brand's name.
    pub brand: String,
    /// The names that the paid certificate would hold; the bound one is among them.
    pub names: Vec<String>,
    /// What it costs.
    pub quote: NamesQuote,
}

/// What a free certificate can become.
#[derive(Debug)]
pub struct Upgrade {
    /// Whose it is.
    pub customer: CustomerId,
    /// The bound name, which stays (UPGRADE-01).
    pub name: String,
    /// The proposals: DNSPod's first, or if none of those is sold, all that fit (UPGRADE-02).
    pub proposals: Vec<Proposal>,
    /// The other way (UPGRADE-03).
    pub otherwise: &'static str,
    /// What paid and free certificates have and lack (UPGRADE-04).
    pub comparison: Vec<(&'static str, String, String)>,
}

/// UPGRADE-02: the brand that is proposed where it has a price.
const FIRST: &str = "dnspod";

impl Ra {
    /// What a free certificate can become, and at which price.
    pub async fn upgrade(&self, id: &CertificateRef, wish: &UpgradeWish) -> Result<Upgrade> {
        let listed = self.listed(id).await?;
        let (certificate, customer) = self.free_certificate(&listed)?;
        let names: Vec<String> = certificate.identifiers.iter().map(ToString::to_string).collect();
        if wish.names.as_ref().is_some_and(|wanted| {
            wanted.iter().any(|name| !names.contains(name)) || names.iter().any(|name| !wanted.contains(name))
        }) {
            let bound = names.join(", ");
            return Err(Error::malformed(format!(
                "An upgrade keeps the bound name {bound}. Other names need a new purchase (UPGRADE-01)."
            )));
        }
        let proposals = self.proposals(certificate, wish)?;
        if proposals.is_empty() {
            let what =
                wish.product.as_deref().map_or_else(|| "No paid DV product".to_owned(), |id| format!("\"{id}\""));
            let detail = format!(
                "{what} can't be had for {}: choose another in an ordinary purchase (UPGRADE-03).",
                names.join(", ")
            );
            return Err(Error::new(Kind::InvalidProfile, detail));
        }
        Ok(Upgrade {
            customer,
            name: names.join(", "),
            proposals,
            otherwise: "Or buy any product as usual, with your own choice of type, brand, domain type and period (UPGRADE-03).",
            comparison: self.comparison(),
        })
    }

    /// Buys the product that an upgrade proposes first.
    pub async fn buy_upgrade(&self, upgrade: &Upgrade, pay: Pay) -> Result<PurchaseId> {
        let proposal = upgrade.proposals.first().ok_or_else(|| Error::internal("an upgrade without a proposal"))?;
        let quote = &proposal.quote.quote;
        let asked = NewPurchase::of(upgrade.customer.clone(), &quote.product, quote.names);
        let asked = NewPurchase { years: Some(quote.years), pay, ..asked };
        Ok(self.create_purchase(asked).await?.id)
    }

    /// UPGRADE-01: what is upgraded is a free certificate of a customer.
    fn free_certificate<'l>(&self, listed: &'l Listed) -> Result<(&'l Certificate, CustomerId)> {
        let refused = || {
            Error::new(
                Kind::Conflict,
                "Only a free certificate is upgraded; buy what you need as usual (UPGRADE-01, UPGRADE-03).",
            )
        };
        let Kept::Issued(certificate) = &listed.certificate else { return Err(refused()) };
        let catalog = self.catalog();
        let free = catalog.product(&certificate.product).is_some_and(|product| product.class == Class::DvFree);
        let customer = listed.customer.clone().ok_or_else(|| {
            Error::new(
                Kind::UserActionRequired,
                "Paid certificates need a customer: bind the account to one (ACCT-02).",
            )
        })?;
        if free { Ok((certificate, customer)) } else { Err(refused()) }
    }

    fn proposals(&self, certificate: &Certificate, wish: &UpgradeWish) -> Result<Vec<Proposal>> {
        let catalog = self.catalog();
        let takes = |product: &&Product| {
            product.class == Class::Dv && wish.product.as_ref().is_none_or(|wanted| *wanted == product.id)
        };
        let mut proposals = Vec::new();
        for product in catalog.sold().filter(takes) {
            let Some(identifiers) = names_for(product, &certificate.identifiers) else { continue };
            let names = identifiers.iter().map(ToString::to_string).collect();
            let asked = QuotedNames { identifiers, unread: Vec::new(), years: wish.years };
            let Ok(mut quotes) = self.quote_names(Some(&product.id), &asked) else { continue };
            let brand = catalog.brand_name(product).to_owned();
            proposals.extend(quotes.pop().map(|quote| Proposal { shape: product.shape, brand, names, quote }));
        }
        let first = |proposal: &Proposal| proposal.quote.quote.product.starts_with(FIRST);
        if wish.product.is_none() && proposals.iter().any(first) {
            proposals.retain(first);
        }
        proposals.sort_by_key(|proposal| (proposal.quote.quote.total, proposal.quote.quote.product.clone()));
        Ok(proposals)
    }

    fn comparison(&self) -> Vec<(&'static str, String, String)> {
        let row = |what, paid: &str, free: &str| (what, paid.to_owned(), free.to_owned());
        vec![
            row("support", "yes", "no"),
            row("installation service", "yes", "no"),
            row("pre-sales advice", "yes", "no"),
            row("wildcard names", "yes", "no"),
            row("several names", "yes", "no"),
            row(
                "quota",
                "none",
                "individuals 50, organisations 10 by the figures of 2023; see GET /quotas for those in force",
            ),
            row("keys", "RSA, ECC, SM2", "RSA, ECC"),
            row("IP addresses", "no", "no"),
            row("common suffixes", "yes", "yes"),
        ]
    }
}

/// The names of a paid certificate of that product which holds the bound ones: a wildcard right below the name, which comes
/// free with it, or the name itself.
fn names_for(product: &Product, bound: &[Identifier]) -> Option<Vec<Identifier>> {
    let wildcard = |name: &DnsName| DnsName::parse(&format!("*.{}", name.base())).ok().map(Identifier::Dns);
    match (product.shape, bound) {
        (Shape::Single | Shape::Multi, names) => Some(names.to_vec()),
        (Shape::Wildcard, [Identifier::Dns(name), ..]) => {
            Some(std::iter::once(wildcard(name)?).chain(bound.iter().cloned()).collect())
        }
        _ => None,
    }
}
