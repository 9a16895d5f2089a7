//! The status of certificates for relying parties, by OCSP: who answers for which issuer, which answers are kept, and when
//! they are made anew.
//!
//! An answer without a nonce about one certificate is kept from the first ask on. Not from issuing on: most certificates are
//! never asked about, a signature more for each would cost half of what issuing does, and whoever asks first waits less
//! than a millisecond. What is kept is never given out unseen: the revocation record is read at each ask, so that a
//! revocation shows at once, whichever node over the same store carried it out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::Ra;
use crate::ca::Ca;
use crate::ca::ocsp::{self, CertId, Refusal, Request, Span, Status};
use crate::ca::responders::{Responder, ResponderPlan};
use crate::domain::audit::Act;
use crate::domain::certificate::{Certificate, hex32};
use crate::domain::{Error, Kind, Result, Serial, Timestamp};
use crate::policy::catalog::days;
use crate::policy::validity::BACKDATE;
use crate::store::records::{Batch, Revocation, SerialEntry};
use crate::telemetry;

/// Most octets of a request.
pub const MAX_STATUS_REQUEST: usize = ocsp::MAX_REQUEST;

/// How long an answer holds; at half of it another is made. CABF-OCS-03, -04: 8 hours to 10 days, renewed within 4 days and 8
/// hours before the end.
const HOLDS: Duration = Duration::from_secs(4 * 86_400);

/// How long "unknown" holds: soon enough the serial may be given out (CABF-OCS-01: 15 minutes after that it is no longer
/// unknown to anybody).
const UNKNOWN_HOLDS: Duration = Duration::from_secs(300);

/// Longest that caches on the way may give out an answer without asking: so late a revocation may show behind them.
const CACHED_AT_MOST: Duration = Duration::from_secs(3600);

/// Days that a responder's certificate is valid; it is renewed at half of that.
const RESPONDER_DAYS: u32 = 14;

/// Most answers that are kept, of about 1 kB (ECDSA) or 2 kB (RSA) each.
const KEPT: usize = 20_000;

/// How long nobody tries again to make a responder after one could not be made.
const PAUSE: Duration = Duration::from_secs(30);

/// What the records call the serial of a responder's certificate.
const RESPONDER: &str = "responder";

/// An answer about the status of certificates.
#[derive(Debug, Clone)]
pub struct StatusAnswer {
    /// The OCSPResponse, DER.
    pub der: Bytes,
    /// How caches may keep it; none for answers with a nonce or about several certificates, and for errors.
    pub caching: Option<Caching>,
    /// Whether it is signed; what is not tells of an error.
    pub is_signed: bool,
}

/// How long caches may keep an answer (RFC 9919 section 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caching {
    /// When it was signed.
    pub this_update: Timestamp,
    /// Until when it holds.
    pub next_update: Timestamp,
    /// How long it may be given out without asking here.
    pub max_age: Duration,
}

/// The responders of this process, and the answers that they signed last.
pub(super) struct Statuses {
    seats: HashMap<String, Seat>,
    answers: Cache<CertId, Arc<Kept>>,
}

/// Where an issuer's responder is.
#[derive(Default)]
struct Seat {
    held: ArcSwapOption<Held>,
    /// Held while one is made, so that many who ask at once cost one.
    making: tokio::sync::Mutex<()>,
    /// When the last try to make one failed.
    failed: Mutex<Option<Timestamp>>,
}

/// A responder, and when the next one is to take its place.
struct Held {
    responder: Responder,
    made: Timestamp,
    renew_at: Timestamp,
}

/// An answer that was signed.
struct Kept {
    issuer: String,
    status: Status,
    span: Span,
    der: Bytes,
    /// Whether anybody asked since it was made: what nobody asks for is not made anew.
    asked: AtomicBool,
}

