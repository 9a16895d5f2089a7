//! What is to be done on a later day: timers that become jobs when their time has come.

use std::sync::Arc;

use super::Ra;
use crate::domain::Result;
use crate::domain::audit::Act;
use crate::domain::job::{Job, Timer};
use crate::store::StoreError;
use crate::store::records::Batch;

impl Ra {
    /// Turns the timers that are due into jobs and starts these, and looks at certificates that end and at
    /// revocation lists and incidents. How many timers they were.
    pub async fn wake(self: &Arc<Self>) -> Result<usize> {
        let mut count = 0;
        loop {
            let now = self.now();
            // They stand in the order of their time.
            let mut due = self.records.list::<Timer>(b"", None, 100).await?;
            due.retain(|timer| timer.at <= now);
            if due.is_empty() {
                self.look_each_minute().await;
                self.look_at_endings().await?;
                return Ok(count);
            }
            for timer in due {
                let job = Job::new(timer.work.clone(), now);
                let act = Act::TimerDue { timer: timer.id.clone(), job: job.id.clone() };
                match self.records.commit(Batch::of(act, now).remove(&timer).insert(&job)).await {
                    Ok(()) => {
                        count += 1;
                        self.start(job);
                    }
                    // Another node was first.
                    Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Once a minute, signs the revocation lists that are due, and takes up what other nodes wrote of them and of incidents;
    /// once an hour, anchors the chains of other nodes.
    /// What goes wrong is told in the log, and tried again.
    pub(super) async fn look_each_minute(self: &Arc<Self>) {
        let minute = self.now().as_secs() / 60;
        if self.minute_seen.lock().replace(minute) == Some(minute) {
            return;
        }
        self.anchor_each_hour().await;
        let incidents = self.look_at_incidents().await;
        if let Err(error) = &incidents {
            tracing::error!(error = ?error, "the open incidents could not be read");
        }
        if !self.keep_lists().await || incidents.is_err() {
            *self.minute_seen.lock() = None;
        }
    }
}
