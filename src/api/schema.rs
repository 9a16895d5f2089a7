//! How the values of the domain look in JSON, for the OpenAPI document.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::account::Holder;
use crate::domain::certificate::RevocationReason;
use crate::domain::csr::SubjectKey;
use crate::domain::customer::{CustomerKind, Tier};
use crate::domain::notice::Topic;
use crate::domain::order::ReviewCause;
use crate::domain::quota::Pool;
use crate::domain::{
    AccountId, AlarmId, ApplicationId, ChannelId, CouponId, CustomerId, DocumentId, EntryId, Identifier, IncidentId,
    KeyPairId, Money, NoticeId, OrderId, OrganisationId, PackageId, PersonId, Problem, PurchaseId, RevocationId,
    Serial, TemplateId, TokenId, UploadId,
};
use crate::policy::catalog::{Class, Shape};

fn text(what: &str, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(what)).pattern(Some(pattern))
}

macro_rules! texts {
    ($pattern:literal: $($kind:ty = $what:literal;)*) => {$(
        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                text($what, $pattern).into()
            }
        }
        impl ToSchema for $kind {}
    )*};
}

texts! { "^[A-Za-z0-9_-]{22}$":
    AccountId = "Id of an ACME account.";
    AlarmId = "Id of an alarm policy.";
    ApplicationId = "Id of an application.";
    ChannelId = "Id of a channel for messages.";
    CouponId = "Id of a voucher or a benefit package.";
    CustomerId = "Id of a customer.";
    DocumentId = "Id of a file that is kept.";
    EntryId = "Id of an entry of the ledger.";
    IncidentId = "Id of an incident.";
    KeyPairId = "Id of a key pair or CSR.";
    NoticeId = "Id of a message.";
    OrderId = "Id of an order.";
    OrganisationId = "Id of an organisation profile.";
    PackageId = "Id of a package of free certificates.";
    PersonId = "Id of an administrator or contact.";
    PurchaseId = "Id of a purchase.";
    RevocationId = "Id of a request for a revocation.";
    TemplateId = "Id of a template for alarms.";
    TokenId = "Id of an access token.";
    UploadId = "Id of an uploaded certificate.";
}

texts! { "^[0-9a-f]{40}$":
    Serial = "A certificate's serial number, 40 hexadecimal digits.";
}

texts! { r"^[0-9]+\.[0-9]{2}$":
    Money = "An amount of money.";
}

macro_rules! words {
    ($($kind:ty = $($word:literal)|+;)*) => {$(
        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),+])).into()
            }
        }
        impl ToSchema for $kind {}
    )*};
}

words! {
    CustomerKind = "individual" | "enterprise";
    Tier = "standard" | "v2" | "kept";
    RevocationReason = "unspecified" | "keyCompromise" | "affiliationChanged" | "superseded" | "cessationOfOperation";
    Class = "private" | "dv-free" | "dv" | "ov" | "ov-pro" | "ev" | "ev-pro";
    Shape = "any" | "single" | "multi" | "wildcard" | "multi-wildcard";
    Topic = "validation" | "review" | "issue" | "expiry" | "quota" | "billing" | "revocation" | "service";
    SubjectKey = "rsa-2048" | "rsa-3072" | "rsa-4096" | "p-256" | "p-384" | "sm2";
}

/// An object whose members are texts, all of them required.
fn object(members: &[&str]) -> ObjectBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    members.iter().fold(ObjectBuilder::new().schema_type(Type::Object), |object, member| {
        object.property(*member, text()).required(*member)
    })
}

macro_rules! objects {
    ($($kind:ty = $builder:expr;)*) => {$(
        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                $builder.into()
            }
        }
        impl ToSchema for $kind {}
    )*};
}

objects! {
    Identifier = object(&["type", "value"]);
    ReviewCause = object(&["name", "reason"]);
    Pool = ObjectBuilder::new();
    Holder = ObjectBuilder::new().schema_type(Type::Object);
    Problem = object(&["kind", "detail"]);
}
