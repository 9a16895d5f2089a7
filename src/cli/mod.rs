//! The command line: what each command takes, and who carries it out.

mod audit;
mod ceremony;
mod incident;
mod local;
mod perspective;
mod remote;
mod service;
mod show;
mod storage;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Why a command failed: what is told on standard error, and exit code 1.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An ACME (RFC 8555) certificate authority with a product catalogue.
#[derive(Parser)]
#[command(name = "chancery", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (also what `chancery` alone does)
    Serve(Serve),
    /// Load every file and tell what is wrong, one line for each fault
    CheckConfig(Files),
    /// Run a remote perspective, from which the server has its validations corroborated
    Perspective(perspective::Perspective),
    /// Keep roots offline: make them, certify intermediates, roll over
    #[command(subcommand)]
    Ceremony(ceremony::CeremonyCommand),
    /// Move records between engines, and verify them
    #[command(subcommand)]
    Store(StoreCommand),
    /// The audit log: export it, and see what allowed each certificate
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Customers of the service
    #[command(subcommand)]
    Customer(CustomerCommand),
    /// Keys for external account binding
    #[command(subcommand)]
    Eab(EabCommand),
    /// Tokens for the REST API
    #[command(subcommand)]
    Token(TokenCommand),
    /// The product catalogue
    #[command(subcommand)]
    Product(ProductCommand),
    /// What so many names of a product cost
    Quote(Quote),
    /// What customers have bought
    #[command(subcommand)]
    Purchase(PurchaseCommand),
    /// Orders that a person must look at
    #[command(subcommand)]
    Review(ReviewCommand),
    /// Issued certificates
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Certificates that have to be renewed before their time
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Who did what, when and from where, oldest first
    Operations(watch::Operations),
    /// What stands in the way of an order or a name, and what to do
    Diagnose(watch::Diagnose),
}

/// Where the configuration and the data are.
#[derive(Args)]
struct Files {
    /// Configuration file [default: config/chancery.toml if there is one, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, in place of the configured one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    files: Files,
    /// Where to listen, in place of the configured address; a public URL on this machine follows
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Write all records to a file; the server must not be running
    Export {
        /// The file to write; it must not be there yet
        file: PathBuf,
        #[command(flatten)]
        options: StoreOptions,
    },
    /// Read all records from a file into an empty store
    Import {
        /// The file that `export` wrote
        file: PathBuf,
        #[command(flatten)]
        options: StoreOptions,
    },
    /// Read every record and tell what is damaged; the server must not be running
    Check {
        #[command(flatten)]
        options: StoreOptions,
    },
}