/// Why there is no signed answer.
enum Unanswered {
    Refused(Refusal),
    Failed(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Statuses {
    /// Seats for all issuers of the CA, without responders yet.
    pub(super) fn of(ca: &Ca) -> Self {
        let seats = ca.issuer_names().map(|name| (name.to_owned(), Seat::default())).collect();
        Self { seats, answers: Cache::new(KEPT) }
    }
}

impl Kept {
    /// When half of its time is over.
    fn renew_at(&self) -> Timestamp {
        half(self.span.this_update, self.span.next_update)
    }

    /// An answer from the future was signed before the clock was set back.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.span.this_update <= now && now < self.renew_at()
    }

    fn caching(&self, now: Timestamp) -> Caching {
        let Span { this_update, next_update } = self.span;
        Caching { this_update, next_update, max_age: self.renew_at().since(now).min(CACHED_AT_MOST) }
    }
}

fn half(from: Timestamp, to: Timestamp) -> Timestamp {
    from + to.since(from) / 2
}

impl Ra {
    /// Answers a request for the status of certificates (OCSPRequest, DER). There is an answer to everything: what cannot be
    /// read, or is about others' certificates, is told so (RFC 6960 section 4.2.1).
    pub async fn certificate_status(self: &Arc<Self>, request: &[u8]) -> StatusAnswer {
        let refusal = match self.answer(request).await {
            Ok(answer) => return answer,
            Err(Unanswered::Refused(refusal)) => refusal,
            Err(Unanswered::Failed(error)) if error.kind() == Kind::Unavailable => Refusal::TryLater,
            Err(Unanswered::Failed(error)) => {
                tracing::error!(error = ?error, "the status of a certificate could not be told");
                Refusal::InternalError
            }
        };
        let kind = match refusal {
            Refusal::MalformedRequest => "malformed_request",
            Refusal::InternalError => "internal_error",
            Refusal::TryLater => "try_later",
            Refusal::Unauthorized => "unauthorized",
        };
        count(kind, "unsigned");
        StatusAnswer { der: refusal.response().into(), caching: None, is_signed: false }
    }

    async fn answer(self: &Arc<Self>, request: &[u8]) -> Result<StatusAnswer, Unanswered> {
        let request = Request::parse(request).map_err(|_| Unanswered::Refused(Refusal::MalformedRequest))?;
        let now = self.now();
        // A responder speaks for one issuer, and the answer has one signature.
        let mut issuers = request.certificates.iter().map(|certificate| self.ca.status_issuer(certificate));
        let first = issuers.next().flatten();
        let Some(issuer) = first.filter(|_| issuers.all(|issuer| issuer == first)) else {
            return Err(Unanswered::Refused(Refusal::Unauthorized));
        };
        if let ([certificate], None) = (&*request.certificates, &request.nonce) {
            return self.answer_about(issuer, certificate, now).await;
        }
        let mut statuses = Vec::with_capacity(request.certificates.len());
        for certificate in &request.certificates {
            statuses.push((certificate, self.status_of(issuer, certificate).await?));
        }
        let held = self.responder(issuer).await?;
        let span = span(&statuses, &held.responder, now)?;
        let der = held.responder.answer(&statuses, request.nonce.as_deref(), span)?;
        let kind = if let [(_, status)] = &*statuses { name(*status) } else { "several" };
        count(kind, "signed");
        Ok(StatusAnswer { der: der.into(), caching: None, is_signed: true })
    }

    /// The answer about one certificate, kept or new.
    async fn answer_about(
        self: &Arc<Self>,
        issuer: &str,
        certificate: &CertId,
        now: Timestamp,
    ) -> Result<StatusAnswer, Unanswered> {
        let kept = self.statuses.answers.get(certificate).filter(|kept| kept.is_fresh(now));
        let (kept, made) = match kept {
            Some(kept) if self.still_holds(&kept, certificate).await? => (kept, "kept"),
            _ => (self.make_answer(issuer, certificate, now).await?, "signed"),
        };
        if made == "kept" {
            kept.asked.store(true, Ordering::Relaxed);
        }
        count(name(kept.status), made);
        Ok(StatusAnswer { der: kept.der.clone(), caching: Some(kept.caching(now)), is_signed: true })
    }

    async fn make_answer(
        self: &Arc<Self>,
        issuer: &str,
        certificate: &CertId,
        now: Timestamp,
    ) -> Result<Arc<Kept>, Unanswered> {
        let status = self.status_of(issuer, certificate).await?;
        let held = self.responder(issuer).await?;
        let statuses = [(certificate, status)];
        let span = span(&statuses, &held.responder, now)?;
        let der = held.responder.answer(&statuses, None, span)?.into();
        let kept = Arc::new(Kept { issuer: issuer.to_owned(), status, span, der, asked: AtomicBool::new(false) });
        // Serials that nobody gave out are without number, and would drive out all others.
        if status != Status::Unknown {
            self.statuses.answers.insert(certificate.clone(), kept.clone());
        }
        Ok(kept)
    }

