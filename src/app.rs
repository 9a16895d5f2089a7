//! Putting it all together: from the configuration to listeners and workers, and a graceful stop.

pub mod audit;
pub mod perspective;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::acme::{self, Acme, Links};
use crate::api::{self, Api, OperatorToken, WebhookSecret};
use crate::ca::{Ca, KeysInUse};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Fault, ReadCatalog};
use crate::domain::audit::Observation;
use crate::domain::{DnsName, Identifier};
use crate::http::{self, Dress, LargeBodies, ServerCertificate, Site};
use crate::post::Post;
use crate::ra::{Parts, Ra, ServerIdentity};
use crate::store::records::Records;
use crate::store::vault::Vault;
use crate::va::Va;
use crate::{pki, store, telemetry};

/// Why the server does not start: told to the operator.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The parts of the server before anything listens; tests drive its routers directly.
pub struct App {
    /// The use cases.
    pub ra: Arc<Ra>,
    /// Everything behind the main listener.
    pub main: Router,
    /// What finishes answers that the main listener gives in its place.
    pub dress: Dress,
    /// Which bodies may be larger than others there.
    pub large_bodies: LargeBodies,
    /// Everything behind the PKI listener.
    pub pki: Router,
    /// What it runs on, for the audit log.
    pub observed: Observation,
    /// That the CA's keys are in memory, which no ceremony may take away meanwhile.
    pub keys: KeysInUse,
}

/// A server that accepts connections.
pub struct Running {
    /// Where clients begin.
    pub directory_url: String,
    /// Where operators look: `/metrics`, `/healthz`, `/readyz`.
    pub monitor: SocketAddr,
    /// The use cases.
    pub ra: Arc<Ra>,
    config: Config,
    /// What it ran on at the start.
    observed: Observation,
    /// Files of the catalogue that were not there at the start.
    built_in: Vec<PathBuf>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<io::Result<()>>,
    _keys: KeysInUse,
}

impl App {
    /// Opens the store and the keys in the data directory, creating them at the first start, and builds the routers.
    pub fn build(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let data_dir = &config.server.data_dir;
        create_private_directory(data_dir)?;
        let ReadCatalog { catalog, digests, .. } = config.load_catalog().map_err(told)?;
        let records = Records::new(store::open(&config.store_settings())?).on(config.server.node);
        if let Some(shortfall) = config.validation.perspectives.shortfall(clock.now()) {
            tracing::warn!(shortfall, "too few remote perspectives for a public CA");
        }
        let keys = KeysInUse::note(&data_dir.join("keys"))?;
        let ca = Ca::open(&data_dir.join("keys"), &config.ca_settings(), &config.pki.public_url, clock.now())?;
        write_public(&data_dir.join("root.pem"), ca.root_pem())?;
        let vault = Vault::open(&data_dir.join("keys").join("vault.key"))?;
        let links = Links::new(&config.server.public_url);
        let ra = Ra::new(Parts {
            records,
            vault,
            // A site that is about to renew shows a certificate of this CA.
            va: Va::new(config.validation_settings())?.trusting(ca.root_pem())?,
            post: Post::new(config.post_settings(), ca.root_pem())?,
            ca,
            catalog,
            clock,
            settings: config.acme.clone(),
            limits: config.limits.clone(),
            account_url: links.account_prefix(),
        });
        let token = OperatorToken::load_or_create(&data_dir.join("operator.token"))?;
        let operator = ("operator.token".to_owned(), token.digest());
        let digests = digests.into_iter().chain(config.trust_digests()).chain([operator]).collect();
        let observed = ra.observation(digests, config.written.clone());
        let acme = Acme::new(ra.clone(), links, config.website.clone(), config.server.node);
        let dress = acme::dresser(acme.clone());
        let api = Api::new(ra.clone(), token, webhook_secret(config)?);
        let large_bodies = api::large_bodies(api.clone());
        let main = acme::router(acme).nest("/api/v1", api::router(api));
        Ok(Self { main, dress, large_bodies, pki: pki::router(published(&ra)), observed, ra, keys })
    }

