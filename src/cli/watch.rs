//! Commands for whoever looks what happened, and what stands in the way.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::remote::segment;
use super::service::{list, record};
use super::{Failure, Remote};

/// Which operations.
#[derive(Args)]
pub(super) struct Operations {
    /// By whom: `server`, `operator`, `account`, `customer`, or the id of an account or a token
    #[arg(long)]
    who: Option<String>,
    /// An id or a name that the act is about
    #[arg(long)]
    object: Option<String>,
    /// The act, as in order-created
    #[arg(long)]
    act: Option<String>,
    /// Not earlier, as in 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Earlier than this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// What to look at.
#[derive(Args)]
pub(super) struct Diagnose {
    /// The order's id
    #[arg(long, value_name = "ID", conflicts_with = "name", required_unless_present = "name")]
    order: Option<String>,
    /// A name, ahead of an order
    #[arg(long)]
    name: Option<String>,
    /// The product for that name [default: the server's]
    #[arg(long, value_name = "P", requires = "name")]
    product: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `chancery operations`.
pub(super) fn operations(asked: Operations) -> Result<(), Failure> {
    let Operations { who, object, act, since, until, remote } = asked;
    let wanted = [("who", who), ("object", object), ("act", act), ("since", since), ("until", until)];
    let query = wanted.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", segment(&text?))));
    let path = format!("/api/v1/operations?{}", query.chain(["limit=1000".to_owned()]).collect::<Vec<_>>().join("&"));
    list(&remote, &path, &["at", "who", "from", "act", "about"])
}

/// `chancery diagnose`.
pub(super) fn diagnose(asked: Diagnose) -> Result<(), Failure> {
    let Diagnose { order, name, product, remote } = asked;
    let body = match order {
        Some(order) => json!({ "order": order }),
        None => json!({ "name": name, "product": product }),
    };
    record(&remote, async |server| server.send(Method::POST, "/api/v1/diagnoses", Some(body)).await)
}
