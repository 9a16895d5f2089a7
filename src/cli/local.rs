//! Commands that work on this machine, without a running server.

use std::fmt;
use std::path::Path;

use super::{Failure, Files, Serve};
use crate::ca::ceremony::list_faults;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Fault};
use crate::{app, telemetry};

/// All faults, one a line.
#[derive(Debug)]
pub(super) struct Faults(pub(super) Vec<Fault>);

/// `chancery serve`.
pub(super) fn serve(serve: Serve) -> Result<(), Failure> {
    let mut config = load(&serve.files)?;
    if let Some(address) = serve.listen {
        config.listen_at(address);
    }
    telemetry::start_log(&config.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::run(config))
}

/// `chancery check-config`: every file that a server with this configuration would read.
pub(super) fn check_config(files: &Files) -> Result<(), Failure> {
    let found = match Config::load(files.config.as_deref()) {
        Err(faults) => faults,
        Ok(config) => {
            let data_dir = files.data_dir.as_ref().unwrap_or(&config.server.data_dir);
            let catalog = config.load_catalog().err().unwrap_or_default();
            let certificate = config.load_server_certificate().err().unwrap_or_default();
            let perspectives = config.check_perspective_files().err().unwrap_or_default();
            let lists = lists(&data_dir.join("keys"));
            catalog.into_iter().chain(certificate).chain(perspectives).chain(lists).collect()
        }
    };
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|fault| println!("{fault}"));
    Err(format!("{} found", super::show::count(found.len(), "fault")).into())
}

/// What is wrong with the lists that offline roots signed ahead.
fn lists(keys: &Path) -> Vec<Fault> {
    let faults = list_faults(keys, SystemClock.now());
    faults.into_iter().map(|fault| Fault::new(&keys.display().to_string(), "", fault)).collect()
}

/// Makes the data directory for the server's user alone, if it is not there.
pub(super) fn create_data_dir(config: &Config) -> Result<(), Failure> {
    app::create_private_directory(&config.server.data_dir)
}

/// The configuration with what the command line says of it.
pub(super) fn load(files: &Files) -> Result<Config, Failure> {
    let mut config = Config::load(files.config.as_deref()).map_err(Faults)?;
    if let Some(directory) = &files.data_dir {
        config.server.data_dir.clone_from(directory);
    }
    Ok(config)
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}
