//! A remote perspective put together: configuration in, a listener out, and a graceful stop.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Failure, listen, told};
use crate::clock::{Clock as _, SystemClock};
use crate::config::PerspectiveConfig;
use crate::http;
use crate::perspective::{self, Seat, credentials};
use crate::va::Va;

/// A perspective that takes questions.
pub struct Attending {
    /// Where, as the primary's configuration has it if this address is the one that leads here.
    pub url: String,
    stop: watch::Sender<bool>,
    listener: JoinHandle<io::Result<()>>,
}

/// Starts a perspective; when this returns, connections are accepted.
pub async fn start(config: PerspectiveConfig) -> Result<Attending, Failure> {
    let certificate = Arc::new(config.load_certificate().map_err(told)?);
    let listener = listen(config.perspective.listen).await?;
    let url = format!("https://{}", listener.local_addr()?);
    let va = Va::new(config.validation.clone())?;
    let router = perspective::router(Arc::new(Seat::new(&config.perspective, va)));
    let (stop, stopped) = watch::channel(false);
    let listener = tokio::spawn(http::serve(listener, Some(certificate), router, config.http_limits(), stopped));
    tracing::info!(url, name = config.perspective.name, region = %config.perspective.region, "ready");
    Ok(Attending { url, stop, listener })
}

impl Attending {
    /// Stops accepting, lets questions that are being answered end, and waits for it.
    pub async fn stop(self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        Ok(self.listener.await??)
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
        ended = &mut attending.listener => {
            ended??;
            return Err("the listener ended although nobody told the perspective to stop".into());
        }
    }
    tracing::info!("stopping");
    attending.stop().await
}

/// Makes the certificate of a perspective, or of a primary (no hosts); gives the files.
pub fn enroll(directory: &Path, name: &str, hosts: &[String]) -> Result<[PathBuf; 3], Failure> {
    credentials::enroll(directory, name, hosts, SystemClock.now())
}
