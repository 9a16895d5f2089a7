//! Legal acts, as the audit log keeps them (Baseline Requirements 5.4.1): one event for each, in the batch of the change.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::account::Holder;
use super::certificate::RevocationReason;
use super::delivery::Recipient;
use super::document::DocumentKind;
use super::order::ReviewCause;
use super::plan::Method;
use super::{
    AccountId, AlarmId, ApplicationId, AuthzId, ChannelId, CustomerId, DocumentId, IncidentId, JobId, KeyPairId, Money,
    NoticeId, OrderId, OrganisationId, PackageId, PersonId, Problem, PurchaseId, RevocationId, Serial, TemplateId,
    TimerId, Timestamp, TokenId, UploadId,
};

/// An act, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub act: Act,
    /// By whom: `server`, `operator`, `customer ..`, `account ..`; empty in events of older versions.
    #[serde(default)]
    pub who: String,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

impl Act {
    /// The order, or the authorization of an order, in whose history the act stands.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::OrderCreated { order, .. }
            | Self::ReviewBegun { order, .. }
            | Self::ReviewDecided { order, .. }
            | Self::ReviewLapsed { order }
            | Self::OrderTakenInHand { order, .. }
            | Self::LookAskedFor { order, .. }
            | Self::OrderLookedAt { order, .. }
            | Self::OrderFinalized { order, .. }
            | Self::OrderCanceled { order, .. }
            | Self::OrderFailed { order, .. }
            | Self::CaaChecked { order, .. }
            | Self::IssuancePutOff { order, .. }
            | Self::CertificateIssued { order, .. } => Some(order.as_str()),
            Self::ValidationRetried { authz, .. }
            | Self::ValidationSettled { authz, .. }
            | Self::AuthorizationDeactivated { authz } => Some(authz.as_str()),
            _ => None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    AccountCreated {
        account: AccountId,
        thumbprint: String,
        customer: Option<CustomerId>,
    },
    AccountUpdated {
        account: AccountId,
    },
    AccountDeactivated {
        account: AccountId,
    },
    AccountKeyChanged {
        account: AccountId,
        thumbprint: String,
    },
    CustomerCreated {
        customer: CustomerId,
    },
    ExternalKeyCreated {
        customer: CustomerId,
        kid: String,
    },
    ExternalKeyRevoked {
        kid: String,
    },
    CustomerChanged {
        customer: CustomerId,
        what: Vec<String>,
    },
    /// An operator or a customer closed an account.
    AccountRevoked {
        account: AccountId,
    },
    TokenCreated {
        token: TokenId,
        role: String,
    },
    TokenRevoked {
        token: TokenId,
    },
    /// A request with an `Idempotency-Key` came, was answered, or is forgotten.
    RequestClaimed {},
    RequestAnswered {},
    RequestForgotten {},
    OrderCreated {
        order: OrderId,
        account: AccountId,
        product: String,
        names: Vec<String>,
    },
    PurchaseCreated {
        purchase: PurchaseId,
        customer: CustomerId,
        product: String,
        price: Money,
    },
    /// Money, a gift card, a voucher or points came to a customer's balance.
    BalanceCredited {
        customer: CustomerId,
        kind: String,
        amount: Money,
        note: String,
    },
    DiscountSet {
        customer: CustomerId,
        percent: u8,
    },
    OrderCanceled {
        order: OrderId,
    },
    PurchaseCanceled {
        purchase: PurchaseId,
    },
    PurchaseRefunded {
        purchase: PurchaseId,
        cash: Money,
        gift: Money,
        points: Money,
        outside: Money,
    },
    AutoRenewalSet {
        purchase: PurchaseId,
        enabled: bool,
    },
    /// The next certificate of a purchase was applied for, could not be, or is waited for.
    RenewalLookedAt {
        purchase: PurchaseId,
        certificate: Serial,
        outcome: String,
    },
    PackageGranted {
        holder: Holder,
        package: PackageId,
        size: u32,
    },
    DomainLedgerChanged {
        domain: String,
        note: String,
    },
    NameCleared {
        holder: Holder,
        name: String,
        note: String,
    },
    ClearanceWithdrawn {
        holder: Holder,
        name: String,
    },
    ReviewBegun {
        order: OrderId,
        causes: Vec<ReviewCause>,
    },
    ReviewDecided {
        order: OrderId,
        approved: bool,
        note: String,
    },
    /// An order left the desk undecided: it expired, or an authorization was given up.
    ReviewLapsed {
        order: OrderId,
    },
    OrganisationSubmitted {
        organisation: OrganisationId,
        customer: CustomerId,
    },
    PersonSubmitted {
        person: PersonId,
        customer: CustomerId,
    },
    ApplicationSubmitted {
        application: ApplicationId,
        purchase: PurchaseId,
        term: u32,
    },
    ApplicationReopened {
        application: ApplicationId,
    },
    LetterUploaded {
        application: ApplicationId,
    },
    /// A reviewer's yes or no about a matter: `application:id`. Without `decided` others must agree first.
    MatterJudged {
        matter: String,
        approved: bool,
        decided: bool,
        by: String,
        note: String,
    },
    MatterNoted {
        matter: String,
        by: String,
        note: String,
    },
    ReviewersReminded {
        matter: String,
    },
    CatalogLoaded {
        digest: String,
        products: usize,
    },
    /// The server carries an order through for a customer.
    OrderTakenInHand {
        order: OrderId,
        customer: CustomerId,
    },
    LookAskedFor {
        order: OrderId,
    },
    OrderLookedAt {
        order: OrderId,
        findings: Vec<String>,
    },
    OrderFinalized {
        order: OrderId,
        serial: Serial,
    },
    OrderFailed {
        order: OrderId,
        problem: Problem,
    },
    AuthorizationCreated {
        authz: AuthzId,
        account: AccountId,
        name: String,
    },
    ValidationBegun {
        authz: AuthzId,
        method: Method,
    },
    ValidationRetried {
        authz: AuthzId,
        method: Method,
        problem: Problem,
        evidence: Vec<String>,
    },
    ValidationSettled {
        authz: AuthzId,
        name: String,
        method: Method,
        problem: Option<Problem>,
        evidence: Vec<String>,
    },
    AuthorizationDeactivated {
        authz: AuthzId,
    },
    CaaChecked {
        order: OrderId,
        evidence: Vec<String>,
    },
    IssuancePutOff {
        order: OrderId,
        until: Timestamp,
    },
    ChannelCreated {
        channel: ChannelId,
        customer: CustomerId,
        kind: String,
    },
    ChannelDeleted {
        channel: ChannelId,
    },
    ChannelTested {
        channel: ChannelId,
    },
    SubscriptionChanged {
        customer: CustomerId,
        topics: Vec<String>,
    },
    TemplateChanged {
        template: TemplateId,
    },
    TemplateDeleted {
        template: TemplateId,
    },
    AlarmPolicyChanged {
        policy: AlarmId,
    },
    AlarmPolicyDeleted {
        policy: AlarmId,
    },
    AlarmRaised {
        policy: AlarmId,
        certificate: String,
    },
    /// A customer was told that a certificate ends, or has ended.
    ExpiryTold {
        certificate: String,
        event: String,
    },
    /// A certificate that ended is looked after no longer.
    ExpiryForgotten {
        certificate: String,
    },
    QuotaTold {
        customer: CustomerId,
    },
    LapseTold {
        order: OrderId,
    },
    NoticeRead {
        notice: NoticeId,
    },
    /// A message is on its way to so many recipients.
    NoticeSent {
        notice: NoticeId,
        recipients: usize,
    },
    NoticeDelivered {
        notice: NoticeId,
        to: Recipient,
    },
    DeliveryPutOff {
        notice: NoticeId,
        to: Recipient,
        until: Timestamp,
    },
    DeliveryGivenUp {
        notice: NoticeId,
        to: Recipient,
        failure: String,
    },
    JobDropped {
        job: JobId,
    },
    /// What was to be done later is to be done now.
    TimerDue {
        timer: TimerId,
        job: JobId,
    },
    /// A serial whose signature may have been made and was never handed out.
    SerialAbandoned {
        order: OrderId,
        serial: Serial,
    },
    CertificateIssued {
        serial: Serial,
        order: OrderId,
    },
    CertificateRevoked {
        serial: Serial,
        reason: RevocationReason,
        authority: String,
    },
    ReissueRequested {
        serial: Serial,
        grounds: String,
    },
    RevocationRequested {
        revocation: RevocationId,
        serial: Serial,
        reason: RevocationReason,
        stage: String,
    },
    /// The customer asks for a look whether control of a certificate's names is shown.
    RevocationLookAsked {
        revocation: RevocationId,
    },
    /// Somebody looked, for a revocation, whether control of a certificate's names is shown.
    RevocationLookedAt {
        revocation: RevocationId,
        evidence: Vec<String>,
    },
    RevocationLetterSent {
        revocation: RevocationId,
    },
    RevocationDecided {
        revocation: RevocationId,
        approved: bool,
        note: String,
    },
    RevocationFailed {
        revocation: RevocationId,
        why: String,
    },
    /// A key was reported compromised, by the SHA-256 of its SubjectPublicKeyInfo in hexadecimal digits.
    KeyReported {
        spki_sha256: String,
    },
    /// A file was put into the vault.
    DocumentKept {
        document: DocumentId,
        customer: CustomerId,
        kind: DocumentKind,
    },
    /// A file was taken out of the vault for good.
    DocumentForgotten {
        document: DocumentId,
    },
    /// A key pair was made, or a request put here; where its private key is.
    KeyPairCreated {
        key_pair: KeyPairId,
        customer: CustomerId,
        private: String,
    },
    KeyPairDeleted {
        key_pair: KeyPairId,
    },
    /// A private key left the vault: its owner downloaded it.
    PrivateKeyRead {
        of: String,
    },
    CertificateUploaded {
        upload: UploadId,
        customer: CustomerId,
    },
    /// Name, tags, project or silence of a certificate were changed.
    CertificateDescribed {
        certificate: String,
    },
    /// It left its owner's list; a record of an issued one stays.
    CertificateDeleted {
        certificate: String,
    },
    /// A certificate is to be used by these resources.
    CertificateDeployed {
        certificate: String,
        resources: Vec<String>,
    },
    /// These resources no longer use a certificate.
    CertificateUnbound {
        certificate: String,
        resources: Vec<String>,
    },
    /// On these resources a later certificate replaces it.
    HostingChanged {
        certificate: String,
        resources: Vec<String>,
    },
    /// What became of a message to a resource.
    DeploymentSettled {
        certificate: String,
        resource: String,
        failure: Option<String>,
    },
    ServerCertificateIssued {
        serial: Serial,
        names: Vec<String>,
    },

    // Revocation lists.
    /// A list is signed, with that number and so many entries.
    CrlSigned {
        issuer: String,
        shard: u16,
        number: u64,
        entries: usize,
    },
    /// The lists of an issuer show what was revoked until then.
    CrlPublished {
        issuer: String,
    },
    /// A key that was reported compromised is the reason now of a revocation that had another one before.
    RevocationReasonChanged {
        serial: Serial,
        from: RevocationReason,
        authority: String,
    },
    // Incidents.
    /// So many certificates are to be renewed before their time.
    IncidentOpened {
        incident: IncidentId,
        reason: String,
        matched: usize,
    },
    IncidentTold {
        incident: IncidentId,
        customer: CustomerId,
    },
    IncidentClosed {
        incident: IncidentId,
    },
}
