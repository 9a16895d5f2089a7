//! What operators see: the set-up of the log, the one list of metrics, and the monitor's routes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[log]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How lines look.
    pub format: Format,
    /// What is told: a level (error, warn, info, debug, trace), or levels by target as in `info,chancery=debug`.
    pub level: String,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned() }
    }
}

impl Settings {
    /// What is wrong with `level`, if anything is.
    pub fn level_fault(&self) -> Option<String> {
        self.filter().err().map(|error| error.to_string())
    }

    fn filter(&self) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
        EnvFilter::builder().parse(&self.level)
    }
}

/// Sends the log to standard error; standard output is for what commands print. Does nothing when a log is set up
/// already. Fails when `level` is not a filter.
pub fn start_log(settings: &Settings) -> Result<(), tracing_subscriber::filter::ParseError> {
    let log = tracing_subscriber::fmt().with_env_filter(settings.filter()?).with_writer(std::io::stderr);
    let started = match settings.format {
        Format::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    // The only failure is that there is one already, as when several servers run in one test process.
    drop(started);
    Ok(())
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, in buckets.
    Seconds,
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, with its labels.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric that this server has.
        pub const METRICS: &[Metric] = &[$(Metric { name: $name, kind: Kind::$kind, help: $help }),*];
    };
}

metrics! {
    HTTP_REQUESTS = Counter "chancery_http_requests_total" "Requests answered, by method, route and status.";
    HTTP_SECONDS = Seconds "chancery_http_request_seconds" "Time to answer a request, by method and route.";
    HTTP_CONNECTIONS = Gauge "chancery_http_connections" "Connections that are open now, of all listeners.";
    HTTP_CONNECTION_FAILURES = Counter "chancery_http_connection_failures_total"
        "Connections that broke, by stage (tls, http).";
    HTTP_CONNECTIONS_REFUSED = Counter "chancery_http_connections_refused_total"
        "Connections closed at once because their address has too many.";
    HTTP_CONNECTIONS_SPARED = Counter "chancery_http_connections_spared_total"
        "Quiet connections closed to make room for others.";
    ACCOUNTS_CREATED = Counter "chancery_accounts_created_total" "ACME accounts created.";
    ORDERS_CREATED = Counter "chancery_orders_created_total" "Orders placed, by product.";
    ORDERS_FAILED = Counter "chancery_orders_failed_total" "Orders that ended without a certificate after their CSR was accepted.";
    LIMIT_REFUSALS = Counter "chancery_limit_refusals_total" "Requests refused by a rate limit, by limit.";
    LIMIT_SWEEPS = Counter "chancery_limit_sweeps_total" "How often counters of rate limits were thrown out to make room.";
    QUOTA_REFUSALS = Counter "chancery_quota_refusals_total"
        "Orders of free certificates refused because a quota is used up, by limit (account, domain).";
    VALIDATIONS = Counter "chancery_validations_total" "Looks at the world, by method and outcome (valid, invalid, retried).";
    CERTIFICATES_ISSUED = Counter "chancery_certificates_issued_total" "Certificates issued, by product and issuer.";
    CERTIFICATES_REVOKED = Counter "chancery_certificates_revoked_total" "Certificates revoked.";
    CRLS_SIGNED = Counter "chancery_crls_signed_total" "Revocation lists signed, by issuer.";
    OCSP_ANSWERS = Counter "chancery_ocsp_answers_total"
        "Answers about the status of certificates, by kind (good, revoked, unknown, several, malformed_request, unauthorized, try_later, internal_error) and how they were made (kept, signed, unsigned).";
    DELIVERIES = Counter "chancery_notice_deliveries_total"
        "Messages handed to recipients, by outcome (delivered, put_off, given_up). Those given up need an operator's look.";
    DELIVERIES_WAITING = Gauge "chancery_notice_deliveries_waiting" "Messages that are on their way to a recipient.";
    ROOT_CRL_SECONDS = Gauge "chancery_root_crl_seconds"
        "Seconds that the revocation list is still good for which an offline root signed ahead, by root.";
    JOBS = Gauge "chancery_jobs" "Stored jobs that this process has in hand.";
    PERSPECTIVE_ANSWERS = Counter "chancery_perspective_answers_total"
        "Answers of remote perspectives, by perspective, question (validate, caa, prove) and result (corroborates, differs, none).";
    PERSPECTIVE_SECONDS = Seconds "chancery_perspective_seconds" "Time until a remote perspective answered, by perspective.";
    PERSPECTIVE_QUESTIONS = Counter "chancery_perspective_questions_total"
        "Questions that this perspective was asked, by question (validate, caa, prove) and outcome (corroborated, differed, busy, malformed, failed).";
    QUORUMS = Counter "chancery_quorums_total"
        "Corroborations by remote perspectives, by question (validate, caa, prove) and result (met, missed).";
}

/// Upper ends of the buckets of durations: from a memory look-up to a validation that ran into its time limit.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The recorder that the `metrics` macros write to; set up at the first call. It is one for the process, because the
/// macros know only one.
pub fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let builder = METRICS.iter().filter(|metric| metric.kind == Kind::Seconds).fold(
        PrometheusBuilder::new(),
        |builder, metric| {
            builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), BUCKETS)
                .expect("the list of buckets above is not empty")
        },
    );
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // The only failure is a recorder that somebody else installed; then what this one renders is empty, and no worse.
    drop(metrics::set_global_recorder(recorder));
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Seconds => metrics::describe_histogram!(metric.name, metrics::Unit::Seconds, metric.help),
        }
    }
    handle
}

/// Sums up what histograms collected, for ever; without it they grow as long as nobody reads them.
pub async fn keep_up() {
    let recorder = recorder();
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        recorder.run_upkeep();
    }
}

/// How long something takes, for a metric of seconds.
#[derive(Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins to measure.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Says whether the server can do its work now; the error is a line for each reason why not.
pub type Readiness = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The monitor's routes: `/metrics` in Prometheus' text format, `/healthz` (the process answers), `/readyz` (200, or 503
/// with the reasons).
pub fn monitor(readiness: Readiness) -> Router {
    let recorder = recorder();
    let metrics = move || {
        let text = recorder.render();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text) }
    };
    let ready = move || {
        let verdict = readiness();
        async move {
            match verdict.await {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.trim_end())),
            }
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}