    /// What the main listener serves.
    pub fn site(&self) -> Site {
        let (dress, large_bodies) = (Some(self.dress.clone()), Some(self.large_bodies.clone()));
        Site { router: self.main.clone(), dress, large_bodies }
    }
}

/// What payment providers sign with, from the file that the configuration names.
fn webhook_secret(config: &Config) -> Result<Option<WebhookSecret>, Failure> {
    let Some(path) = &config.billing.webhook_secret_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let short = || format!("{}: a secret for webhooks has 16 characters at least", path.display());
    Ok(Some(WebhookSecret::of(&text).ok_or_else(short)?))
}

/// Starts everything; when this returns, connections are accepted.
pub async fn start(mut config: Config, clock: Arc<dyn Clock>) -> Result<Running, Failure> {
    let main = listen(config.server.listen).await?;
    let pki = listen(config.pki.listen).await?;
    let monitor = listen(config.monitor.listen).await?;
    let monitor_address = monitor.local_addr()?;
    config.listen_at(main.local_addr()?);
    config.pki_listen_at(pki.local_addr()?);

    telemetry::recorder();
    let built_in = config.built_in_catalog();
    let app = App::build(&config, clock)?;
    let site = app.site();
    app.ra.started(app.observed.clone()).await?;
    let (certificate, renew) = server_certificate(&config, &app.ra).await?;
    let (stop, stopped) = watch::channel(false);
    let limits = config.http_limits();
    let mut tasks = JoinSet::new();
    if let Some(renew_at) = renew {
        tasks.spawn(keep_certificate(config.clone(), app.ra.clone(), certificate.clone(), renew_at, stopped.clone()));
    }
    let ready = readiness(app.ra.clone());
    tasks.spawn(http::serve(main, Some(certificate), site, limits.clone(), stopped.clone()));
    tasks.spawn(http::serve(pki, None, app.pki, limits.clone(), stopped.clone()));
    tasks.spawn(http::serve(monitor, None, telemetry::monitor(ready), limits, stopped.clone()));
    tasks.spawn(until_stopped(telemetry::keep_up(), stopped.clone()));
    app.ra.record_keys().await?;
    let resumed = app.ra.resume().await?;
    tasks.spawn(until_stopped(tell_operations(app.ra.clone()), stopped.clone()));
    tasks.spawn(until_stopped(keep_statuses(app.ra.clone()), stopped.clone()));
    tasks.spawn(until_stopped(keep_jobs(app.ra.clone()), stopped));
    let directory_url = Links::new(&config.server.public_url).directory();
    tracing::info!(directory = %directory_url, jobs = resumed, "ready");
    Ok(Running {
        directory_url,
        monitor: monitor_address,
        ra: app.ra,
        config,
        observed: app.observed,
        built_in,
        stop,
        tasks,
        _keys: app.keys,
    })
}

impl Running {
    /// Reads the files of the catalogue again and puts what they say in the place of the catalogue in force; all or nothing:
    /// a faulty file changes nothing. What came of it is told in the log.
    pub async fn reload(&self) -> Result<(), Failure> {
        let config = self.config.clone();
        // A file that was there is not replaced by what is built in, which knows nothing of what stood in it.
        if let Some(gone) = config.built_in_catalog().into_iter().find(|file| !self.built_in.contains(file)) {
            let file = gone.display().to_string();
            tracing::error!(file, "the catalogue is not replaced: a file of it is gone");
            return Err(format!("{file}: the file is gone").into());
        }
        let read = match tokio::task::spawn_blocking(move || config.load_catalog()).await? {
            Ok(read) => read,
            Err(faults) => {
                for Fault { file, line, key, reason } in &faults {
                    tracing::error!(file, line, key, reason, "the catalogue is not replaced: a file of it is faulty");
                }
                return Err(told(faults));
            }
        };
        let products = read.catalog.products().count();
        match self.ra.replace_catalog(read.catalog, &read.text).await {
            Ok(digest) => tracing::info!(digest, products, "the catalogue is replaced"),
            Err(error) => {
                tracing::error!(error = ?error, "the catalogue is not replaced: the store did not take it");
                return Err(error.into());
            }
        }
        // The rest is what it was at the start.
        let mut observed = self.observed.clone();
        observed.digests.extend(read.digests);
        Ok(self.ra.observe(observed).await?)
    }

