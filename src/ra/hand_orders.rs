//! Orders that the server carries through itself: placed by REST or by automatic renewal, looked at again and again until
//! control of every name is shown, then finalized with the CSR that came with them.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::worker::Next;
use super::{NewOrder, OrderView, Ra, Request, Stop, settle};
use crate::ca;
use crate::domain::account::{Account, ExternalBinding, Standing};
use crate::domain::audit::Act;
use crate::domain::authz::{Authorization, AuthzState, AuthzStatus};
use crate::domain::certificate::{CertId, Certificate};
use crate::domain::hand_order::HandOrder;
use crate::domain::job::{Job, Work};
use crate::domain::key::AccountKey;
use crate::domain::notice::{Notice, Topic};
use crate::domain::order::{OrderStatus, Phase};
use crate::domain::plan::Method;
use crate::domain::{AccountId, CustomerId, Error, Identifier, KeyPairId, Kind, OrderId, Result, Serial, Timestamp};
use crate::policy::catalog::Sale;
use crate::store::StoreError;
use crate::store::records::{Batch, Index, Stored, target};
use crate::va::Task;

/// How long the server rests between two looks in the first hour, and after it.
const SOON: Duration = Duration::from_secs(5 * 60);
const LATER: Duration = Duration::from_secs(30 * 60);

/// An application for a certificate that the server is to carry through.
#[derive(Debug, Clone)]
pub struct NewApplication {
    /// For whom.
    pub customer: CustomerId,
    /// The product; none: what the customer has bought for such names, else the default product.
    pub product: Option<String>,
    /// The names.
    pub names: Vec<Identifier>,
    /// How control of them is shown; wildcards always by dns-01.
    pub method: Method,
    /// The CSR, DER.
    pub csr: Vec<u8>,
    /// The key pair that it is of, if the server keeps it.
    pub key_pair: Option<KeyPairId>,
    /// The certificate that it stands in for, whose account it is placed by.
    pub replaces: Option<Serial>,
    /// Whether nobody asked for it: the server sees to what follows a certificate (VALIDITY-04).
    pub automatic: bool,
}

/// What must be where, so that control of a name is shown.
#[derive(Debug, Clone)]
pub struct ValidationRecord {
    /// The name as ordered.
    pub name: String,
    /// By which method.
    pub method: Method,
    /// Where: the name of a TXT record, or a URL.
    pub place: String,
    /// What must be there.
    pub value: String,
    /// Until when.
    pub until: Timestamp,
}

/// An order that the server carries through, and how far it is.
#[derive(Debug)]
pub struct HandOrderView {
    /// The order.
    pub view: OrderView,
    /// What the server needs for it; none for an order of an ACME client.
    pub hand: Option<HandOrder>,
    /// What must be where for the names that are still to be shown.
    pub records: Vec<ValidationRecord>,
}

impl Ra {
    /// Places an order for a customer and carries it through: what the customer must publish is in its validation records.
    /// The same application again is the same order.
    pub async fn apply(self: &Arc<Self>, asked: NewApplication) -> Result<OrderView> {
        self.apply_naming(asked, None).await
    }

    /// The same, with the certificate that the order names as replaced (RFC 9773 section 5).
    pub(super) async fn apply_naming(
        self: &Arc<Self>,
        asked: NewApplication,
        replaces: Option<CertId>,
    ) -> Result<OrderView> {
        // What could not be finalized is not ordered.
        ca::csr::parse(&asked.csr)?;
        let account = self.account_for(&asked).await?;
        let request =
            Request { product: asked.product.clone(), identifiers: asked.names.clone(), ..Request::default() };
        self.demand_address(&account, &request, &asked.customer).await?;
        let view = self.create_order(&account, NewOrder { request, replaces, by_server: true }).await?;
        let id = view.order.id.clone();
        if settle(|| self.take_in_hand(&id, &asked)).await? {
            self.look_at_once(&id).await?;
        }
        self.order_view(&id).await
    }

