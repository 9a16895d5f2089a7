//! A command line around `instant-acme`, the ACME library of Rust: one command per call, and the account in a file of
//! the working directory. `suites/library.py` is its caller.

use std::env;
use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::{Args, Parser};
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeHandle,
    ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
    RevocationReason, RevocationRequest,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, Der, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::ParsedExtension;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const CREDENTIALS: &str = "account.json";

/// The library waits before its first look; a test has no need to wait for long.
const RETRIES: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(50));

#[derive(Parser)]
enum Command {
    Register {
        email: String,
        #[arg(long, requires = "hmac_key")]
        kid: Option<String>,
        #[arg(long)]
        hmac_key: Option<String>,
    },
    Contact {
        email: String,
    },
    Issue(Issue),
    Renewal {
        chain: PathBuf,
    },
    Revoke {
        chain: PathBuf,
    },
    Rollover,
    Deactivate,
}

#[derive(Args)]
struct Issue {
    #[arg(long, default_value = "http-01", value_parser = challenge_type)]
    challenge: ChallengeType,
    #[arg(long)]
    output: PathBuf,
    #[arg(long)]
    profile: Option<String>,
    /// The chain of the certificate that the new one is to replace.
    #[arg(long)]
    replaces: Option<PathBuf>,
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> Result {
    match Command::parse() {
        Command::Register { email, kid, hmac_key } => register(&email, kid.zip(hmac_key)).await,
        Command::Contact { email } => Ok(account().await?.update_contacts(&[&mailto(&email)]).await?),
        Command::Issue(wanted) => issue(wanted).await,
        Command::Renewal { chain } => renewal(&chain).await,
        Command::Revoke { chain } => revoke(&chain).await,
        Command::Rollover => save(&account().await?.update_key().await?),
        Command::Deactivate => Ok(account().await?.deactivate().await?),
    }
}

async fn register(email: &str, binding: Option<(String, String)>) -> Result {
    let new = NewAccount { contact: &[&mailto(email)], terms_of_service_agreed: true, only_return_existing: false };
    let binding = binding.map(external_account).transpose()?;
    let (_, credentials) = builder()?.create(&new, env::var("DIRECTORY_URL")?, binding.as_ref()).await?;
    save(&credentials)
}

fn external_account((kid, hmac_key): (String, String)) -> Result<ExternalAccountKey> {
    Ok(ExternalAccountKey::new(kid, &BASE64_URL_SAFE_NO_PAD.decode(hmac_key)?))
}

async fn issue(wanted: Issue) -> Result {
    let identifiers: Vec<_> = wanted.names.iter().map(|name| identifier(name)).collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(profile) = &wanted.profile {
        new = new.profile(profile);
    }
    if let Some(chain) = &wanted.replaces {
        new = new.replaces(certificate_identifier(&leaf(chain)?)?);
    }
    let mut order = account().await?.new_order(&new).await?;
    let answers = authorize(&mut order, &wanted.challenge).await?;
    if order.poll_ready(&RETRIES).await? != OrderStatus::Ready {
        return Err(failed_validations(&mut order).await?.into());
    }
    drop(answers);

    let key = KeyPair::generate()?;
    order.finalize_csr(&signing_request(wanted.names, &key)?).await?;
    let chain = order.poll_certificate(&RETRIES).await?;
    fs::create_dir_all(&wanted.output)?;
    fs::write(wanted.output.join("key.pem"), key.serialize_pem())?;
    Ok(fs::write(wanted.output.join("chain.pem"), chain)?)
}

async fn renewal(chain: &Path) -> Result {
    let leaf = leaf(chain)?;
    let (suggested, _) = account().await?.renewal_info(&certificate_identifier(&leaf)?).await?;
    let window = suggested.suggested_window;
    println!("renew between {} and {}", window.start, window.end);
    Ok(())
}

async fn revoke(chain: &Path) -> Result {
    let request = RevocationRequest { certificate: &leaf(chain)?, reason: Some(RevocationReason::Superseded) };
    Ok(account().await?.revoke(&request).await?)
}

fn builder() -> Result<AccountBuilder> {
    Ok(Account::builder_with_root(env::var("ROOT")?)?)
}

async fn account() -> Result<Account> {
    let credentials: AccountCredentials = serde_json::from_slice(&fs::read(CREDENTIALS)?)?;
    Ok(builder()?.from_credentials(credentials).await?)
}

fn save(credentials: &AccountCredentials) -> Result {
    Ok(fs::write(CREDENTIALS, serde_json::to_vec(credentials)?)?)
}

fn mailto(email: &str) -> String {
    format!("mailto:{email}")
}

fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

fn challenge_type(name: &str) -> serde_json::Result<ChallengeType> {
    serde_json::from_value(name.into())
}

fn leaf(chain: &Path) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_file(chain)?)
}

