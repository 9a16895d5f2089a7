//! `perspective.toml`: the configuration of a remote perspective, which is a small one of its own.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Fault, Monitor};
use crate::http::{Limits, ServerCertificate};
use crate::policy::document::Document;
use crate::policy::fault::Fault as Told;
use crate::va::perspectives::settings::trust_anchors;
use crate::va::perspectives::wire::MAX_QUESTION;
use crate::{perspective, telemetry, va};

/// The whole configuration of a perspective.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerspectiveConfig {
    /// Who it is, where it listens, and who may ask.
    pub perspective: perspective::Settings,
    /// The listener for operators; none: no such listener.
    pub monitor: Option<Monitor>,
    /// How the world is looked at from here.
    #[serde(default)]
    pub validation: va::Settings,
    /// The log.
    #[serde(default)]
    pub log: telemetry::Settings,
}

impl PerspectiveConfig {
    /// Reads and checks a file; all faults are found at once.
    pub fn load(file: &Path) -> Result<Self, Vec<Fault>> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| vec![Fault::new(&name, "", format!("the file cannot be read: {error}"))])?;
        Self::parse(&text, &name)
    }

    /// Reads and checks the text of a file; `name` is what faults call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, Vec<Fault>> {
        let in_file = |faults: Vec<Told>| faults.into_iter().map(|fault| fault.in_file(name)).collect::<Vec<_>>();
        let mut document = Document::parse(text).map_err(in_file)?;
        let mut faults = Vec::new();
        let Some(config) = document.remainder::<Self>(&mut faults).filter(|_| faults.is_empty()) else {
            return Err(in_file(faults));
        };
        let located = |fault: Fault| {
            document.locate(Told { line: fault.line, key: fault.key, reason: fault.reason }).in_file(name)
        };
        let faults: Vec<Fault> = config.check().into_iter().map(located).collect();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The certificate that it shows, to clients of its CA alone.
    pub fn load_certificate(&self) -> Result<ServerCertificate, Vec<Fault>> {
        let told = |path: &PathBuf, key: &str, reason: String| {
            vec![Fault::new(&path.display().to_string(), format!("perspective.{key}"), reason)]
        };
        let file = |path: &PathBuf, key: &str| {
            std::fs::read(path).map_err(|error| told(path, key, format!("the file cannot be read: {error}")))
        };
        let settings = &self.perspective;
        let (chain, key) = (file(&settings.certificate, "certificate")?, file(&settings.key, "key")?);
        let anchors = trust_anchors(&file(&settings.ca, "ca")?).map_err(|reason| told(&settings.ca, "ca", reason))?;
        let certificate = ServerCertificate::from_pem(&chain, &key)
            .map_err(|error| told(&settings.certificate, "certificate", error.to_string()))?;
        certificate.for_clients_of(anchors).map_err(|error| told(&settings.ca, "ca", error.to_string()))
    }

    /// What connections of operators may take: few of them.
    pub fn monitor_limits(&self) -> Limits {
        Limits { max_connections: 64, ..Limits::default() }
    }

    /// What connections may take: few of them, for the primary has ten at most.
    pub fn http_limits(&self) -> Limits {
        Limits {
            max_connections: 64,
            // The primary's connections rest between orders.
            idle_timeout: std::time::Duration::from_secs(3_600),
            max_body_bytes: MAX_QUESTION,
            ..Limits::default()
        }
    }
}
