//! What a certificate is signed on, as the audit log keeps it.

use aws_lc_rs::digest::{SHA256, digest};

use super::Ra;
use crate::domain::account::{Account, Holder};
use crate::domain::application::{Application, Stage};
use crate::domain::audit::{Proof, Signature, Vetting};
use crate::domain::authz::{Authorization, AuthzState};
use crate::domain::certificate::{Certificate, hex32};
use crate::domain::order::Order;
use crate::policy::catalog::{Product, Sale};
use crate::policy::{applications, validity};
use crate::store::records::Stored;

impl Ra {
    /// The evidence for a certificate that was just signed.
    pub(super) fn signature(
        &self,
        order: &Order,
        certificate: &Certificate,
        account: &Account,
        authzs: &[Stored<Authorization>],
        application: Option<&Application>,
        product: &Product,
    ) -> Signature {
        let catalog = self.catalog();
        let longest = validity::longest_reuse(catalog.settings(), product, certificate.issued);
        let charge = match (&order.purchase, &product.sale) {
            (Some(_), _) => "purchase",
            (None, Sale::Free) if product.is_documented() => "quota",
            (None, _) => "nothing",
        };
        Signature {
            issuer: certificate.issuer.clone(),
            issuer_key: hex32::encode(self.ca.key_identifier(&certificate.issuer).unwrap_or_default()),
            sha256: hex32::encode(digest(&SHA256, &certificate.der).as_ref()),
            spki_sha256: hex32::encode(&certificate.spki_sha256),
            account: account.id.clone(),
            customer: match account.holder() {
                Holder::Customer(customer) => Some(customer),
                Holder::Account(_) => None,
            },
            product: certificate.product.clone(),
            purpose: order.purpose,
            names: certificate.identifiers.iter().map(ToString::to_string).collect(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            reuse_days: u32::try_from(longest.as_secs() / 86_400).unwrap_or(u32::MAX),
            public_calendar: validity::follows_calendar(catalog.settings(), product),
            proofs: authzs.iter().filter_map(|authz| proof(authz)).collect(),
            vetting: application.and_then(|application| {
                let approvers = applications::approvers(&catalog, product.class);
                vetting(application, u32::try_from(approvers).unwrap_or(u32::MAX))
            }),
            charge: charge.to_owned(),
            purchase: order.purchase.clone(),
        }
    }
}

fn proof(authz: &Authorization) -> Option<Proof> {
    let AuthzState::Valid { method, validated, caa_checked, .. } = &authz.state else { return None };
    Some(Proof {
        name: authz.ordered_name(),
        authz: authz.id.clone(),
        method: *method,
        validated: *validated,
        caa_checked: *caa_checked,
    })
}

fn vetting(application: &Application, approvers: u32) -> Option<Vetting> {
    let Stage::Approved { at, by, until } = &application.stage else { return None };
    // REVIEW-09: what was approved before with the same data begins approved.
    let decided = application.history.iter().any(|happening| happening.event == "approved");
    Some(Vetting {
        application: application.id.clone(),
        organisation: application.form.organisation.clone(),
        approved: *at,
        by: by.clone(),
        until: *until,
        approvers: if decided { approvers } else { 0 },
    })
}