/// How RFC 9773 section 4.1 names a certificate: by the key that signed it, and its serial number.
fn certificate_identifier(leaf: &CertificateDer) -> Result<CertificateIdentifier<'static>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)?;
    let authority = parsed
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.clone(),
            _ => None,
        })
        .ok_or("the certificate names no authority key")?;
    Ok(CertificateIdentifier::new(Der::from_slice(authority.0), Der::from_slice(parsed.raw_serial())))
}

fn signing_request(names: Vec<String>, key: &KeyPair) -> Result<Vec<u8>> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// Answers a challenge of every authorization that is still needed; the answers stand until they are dropped.
async fn authorize(order: &mut Order, kind: &ChallengeType) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(kind.clone()).ok_or("no such challenge is offered")?;
        answers.push(Answer::give(&challenge).await?);
        challenge.set_ready().await?;
    }
    Ok(answers)
}

/// What the server says of each challenge that it found wanting.
async fn failed_validations(order: &mut Order) -> Result<String> {
    let mut failures = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        authorization.refresh().await?;
        let name = authorization.identifier();
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        failures.extend(errors.map(|error| format!("{name}: {error}")));
    }
    Ok(failures.join("\n"))
}

/// The answer to one challenge, taken back when it is dropped.
enum Answer {
    File(PathBuf),
    Listener(JoinHandle<()>),
}

impl Answer {
    async fn give(challenge: &ChallengeHandle<'_>) -> Result<Self> {
        let authorized = challenge.identifier().to_string();
        // The challenge for a wildcard is found at the name below it (RFC 8555 section 8.4).
        let name = authorized.trim_start_matches("*.");
        let key_authorization = challenge.key_authorization();
        match challenge.r#type {
            ChallengeType::Http01 => {
                Self::file(directory("CHALLENGES")?.join(&challenge.token), key_authorization.as_str())
            }
            ChallengeType::Dns01 => {
                let records = directory("ZONE")?.join(format!("_acme-challenge.{name}"));
                Self::file(records.join(key_authorization.dns_value()), "")
            }
            ChallengeType::TlsAlpn01 => Self::listener(name, key_authorization.digest().as_ref()).await,
            _ => Err("this program has no answer to the challenge".into()),
        }
    }

    fn file(path: PathBuf, content: &str) -> Result<Self> {
        fs::create_dir_all(path.parent().ok_or("a challenge file is in a directory")?)?;
        fs::write(&path, content)?;
        Ok(Self::File(path))
    }

    async fn listener(name: &str, digest: &[u8]) -> Result<Self> {
        let port = env::var("TLS_PORT")?.parse()?;
        let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::LOCALHOST), port)).await?;
        let acceptor = TlsAcceptor::from(Arc::new(validation_config(name, digest)?));
        Ok(Self::Listener(tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // The validating server hangs up once it has seen the certificate.
                let _ = acceptor.accept(connection).await;
            }
        })))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        match self {
            Self::File(path) => drop(fs::remove_file(path)),
            Self::Listener(task) => task.abort(),
        }
    }
}

/// A server that presents the validation certificate of RFC 8737 section 3.
fn validation_config(name: &str, digest: &[u8]) -> Result<ServerConfig> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?.der().clone();
    let key = any_supported_type(&PrivateKeyDer::try_from(key.serialize_der())?)?;
    // `with_single_cert` would refuse the certificate for its critical extension, which is what it is made for.
    let presented = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(presented));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    Ok(config)
}

fn directory(variable: &str) -> Result<PathBuf> {
    Ok(env::var(variable)?.into())
}
