//! What the values of a configuration must be, beyond their types.

use std::ops::RangeInclusive;

use url::Url;

use super::{Config, Fault, PerspectiveConfig, Pki, Server};
use crate::store::{self, EngineName};
use crate::{ca, post, ra, va};

/// Collects faults of one section.
struct Section<'f> {
    name: &'static str,
    faults: &'f mut Vec<Fault>,
}

impl Config {
    /// Everything that is wrong with the values, each fault with its key; file and line are filled in by who knows them.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        server(&self.server, &mut Section::new("server", &mut faults));
        pki(&self.pki, &mut Section::new("pki", &mut faults));
        listeners(self, &mut Section::new("monitor", &mut faults));
        store(&self.store, &mut Section::new("store", &mut faults));
        acme(&self.acme, self.website.as_deref(), &mut Section::new("acme", &mut faults));
        validation(&self.validation, &mut Section::new("validation", &mut faults));
        let mut perspectives = Section::new("validation.perspectives", &mut faults);
        self.validation.perspectives.faults().into_iter().for_each(|(key, reason)| perspectives.fault(key, reason));
        ca(&self.ca, &mut Section::new("ca", &mut faults));
        notices(&self.notices, &mut Section::new("notices", &mut faults));
        let mut limits = Section::new("limits", &mut faults);
        self.limits.faults().into_iter().for_each(|(key, reason)| limits.fault(&key, reason));
        if let Some(reason) = self.log.level_fault() {
            Section::new("log", &mut faults).fault("level", reason);
        }
        faults.dedup();
        faults
    }
}

impl PerspectiveConfig {
    /// Everything that is wrong with the values, each fault with its key.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut section = Section::new("perspective", &mut faults);
        self.perspective.faults().into_iter().for_each(|(key, reason)| section.fault(key, reason));
        let listen = self.perspective.listen;
        if listen.port() != 0 && self.monitor.as_ref().is_some_and(|monitor| monitor.listen == listen) {
            Section::new("monitor", &mut faults).fault("listen", format!("[perspective] listens at {listen} too"));
        }
        let mut section = Section::new("validation", &mut faults);
        validation(&self.validation, &mut section);
        if self.validation.perspectives != va::perspectives::settings::Settings::default() {
            section.fault("perspectives", "a perspective is asked, and asks no others");
        }
        if let Some(reason) = self.log.level_fault() {
            Section::new("log", &mut faults).fault("level", reason);
        }
        faults
    }
}

impl<'f> Section<'f> {
    fn new(name: &'static str, faults: &'f mut Vec<Fault>) -> Self {
        Self { name, faults }
    }

    fn fault(&mut self, key: &str, reason: impl Into<String>) {
        self.faults.push(Fault::new("", format!("{}.{key}", self.name), reason));
    }

    fn within<T: PartialOrd + std::fmt::Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            self.fault(key, format!("{value} is not between {} and {}", range.start(), range.end()));
        }
    }

    /// A URL to which paths are appended: a scheme, a host, perhaps a port, and nothing else.
    fn base_url(&mut self, key: &str, value: &str, scheme: &str) {
        let fits = |url: &Url| url.scheme() == scheme && url.path() == "/" && url.query().is_none();
        match Url::parse(value) {
            Err(error) => self.fault(key, format!("\"{value}\" is not a URL: {error}")),
            Ok(url) if fits(&url) && url.fragment().is_none() && url.username().is_empty() && !value.ends_with('/') => {
            }
            Ok(_) => self.fault(key, format!("\"{value}\" must be {scheme}://host or {scheme}://host:port")),
        }
    }

    fn web_page(&mut self, key: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        match Url::parse(value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {}
            _ => self.fault(key, format!("\"{value}\" is not the URL of a web page")),
        }
    }
}

fn server(server: &Server, section: &mut Section<'_>) {
    // RFC 8555 section 6.1: ACME is spoken over HTTPS.
    section.base_url("public_url", &server.public_url, "https");
    if server.data_dir.as_os_str().is_empty() {
        section.fault("data_dir", "the data directory needs a name");
    }
    section.within("max_connections", server.max_connections, 1..=1_000_000);
    section.within("max_connections_per_address", server.max_connections_per_address, 0..=1_000_000);
    section.within("answer_timeout_s", server.answer_timeout_s, 1..=3600);
    // A group of addresses may take a quarter of it, which the list of an incident (4.5 MiB) is to fit into.
    section.within("max_buffered_mb", server.max_buffered_mb, 18..=65_536);
    section.within("header_timeout_s", server.header_timeout_s, 1..=3600);
    section.within("idle_timeout_s", server.idle_timeout_s, 1..=3600);
    section.within("body_timeout_s", server.body_timeout_s, 1..=3600);
    section.within("stop_timeout_s", server.stop_timeout_s, 0..=3600);
    // A finalize request for 100 names of full length and an RSA-4096 key is about 30 kB.
    section.within("max_body_bytes", server.max_body_bytes, 4096..=64 << 20);
}

