//! What a connection does: requests that come, those that are answered, answers on their way, and since when it has been
//! quiet.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Limits;
use super::places::Places;

/// When a connection was last of use, and what keeps it.
pub(super) struct Activity {
    number: u64,
    places: Arc<Places>,
    asked: AtomicBool,
    requests: Mutex<Requests>,
    answers: AtomicU64,
    /// Answers that the client has not taken yet, by the moment at which they began.
    sending: Mutex<BTreeMap<u64, Instant>>,
    leave: Arc<Notify>,
}

/// The requests of a connection.
struct Requests {
    /// Their header is there and their body is not whole.
    coming: usize,
    /// They are whole and not answered.
    running: usize,
    /// When the last one ended, or the connection began.
    last: Instant,
    /// When the first one came since one was whole. A client that begins requests and never ends them gains no time.
    coming_since: Option<Instant>,
}

/// Why a connection is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing was asked for too long.
    Idle,
    /// The client does not take an answer.
    Stuck,
}

/// A request from the end of its header to its answer.
pub(super) struct Asking {
    activity: Arc<Activity>,
    whole: bool,
}

/// The body of an answer, which tells when the client has taken it.
pub(super) struct Sending {
    body: Body,
    number: u64,
    activity: Arc<Activity>,
}

impl Activity {
    /// For the connection that has that place since this moment. It is told by `leave` to go.
    pub(super) fn begin(number: u64, places: Arc<Places>, since: Instant, leave: Arc<Notify>) -> Self {
        Self {
            number,
            places,
            asked: AtomicBool::new(false),
            requests: Mutex::new(Requests { coming: 0, running: 0, last: since, coming_since: None }),
            answers: AtomicU64::new(0),
            sending: Mutex::default(),
            leave,
        }
    }

    /// Which place it has.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// It is of use now.
    pub(super) fn touch(&self) {
        self.change(|requests| requests.last = Instant::now());
    }

    /// A request begins: its header is there.
    pub(super) fn asking(self: &Arc<Self>) -> Asking {
        self.asked.store(true, Ordering::Relaxed);
        self.change(|requests| {
            requests.coming += 1;
            requests.coming_since.get_or_insert_with(Instant::now);
        });
        Asking { activity: Arc::clone(self), whole: false }
    }

    fn change(&self, change: impl FnOnce(&mut Requests)) {
        let mut requests = self.requests.lock();
        let before = requests.quiet_since();
        change(&mut requests);
        let after = requests.quiet_since();
        if before != after {
            self.places.note(self.number, after);
        }
    }

    /// An answer begins.
    pub(super) fn sending(self: &Arc<Self>, body: Body) -> Sending {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        self.sending.lock().insert(number, Instant::now());
        Sending { body, number, activity: Arc::clone(self) }
    }

    /// Whether there was a request.
    pub(super) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether it keeps its place although it was told to go, because a request of it is being answered.
    pub(super) fn stays(&self) -> bool {
        let requests = self.requests.lock();
        if requests.running > 0 {
            self.places.stay(self.number);
        }
        requests.running > 0
    }

    /// Whether a request is coming, or none ever came.
    pub(super) fn is_coming(&self) -> bool {
        !self.has_asked() || self.requests.lock().coming > 0
    }

    /// Waits until it is told to go.
    pub(super) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Ends when the connection has been of no use for too long.
    pub(super) async fn silence(&self, limits: &Limits) -> Silence {
        loop {
            let now = Instant::now();
            let oldest = self.sending.lock().values().min().copied();
            let stuck = oldest.map(|begun| begun + limits.answer_timeout);
            if stuck.is_some_and(|stuck| stuck <= now) {
                return Silence::Stuck;
            }
            let patience = if self.has_asked() { limits.idle_timeout } else { limits.header_timeout };
            let until = self.requests.lock().idle_since().unwrap_or(now) + patience;
            if until <= now {
                return Silence::Idle;
            }
            // An answer that begins meanwhile has its own end.
            sleep_until(until.min(stuck.unwrap_or(now + limits.answer_timeout))).await;
        }
    }
}

impl Requests {
    /// Since when no request has been under way; none while one is.
    fn idle_since(&self) -> Option<Instant> {
        (self.coming + self.running == 0).then_some(self.last)
    }

    /// Since when there has been none that is whole; none while one is. The connection can be spared since then.
    fn quiet_since(&self) -> Option<Instant> {
        (self.running == 0).then(|| self.coming_since.unwrap_or(self.last))
    }
}

impl Asking {
    /// All of the request is there.
    pub(super) fn whole(&mut self) {
        if std::mem::replace(&mut self.whole, true) {
            return;
        }
        self.activity.change(|requests| {
            requests.coming -= 1;
            requests.running += 1;
            requests.coming_since = None;
        });
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.activity.change(|requests| {
            match self.whole {
                true => requests.running -= 1,
                false => requests.coming -= 1,
            }
            requests.last = Instant::now();
        });
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.activity.sending.lock().remove(&self.number);
    }
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // Whoever asks for the next part has taken those before it: a long answer is not stuck.
        if matches!(frame, Poll::Ready(Some(Ok(_)))) {
            self.activity.sending.lock().insert(self.number, Instant::now());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
