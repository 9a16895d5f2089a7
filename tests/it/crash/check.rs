//! After a restart: asks the server for everything that clients were told before.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use super::ledger::{Known, Proof, Status, Step, location, path};
use super::load::{Actor, Session};
use crate::support::client::Response;
use crate::support::signer::Signer;

/// Checks the accounts that are `due`, those of each actor in a session of its own.
pub async fn all_answers_hold(actors: &[Actor], session: impl Fn() -> Session, due: impl Fn(&Known) -> bool) {
    let mut checks = JoinSet::new();
    for actor in actors {
        let (session, actor) = (session(), actor.clone());
        let accounts: Vec<Known> = actor.accounts().into_iter().filter(|account| due(account)).collect();
        checks.spawn(async move {
            for account in accounts {
                if !holds(&session, &account).await {
                    actor.forget(&account);
                }
            }
        });
    }
    while let Some(done) = checks.join_next().await {
        if let Err(fault) = done {
            std::panic::resume_unwind(fault.into_panic());
        }
    }
}

/// Goes on with every order that is not finished: none is stuck.
pub async fn all_orders_can_be_finished(session: &Session, actors: &[Actor]) {
    for account in actors.iter().flat_map(Actor::accounts) {
        if account.lock().closed == Step::Done {
            continue;
        }
        let orders: Vec<String> = account.lock().orders.keys().cloned().collect();
        for order in orders {
            session.fulfil(&account, &order).await;
            let mut account = account.lock();
            let known = account.order(&order);
            let wanted = if known.honest { Status::Valid } else { Status::Invalid };
            assert_eq!(known.status, wanted, "{order}");
        }
    }
}

/// Whether there is such an account; if there is, all of it must be as its client knows it.
async fn holds(session: &Session, account: &Known) -> bool {
    if account.lock().closed != Step::Untaken && closed(session, account).await {
        return true;
    }
    if !is_where_it_was(session, account).await {
        return false;
    }
    find_orders(session, account).await;
    let orders: Vec<String> = account.lock().orders.keys().cloned().collect();
    for order in &orders {
        order_holds(session, account, order).await;
    }
    account.lock().touched = false;
    true
}

/// Whether the account is closed, which it stays once it was said to be.
async fn closed(session: &Session, account: &Known) -> bool {
    let client = session.client(account);
    let answer = client.post_as_get(client.kid()).await;
    if account.lock().closed == Step::Asked && answer.status == 200 {
        account.lock().closed = Step::Untaken;
        return false;
    }
    answer.expect_problem(401, "unauthorized");
    existing(session, &client.signer).await.expect_problem(401, "unauthorized");
    let mut account = account.lock();
    account.closed = Step::Done;
    account.touched = false;
    true
}

/// The account is found by its key and by no key that it had before. What was asked without an answer has either
/// happened or not.
async fn is_where_it_was(session: &Session, account: &Known) -> bool {
    let next = account.lock().next_key.clone();
    if let Some(next) = next {
        match found(session, &next).await {
            Some(_) => account.lock().key_changed(),
            None => account.lock().next_key = None,
        }
    }
    let (key, old_key) = {
        let account = account.lock();
        (account.key.clone(), account.old_key.clone())
    };
    match found(session, &key).await {
        Some(path) => account.lock().is_at(&path),
        None => {
            assert_eq!(account.lock().path, None, "an account is gone");
            return false;
        }
    }
    if let Some(old_key) = old_key {
        assert_eq!(found(session, &old_key).await, None, "an old key still leads to its account");
        let client = session.client_with(old_key, account.lock().path.as_deref());
        let answer = client.post_as_get(client.kid()).await;
        assert!(answer.status.is_client_error(), "an old key still opens its account: {answer}");
    }
    true
}

async fn existing(session: &Session, key: &Arc<Signer>) -> Response {
    let client = session.client_with(key.clone(), None);
    client.post_jwk(&client.resource("newAccount").await, &json!({ "onlyReturnExisting": true })).await
}

/// Where the account with this key is, if there is one.
async fn found(session: &Session, key: &Arc<Signer>) -> Option<String> {
    let answer = existing(session, key).await;
    if answer.status == 200 {
        return Some(location(&session.base, &answer).to_owned());
    }
    answer.expect_problem(400, "accountDoesNotExist");
    None
}

/// The account's list holds all its orders but the invalid ones. Those that nobody knows of are a client's whose answer
/// was lost; it knows them from now on.
async fn find_orders(session: &Session, account: &Known) {
    let client = session.client(account);
    let mut listed = Vec::new();
    let mut page = Some(format!("{}/orders", client.kid()));
    while let Some(url) = page {
        let answer = client.post_as_get(&url).await.expect(200);
        let urls = answer.json()["orders"].as_array().unwrap().clone();
        listed.extend(urls.iter().map(|url| path(&session.base, url.as_str().unwrap()).to_owned()));
        page = answer.links("next").pop();
    }
    let mut account = account.lock();
    for (path, order) in &account.orders {
        assert!(order.status == Status::Invalid || !order.honest || listed.contains(path), "{path} is not listed");
    }
    for path in listed {
        account.order(&path);
    }
}

/// An order and all that hangs on it. What the server owes, it delivers without being asked again.
async fn order_holds(session: &Session, account: &Known, order: &str) {
    let authzs: Vec<String> = account.lock().order(order).authzs.keys().cloned().collect();
    for authz in authzs {
        while session.look_at_proof(account, order, &authz).await == Proof::Answered {}
    }
    while session.look(account, order).await == Status::Processing {}
    if account.lock().order(order).status != Status::Valid {
        return;
    }
    session.download(account, order).await;
    let (leaf, revoked) = {
        let mut account = account.lock();
        let known = account.order(order);
        (known.leaf(), known.revoked)
    };
    if revoked != Step::Untaken {
        let again = session.client(account).revoke(&leaf, Some(4)).await;
        if revoked == Step::Done || again.status != 200 {
            again.expect_problem(400, "alreadyRevoked");
        }
        account.lock().order(order).revoked = Step::Done;
    }
}
