//! `chancery incident`: certificates that have to be renewed before their time.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::segment;
use super::service::{fetch, list, record};
use super::{Failure, Remote};

const INCIDENTS: &str = "/api/v1/incidents";

#[derive(Subcommand)]
pub(super) enum IncidentCommand {
    /// Have ACME clients renew certificates at once, and tell their customers
    Create(Box<Create>),
    /// All incidents
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One incident
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// End an incident: the renewal of its certificates is as usual again
    Close {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Which certificates (those that meet all that is given), why, and until when.
#[derive(Args)]
pub(super) struct Create {
    /// What happened; customers read it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// By when the certificates should be renewed, as in 2026-12-01T12:00:00Z
    #[arg(long, value_name = "MOMENT")]
    renew_by: String,
    /// A page about it, which ACME clients show
    #[arg(long, value_name = "URL")]
    explanation_url: Option<String>,
    /// Only those of this intermediate
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Only those of this product
    #[arg(long, value_name = "P")]
    product: Option<String>,
    /// Only those with this name, or one below it; may be given again
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Only this one, 40 hexadecimal digits; may be given again
    #[arg(long = "serial", value_name = "SERIAL")]
    serials: Vec<String>,
    /// Only those signed then or later
    #[arg(long, value_name = "MOMENT")]
    issued_from: Option<String>,
    /// Only those signed then or earlier
    #[arg(long, value_name = "MOMENT")]
    issued_until: Option<String>,
    /// Only those for this key: SHA-256 of its SubjectPublicKeyInfo
    #[arg(long, value_name = "HEX")]
    key_sha256: Option<String>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Create {
    fn body(&self) -> Value {
        json!({
            "selection": {
                "issuer": self.issuer, "product": self.product, "names": self.names, "serials": self.serials,
                "issued_from": self.issued_from, "issued_until": self.issued_until, "key_sha256": self.key_sha256,
            },
            "reason": self.reason, "explanation_url": self.explanation_url, "renew_by": self.renew_by,
            "dry_run": self.dry_run,
        })
    }
}

/// `chancery incident`.
pub(super) fn incident(command: IncidentCommand) -> Result<(), Failure> {
    match command {
        IncidentCommand::Create(asked) => {
            record(&asked.remote, async |server| server.send(Method::POST, INCIDENTS, Some(asked.body())).await)
        }
        IncidentCommand::List { remote } => {
            list(&remote, INCIDENTS, &["id", "state", "matched", "renew_by", "opened", "reason"])
        }
        IncidentCommand::Show { id, remote } => fetch(&remote, INCIDENTS, &id),
        IncidentCommand::Close { id, remote } => record(&remote, async |server| {
            server.send(Method::POST, &format!("{INCIDENTS}/{}/close", segment(&id)), None).await
        }),
    }
}