    /// Stops accepting, lets requests that have begun end, and waits for it.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        // They stay in the store, and the next start takes them up.
        self.ra.abandon_jobs();
        Ok(self.ra.stopped().await?)
    }
}

/// Runs the server until it is told to stop by SIGINT or SIGTERM; prints `ready <directory URL>` on standard output. SIGHUP
/// has it read the catalogue again.
pub async fn run(config: Config) -> Result<(), Failure> {
    use std::io::Write as _;
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut running = start(within_open_files(config)?, Arc::new(SystemClock)).await?;
    let mut out = io::stdout();
    writeln!(out, "ready {}", running.directory_url)?;
    out.flush()?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // What came of it stands in the log.
            _ = hangup.recv() => drop(running.reload().await),
            Some(ended) = running.tasks.join_next() => {
                ended??;
                return Err("a listener ended although nobody told the server to stop".into());
            }
        }
    }
    tracing::info!("stopping");
    running.stop().await
}

/// Takes up stored jobs that nobody has in hand, for as long as the server runs: a job whose task ended in a panic is
/// tried again.
async fn keep_jobs(ra: Arc<Ra>) {
    loop {
        if let Err(error) = ra.wake().await {
            tracing::error!(error = ?error, "the timers could not be looked through");
        }
        if let Err(error) = ra.measure_deliveries().await {
            tracing::error!(error = ?error, "messages that wait could not be counted");
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        if let Err(error) = ra.resume().await {
            tracing::error!(error = ?error, "stored jobs could not be looked through");
        }
    }
}

/// Makes the OCSP responders, and renews them and the answers that are kept, for as long as the server runs.
async fn keep_statuses(ra: Arc<Ra>) {
    loop {
        if let Err(error) = ra.keep_statuses().await {
            tracing::error!(error = ?error, "answers about the status of certificates could not be made anew");
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

/// Writes the end of the operation log to the server's log at the start and once an hour, and looks at the lists of offline
/// roots.
async fn tell_operations(ra: Arc<Ra>) {
    loop {
        ra.watch_root_lists().await;
        if let Err(error) = ra.tell_operations_head().await {
            tracing::error!(error = ?error, "the end of the operation log could not be read");
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

/// The configuration with no more connections than this process may have open files: each listener has its own share,
/// and a part stays for the store and for validations, so that strangers' connections can't starve them.
fn within_open_files(mut config: Config) -> Result<Config, Failure> {
    const KEPT: u64 = 2_048;
    let wanted = 3 * config.server.max_connections as u64 + KEPT;
    let allowed = rlimit::increase_nofile_limit(wanted)?;
    let connections = usize::try_from(allowed.saturating_sub(KEPT.min(allowed / 2)) / 3)?.max(1);
    if connections < config.server.max_connections {
        tracing::warn!(
            open_files = allowed,
            connections,
            "the limit on open files allows fewer connections than server.max_connections"
        );
        config.server.max_connections = connections;
    }
    Ok(config)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

fn readiness(ra: Arc<Ra>) -> telemetry::Readiness {
    Arc::new(move || {
        let ra = ra.clone();
        Box::pin(async move { ra.check_ready().await.map_err(|error| format!("store: {error:?}")) })
    })
}

async fn until_stopped(work: impl Future<Output = ()> + Send, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
    tokio::select! {
        () = work => {}
        () = http::stopped(&mut stopped) => {}
    }
    Ok(())
}

/// The certificate of the main listener: from files, or from the server's own CA with the moment to renew it.
async fn server_certificate(
    config: &Config,
    ra: &Ra,
) -> Result<(Arc<ServerCertificate>, Option<crate::domain::Timestamp>), Failure> {
    if let Some(certificate) = config.load_server_certificate().map_err(told)? {
        return Ok((Arc::new(certificate), None));
    }
    let (chain, key, renew_at) = into_rustls(issue_server_certificate(config, ra).await?);
    Ok((Arc::new(ServerCertificate::new(chain, key)?), Some(renew_at)))
}

async fn issue_server_certificate(config: &Config, ra: &Ra) -> Result<ServerIdentity, Failure> {
    let names = server_names(config)?;
    let issuer = config.ca.issuers.first().ok_or("[ca] issuers is empty")?;
    Ok(ra.issue_server_certificate(names, issuer).await?)
}

/// The host of the public URL; on a loopback address also the other ways to write it.
fn server_names(config: &Config) -> Result<Vec<Identifier>, Failure> {
    let url = url::Url::parse(&config.server.public_url)?;
    let host = match url.host().ok_or("server.public_url has no host")? {
        url::Host::Domain(name) => Identifier::Dns(DnsName::host(name)?),
        url::Host::Ipv4(ip) => Identifier::Ip(ip.into()),
        url::Host::Ipv6(ip) => Identifier::Ip(ip.into()),
    };
    let mut names = vec![host];
    let address = config.server.listen.ip();
    if address.is_loopback() {
        names.extend([Identifier::Dns(DnsName::host("localhost")?), Identifier::Ip(address)]);
    } else if !address.is_unspecified() {
        names.push(Identifier::Ip(address));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn into_rustls(
    identity: ServerIdentity,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, crate::domain::Timestamp) {
    let chain = identity.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.to_vec()));
    (chain, key, identity.renew_at)
}

/// Replaces the server's certificate in time, for as long as the server runs. A failure is told and tried again.
async fn keep_certificate(
    config: Config,
    ra: Arc<Ra>,
    certificate: Arc<ServerCertificate>,
    mut renew_at: crate::domain::Timestamp,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let renewals = async move {
        loop {
            // Not in one sleep, so that a clock that is set forward is noticed.
            tokio::time::sleep(Duration::from_secs(1)).await;
            if ra.now() < renew_at {
                continue;
            }
            match renew(&config, &ra, &certificate).await {
                Ok(next) => renew_at = next,
                Err(error) => {
                    tracing::error!(%error, "the server's own certificate could not be renewed");
                    renew_at = ra.now() + Duration::from_secs(60);
                }
            }
        }
    };
    until_stopped(renewals, stopped).await
}

async fn renew(config: &Config, ra: &Ra, certificate: &ServerCertificate) -> Result<crate::domain::Timestamp, Failure> {
    let (chain, key, next) = into_rustls(issue_server_certificate(config, ra).await?);
    certificate.replace(chain, key)?;
    tracing::info!(next = %next, "the server's own certificate was renewed");
    Ok(next)
}

/// What the PKI listener publishes.
fn published(ra: &Arc<Ra>) -> Arc<pki::Source> {
    let (certificates, lists, statuses) = (ra.clone(), ra.clone(), ra.clone());
    Arc::new(pki::Source {
        issuer_certificate: Box::new(move |name| certificates.issuer_certificate(name)),
        crl: Box::new(move |issuer, shard| {
            let ra = lists.clone();
            Box::pin(async move { ra.crl(&issuer, shard).await })
        }),
        ocsp: Box::new(move |request| {
            let ra = statuses.clone();
            Box::pin(async move { ra.certificate_status(&request).await })
        }),
    })
}

/// Faults of files as one text.
fn told(faults: Vec<Fault>) -> Failure {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").into()
}

pub(crate) fn create_private_directory(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| format!("cannot create the data directory {}: {error}", path.display()).into())
}

/// Writes a file that everybody may read, unless it holds that text already.
fn write_public(path: &Path, text: &str) -> Result<(), Failure> {
    if std::fs::read_to_string(path).is_ok_and(|held| held == text) {
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
