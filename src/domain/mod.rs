//! Values and state rules: no async, no I/O, no knowledge of any other module; `now` always comes as a value.

pub mod account;
pub mod alarm;
pub mod application;
pub mod audit;
pub mod authz;
pub mod certificate;
pub mod channel;
pub mod country;
pub mod csr;
pub mod customer;
pub mod delivery;
pub mod document;
pub mod error;
pub mod hand_order;
pub mod id;
pub mod identifier;
pub mod incident;
pub mod job;
pub mod key;
pub mod key_pair;
pub mod ledger;
pub mod limit;
pub mod money;
pub mod notice;
pub mod order;
pub mod organisation;
pub mod pair;
pub mod plan;
pub mod portfolio;
pub mod purchase;
pub mod quota;
pub mod repeat;
pub mod review;
pub mod revocation;
pub mod streak;
pub mod timestamp;
pub mod token;
pub mod upload;

pub use error::{Error, Kind, Problem, Result};
pub use id::{
    AccountId, AlarmId, ApplicationId, AuthzId, ChannelId, CouponId, CustomerId, DocumentId, EntryId, IncidentId,
    JobId, KeyPairId, NoticeId, OrderId, OrganisationId, PackageId, PersonId, PurchaseId, RevocationId, Serial,
    TemplateId, TimerId, TokenId, UploadId,
};
pub use identifier::{DnsName, Identifier};
pub use money::Money;
pub use timestamp::Timestamp;
