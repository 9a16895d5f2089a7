//! A remote perspective put together: configuration in, a listener out, and a graceful stop.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Failure, listen, told, until_stopped};
use crate::clock::{Clock as _, SystemClock};
use crate::config::PerspectiveConfig;
use crate::perspective::{self, Seat, credentials};
use crate::va::Va;
use crate::{http, telemetry};

/// A perspective that takes questions.
pub struct Attending {
    /// Where, as the primary's configuration has it if this address is the one that leads here.
    pub url: String,
    /// Where operators look, if they can: `/metrics`, `/healthz`, `/readyz`.
    pub monitor: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<io::Result<()>>,
}

/// Starts a perspective; when this returns, connections are accepted.
pub async fn start(config: PerspectiveConfig) -> Result<Attending, Failure> {
    let certificate = Arc::new(config.load_certificate().map_err(told)?);
    let listener = listen(config.perspective.listen).await?;
    let url = format!("https://{}", listener.local_addr()?);
    let va = Va::new(config.validation.clone())?;
    telemetry::recorder();
    let seat = Arc::new(Seat::new(&config.perspective, va));
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut monitor = None;
    if let Some(wanted) = &config.monitor {
        let listener = listen(wanted.listen).await?;
        monitor = Some(listener.local_addr()?);
        let router = telemetry::monitor(readiness(seat.clone()));
        tasks.spawn(http::serve(listener, None, router, config.monitor_limits(), stopped.clone()));
    }
    tasks.spawn(until_stopped(telemetry::keep_up(), stopped.clone()));
    tasks.spawn(http::serve(listener, Some(certificate), perspective::router(seat), config.http_limits(), stopped));
    let seen_at = monitor.map(tracing::field::display);
    tracing::info!(url, monitor = seen_at, name = config.perspective.name, region = %config.perspective.region, "ready");
    Ok(Attending { url, monitor, stop, tasks })
}

fn readiness(seat: Arc<Seat>) -> telemetry::Readiness {
    Arc::new(move || Box::pin(std::future::ready(seat.check_ready())))
}

impl Attending {
    /// Stops accepting, lets questions that are being answered end, and waits for it.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Runs a perspective until it is told to stop by SIGINT or SIGTERM; prints `ready <url>` on standard output.
pub async fn run(config: PerspectiveConfig) -> Result<(), Failure> {
    // A question takes some sockets: for DNS, for the holder's servers.
    rlimit::increase_nofile_limit(8 * config.perspective.max_questions as u64 + 256)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut attending = start(config).await?;
    let mut out = io::stdout();
    writeln!(out, "ready {}", attending.url)?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(ended) = attending.tasks.join_next() => {
            ended??;
            return Err("a listener ended although nobody told the perspective to stop".into());
        }
    }
    tracing::info!("stopping");
    attending.stop().await
}

/// Makes the certificate of a perspective, or of a primary (no hosts); gives the files.
pub fn enroll(directory: &Path, name: &str, hosts: &[String]) -> Result<[PathBuf; 3], Failure> {
    credentials::enroll(directory, name, hosts, SystemClock.now())
}
