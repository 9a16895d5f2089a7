//! The connections to a perspective: a question takes a place on the first one that has any left, so that another is opened
//! only where those before it are full, and no question waits unseen for others to be answered.

use reqwest::Client;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Questions on one connection: fewer than the streams that a perspective takes on one.
const QUESTIONS: usize = 100;

/// Most connections to one perspective: together they carry more questions than the jobs of a server ask at once.
pub(super) const CONNECTIONS: usize = 10;

/// The connections to a perspective.
pub(super) struct Lines(Vec<Line>);

/// A client keeps one connection to each perspective.
struct Line {
    client: Client,
    free: Semaphore,
}

impl Lines {
    /// A connection for each client, opened when it is used.
    pub fn new(clients: &[Client]) -> Self {
        Self(clients.iter().map(|client| Line { client: client.clone(), free: Semaphore::new(QUESTIONS) }).collect())
    }

    /// A place on a connection; where all are full, the next one on the last. None if there is no connection.
    pub async fn take(&self) -> Option<(&Client, SemaphorePermit<'_>)> {
        for line in &self.0 {
            if let Ok(place) = line.free.try_acquire() {
                return Some((&line.client, place));
            }
        }
        let last = self.0.last()?;
        Some((&last.client, last.free.acquire().await.ok()?))
    }
}
