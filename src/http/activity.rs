//! What a connection does: requests under way, answers on their way, and since when it has been quiet.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Limits;

/// When a connection was last of use, and what keeps it.
pub(super) struct Activity {
    running: AtomicUsize,
    asked: AtomicBool,
    last: Mutex<Instant>,
    answers: AtomicU64,
    /// Answers that the client has not taken yet, by the moment at which they began.
    sending: Mutex<BTreeMap<u64, Instant>>,
    leaving: AtomicBool,
    leave: Notify,
}

/// Why a connection is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing was asked for too long.
    Idle,
    /// The client does not take an answer.
    Stuck,
}

/// A request that is being answered.
pub(super) struct Running(Arc<Activity>);

/// The body of an answer, which tells when the client has taken it.
pub(super) struct Sending {
    body: Body,
    number: u64,
    activity: Arc<Activity>,
}

impl Activity {
    pub(super) fn begin() -> Self {
        Self {
            running: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            last: Mutex::new(Instant::now()),
            answers: AtomicU64::new(0),
            sending: Mutex::default(),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
        }
    }

    /// It is of use now.
    pub(super) fn touch(&self) {
        *self.last.lock() = Instant::now();
    }

    /// A request begins.
    pub(super) fn running(self: &Arc<Self>) -> Running {
        self.asked.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
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

    /// How long nothing has been under way; none while something is.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        (self.running.load(Ordering::Relaxed) == 0).then(|| self.last.lock().elapsed())
    }

    /// Tells the connection to go.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Whether it was told to go.
    #[cfg(test)]
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
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
            let until = match self.running.load(Ordering::Relaxed) {
                0 => *self.last.lock() + patience,
                _ => now + patience,
            };
            if until <= now {
                return Silence::Idle;
            }
            // An answer that begins meanwhile has its own end.
            sleep_until(until.min(stuck.unwrap_or(now + limits.answer_timeout))).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.touch();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
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