    /// ACCT-04: a free application carries an e-mail address.
    async fn demand_address(&self, account: &Account, request: &Request, customer: &CustomerId) -> Result<()> {
        let free = matches!(self.sale(account, &self.catalog(), request).await, Some(Sale::Free));
        if !free || self.customer(customer).await?.email.is_some() {
            return Ok(());
        }
        Err(Error::new(
            Kind::UserActionRequired,
            format!("Enter an e-mail address: PATCH /api/v1/customers/{customer} with \"email\" (ACCT-04)."),
        ))
    }

    /// Notes what the server needs to carry an order through; of an application that comes again, what it has else than
    /// before. Whether there is something new.
    pub(super) async fn take_in_hand(&self, order: &OrderId, asked: &NewApplication) -> Result<bool, Stop> {
        let known = self.records.find::<HandOrder>(order).await?;
        if known.as_ref().is_some_and(|known| is_in(known, asked)) {
            return Ok(false);
        }
        let (view, now) = (self.order_view(order).await?, self.now());
        let fresh = HandOrder {
            order: order.clone(),
            customer: asked.customer.clone(),
            method: asked.method,
            csr: asked.csr.clone(),
            key_pair: asked.key_pair.clone(),
            automatic: asked.automatic,
            placed: now,
            next_look: now + SOON,
            findings: Vec::new(),
        };
        let act = Act::OrderTakenInHand { order: order.clone(), customer: asked.customer.clone() };
        let (hand, batch) = match &known {
            None => {
                let batch = Batch::of(act, now).insert(&fresh);
                let batch = batch.later(fresh.next_look, Work::Attend { order: order.clone() });
                (fresh, batch)
            }
            Some(known) => {
                refuse_unless_open(order, view.status())?;
                let HandOrder { placed, next_look, .. } = **known;
                let hand = HandOrder { placed, next_look, ..fresh };
                let batch = Batch::of(act, now).check(&view.order).replace(known, &hand);
                (hand, batch)
            }
        };
        let records = self.validation_records(&view, &hand).await?;
        let batch = if records.is_empty() { batch } else { batch.notice(&wanted(&hand, &records, now)) };
        self.records.commit(batch).await?;
        Ok(true)
    }

    /// The account that a customer's applications are placed by: that of the certificate they follow, else one that the
    /// server keeps for the customer.
    async fn account_for(&self, asked: &NewApplication) -> Result<Account> {
        if let Some(serial) = &asked.replaces
            && let Some(certificate) = self.records.find::<Certificate>(serial).await?
        {
            let account = self.records.find::<Account>(&certificate.account).await?.map(Stored::into_value);
            let own = |account: &Account| account.holder().customer() == Some(&asked.customer);
            if let Some(account) = account.filter(|account| own(account) && account.active().is_ok()) {
                return Ok(account);
            }
        }
        settle(|| self.house_account(&asked.customer)).await
    }

    /// Whether an account is the one that the server keeps for a customer.
    pub(super) async fn is_of_the_house(&self, account: &AccountId, customer: &CustomerId) -> Result<bool> {
        let known = self.records.follow(&Index::HouseAccount(customer)).await?;
        Ok(known.is_some_and(|known| *known == account.as_str()))
    }