    /// Whether a kept answer says what the store says. Only good and revoked ones are kept, and of what was issued a
    /// revocation alone changes the status.
    async fn still_holds(&self, kept: &Kept, certificate: &CertId) -> Result<bool> {
        let Some(serial) = Serial::from_der(certificate.serial()) else { return Ok(false) };
        Ok(self.revocation_of(&kept.issuer, &serial).await?.unwrap_or(Status::Good) == kept.status)
    }

    async fn revocation_of(&self, issuer: &str, serial: &Serial) -> Result<Option<Status>> {
        let id = [&Revocation::prefix(issuer)[..], serial.as_bytes()].concat();
        let found = self.records.find::<Revocation>(id).await?;
        Ok(found.map(|found| Status::Revoked { at: found.at, reason: found.reason }))
    }

    /// Where a certificate stands. Of a serial that is recorded and not signed yet, or may have been signed by a run that ended
    /// early, there is no certificate, so it is unknown: "good" would vouch for what was perhaps never issued (CABF-OCS-05),
    /// and nobody has been handed such a certificate who could ask.
    async fn status_of(&self, issuer: &str, certificate: &CertId) -> Result<Status> {
        let Some(serial) = Serial::from_der(certificate.serial()) else { return Ok(Status::Unknown) };
        if let Some(revoked) = self.revocation_of(issuer, &serial).await? {
            return Ok(revoked);
        }
        let issued = self.records.find::<Certificate>(&serial).await?;
        if let Some(issued) = issued {
            return Ok(if issued.issuer == issuer { Status::Good } else { Status::Unknown });
        }
        let own = self.records.find::<SerialEntry>(&serial).await?;
        let signed = own.is_some_and(|entry| entry.purpose.split_once('/').is_some_and(|(_, by)| by == issuer));
        Ok(if signed { Status::Good } else { Status::Unknown })
    }

    /// Notes that a certificate of the server's own was signed, by whom: there is no record of the certificate itself.
    pub(super) async fn note_signed(&self, mut entry: SerialEntry, issuer: &str, der: &[u8]) -> Result<()> {
        entry.purpose = format!("{}/{issuer}", entry.purpose);
        let sha256 = hex32::encode(digest(&SHA256, der).as_ref());
        let act = Act::OwnCertificateSigned { serial: entry.serial, issuer: issuer.to_owned(), sha256 };
        Ok(self.records.commit(Batch::of(act, self.now()).put(&entry)).await?)
    }

    /// The responder of an issuer, made or renewed where that is due. One that is to be renewed and cannot be serves on to its
    /// end.
    async fn responder(self: &Arc<Self>, issuer: &str) -> Result<Arc<Held>, Unanswered> {
        let seat =
            self.statuses.seats.get(issuer).ok_or_else(|| Error::internal(format!("\"{issuer}\" has no seat")))?;
        let (now, held) = (self.now(), seat.held.load_full());
        // One from the future was made before the clock was set back.
        let serving = held.filter(|held| held.made <= now && now < held.responder.not_after());
        let _one_at_a_time = match &serving {
            Some(held) if now < held.renew_at => return Ok(held.clone()),
            Some(held) => match seat.making.try_lock() {
                Ok(making) => making,
                Err(_) => return Ok(held.clone()),
            },
            None => seat.making.lock().await,
        };
        // Another may have made it meanwhile.
        if let Some(held) = seat.held.load_full().filter(|held| held.made <= now && now < held.renew_at) {
            return Ok(held);
        }
        // Each try leaves a serial and an audit event behind, and everybody may ask.
        if seat.failed.lock().is_some_and(|failed| failed <= now && now.since(failed) < PAUSE) {
            return serving.ok_or(Unanswered::Refused(Refusal::TryLater));
        }
        let made = self.make_responder(issuer, now).await;
        *seat.failed.lock() = matches!(made, Err(Unanswered::Failed(_))).then_some(now);
        match (made, serving) {
            (Ok(made), _) => {
                let made = Arc::new(made);
                seat.held.store(Some(made.clone()));
                Ok(made)
            }
            (Err(Unanswered::Failed(error)), Some(serving)) => {
                tracing::error!(issuer, error = ?error, "an OCSP responder could not be renewed and serves on");
                Ok(serving)
            }
            (Err(why), _) => Err(why),
        }
    }

