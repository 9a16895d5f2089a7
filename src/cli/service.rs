//! Commands that a running server carries out.

use std::future::Future;

use reqwest::Method;
use serde_json::json;

use super::remote::{Server, segment};
use super::{
    CertificateCommand, CustomerCommand, Decision, EabCommand, Failure, Goods, ProductCommand, PurchaseCommand, Quote,
    Remote, ReviewCommand, TokenCommand, show,
};

/// `chancery customer`.
pub(super) fn customer(command: CustomerCommand) -> Result<(), Failure> {
    match command {
        CustomerCommand::Create { name, kind, tier, remote } => record(&remote, async |server| {
            let body = json!({ "name": name, "kind": kind, "tier": tier });
            server.send(Method::POST, "/api/v1/customers", Some(body)).await
        }),
        CustomerCommand::List { remote } => {
            list(&remote, "/api/v1/customers", &["id", "kind", "tier", "name", "created"])
        }
        CustomerCommand::Show { id, remote } => fetch(&remote, "/api/v1/customers", &id),
    }
}

/// `chancery eab`.
pub(super) fn eab(command: EabCommand) -> Result<(), Failure> {
    const KEYS: &str = "/api/v1/external-account-keys";
    match command {
        EabCommand::Create { customer, product, expires, uses, domains, remote } => run(&remote, async |server| {
            let body = json!({
                "customer": customer, "product": product, "expires_days": expires, "most_uses": uses, "domains": domains,
            });
            let key = server.send(Method::POST, KEYS, Some(body)).await?;
            // Both are pasted into the configuration of ACME clients, so they come as JSON in either case.
            let short = json!({ "kid": key["kid"], "hmac_key": key["hmac_key"] });
            show::line(&if remote.json { key } else { short }.to_string())
        }),
        EabCommand::List { remote } => list(&remote, KEYS, &["kid", "customer", "product", "expires", "revoked"]),
        EabCommand::Revoke { kid, accounts, remote } => record(&remote, async |server| {
            let path = format!("{KEYS}/{}?accounts={accounts}", segment(&kid));
            server.send(Method::DELETE, &path, None).await
        }),
    }
}

/// `chancery token`.
pub(super) fn token(command: TokenCommand) -> Result<(), Failure> {
    const TOKENS: &str = "/api/v1/tokens";
    match command {
        TokenCommand::Create { name, role, customer, expires, remote } => record(&remote, async |server| {
            let body = json!({ "name": name, "role": role, "customer": customer, "expires_days": expires });
            server.send(Method::POST, TOKENS, Some(body)).await
        }),
        TokenCommand::List { remote } => {
            list(&remote, TOKENS, &["id", "role", "name", "customer", "expires", "revoked"])
        }
        TokenCommand::Revoke { id, remote } => record(&remote, async |server| {
            server.send(Method::DELETE, &format!("{TOKENS}/{}", segment(&id)), None).await
        }),
    }
}

/// `chancery product`.
pub(super) fn product(command: ProductCommand) -> Result<(), Failure> {
    match command {
        ProductCommand::List { remote } => {
            let columns = ["id", "sale", "price.base", "price.included", "price.extra", "title"];
            list(&remote, "/api/v1/products", &columns)
        }
        ProductCommand::Show { product, remote } => fetch(&remote, "/api/v1/products", &product),
    }
}

/// `chancery quote`.
pub(super) fn quote(quote: Quote) -> Result<(), Failure> {
    let Goods { product, names, years } = quote.goods;
    record(&quote.remote, async |server| {
        let body = json!({ "product": product, "names": names, "years": years });
        server.send(Method::POST, "/api/v1/quotes", Some(body)).await
    })
}

/// `chancery purchase`.
pub(super) fn purchase(command: PurchaseCommand) -> Result<(), Failure> {
    const PURCHASES: &str = "/api/v1/purchases";
    match command {
        PurchaseCommand::Create { customer, goods: Goods { product, names, years }, remote } => {
            record(&remote, async |server| {
                let body = json!({ "customer": customer, "product": product, "names": names, "years": years });
                server.send(Method::POST, PURCHASES, Some(body)).await
            })
        }
        PurchaseCommand::List { customer, remote } => {
            let of = customer.map(|id| format!("?customer={}", segment(&id))).unwrap_or_default();
            let columns = ["id", "state", "product", "names", "years", "price", "customer", "created"];
            list(&remote, &format!("{PURCHASES}{of}"), &columns)
        }
        PurchaseCommand::Show { id, remote } => fetch(&remote, PURCHASES, &id),
        PurchaseCommand::Cancel { id, remote } => record(&remote, async |server| {
            let path = format!("{PURCHASES}/{}/cancellation", segment(&id));
            server.send(Method::POST, &path, None).await
        }),
        PurchaseCommand::Refund { id, consent, remote } => record(&remote, async |server| {
            let path = format!("{PURCHASES}/{}/refunds", segment(&id));
            server.send(Method::POST, &path, Some(json!({ "consent": consent }))).await
        }),
    }
}

