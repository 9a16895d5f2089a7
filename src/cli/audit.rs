//! `chancery audit`: the audit log of a store that no server has open.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, to_value};

use super::{Failure, Files, local, show};
use crate::app::audit::{self, Wanted};
use crate::config::Config;

/// So many certificates are looked at between two words about it.
const BETWEEN_WORDS: u64 = 10_000;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Write the log as lines of JSON that other programs can verify (docs/audit.md); the server must not be running
    Export(Export),
    /// Tell what allowed each certificate, and what is wrong with that; the server must not be running
    Check(Check),
}

#[derive(Args)]
pub(super) struct Export {
    /// Not earlier, as in 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Earlier than this
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The chain of this node alone
    #[arg(long, value_name = "N")]
    node: Option<u16>,
    /// The file to write; it must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
pub(super) struct Check {
    /// Only the certificate of this serial, 40 hexadecimal digits
    #[arg(long, value_name = "SERIAL")]
    certificate: Option<String>,
    /// Print JSON: a line for each certificate, and one for all
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    files: Files,
}

/// Carries out a command.
pub(super) fn audit(command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Export(Export { from, to, node, out, files }) => {
            let (config, wanted) = (local::load(&files)?, Wanted { from, to, node });
            match out {
                Some(file) => export(&file, &config, &wanted),
                None => audit::export(&config, &wanted, &mut BufWriter::new(io::stdout().lock())).map(drop),
            }
        }
        AuditCommand::Check(Check { certificate, json, files }) => {
            check(&local::load(&files)?, certificate.as_deref(), json)
        }
    }
}

/// Writes the file for this user alone: it says who did what. What fails leaves no half file behind.
fn export(file: &Path, config: &Config, wanted: &Wanted) -> Result<(), Failure> {
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut target = BufWriter::new(target.map_err(|error| format!("{}: {error}", file.display()))?);
    let written = audit::export(config, wanted, &mut target).and_then(|lines| {
        target.get_ref().sync_all()?;
        show::line(&show::count(usize::try_from(lines)?, "event"))
    });
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(file);
    }
    written
}

fn check(config: &Config, serial: Option<&str>, json: bool) -> Result<(), Failure> {
    let mut seen = 0;
    let (told, sound) = audit::check(config, serial, |evidence| {
        seen += 1;
        if seen % BETWEEN_WORDS == 0 {
            writeln!(io::stderr(), "{seen} certificates")?;
        }
        if json { show::line(&serde_json::to_string(evidence)?) } else { show::line(&lines_of(&to_value(evidence)?)) }
    })?;
    if json {
        show::line(&told.to_string())?
    } else {
        show::record(&told)?
    }
    match (sound, told["faulty"].as_u64(), told["log"].as_array()) {
        (true, ..) => Ok(()),
        (false, certificates, log) => {
            let certificates = show::count(usize::try_from(certificates.unwrap_or(0))?, "certificate");
            let log = show::count(log.map_or(0, Vec::len), "fault");
            Err(format!("{certificates} with faults, {log} of the log").into())
        }
    }
}

/// A certificate in a few lines: its names with what proved each, what people decided, what is wrong.
fn lines_of(evidence: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), str::to_owned);
    let signature = &evidence["signature"];
    let mut lines = vec![format!(
        "{} signed {} by {} as {} for order {}, paid by {}",
        text(&evidence["serial"]),
        moment(&evidence["signed"]),
        text(&signature["issuer"]),
        text(&signature["product"]),
        text(&evidence["order"]),
        text(&signature["charge"]),
    )];
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for name in items(&evidence["names"]) {
        lines.push(format!(
            "  {}: {} at {} ({} days), authorization {}, account {}",
            text(&name["name"]),
            text(&name["method"]),
            moment(&name["validated"]),
            name["age_days"],
            text(&name["authorization"]),
            text(&name["account"]),
        ));
        lines.extend(items(&name["seen"]).iter().map(|seen| format!("    {}", text(seen))));
        if name["caa"].is_object() {
            lines.push(format!("    CAA of the {}, at {}", text(&name["caa"]["look"]), moment(&name["caa"]["at"])));
            if name["caa"]["look"] == "order" {
                lines.extend(items(&name["caa"]["seen"]).iter().map(|seen| format!("      {}", text(seen))));
            }
        }
    }
    for decision in items(&evidence["decisions"]) {
        let verdict = if decision["approved"] == true { "approved" } else { "refused" };
        let (matter, by, at) = (text(&decision["matter"]), text(&decision["by"]), moment(&decision["at"]));
        lines.push(format!("  {matter}: {verdict} by {by} at {at}: {}", text(&decision["note"])));
    }
    lines.extend(items(&evidence["faults"]).iter().map(|fault| format!("  FAULT: {}", text(fault))));
    // Names and notes are what strangers wrote.
    let plain = |line: String| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    lines.into_iter().map(plain).collect::<Vec<_>>().join("\n")
}

/// A moment as people read it.
fn moment(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
