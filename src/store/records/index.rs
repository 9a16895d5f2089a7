//! Index rows: names that lead to records, written in the set of the record that they serve.

use crate::domain::account::Holder;
use crate::domain::delivery::Recipient;
use crate::domain::organisation::Role;
use crate::domain::portfolio::CertificateRef;
use crate::domain::{
    AccountId, AlarmId, ApplicationId, ChannelId, CustomerId, EntryId, IncidentId, KeyPairId, NoticeId, OrderId,
    OrganisationId, PurchaseId, Serial, TemplateId, Timestamp, TokenId, UploadId,
};
use crate::store::Key;

/// Index rows: a name that leads to the name of a record, or only exists.
#[derive(Debug, Clone)]
pub enum Index<'a> {
    /// RFC 7638 thumbprint of an account key to the account.
    AccountByKey(&'a str),
    /// SHA-256 of an account key's SubjectPublicKeyInfo to the account.
    AccountBySpki(&'a [u8; 32]),
    /// An account's orders by their age.
    OrderOfAccount(&'a AccountId, Timestamp, &'a OrderId),
    /// What makes two requests for an order identical to the order that is open for it.
    OpenOrder(&'a [u8; 32]),
    /// An account and a name as ordered to the authorization that last proved it.
    Proven(&'a AccountId, &'a str),
    /// A holder and a name as ordered to the authorization that last proved it, by whichever account (VAL-32).
    Retained(&'a Holder, &'a str),
    /// A certificate that is being or was replaced to the order that says so (RFC 9773 section 5).
    Replaced(&'a Serial),
    /// The certificate for encryption of an SM2 pair to the one for signatures.
    SignatureOf(&'a Serial),
    /// A certified key to one of its certificates.
    CertifiedKey(&'a [u8; 32]),
    /// A customer's purchases that have a term left, or whose last term has no certificate yet, by their products.
    OpenPurchase(&'a CustomerId, &'a str, &'a PurchaseId),
    /// A customer's purchases by their age.
    PurchaseOfCustomer(&'a CustomerId, Timestamp, &'a PurchaseId),
    /// A holder and a set of names, by its digest, and a paid product to the order that last fulfilled it, or is to begin.
    Held(&'a Holder, &'a [u8; 32], &'a str),
    /// The entries of the ledger that move a customer's balances, by their age.
    EntryOfCustomer(&'a CustomerId, Timestamp, &'a EntryId),
    /// The event of a payment provider, by its digest, to the entry that it led to: each counts once.
    PaymentEvent(&'a [u8; 32]),
    /// What waits for a person, by its age, to the matter that it is.
    InReview(Timestamp, &'a str),
    /// A customer's organisation profiles by their number (ORG-05).
    OrganisationOfCustomer(&'a CustomerId, u16),
    /// A customer's people by what they do and their number.
    PersonOfCustomer(&'a CustomerId, Role, u16),
    /// A year of a purchase to its application.
    ApplicationOf(&'a PurchaseId, u32),
    /// The applications for an organisation (ORG-08).
    ApplicationFor(&'a OrganisationId, &'a ApplicationId),
    /// Orders that wait until an application is decided.
    WaitsFor(&'a ApplicationId, &'a OrderId),
    /// An organisation and a type of certificates to the application on which one was issued last (REVIEW-09).
    ObtainedWith(&'a OrganisationId, &'a str),
    /// A certified key and each of its certificates to that certificate.
    CertificateOfKey(&'a [u8; 32], &'a Serial),
    /// An order or an authorization and each audit event of its history; leads to nothing more.
    EventOf(&'a str, &'a [u8]),
    /// Something else that audit events are about, as in `certificate:serial`, and each such event.
    EventAbout(&'a str, &'a [u8]),
    /// A customer's ACME accounts.
    AccountOfCustomer(&'a CustomerId, &'a AccountId),
    /// A customer's certificates, issued and uploaded, by their age.
    CertificateOfCustomer(&'a CustomerId, Timestamp, &'a CertificateRef),
    /// A customer's key pairs and requests, by their age.
    KeyPairOfCustomer(&'a CustomerId, Timestamp, &'a KeyPairId),
    /// A customer and the SHA-256 of a SubjectPublicKeyInfo to the key pair.
    KeyPairBySpki(&'a CustomerId, &'a [u8; 32]),
    /// A customer and a set of names, by its digest, to each certificate that is hosted for them (HOST-01).
    Hosted(&'a CustomerId, &'a [u8; 32], &'a CertificateRef),
    /// A customer's uploaded certificates.
    UploadOfCustomer(&'a CustomerId, &'a UploadId),
    /// A customer's tokens for the REST API.
    TokenOfCustomer(&'a CustomerId, &'a TokenId),
    /// A customer's external account keys by their identifiers.
    KeyOfCustomer(&'a CustomerId, &'a str),
    /// A customer's messages, the newest first.
    NoticeOfCustomer(&'a CustomerId, Timestamp, &'a NoticeId),
    /// A customer's channels.
    ChannelOfCustomer(&'a CustomerId, &'a ChannelId),
    /// A customer's certificates by their end to the digest of their names: issued ones by serial, uploaded ones by id.
    Ending(&'a CustomerId, Timestamp, &'a str),
    /// A customer's alarm policies, and templates for alarms.
    AlarmOfCustomer(&'a CustomerId, &'a AlarmId),
    TemplateOfCustomer(&'a CustomerId, &'a TemplateId),
    /// Deliveries that are to be tried.
    Waiting(&'a NoticeId, &'a Recipient),
    /// A customer to the account that the server keeps for it.
    HouseAccount(&'a CustomerId),
    /// A certificate to the newest request for its revocation.
    RevocationOf(&'a Serial),
    /// A certificate and each order that reissues it to that order.
    ReissueOf(&'a Serial, &'a OrderId),
    /// A holder and a primary domain to the order that last reissued something in it (REISSUE-03).
    ReissueIn(&'a Holder, &'a str),
    /// An account's names that are paused.
    Paused(&'a AccountId, &'a str),
    /// The same by the customer that the account is bound to.
    PausedOf(&'a CustomerId, &'a AccountId, &'a str),
    /// An issuer's revocations, and changes of their reasons, by when they were recorded, to what its lists say of them.
    RevokedAt(&'a str, Timestamp, &'a Serial),
    /// Incidents that are open.
    OpenIncident(&'a IncidentId),
}

/// Where index rows of one kind begin.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// An account's orders.
    OrdersOfAccount(&'a AccountId),
    /// A customer's purchases that have a term left, or whose last term has no certificate yet; all, or those of a product.
    OpenPurchases(&'a CustomerId, Option<&'a str>),
    /// A customer's purchases.
    PurchasesOfCustomer(&'a CustomerId),
    /// What a holder has for a set of names, whatever the product.
    Held(&'a Holder, &'a [u8; 32]),
    /// What waits for a person, by its age.
    InReview,
    /// The entries of the ledger that move a customer's balances.
    EntriesOfCustomer(&'a CustomerId),
    /// A customer's organisation profiles.
    OrganisationsOf(&'a CustomerId),
    /// A customer's people of a kind.
    PeopleOf(&'a CustomerId, Role),
    /// The applications for an organisation.
    ApplicationsFor(&'a OrganisationId),
    /// The orders that wait until their application is decided.
    Waiting,
    /// Those that wait for one application.
    WaitingFor(&'a ApplicationId),
    /// The names that an account has proven.
    ProvenBy(&'a AccountId),
    /// A certified key's certificates.
    CertificatesOfKey(&'a [u8; 32]),
    /// A customer's certificates, issued and uploaded.
    CertificatesOfCustomer(&'a CustomerId),
    /// A customer's key pairs and requests.
    KeyPairsOfCustomer(&'a CustomerId),
    /// The certificates that are hosted for a customer and a set of names.
    HostedFor(&'a CustomerId, &'a [u8; 32]),
    /// The audit events in the history of an order or an authorization.
    EventsOf(&'a str),
    /// The audit events about something else, as in `certificate:serial`.
    EventsAbout(&'a str),
    /// A customer's ACME accounts.
    AccountsOfCustomer(&'a CustomerId),
    /// The orders that reissue a certificate.
    ReissuesOf(&'a Serial),
    /// A customer's uploaded certificates.
    UploadsOfCustomer(&'a CustomerId),
    /// A customer's tokens for the REST API.
    TokensOfCustomer(&'a CustomerId),
    /// A customer's external account keys.
    KeysOfCustomer(&'a CustomerId),
    /// A customer's messages, the newest first.
    NoticesOfCustomer(&'a CustomerId),
    /// A customer's channels.
    ChannelsOfCustomer(&'a CustomerId),
    /// All customers' certificates by their end.
    Endings,
    /// A customer's certificates by their end.
    EndingsOfCustomer(&'a CustomerId),
    /// A customer's alarm policies.
    AlarmsOfCustomer(&'a CustomerId),
    /// A customer's templates for alarms.
    TemplatesOfCustomer(&'a CustomerId),
    /// Deliveries that are to be tried.
    WaitingDeliveries,
    /// Names that are paused: all, or an account's.
    Paused(Option<&'a AccountId>),
    /// Names that are paused for a customer's accounts.
    PausedOf(&'a CustomerId),
    /// An issuer's revocations by when they were recorded.
    RevokedOf(&'a str),
    /// Incidents that are open.
    OpenIncidents,
}

impl Rows<'_> {
    pub(super) fn prefix(&self) -> Key {
        let (space, id) = match self {
            Self::OrdersOfAccount(account) => (102, account.as_str().into()),
            Self::OpenPurchases(customer, None) => (107, customer.as_str().into()),
            Self::OpenPurchases(customer, Some(product)) => (107, format!("{customer}{product}/").into()),
            Self::PurchasesOfCustomer(customer) => (108, customer.as_str().into()),
            Self::Held(holder, names) => (109, [holder.as_key().as_bytes(), *names].concat()),
            Self::InReview => (110, Vec::new()),
            Self::EntriesOfCustomer(customer) => (130, customer.as_str().into()),
            Self::OrganisationsOf(customer) => (135, customer.as_str().into()),
            Self::PeopleOf(customer, role) => (136, [customer.as_str().as_bytes(), &[*role as u8]].concat()),
            Self::ApplicationsFor(organisation) => (138, organisation.as_str().into()),
            Self::Waiting => (139, Vec::new()),
            Self::WaitingFor(application) => (139, application.as_str().into()),
            Self::ProvenBy(account) => (104, account.as_str().into()),
            Self::CertificatesOfKey(hash) => (111, hash.to_vec()),
            Self::CertificatesOfCustomer(customer) => (143, customer.as_str().into()),
            Self::KeyPairsOfCustomer(customer) => (144, customer.as_str().into()),
            Self::HostedFor(customer, names) => (146, [customer.as_str().as_bytes(), &names[..]].concat()),
            Self::UploadsOfCustomer(customer) => (147, customer.as_str().into()),
            Self::TokensOfCustomer(customer) => (162, customer.as_str().into()),
            Self::KeysOfCustomer(customer) => (163, customer.as_str().into()),
            Self::EventsOf(subject) => (157, subject.as_bytes().to_vec()),
            Self::EventsAbout(what) => (180, what.as_bytes().to_vec()),
            Self::AccountsOfCustomer(customer) => (160, customer.as_str().into()),
            Self::ReissuesOf(serial) => (150, serial.as_bytes().to_vec()),
            Self::NoticesOfCustomer(customer) => (152, customer.as_str().into()),
            Self::ChannelsOfCustomer(customer) => (153, [b"c", customer.as_str().as_bytes()].concat()),
            Self::TemplatesOfCustomer(customer) => (153, [b"t", customer.as_str().as_bytes()].concat()),
            Self::Endings => (154, Vec::new()),
            Self::EndingsOfCustomer(customer) => (154, customer.as_str().into()),
            Self::AlarmsOfCustomer(customer) => (155, customer.as_str().into()),
            Self::WaitingDeliveries => (156, Vec::new()),
            Self::Paused(None) => (185, Vec::new()),
            Self::Paused(Some(account)) => (185, format!("{account}/").into()),
            Self::PausedOf(customer) => (186, customer.as_str().into()),
            Self::OpenIncidents => (171, Vec::new()),
            Self::RevokedOf(issuer) => (170, [issuer.as_bytes(), b"/"].concat()),
        };
        Key { space, id }
    }
}

impl Index<'_> {
    /// The row's name in its space: where a list goes on.
    pub fn id(&self) -> Vec<u8> {
        self.key().id
    }

    pub(super) fn key(&self) -> Key {
        let (space, id) = match self {
            Self::AccountByKey(thumbprint) => (100, thumbprint.as_bytes().to_vec()),
            Self::AccountBySpki(hash) => (101, hash.to_vec()),
            Self::OrderOfAccount(account, at, order) => {
                (102, [account.as_str().as_bytes(), &at.as_millis().to_be_bytes(), order.as_str().as_bytes()].concat())
            }
            Self::OpenOrder(hash) => (103, hash.to_vec()),
            Self::Proven(account, name) => (104, [account.as_str().as_bytes(), name.as_bytes()].concat()),
            Self::Retained(holder, name) => (121, [holder.as_key().as_bytes(), b"/", name.as_bytes()].concat()),
            Self::Replaced(serial) => (105, serial.as_bytes().to_vec()),
            Self::SignatureOf(serial) => (175, serial.as_bytes().to_vec()),
            Self::CertifiedKey(hash) => (106, hash.to_vec()),
            Self::OpenPurchase(customer, product, purchase) => (107, format!("{customer}{product}/{purchase}").into()),
            Self::PurchaseOfCustomer(customer, at, id) => {
                (108, [customer.as_str().as_bytes(), &at.as_millis().to_be_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::Held(holder, names, product) => {
                (109, [holder.as_key().as_bytes(), *names, product.as_bytes()].concat())
            }
            Self::EntryOfCustomer(customer, at, id) => {
                (130, [customer.as_str().as_bytes(), &at.as_millis().to_be_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::PaymentEvent(hash) => (131, hash.to_vec()),
            Self::InReview(at, id) => (110, [&at.as_millis().to_be_bytes(), id.as_bytes()].concat()),
            Self::OrganisationOfCustomer(customer, number) => {
                (135, [customer.as_str().as_bytes(), &number.to_be_bytes()].concat())
            }
            Self::PersonOfCustomer(customer, role, number) => {
                (136, [customer.as_str().as_bytes(), &[*role as u8], &number.to_be_bytes()].concat())
            }
            Self::ApplicationOf(purchase, term) => (137, [purchase.as_str().as_bytes(), &term.to_be_bytes()].concat()),
            Self::ApplicationFor(organisation, application) => {
                (138, [organisation.as_str(), application.as_str()].concat().into())
            }
            Self::WaitsFor(application, order) => (139, [application.as_str(), order.as_str()].concat().into()),
            Self::ObtainedWith(organisation, class) => (140, [organisation.as_str(), class].concat().into()),
            Self::CertificateOfKey(hash, serial) => (111, [&hash[..], serial.as_bytes()].concat()),
            Self::CertificateOfCustomer(customer, at, id) => {
                (143, [customer.as_str().as_bytes(), &at.as_millis().to_be_bytes(), id.to_string().as_bytes()].concat())
            }
            Self::KeyPairOfCustomer(customer, at, id) => {
                (144, [customer.as_str().as_bytes(), &at.as_millis().to_be_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::KeyPairBySpki(customer, hash) => (145, [customer.as_str().as_bytes(), &hash[..]].concat()),
            Self::Hosted(customer, names, id) => {
                (146, [customer.as_str().as_bytes(), &names[..], id.to_string().as_bytes()].concat())
            }
            Self::UploadOfCustomer(customer, id) => (147, [customer.as_str(), id.as_str()].concat().into()),
            Self::TokenOfCustomer(customer, id) => (162, [customer.as_str(), id.as_str()].concat().into()),
            Self::KeyOfCustomer(customer, kid) => (163, [customer.as_str(), kid].concat().into()),
            Self::EventOf(subject, event) => (157, [subject.as_bytes(), event].concat()),
            Self::EventAbout(what, event) => (180, [what.as_bytes(), event].concat()),
            Self::AccountOfCustomer(customer, account) => {
                (160, [customer.as_str().as_bytes(), account.as_str().as_bytes()].concat())
            }
            Self::NoticeOfCustomer(customer, at, id) => {
                let newest_first = u64::MAX - at.as_millis();
                (152, [customer.as_str().as_bytes(), &newest_first.to_be_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::ChannelOfCustomer(customer, id) => {
                (153, [b"c", customer.as_str().as_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::TemplateOfCustomer(customer, id) => {
                (153, [b"t", customer.as_str().as_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::Ending(customer, at, certificate) => {
                (154, [customer.as_str().as_bytes(), &at.as_millis().to_be_bytes(), certificate.as_bytes()].concat())
            }
            Self::AlarmOfCustomer(customer, id) => {
                (155, [customer.as_str().as_bytes(), id.as_str().as_bytes()].concat())
            }
            Self::Waiting(notice, to) => (156, [notice.as_str().as_bytes(), to.as_str().as_bytes()].concat()),
            Self::HouseAccount(customer) => (161, customer.as_str().into()),
            Self::RevocationOf(serial) => (148, serial.as_bytes().to_vec()),
            Self::ReissueOf(serial, order) => (150, [serial.as_bytes(), order.as_str().as_bytes()].concat()),
            Self::ReissueIn(holder, domain) => (151, [holder.as_key().as_bytes(), b"/", domain.as_bytes()].concat()),
            Self::Paused(account, name) => (185, format!("{account}/{name}").into()),
            Self::PausedOf(customer, account, name) => (186, format!("{customer}{account}/{name}").into()),
            Self::OpenIncident(id) => (171, id.as_str().into()),
            Self::RevokedAt(issuer, at, serial) => {
                (170, [issuer.as_bytes(), b"/", &at.as_millis().to_be_bytes(), serial.as_bytes()].concat())
            }
        };
        Key { space, id }
    }
}