#[derive(Args)]
struct StoreOptions {
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which server to speak to, and how to show its answer.
#[derive(Args)]
struct Remote {
    #[command(flatten)]
    files: Files,
    /// The server's URL [default: the configured public URL]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Token [default: the variable CHANCERY_TOKEN, else operator.token in the data directory]
    #[arg(long)]
    token: Option<String>,
    /// PEM file with the only trust anchor [default: root.pem in the data directory, else the system's]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Print JSON, exactly as the server sent it
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum CustomerCommand {
    /// Make a customer
    Create {
        /// What it is called
        #[arg(long)]
        name: String,
        /// A person or an organisation
        #[arg(long, value_parser = ["individual", "enterprise"])]
        kind: String,
        /// Its standing, on which the older quotas of free certificates depend
        #[arg(long, value_parser = ["standard", "v2", "kept"], default_value = "standard")]
        tier: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// All customers
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One customer
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Subcommand)]
enum EabCommand {
    /// Make a key; prints {"kid": .., "hmac_key": ..}, both as ACME clients take them
    Create {
        /// The customer's id
        #[arg(long, value_name = "ID")]
        customer: String,
        /// The only product that accounts bound with it may order
        #[arg(long)]
        product: Option<String>,
        /// Days until it binds no further account
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
        /// How many accounts it may bind
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
        /// A domain that it is for, with everything below it; may be given again
        #[arg(long = "domain", value_name = "NAME")]
        domains: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// All keys, without what is secret
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Withdraw a key
    Revoke {
        /// The key's identifier
        kid: String,
        /// Close the accounts that it bound, too
        #[arg(long)]
        accounts: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token; it is shown this once
    Create {
        /// Who gets it
        #[arg(long)]
        name: String,
        /// What it lets them do
        #[arg(long, value_parser = ["customer", "reviewer", "operator"])]
        role: String,
        /// The customer's id, for the role customer
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// Days until it ends
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
    /// All tokens, without what is secret
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Withdraw a token, at once and for good
    Revoke {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Subcommand)]
enum ProductCommand {
    /// All products
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One product with all its rules
    Show {
        /// Its id, which is also its ACME profile
        product: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// A product, how many names, for how long.
#[derive(Args)]
struct Goods {
    /// The product's id
    #[arg(long, value_name = "P")]
    product: String,
    /// How many names are charged; those that come free with others are not counted
    #[arg(long, value_name = "N")]
    names: u32,
    /// Years, a certificate for each [default: the fewest that are sold]
    #[arg(long, value_name = "Y")]
    years: Option<u32>,
}

#[derive(Args)]
struct Quote {
    #[command(flatten)]
    goods: Goods,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Subcommand)]
enum PurchaseCommand {
    /// Buy for a customer, at the price that `quote` tells
    Create {
        /// The customer's id
        #[arg(long, value_name = "ID")]
        customer: String,
        #[command(flatten)]
        goods: Goods,
        #[command(flatten)]
        remote: Remote,
    },
    /// All purchases, or those of a customer, oldest first
    List {
        /// The customer's id
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// One purchase with its orders
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give up what a purchase was made for, before anything is issued; then it can be refunded
    Cancel {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Refund a purchase for which nothing was issued; this can't be undone
    Refund {
        /// Its id
        id: String,
        /// Agree to the refund policy: discounts and vouchers are not refunded
        #[arg(long)]
        consent: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Subcommand)]
enum ReviewCommand {
    /// What waits for a person: orders, applications, profiles; the one that waits longest first
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One of them with all that is known of it
    Show {
        /// Its id
        order: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let it go on: of an order the certificate is made, and the names are cleared for this customer
    Approve(Decision),
    /// Refuse it; the note is told to the customer
    Reject(Decision),
}

#[derive(Args)]
struct Decision {
    /// Its id
    order: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Subcommand)]
enum CertificateCommand {
    /// All certificates, the newest first
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One certificate
    Show {
        /// Its serial, 40 hexadecimal digits
        serial: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Have a certificate issued once more, with the same names and the same end
    Reissue {
        /// Its serial, 40 hexadecimal digits
        serial: String,
        /// Why; needed for paid certificates
        #[arg(long, value_name = "TEXT", default_value = "")]
        grounds: String,
        /// File with the CSR, PEM; without one the server makes the key
        #[arg(long, value_name = "FILE")]
        csr: Option<PathBuf>,
        /// The kind of key that the server makes
        #[arg(long, value_name = "KIND", conflicts_with = "csr")]
        key: Option<String>,
        /// How control of the names is shown, where that must be shown again [default: as the first time]
        #[arg(long, value_parser = ["dns-01", "http-01"])]
        method: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Write a certificate with its chain, and its key where the server keeps it, to a zip file
    Download {
        /// Its serial, or the id of an upload
        id: String,
        /// For which server: nginx, apache, iis, tomcat, other, ..
        #[arg(long, value_name = "SERVER", default_value = "other")]
        format: String,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Password of the key store in it [default: one is made and put beside it]
        #[arg(long)]
        password: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take a certificate that is over off its owner's list, for good
    Delete {
        /// Its serial, or the id of an upload
        id: String,
        /// Confirm that it is for good
        #[arg(long)]
        confirm: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Revoke a certificate, at once and for ever
    Revoke {
        /// Its serial, 40 hexadecimal digits
        serial: String,
        /// The reason code of RFC 5280 section 5.3.1
        #[arg(long, default_value_t = 0, value_name = "CODE")]
        reason: u8,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Reads the command line and carries it out. Exit code 1 for a failure, 2 for a command line that is not understood.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => local::serve(cli.serve),
        Some(Command::Serve(serve)) => local::serve(serve),
        Some(Command::CheckConfig(files)) => local::check_config(&files),
        Some(Command::Perspective(asked)) => perspective::perspective(asked),
        Some(Command::Ceremony(command)) => ceremony::ceremony(command),
        Some(Command::Store(command)) => storage::store(command),
        Some(Command::Audit(command)) => audit::audit(command),
        Some(Command::Customer(command)) => service::customer(command),
        Some(Command::Eab(command)) => service::eab(command),
        Some(Command::Token(command)) => service::token(command),
        Some(Command::Product(command)) => service::product(command),
        Some(Command::Quote(quote)) => service::quote(quote),
        Some(Command::Purchase(command)) => service::purchase(command),
        Some(Command::Review(command)) => service::review(command),
        Some(Command::Certificate(command)) => service::certificate(command),
        Some(Command::Incident(command)) => incident::incident(command),
        Some(Command::Operations(asked)) => watch::operations(asked),
        Some(Command::Diagnose(asked)) => watch::diagnose(asked),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("chancery: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn chancery_alone_serves_and_takes_the_options_of_serve() {
        let listen = |line: &[&str]| match Cli::try_parse_from(line).unwrap() {
            Cli { command: None, serve } => serve.listen,
            Cli { command: Some(Command::Serve(serve)), .. } => serve.listen,
            _ => panic!("not serve"),
        };
        let address = Some("127.0.0.1:1".parse().unwrap());
        assert_eq!(listen(&["chancery"]), None);
        assert_eq!(listen(&["chancery", "--listen", "127.0.0.1:1"]), address);
        assert_eq!(listen(&["chancery", "serve", "--listen", "127.0.0.1:1"]), address);
    }
}
