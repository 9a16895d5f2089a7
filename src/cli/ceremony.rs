//! `chancery ceremony`: roots that are kept offline, and what goes to and fro between their machine and the server.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Failure, Files, local};
use crate::ca::ceremony::{Ceremony, Passphrase, Transcript};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::certificate::RevocationReason;

/// Longest passphrase that is read, octets.
const LONGEST: u64 = 4096;

/// Steps of a key ceremony; docs/keys.md walks through them.
#[derive(Subcommand)]
pub(super) enum CeremonyCommand {
    /// Everything on one machine: root and intermediates, the root's key sealed in DIR and nowhere else. Takes a root
    /// offline that the server has made
    All {
        /// Where the sealed root, its certificate, its list and the transcript go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        sealed: Sealed,
        #[command(flatten)]
        common: Common,
    },
    /// Offline: make a root with its sealed key, its certificate and its first revocation list
    Root {
        /// Where they go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Which root: 2 for one that follows the first
        #[arg(long, value_name = "N", default_value_t = 1)]
        number: u8,
        #[command(flatten)]
        sealed: Sealed,
        #[command(flatten)]
        common: Common,
    },
    /// Server: make intermediates' keys, and requests for certificates
    Request {
        /// Where the requests go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Only this intermediate, also if it has a certificate; may be given again
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Offline: certify requests
    Sign {
        #[command(flatten)]
        root: Root,
        /// Where the certificates go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Requests, called `<issuer>.csr`
        #[arg(required = true, value_name = "CSR")]
        requests: Vec<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Offline: have a root vouch for another one, so that whoever knows the older one trusts the newer one
    Link {
        #[command(flatten)]
        root: Root,
        /// Where the certificate goes
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The other root's certificate, `root-<n>.pem`
        #[arg(value_name = "CERTIFICATE")]
        new: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Offline: sign the root's next revocation list, which keeps what stood on the last
    Crl {
        #[command(flatten)]
        root: Root,
        /// PEM file of a certificate to be revoked; may be given again
        #[arg(long = "revoke", value_name = "FILE")]
        revoke: Vec<PathBuf>,
        /// Why, as the code of RFC 5280 section 5.3.1: 1, 3, 4 or 5. Certificates of CAs are not revoked without one
        #[arg(long, value_name = "CODE", requires = "revoke")]
        reason: Option<u8>,
        /// Days until the next list is due
        #[arg(long, default_value_t = 365, value_name = "DAYS")]
        days: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Server: put certificates and lists in place; a restart takes new certificates up, lists need none
    Install {
        /// Directories and files that came from the other machine
        #[arg(required = true, value_name = "FROM")]
        from: Vec<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Server: begin the next generation of an issuer
    Rollover {
        /// The issuer, as products name it
        #[arg(long, value_name = "NAME")]
        issuer: String,
        /// Where the requests go, if the root's key is not on this machine
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
}

/// What every step takes.
#[derive(Args)]
pub(super) struct Common {
    #[command(flatten)]
    files: Files,
    /// Who conducts the ceremony, or witnesses it; once for each
    #[arg(long = "by", value_name = "PERSON", required = true)]
    by: Vec<String>,
    /// Print the transcript as JSON
    #[arg(long)]
    json: bool,
}

/// Where the passphrase of a sealed key comes from.
#[derive(Args)]
pub(super) struct Sealed {
    /// File with the passphrase of the root's key [default: asked for at the terminal]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// A root that was made before.
#[derive(Args)]
pub(super) struct Root {
    /// Directory of the root
    #[arg(long = "root", value_name = "DIR")]
    directory: PathBuf,
    /// Which root
    #[arg(long, value_name = "N", default_value_t = 1)]
    number: u8,
    #[command(flatten)]
    sealed: Sealed,
}

/// Carries out a command.
pub(super) fn ceremony(command: CeremonyCommand) -> Result<(), Failure> {
    let json = command.common().json;
    let told = carry_out(&command)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        print!("{}", told.text());
    }
    Ok(())
}

fn carry_out(command: &CeremonyCommand) -> Result<Transcript, Failure> {
    let config = local::load(&command.common().files)?;
    let ceremony = begin(&config, command.common())?;
    let keys = config.server.data_dir.join("keys");
    match command {
        CeremonyCommand::All { out, sealed, .. } => {
            let passphrase = new_passphrase(out, 1, sealed)?;
            // The server's own, which it makes as it makes this one.
            local::create_data_dir(&config)?;
            ceremony.all(&keys, out, &passphrase)
        }
        CeremonyCommand::Root { out, number, sealed, .. } => {
            let on_token = config.ca.pkcs11.as_ref().is_some_and(|token| token.keys.iter().any(|key| key == "root"));
            let passphrase = if on_token { None } else { Some(new_passphrase(out, *number, sealed)?) };
            ceremony.root(out, *number, passphrase.as_ref())
        }
        CeremonyCommand::Request { out, names, .. } => {
            local::create_data_dir(&config)?;
            ceremony.request(&keys, out, names)
        }
        CeremonyCommand::Sign { root, out, requests, .. } => {
            let passphrase = old_passphrase(root)?;
            ceremony.sign(&root.directory, root.number, passphrase.as_ref(), requests, out)
        }
        CeremonyCommand::Link { root, out, new, .. } => {
            ceremony.link(&root.directory, root.number, old_passphrase(root)?.as_ref(), new, out)
        }
        CeremonyCommand::Crl { root, revoke, reason, days, .. } => {
            let reason = reason.map_or(Ok(RevocationReason::Unspecified), authority_reason)?;
            let passphrase = old_passphrase(root)?;
            ceremony.list(&root.directory, root.number, passphrase.as_ref(), revoke, reason, *days)
        }
        CeremonyCommand::Install { from, .. } => ceremony.install(&keys, from),
        CeremonyCommand::Rollover { issuer, out, .. } => ceremony.rollover(&keys, issuer, out.as_deref()),
    }
}

impl CeremonyCommand {
    fn common(&self) -> &Common {
        match self {
            Self::All { common, .. }
            | Self::Root { common, .. }
            | Self::Request { common, .. }
            | Self::Sign { common, .. }
            | Self::Link { common, .. }
            | Self::Crl { common, .. }
            | Self::Install { common, .. }
            | Self::Rollover { common, .. } => common,
        }
    }
}

/// The reason of that code, if it is one for a CA's certificate.
fn authority_reason(code: u8) -> Result<RevocationReason, Failure> {
    let known = RevocationReason::from_code(u64::from(code)).ok();
    known.filter(|reason| reason.is_for_authorities()).ok_or_else(|| {
        format!(
            "--reason {code}: a CA's certificate is revoked for 1 (its key is or may be compromised), 3 (what it says of its \
             owner changed), 4 (another takes its place) or 5 (it is used no more) (Baseline Requirements 7.2.2)"
        )
        .into()
    })
}

fn begin(config: &Config, common: &Common) -> Result<Ceremony, Failure> {
    Ceremony::new(&config.ca, &config.pki.public_url, SystemClock.now(), &common.by)
}

/// Of a key that is sealed now: asked for twice, unless an earlier try sealed it already.
fn new_passphrase(out: &Path, number: u8, sealed: &Sealed) -> Result<Passphrase, Failure> {
    let first = read_passphrase(sealed, "Passphrase for the root's key: ")?;
    if sealed.passphrase_file.is_none() && !out.join(sealed_file(number)).exists() {
        let again = read_passphrase(sealed, "The same again: ")?;
        if *first != *again {
            return Err("the two passphrases differ".into());
        }
    }
    Passphrase::new(first)
}

/// Where the sealed key of a root is.
fn sealed_file(number: u8) -> String {
    if number == 1 { "root.key.enc".to_owned() } else { format!("root-{number}.key.enc") }
}

/// Of a key that was sealed before; none for a root on a token.
fn old_passphrase(root: &Root) -> Result<Option<Passphrase>, Failure> {
    if !root.directory.join(sealed_file(root.number)).exists() {
        return Ok(None);
    }
    Passphrase::new(read_passphrase(&root.sealed, "Passphrase of the root's key: ")?).map(Some)
}

fn read_passphrase(sealed: &Sealed, question: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST)?));
    if let Some(path) = &sealed.passphrase_file {
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        File::open(path).map_err(told)?.take(LONGEST).read_to_string(&mut text).map_err(told)?;
        return Ok(text);
    }
    let terminal =
        File::open("/dev/tty").map_err(|_| "there is no terminal to ask at; give --passphrase-file FILE".to_owned())?;
    eprint!("{question}");
    let quiet = Quiet::begin()?;
    BufReader::new(terminal).take(LONGEST).read_line(&mut text)?;
    drop(quiet);
    eprintln!();
    if text.contains('\u{3}') {
        return Err("broken off".into());
    }
    Ok(text)
}

/// A terminal that shows nothing of what is typed, until this is dropped. Ctrl-C is a character meanwhile, lest a process
/// that is ended by it leave the terminal so.
struct Quiet;

impl Quiet {
    fn begin() -> Result<Self, Failure> {
        stty(&["-echo", "-isig"])?;
        Ok(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = stty(&["echo", "isig"]);
    }
}

fn stty(settings: &[&str]) -> Result<(), Failure> {
    let done = Command::new("stty").args(["-F", "/dev/tty"]).args(settings).status()?;
    if done.success() {
        Ok(())
    } else {
        Err("the terminal can't be told to show nothing; give --passphrase-file FILE".into())
    }
}
