//! `chancery perspective`: runs a remote perspective, and makes the certificates by which it and its primary know each other.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use super::local::Faults;
use crate::config::PerspectiveConfig;
use crate::{app, telemetry};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Perspective {
    #[command(subcommand)]
    command: Option<PerspectiveCommand>,
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config/perspective.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum PerspectiveCommand {
    /// Make a key and a certificate for a perspective, or for a primary, and the CA of both if there is none yet
    Enroll {
        /// What it is called
        name: String,
        /// The names and addresses that a perspective is reached at; none for a primary
        hosts: Vec<String>,
        /// Where the CA and all certificates are
        #[arg(long, value_name = "DIR", default_value = "perspectives")]
        directory: PathBuf,
    },
}

/// `chancery perspective`.
pub(super) fn perspective(asked: Perspective) -> Result<(), Failure> {
    if let Some(PerspectiveCommand::Enroll { name, hosts, directory }) = asked.command {
        let files = app::perspective::enroll(&directory, &name, &hosts)?;
        files.iter().for_each(|file| println!("{}", file.display()));
        return Ok(());
    }
    let config = PerspectiveConfig::load(&asked.config).map_err(Faults)?;
    telemetry::start_log(&config.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::perspective::run(config))
}