    async fn make_responder(self: &Arc<Self>, issuer: &str, now: Timestamp) -> Result<Held, Unanswered> {
        let not_before = now.whole_second() - BACKDATE;
        let end = self.ca.responder_end(issuer)?;
        let not_after = (now.whole_second() + days(RESPONDER_DAYS) - Duration::from_secs(1)).min(end);
        if not_after <= now {
            // An issuer that ended while the server ran: nothing is known of it any more (RFC 9919 section 3.2.3).
            return Err(Unanswered::Refused(Refusal::Unauthorized));
        }
        let kind = self.ca.responder_key_kind(issuer)?;
        let key = tokio::task::spawn_blocking(move || kind.generate()).await.map_err(Error::internal)??;
        let serial = Serial::random();
        let plan = ResponderPlan { issuer: issuer.to_owned(), serial, key, not_before, not_after };
        let prepared = self.ca.prepare_responder(plan)?;
        let act = Act::ResponderCertified { serial, issuer: issuer.to_owned() };
        let entry = SerialEntry { serial, purpose: RESPONDER.to_owned(), at: now };
        self.records.commit(Batch::of(act, now).insert(&entry)).await.map_err(Error::from)?;
        // The issuer's key may be on a token, which takes its time.
        let ca = self.ca.clone();
        let signed = tokio::task::spawn_blocking(move || ca.certify_responder(prepared)).await;
        let responder = signed.map_err(Error::internal)??;
        self.note_signed(entry, issuer, responder.certificate()).await?;
        // The last one of an issuer cannot be followed by one that ends later.
        let renew_at = if not_after == end { end } else { half(now, not_after) };
        Ok(Held { responder, made: now, renew_at })
    }

    /// Makes and renews responders and kept answers whose time has come: at the start, and each minute after that. What nobody
    /// asked for since it was made is forgotten instead.
    pub async fn keep_statuses(self: &Arc<Self>) -> Result<()> {
        for (issuer, seat) in &self.statuses.seats {
            // Where leaves don't name the responder, the first who asks gets it made.
            if self.ca.names_responder() || seat.held.load().is_some() {
                match self.responder(issuer).await {
                    Err(Unanswered::Failed(error)) => {
                        tracing::error!(issuer, error = ?error, "an OCSP responder could not be made");
                    }
                    Ok(_) | Err(Unanswered::Refused(_)) => {}
                }
            }
        }
        let now = self.now();
        let all = self.statuses.answers.iter();
        let due: Vec<(CertId, Arc<Kept>)> = all.filter(|(_, kept)| !kept.is_fresh(now)).collect();
        for (certificate, kept) in due {
            self.statuses.answers.remove(&certificate);
            if kept.asked.load(Ordering::Relaxed) {
                match self.make_answer(&kept.issuer, &certificate, now).await {
                    Err(Unanswered::Failed(error)) => return Err(error),
                    Ok(_) | Err(Unanswered::Refused(_)) => {}
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// From when to when an answer holds: not beyond the responder's own end.
fn span(statuses: &[(&CertId, Status)], responder: &Responder, now: Timestamp) -> Result<Span, Unanswered> {
    let this_update = now.whole_second();
    let unknown = statuses.iter().any(|(_, status)| *status == Status::Unknown);
    let longest = if unknown { UNKNOWN_HOLDS } else { HOLDS };
    let next_update = (this_update + longest).min(responder.not_after());
    match this_update < next_update {
        true => Ok(Span { this_update, next_update }),
        // In the last second of an issuer.
        false => Err(Unanswered::Refused(Refusal::Unauthorized)),
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Good => "good",
        Status::Revoked { .. } => "revoked",
        Status::Unknown => "unknown",
    }
}

fn count(kind: &'static str, made: &'static str) {
    metrics::counter!(telemetry::OCSP_ANSWERS, "kind" => kind, "made" => made).increment(1);
}
