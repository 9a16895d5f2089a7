//! Remote perspectives for tests: the real routers behind real TLS on loopback, each with a DNS and a web server of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use chancery::app::perspective::{Attending, start};
use chancery::clock::{Clock as _, SystemClock};
use chancery::config::PerspectiveConfig;
use chancery::http::{Limits, ServerCertificate, serve};
use chancery::perspective;
use chancery::perspective::credentials::enroll;
use chancery::telemetry;
use chancery::va::Settings;
use chancery::va::perspectives::quorum::Region;
use chancery::va::perspectives::settings::{Mode, Remote, Settings as Asked, trust_anchors};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::dns::Dns;
use crate::support::target::Target;

/// Perspectives and the private CA of their certificates.
pub struct Around {
    place: TempDir,
    /// What their names begin with.
    named: &'static str,
    pub seats: Vec<Seat>,
    /// Those who could stop what stands in the place of a perspective; nobody does.
    standing: Vec<watch::Sender<bool>>,
}

/// A perspective and what it sees.
pub struct Seat {
    pub name: String,
    pub region: Region,
    /// Every name without records of its own is 127.0.0.1.
    pub dns: Dns,
    /// The web server that it reaches at every name.
    pub web: Target,
    pub url: String,
    /// Where its operators look, if the configuration says so.
    pub monitor: Option<SocketAddr>,
    attending: Option<Attending>,
}

impl Around {
    /// Perspectives p0, p1, .. in these regions.
    pub async fn start(regions: &[Region]) -> Self {
        Self::with(regions, |_| {}).await
    }

    /// The same, their configuration changed.
    pub async fn with(regions: &[Region], change: impl Fn(&mut PerspectiveConfig)) -> Self {
        Self::called("p", regions, change).await
    }

    /// The same, and their names begin like that.
    pub async fn called(named: &'static str, regions: &[Region], change: impl Fn(&mut PerspectiveConfig)) -> Self {
        let mut around = Self { place: TempDir::new().unwrap(), named, seats: Vec::new(), standing: Vec::new() };
        around.enroll("primary", &[]);
        for region in regions {
            around.add(*region, &change).await;
        }
        around
    }

    /// A certificate of the private CA.
    pub fn enroll(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        enroll(self.place.path(), name, &hosts, SystemClock.now()).unwrap();
    }

    /// A file of the private CA.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }

    async fn add(&mut self, region: Region, change: &impl Fn(&mut PerspectiveConfig)) {
        let name = format!("{}{}", self.named, self.seats.len());
        self.enroll(&name, &["127.0.0.1"]);
        let (dns, web) = (Dns::start().await, Target::start().await);
        dns.default_address("127.0.0.1");
        let mut config = PerspectiveConfig {
            perspective: perspective::Settings {
                listen: "127.0.0.1:0".parse().unwrap(),
                name: name.clone(),
                region,
                certificate: self.file(&format!("{name}.pem")),
                key: self.file(&format!("{name}.key")),
                ca: self.file("ca.pem"),
                max_questions: 64,
            },
            validation: Settings { http_port: web.port(), ..crate::va_world::settings(&dns) },
            monitor: None,
            log: telemetry::Settings::default(),
        };
        change(&mut config);
        let attending = start(config).await.unwrap();
        let (url, monitor) = (attending.url.clone(), attending.monitor);
        self.seats.push(Seat { name, region, dns, web, url, monitor, attending: Some(attending) });
    }

    /// Puts something in the place of a perspective: its certificate, and these routes.
    pub async fn replace(&mut self, place: usize, routes: Router) {
        let seat = &mut self.seats[place];
        let read = |name: String| std::fs::read(self.place.path().join(name)).unwrap();
        let (chain, key) = (read(format!("{}.pem", seat.name)), read(format!("{}.key", seat.name)));
        let anchors = trust_anchors(&read("ca.pem".to_owned())).unwrap();
        let certificate = ServerCertificate::from_pem(&chain, &key).unwrap().for_clients_of(anchors).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        seat.url = format!("https://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        self.standing.push(stop);
        tokio::spawn(serve(listener, Some(Arc::new(certificate)), routes, Limits::default(), stopped));
    }

    /// Stops a perspective: nobody listens there any more.
    pub async fn stop(&mut self, place: usize) {
        self.seats[place].attending.take().unwrap().stop().await.unwrap();
    }

    /// What a primary needs to ask them all.
    pub fn asked(&self, mode: Mode) -> Asked {
        let remote = |seat: &Seat| Remote { name: seat.name.clone(), url: seat.url.clone(), region: seat.region };
        Asked {
            mode,
            remotes: self.seats.iter().map(remote).collect(),
            ca: Some(self.file("ca.pem")),
            certificate: Some(self.file("primary.pem")),
            key: Some(self.file("primary.key")),
            allowed_failures: None,
        }
    }
}
