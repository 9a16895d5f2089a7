//! Sending messages: e-mail, a spool directory, webhooks. A message in, an outcome out; nothing here knows who is told
//! what, or remembers what was sent.

mod mail;
mod reach;
mod spool;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use mail::{Mail, Security, Smtp, check_address};
pub use webhook::{Webhook, check_url, signature};

use crate::domain::Timestamp;
use mail::Way;

/// Why the sender can't be set up: told to the operator.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `[notices]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whom e-mail comes from.
    pub from: String,
    /// The directory that e-mail is put into as files, where no server for it is named; empty: in the data directory.
    pub spool: PathBuf,
    /// The server that takes e-mail.
    pub smtp: Option<Smtp>,
    /// Milliseconds for one call of a webhook.
    pub webhook_timeout_ms: u64,
    /// Whether webhooks may lead to private addresses, and use plain http.
    pub allow_private_addresses: bool,
    /// Seconds until the first further try; each pause is twice the one before.
    pub first_pause_s: u64,
    /// Seconds of the longest pause.
    pub longest_pause_s: u64,
    /// Hours after which a message that nobody took is given up.
    pub give_up_after_h: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            from: "chancery@localhost".to_owned(),
            spool: PathBuf::new(),
            smtp: None,
            webhook_timeout_ms: 10_000,
            allow_private_addresses: false,
            first_pause_s: 60,
            longest_pause_s: 6 * 3600,
            give_up_after_h: 72,
        }
    }
}

impl Settings {
    /// When a message is tried again that was first due at `begun` and was tried so often; none: it is given up.
    pub fn next_try(&self, begun: Timestamp, tries: u32, now: Timestamp) -> Option<Timestamp> {
        let doubled = self.first_pause_s.saturating_mul(1 << tries.min(20));
        let next = now + Duration::from_secs(doubled.min(self.longest_pause_s));
        (next <= begun + Duration::from_secs(self.give_up_after_h * 3600)).then_some(next)
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// The other side can't take it now; why.
    Later(String),
    /// The other side will never take it; why.
    Refused(String),
}

/// The sender.
pub struct Post {
    settings: Settings,
    mail: Way,
    hooks: webhook::Caller,
}

impl Post {
    /// A sender that trusts the CAs that browsers know, and those in `anchors` (PEM), for webhooks.
    pub fn new(settings: Settings, anchors: &str) -> Result<Self, Failure> {
        let mail = Way::of(&settings)?;
        let hooks = webhook::Caller::new(&settings, anchors)?;
        Ok(Self { settings, mail, hooks })
    }

    /// The configuration.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends an e-mail. The same message a second time has the same `Message-ID`, and in the spool it is the same file.
    pub async fn mail(&self, mail: &Mail) -> Outcome {
        self.mail.send(mail).await
    }

    /// Calls a webhook. The same message a second time has the same `Chancery-Delivery`.
    pub async fn call(&self, webhook: &Webhook, now: Timestamp) -> Outcome {
        self.hooks.call(webhook, now).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_six_hours_and_end_after_three_days() {
        let settings = Settings::default();
        let begun = Timestamp::from_secs(1_000_000);
        let (mut now, mut tries, mut pauses) = (begun, 0, Vec::new());
        while let Some(next) = settings.next_try(begun, tries, now) {
            pauses.push(next.since(now).as_secs() / 60);
            (now, tries) = (next, tries + 1);
        }
        assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 360]);
        assert!(pauses[9..].iter().all(|pause| *pause == 360), "{pauses:?}");
        assert!(now.since(begun) > Duration::from_secs(66 * 3600), "{}", now.since(begun).as_secs());
    }
}
