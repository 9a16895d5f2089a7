//! The acts. Whoever adds one puts it at the end, with what it is about as fields.

use serde::{Deserialize, Serialize};

use super::super::account::Holder;
use super::super::certificate::RevocationReason;
use super::super::delivery::Recipient;
use super::super::document::DocumentKind;
use super::super::order::ReviewCause;
use super::super::plan::Method;
use super::super::{
    AccountId, AlarmId, ApplicationId, AuthzId, ChannelId, CustomerId, DocumentId, IncidentId, JobId, KeyPairId, Money,
    NoticeId, OrderId, OrganisationId, PackageId, PersonId, Problem, PurchaseId, RevocationId, Serial, TemplateId,
    TimerId, Timestamp, TokenId, UploadId,
};
use super::evidence::{ChainHead, Changed, Observation, Signature};

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    AccountCreated {
        account: AccountId,
        thumbprint: String,
        customer: Option<CustomerId>,
        /// Whether it agreed to the terms of service.
        #[serde(default)]
        terms_agreed: bool,
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
        /// Whose, for the role of a customer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        customer: Option<CustomerId>,
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
        /// Days that earlier proofs served it; 0 where all names are validated anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reuse_days: Option<u32>,
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
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evidence: Vec<String>,
        /// How many must approve.
        #[serde(default)]
        approvers: usize,
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
    /// CAA was looked at once more just before a signature; without a problem it permits.
    CaaChecked {
        order: OrderId,
        #[serde(default)]
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Box<Signature>>,
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
    // Pairs of the national standard.
    /// A serial was given out for the second certificate of an order.
    SecondSerialRecorded {
        order: OrderId,
        serial: Serial,
    },
    // Limits and pauses.
    /// Another rate of a limit holds for somebody.
    LimitSet {
        limit: String,
        subject: String,
        rate: String,
        note: String,
    },
    LimitWithdrawn {
        limit: String,
        subject: String,
    },
    /// An account's orders for a name are refused, because its validations always failed.
    NamePaused {
        account: AccountId,
        name: String,
        failures: u32,
        since: Timestamp,
    },
    NameUnpaused {
        account: AccountId,
        name: String,
    },
    /// Somebody asked for so many names of an account to be unpaused.
    NamesUnpausedByHand {
        account: AccountId,
        names: usize,
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
    // The audit log itself.
    /// A node tells where the chains of all others end.
    Anchored {
        heads: Vec<ChainHead>,
    },
    ServerStarted(Box<Observation>),
    ServerStopped {},
    /// What the server runs on is not what it ran on when the log was told last.
    ConfigurationChanged {
        what: Vec<Changed>,
    },
    /// An account's authorization rests on what another account of the same customer has proven (VAL-32).
    AuthorizationTaken {
        authz: AuthzId,
        of: AuthzId,
        account: AccountId,
        name: String,
    },
    // The status of certificates (OCSP).
    /// A responder of this process is to speak for an issuer; its key lives in memory alone.
    ResponderCertified {
        serial: Serial,
        issuer: String,
    },
    /// A certificate of the server's own, for its HTTPS or for a responder, was signed.
    OwnCertificateSigned {
        serial: Serial,
        issuer: String,
        sha256: String,
    },
    // Keys of the CA.
    /// The server opened its keys: of each the name, where it is, and its identifiers.
    KeysLoaded {
        keys: Vec<String>,
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