fn pki(pki: &Pki, section: &mut Section<'_>) {
    // RFC 5280 section 8: fetching a CRL over https could need the very CRL that is being fetched.
    section.base_url("public_url", &pki.public_url, "http");
}

fn listeners(config: &Config, section: &mut Section<'_>) {
    let listeners = [config.server.listen, config.pki.listen, config.monitor.listen];
    for (second, names) in [(1, "[server] and [pki]"), (2, "[server] and [monitor]")] {
        if listeners[0] == listeners[second] && listeners[0].port() != 0 {
            section.fault("listen", format!("{names} both listen at {}", listeners[0]));
        }
    }
    if listeners[1] == listeners[2] && listeners[1].port() != 0 {
        section.fault("listen", format!("[pki] and [monitor] both listen at {}", listeners[1]));
    }
}

fn store(store: &store::Settings, section: &mut Section<'_>) {
    if store.engine == EngineName::Postgres {
        section.fault("engine", "\"postgres\" is not part of this version; use \"sled\" or \"redb\"");
    }
    match (store.engine, store.url.as_deref()) {
        (EngineName::Postgres, None) => {
            section.fault("url", "the engine \"postgres\" needs a URL, here or in the variable CHANCERY_STORE_URL");
        }
        // The URL is not shown: it may hold a password.
        (EngineName::Postgres, Some(url)) if !url.starts_with("postgres://") && !url.starts_with("postgresql://") => {
            section.fault("url", "the URL must begin with postgres://");
        }
        (EngineName::Postgres, Some(_)) | (EngineName::Sled | EngineName::Redb, None) => {}
        (EngineName::Sled | EngineName::Redb, Some(_)) => {
            section.fault("url", "only the engine \"postgres\" has a URL")
        }
    }
    if store.engine == EngineName::Postgres && !store.path.as_os_str().is_empty() {
        section.fault("path", "the engine \"postgres\" has no path");
    }
}

fn acme(acme: &ra::Settings, website: Option<&str>, section: &mut Section<'_>) {
    if acme.default_product.is_empty() {
        section.fault("default_product", "name a product of the catalogue");
    }
    section.web_page("terms_of_service", acme.terms_of_service.as_deref());
    section.web_page("website", website);
    section.within("finalize_wait_ms", acme.finalize_wait_ms, 0..=30_000);
    section.within("challenge_wait_ms", acme.challenge_wait_ms, 0..=30_000);
    section.within("order_days", acme.order_days, 1..=365);
    section.within("pending_authorization_days", acme.pending_authorization_days, 1..=365);
    // Baseline Requirements 4.2.1: validations are good for 398 days at most; files may only tighten that.
    section.within("authorization_days", acme.authorization_days, 0..=398);
    section.within("validation_tries", acme.validation_tries, 1..=100);
    section.within("validation_retry_ms", acme.validation_retry_ms, 0..=600_000);
}

fn validation(validation: &va::Settings, section: &mut Section<'_>) {
    section.within("http_port", validation.http_port, 1..=u16::MAX);
    section.within("tls_port", validation.tls_port, 1..=u16::MAX);
    section.within("timeout_ms", validation.timeout_ms, 100..=600_000);
    section.within("dns_timeout_ms", validation.dns_timeout_ms, 10..=validation.timeout_ms.max(10));
    for resolver in validation.resolvers.iter().filter(|resolver| resolver.port() == 0) {
        section.fault("resolvers", format!("\"{resolver}\" needs a port, usually 53"));
    }
    for name in validation.static_names.keys() {
        let label =
            |label: &str| !label.is_empty() && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !name.split('.').all(label) {
            section.fault("static_names", format!("\"{name}\" is not a domain name in lower case"));
        }
    }
}

fn ca(ca: &ca::Settings, section: &mut Section<'_>) {
    for fault in ca.faults() {
        // The CA tells its faults as `key: reason`, where two keys may be at odds with each other.
        let (keys, reason) = fault.split_once(": ").unwrap_or(("", &fault));
        section.fault(keys.split(", ").next().unwrap_or_default(), reason);
    }
}

fn notices(notices: &post::Settings, section: &mut Section<'_>) {
    if let Err(reason) = post::check_address(&notices.from) {
        section.fault("from", reason);
    }
    section.within("webhook_timeout_ms", notices.webhook_timeout_ms, 100..=120_000);
    section.within("first_pause_s", notices.first_pause_s, 1..=86_400);
    section.within("longest_pause_s", notices.longest_pause_s, notices.first_pause_s..=604_800);
    section.within("give_up_after_h", notices.give_up_after_h, 0..=8_760);
    let Some(smtp) = &notices.smtp else { return };
    if smtp.host.is_empty() {
        section.fault("smtp.host", "name the server that takes e-mail");
    }
    if smtp.username.is_some() != smtp.password_file.is_some() {
        section.fault("smtp.username", "username and password_file go together");
    }
    if smtp.username.is_some() && smtp.security == post::Security::None {
        section.fault("smtp.security", "a password is not sent over a connection without TLS");
    }
}