    /// The account that the server keeps for a customer. Its key is made and thrown away: nobody signs for it, and its
    /// thumbprint is all that challenges need.
    async fn house_account(&self, customer: &CustomerId) -> Result<Account, Stop> {
        let row = Index::HouseAccount(customer);
        if let Some(known) = self.records.follow(&row).await? {
            return Ok(self.account(&target::<AccountId>(&known)?).await?.into_value());
        }
        self.customer(customer).await?;
        let now = self.now();
        let account = Account {
            id: AccountId::random(),
            key: throwaway_key()?,
            contact: Vec::new(),
            terms_agreed: Some(now),
            external: Some(ExternalBinding {
                customer: customer.clone(),
                kid: "server".to_owned(),
                product: None,
                domains: Vec::new(),
                jws: "{}".to_owned(),
            }),
            created: now,
            standing: Standing::Valid,
        };
        let act = Act::AccountCreated {
            account: account.id.clone(),
            thumbprint: account.key.thumbprint().to_owned(),
            customer: Some(customer.clone()),
            terms_agreed: false,
        };
        let batch = Batch::of(act, now)
            .insert(&account)
            .claim(&row, account.id.as_str())
            .claim(&Index::AccountByKey(account.key.thumbprint()), account.id.as_str())
            .claim(&Index::AccountBySpki(&account.key.spki_sha256()), account.id.as_str())
            .index(&Index::AccountOfCustomer(customer, &account.id), account.id.as_str());
        self.records.commit(batch).await?;
        Ok(account)
    }

    /// An order, what the server does for it, and what its holder must publish.
    pub async fn hand_order(&self, id: &OrderId) -> Result<HandOrderView> {
        let view = self.order_view(id).await?;
        let hand = self.records.find::<HandOrder>(id).await?.map(Stored::into_value);
        let method = hand.as_ref().map(|hand| hand.method);
        let records = self.records_for(&view, method).await?;
        Ok(HandOrderView { view, hand, records })
    }

    async fn validation_records(&self, view: &OrderView, hand: &HandOrder) -> Result<Vec<ValidationRecord>> {
        self.records_for(view, Some(hand.method)).await
    }

    /// What must be where for each name whose control is still to be shown; without a method for every way there is.
    async fn records_for(&self, view: &OrderView, method: Option<Method>) -> Result<Vec<ValidationRecord>> {
        let account = self.closed(&view.order.account).await?.0;
        let pending = view.authzs.iter().filter(|authz| authz.status(view.now) == AuthzStatus::Pending);
        let methods = |authz: &Authorization| match method {
            Some(method) => chosen(authz, method).into_iter().collect(),
            None => authz.methods.clone(),
        };
        let of = |authz: &Stored<Authorization>| {
            let one = |method| record(authz, method, account.key.thumbprint());
            methods(authz).into_iter().filter_map(one).collect::<Vec<_>>()
        };
        Ok(pending.flat_map(of).collect())
    }

    /// The customer says that everything is published: the server looks at once, and the answer waits a moment for what
    /// comes of it.
    pub async fn look_now(self: &Arc<Self>, id: &OrderId) -> Result<HandOrderView> {
        if self.records.find::<HandOrder>(id).await?.is_none() {
            let told = "This order is an ACME client's, which says itself when it is ready.";
            return Err(Error::new(Kind::Conflict, told));
        }
        if is_over(self.order_view(id).await?.status()) {
            let told = format!("Order {id} is over: there is nothing more to look at. See its status.");
            return Err(Error::new(Kind::Conflict, told));
        }
        self.look_at_once(id).await?;
        self.hand_order(id).await
    }

