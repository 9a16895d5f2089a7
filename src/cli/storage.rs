//! `chancery store`: work on a store that no server has open.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Value, to_value};

use super::{Failure, StoreCommand, StoreOptions, local, show};
use crate::store;

/// Carries out a command.
pub(super) fn store(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Export { file, options } => print(to_value(export(&file, &settings(&options)?)?)?, &options),
        StoreCommand::Import { file, options } => {
            let mut from = BufReader::new(File::open(&file).map_err(|error| told(&file, error))?);
            print(to_value(store::import(&settings(&options)?, &mut from)?)?, &options)
        }
        StoreCommand::Check { options } => {
            let report = store::check(&settings(&options)?)?;
            let faults = report.faults.len();
            print(to_value(report)?, &options)?;
            if faults == 0 { Ok(()) } else { Err(format!("{} found", show::count(faults, "fault")).into()) }
        }
    }
}

fn settings(options: &StoreOptions) -> Result<store::Settings, Failure> {
    Ok(local::load(&options.files)?.store_settings())
}

/// Writes the file for this user alone: it holds MAC keys. What fails leaves no half file behind.
fn export(file: &Path, settings: &store::Settings) -> Result<store::Totals, Failure> {
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut target = BufWriter::new(target.map_err(|error| told(file, error))?);
    let written = write(&mut target, settings);
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(file);
    }
    written
}

fn write(target: &mut BufWriter<File>, settings: &store::Settings) -> Result<store::Totals, Failure> {
    let totals = store::export(settings, target)?;
    target.flush()?;
    target.get_ref().sync_all()?;
    Ok(totals)
}

fn told(file: &Path, error: std::io::Error) -> Failure {
    format!("{}: {error}", file.display()).into()
}

fn print(record: Value, options: &StoreOptions) -> Result<(), Failure> {
    if options.json { show::json(&record) } else { show::record(&record) }
}