/// `chancery review`.
pub(super) fn review(command: ReviewCommand) -> Result<(), Failure> {
    const REVIEWS: &str = "/api/v1/reviews";
    match command {
        ReviewCommand::List { remote } => {
            let columns =
                ["review", "kind", "since", "due", "product", "identifiers", "customer.name", "causes.reason"];
            list(&remote, REVIEWS, &columns)
        }
        ReviewCommand::Show { order, remote } => fetch(&remote, REVIEWS, &order),
        ReviewCommand::Approve(decision) => decide(decision, "approve"),
        ReviewCommand::Reject(decision) => decide(decision, "reject"),
    }
}

fn decide(Decision { order, note, remote }: Decision, decision: &str) -> Result<(), Failure> {
    record(&remote, async |server| {
        let path = format!("/api/v1/reviews/{}/decision", segment(&order));
        server.send(Method::POST, &path, Some(json!({ "decision": decision, "note": note }))).await
    })
}

/// `chancery certificate`.
pub(super) fn certificate(command: CertificateCommand) -> Result<(), Failure> {
    const CERTIFICATES: &str = "/api/v1/certificates";
    match command {
        CertificateCommand::List { remote } => {
            list(&remote, CERTIFICATES, &["serial", "status", "not_after", "product", "identifiers"])
        }
        CertificateCommand::Show { serial, remote } => fetch(&remote, CERTIFICATES, &serial),
        CertificateCommand::Reissue { serial, grounds, csr, key, method, remote } => {
            let csr = csr.map(|file| {
                std::fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
            });
            let csr = csr.transpose()?;
            record(&remote, async |server| {
                let path = format!("{CERTIFICATES}/{}/reissues", segment(&serial));
                let mut body = json!({ "grounds": grounds });
                for (member, value) in [("csr", csr), ("key", key), ("method", method)] {
                    body.as_object_mut().into_iter().for_each(|body| {
                        body.extend(value.clone().map(|value| (member.to_owned(), value.into())));
                    });
                }
                server.send(Method::POST, &path, Some(body)).await
            })
        }
        CertificateCommand::Download { id, format, out, password, remote } => run(&remote, async |server| {
            let path = format!("{CERTIFICATES}/{}/bundle?format={}", segment(&id), segment(&format));
            let archive = server.download(&path, password.as_deref()).await?;
            std::fs::write(&out, archive).map_err(|error| format!("{} cannot be written: {error}", out.display()))?;
            show::line(&format!("{} written", out.display()))
        }),
        CertificateCommand::Delete { id, confirm, remote } => record(&remote, async |server| {
            let path = format!("{CERTIFICATES}/{}?confirm={confirm}", segment(&id));
            server.send(Method::DELETE, &path, None).await
        }),
        CertificateCommand::Revoke { serial, reason, remote } => record(&remote, async |server| {
            let path = format!("{CERTIFICATES}/{}/revoke", segment(&serial));
            server.send(Method::POST, &path, Some(json!({ "reason": reason }))).await
        }),
    }
}

/// Shows one object of a collection.
pub(super) fn fetch(remote: &Remote, collection: &str, id: &str) -> Result<(), Failure> {
    record(remote, async |server| server.fetch(&format!("{collection}/{}", segment(id))).await)
}

/// Shows all objects of a collection, these members of each.
pub(super) fn list(remote: &Remote, collection: &str, columns: &[&str]) -> Result<(), Failure> {
    run(remote, async |server| {
        let items = server.fetch_all(collection).await?;
        if remote.json { show::json(&items.into()) } else { show::table(&items, columns) }
    })
}

/// Shows the one object that comes back.
pub(super) fn record(
    remote: &Remote,
    ask: impl AsyncFnOnce(Server) -> Result<serde_json::Value, Failure>,
) -> Result<(), Failure> {
    run(remote, async |server| {
        let answer = ask(server).await?;
        if remote.json { show::json(&answer) } else { show::record(&answer) }
    })
}

fn run<F: Future<Output = Result<(), Failure>>>(
    remote: &Remote,
    work: impl FnOnce(Server) -> F,
) -> Result<(), Failure> {
    let server = Server::of(remote)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(server))
}