    /// Looks at an order at once, unless that is under way already, and waits a moment for what comes of it.
    async fn look_at_once(self: &Arc<Self>, id: &OrderId) -> Result<()> {
        let now = self.now();
        let job = Job::look(id, now);
        let act = Act::LookAskedFor { order: id.clone() };
        match self.records.commit(Batch::of(act, now).insert(&job)).await {
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let waited_for = job.id.clone();
        self.start(job);
        self.worker.wait(&waited_for, self.challenge_wait()).await;
        Ok(())
    }

    /// The job that carries an order on: looks whether control of the names is shown, and finalizes when it is.
    pub(super) async fn attend(self: &Arc<Self>, job: &Stored<Job>, id: &OrderId) -> Result<Next> {
        let Some(hand) = self.records.find::<HandOrder>(id).await? else { return self.drop_job(job).await };
        let mut findings = Vec::new();
        let view = self.order_view(id).await?;
        let account = self.closed(&view.order.account).await?.0;
        if view.status() == OrderStatus::Pending {
            findings = self.look_at_names(&view, &account, &hand).await?;
        }
        if findings.is_empty() && self.order_view(id).await?.status() == OrderStatus::Ready {
            // The CSR may have been replaced meanwhile.
            let Some(hand) = self.records.find::<HandOrder>(id).await? else { return self.drop_job(job).await };
            match self.finalize(&account, id, &hand.csr).await {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::ServerInternal => return Err(error),
                Err(error) => findings.push(error.problem().detail.clone()),
            }
        }
        settle(|| self.rest_or_end(job, id, &findings)).await
    }

    /// Looks at every name that is not proven, without telling the authorization what is not there yet: a challenge that
    /// failed would end the order, and the customer has days (VAL-13, VAL-29). What is there is then proven properly.
    async fn look_at_names(
        self: &Arc<Self>,
        view: &OrderView,
        account: &Account,
        hand: &HandOrder,
    ) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        for authz in view.authzs.iter().filter(|authz| matches!(authz.state, AuthzState::Pending { attempt: None })) {
            let Some(method) = chosen(authz, hand.method) else {
                findings.push(format!("{}: {} can't show control of it.", authz.ordered_name(), hand.method));
                continue;
            };
            let task = Task {
                identifier: authz.identifier.clone(),
                wildcard: authz.wildcard,
                method,
                token: authz.token.clone(),
                key_authorization: format!("{}.{}", authz.token, account.key.thumbprint()),
                caa: self.caa_terms(authz, &authz.caa_identities, authz.caa_mode, method),
                now: self.now(),
            };
            match self.va.validate(&task).await.result {
                Ok(()) => match self.answer_challenge(account, &authz.id, method).await {
                    Ok(_) => {}
                    Err(error) if error.kind() == Kind::ServerInternal => return Err(error),
                    Err(error) => findings.push(format!("{}: {}", authz.ordered_name(), error.problem().detail)),
                },
                Err(problem) => findings.push(format!("{}: {}", authz.ordered_name(), problem.detail)),
            }
        }
        Ok(findings)
    }

    /// One commit ends a look: the next one is fixed, or there is nothing more to do.
    async fn rest_or_end(&self, job: &Stored<Job>, id: &OrderId, findings: &[String]) -> Result<Next, Stop> {
        let read = self.records.find::<HandOrder>(id).await?;
        let hand = read.ok_or_else(|| Error::internal(format!("order {id} is not in hand any more")))?;
        let (view, now) = (self.order_view(id).await?, self.now());
        let act = Act::OrderLookedAt { order: id.clone(), findings: findings.to_vec() };
        let over = is_over(view.status());
        let pause = if now.since(hand.placed) < Duration::from_secs(3600) { SOON } else { LATER };
        // A look that was asked for comes on top of those that are due.
        let due = hand.next_look <= now && !over;
        let next_look = if due { now + pause } else { hand.next_look };
        let looked = HandOrder { findings: findings.to_vec(), next_look, ..(*hand).clone() };
        let batch = Batch::of(act, now).replace(&hand, &looked).remove(job);
        let batch = if due { batch.later(next_look, Work::Attend { order: id.clone() }) } else { batch };
        let lapsed = view.status() == OrderStatus::Invalid && matches!(view.order.phase, Phase::Open);
        let told = given_up(&hand, &view, now);
        let first = lapsed && self.records.find::<Notice>(&told.id).await?.is_none();
        let batch = if first { batch.notice(&told) } else { batch };
        self.records.commit(batch).await?;
        Ok(Next::Done)
    }
}

