//! The audit log of a store that no server has open: exported, and checked.

use std::io::Write;

use serde_json::{Value, json, to_value};

use super::Failure;
use crate::config::Config;
use crate::domain::{Error, Timestamp};
use crate::ra::{CertificateEvidence, Checker, LogExport, LogRange};
use crate::store;
use crate::store::records::Records;

/// What `audit export` is to write.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Not earlier (RFC 3339).
    pub from: Option<String>,
    /// Earlier than this (RFC 3339).
    pub to: Option<String>,
    /// The chain of this node alone.
    pub node: Option<u16>,
}

/// Writes the log as lines of JSON. How many there are.
pub fn export(config: &Config, wanted: &Wanted, out: &mut dyn Write) -> Result<u64, Failure> {
    let range =
        LogRange { from: moment(wanted.from.as_deref())?, to: moment(wanted.to.as_deref())?, node: wanted.node };
    let records = records(config)?;
    runtime()?.block_on(async {
        let mut export = LogExport::new(records, range);
        let mut lines = 0;
        while let Some(text) = export.next_lines().await? {
            lines += text.lines().count() as u64;
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        Ok(lines)
    })
}

/// Verifies the chains, then looks at all certificates, or at the one of that serial; `each` is given what allowed it. What it
/// came to, and whether everything is as it must be.
pub fn check(
    config: &Config,
    serial: Option<&str>,
    mut each: impl FnMut(&CertificateEvidence) -> Result<(), Failure>,
) -> Result<(Value, bool), Failure> {
    if let Some(serial) = serial {
        let serial = serial.parse().map_err(|()| "a serial has 40 lower-case hexadecimal digits")?;
        let records = records(config)?;
        let (evidence, index) = runtime()?.block_on(async {
            let checker = Checker::reading(records).await?;
            Ok::<_, Error>((checker.evidence(serial).await?, checker.index_faults()))
        })?;
        each(&evidence)?;
        let faulty = u64::from(!evidence.faults.is_empty());
        let sound = faulty == 0 && index.is_empty();
        return Ok((json!({ "certificates": 1, "faulty": faulty, "log": index }), sound));
    }
    let report = store::check(&config.store_settings())?;
    let records = records(config)?;
    let mut failure = Ok(());
    let (walked, index) = runtime()?.block_on(async {
        let checker = Checker::reading(records).await?;
        let walked = checker.walk(|evidence| {
            if failure.is_ok() {
                failure = each(evidence);
            }
        });
        Ok::<_, Error>((walked.await?, checker.index_faults()))
    })?;
    failure?;
    let faults = [report.faults, index].concat();
    let sound = walked.faulty == 0 && faults.is_empty();
    let mut told = to_value(walked)?;
    told["log"] = to_value(faults)?;
    told["chains"] = to_value(report.chains)?;
    Ok((told, sound))
}

fn records(config: &Config) -> Result<Records, Failure> {
    Ok(Records::new(store::open(&config.store_settings())?))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?)
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let read = |text: &str| {
        let told = format!("\"{text}\" is no moment as in 2026-11-21T12:00:00Z (RFC 3339)");
        Timestamp::parse_rfc3339(text).ok_or_else(|| Failure::from(told))
    };
    text.map(read).transpose()
}
