//! The CA's own keys: told to the audit log, used without holding others up, and the lists of offline roots watched.

use crate::ca::ceremony::LIST_WARNING;
use crate::ca::{Prepared, Signed};
use crate::domain::audit::Act;
use crate::domain::{Error, Result};
use crate::store::records::Batch;
use crate::telemetry;

use super::Ra;

impl Ra {
    /// Signs what was prepared. A device may take its time, and then another thread waits for it.
    pub(super) async fn signed(&self, prepared: Prepared) -> Result<Signed> {
        if !prepared.waits() {
            return self.ca.sign(prepared);
        }
        let ca = self.ca.clone();
        tokio::task::spawn_blocking(move || ca.sign(prepared)).await.map_err(Error::internal)?
    }

    /// Records which keys the CA has opened, and where they are (Baseline Requirements 5.4.1).
    pub async fn record_keys(&self) -> Result<()> {
        let loaded = self.ca.loaded();
        for key in &loaded {
            tracing::info!(name = key.name, place = key.place, key_identifier = key.key_identifier, "a key of the CA");
        }
        let line = |key: &crate::ca::LoadedKey| {
            format!("{}: {}, key identifier {}, SHA-256 {}", key.name, key.place, key.key_identifier, key.sha256)
        };
        let act = Act::KeysLoaded { keys: loaded.iter().map(line).collect() };
        Ok(self.records.commit(Batch::of(act, self.now())).await?)
    }

    /// Looks how long the lists that offline roots signed ahead are still good for; tells operators in time.
    pub async fn watch_root_lists(&self) {
        let (now, ca) = (self.now(), self.ca.clone());
        let Ok(lists) = tokio::task::spawn_blocking(move || ca.presigned_lists()).await else { return };
        for (root, until) in lists {
            let left = until.filter(|until| now < *until).map(|until| until.since(now)).unwrap_or_default();
            metrics::gauge!(telemetry::ROOT_CRL_SECONDS, "root" => root.clone()).set(left.as_secs_f64());
            if left < LIST_WARNING {
                let until = until.map_or_else(|| "never".to_owned(), |until| until.to_string());
                tracing::warn!(
                    root,
                    until,
                    "the revocation list of an offline root ends soon: sign the next one (chancery ceremony crl) and put it \
                     in place (chancery ceremony install)"
                );
            }
        }
    }
}