/// The method that a name's control is shown by: the one that was chosen, dns-01 for a wildcard. No website need be there:
/// the right to edit the DNS suffices (ACCT-03).
fn chosen(authz: &Authorization, method: Method) -> Option<Method> {
    let offered = |method: &Method| authz.methods.contains(method);
    Some(method).filter(offered).or(Some(Method::Dns01).filter(offered))
}

/// RFC 8555 sections 8.3 and 8.4; nothing can be told of tls-alpn-01, which needs a program.
fn record(authz: &Authorization, method: Method, thumbprint: &str) -> Option<ValidationRecord> {
    let key_authorization = format!("{}.{thumbprint}", authz.token);
    let name = authz.identifier.to_string();
    let (place, value) = match method {
        Method::Dns01 => (
            format!("_acme-challenge.{name}"),
            URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key_authorization.as_bytes())),
        ),
        Method::Http01 => (format!("http://{name}/.well-known/acme-challenge/{}", authz.token), key_authorization),
        Method::TlsAlpn01 => return None,
    };
    Some(ValidationRecord { name: authz.ordered_name(), method, place, value, until: authz.expires })
}

/// What a customer is told when an order waits for its names.
fn wanted(hand: &HandOrder, records: &[ValidationRecord], now: Timestamp) -> Notice {
    let until = records.iter().map(|record| record.until).min().unwrap_or(now);
    let lines = records.iter().map(|record| match record.method {
        Method::Dns01 => format!("TXT record {} with the value {}", record.place, record.value),
        _ => format!("file {} with the content {}", record.place, record.value),
    });
    let text = format!(
        "Publish the following until {until}; the server looks again and again (VAL-13).\n{}",
        lines.collect::<Vec<_>>().join("\n")
    );
    let subject = format!("Show control of the names of order {}", hand.order);
    Notice::new(&hand.customer, (Topic::Validation, "validation-required"), subject, text, now).of_order(&hand.order)
}

/// What a customer is told when the time for showing control is over (DIAG-12).
fn given_up(hand: &HandOrder, view: &OrderView, now: Timestamp) -> Notice {
    let why = view.problem().map_or_else(String::new, |problem| problem.detail);
    let seen = match hand.findings.is_empty() {
        true => String::new(),
        false => format!("\nWhat was found last:\n{}", hand.findings.join("\n")),
    };
    let subject = format!("Order {} has ended: control of its names was not shown", hand.order);
    let text = format!("{why} Submit again and publish the records in time (DIAG-12).{seen}");
    Notice::new(&hand.customer, (Topic::Validation, "validation-failed"), subject, text, now)
        .of_order(&hand.order)
        .once_of(&["validation-failed", hand.order.as_str()])
}

/// Whether an application says what an earlier one for the same order said. What the server applies for by itself changes
/// nothing of what somebody asked for.
fn is_in(known: &HandOrder, asked: &NewApplication) -> bool {
    let same = known.csr == asked.csr && known.method == asked.method && known.key_pair == asked.key_pair;
    asked.automatic || (same && !known.automatic)
}

/// An order that is being finalized, or is over, has its CSR.
fn refuse_unless_open(order: &OrderId, status: OrderStatus) -> Result<()> {
    match status {
        OrderStatus::Pending | OrderStatus::Ready => Ok(()),
        OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid => Err(Error::new(
            Kind::Conflict,
            format!(
                "Order {order} for the same names is being finalized with another CSR or method; wait for its end."
            ),
        )),
    }
}

fn is_over(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Valid | OrderStatus::Invalid)
}

/// The public half of a key pair whose private half nobody has.
fn throwaway_key() -> Result<AccountKey> {
    let fault = |_| Error::internal("the crypto library made no key");
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).map_err(fault)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
        .map_err(|_| Error::internal("the crypto library can't read the key it made"))?;
    // SEC 1 section 2.3.3: 04, x, y.
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at(32);
    AccountKey::from_jwk(&format!(
        r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(x),
        URL_SAFE_NO_PAD.encode(y)
    ))
}
