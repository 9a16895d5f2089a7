//! What the store of a killed server holds, read without the server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chancery::domain::audit::{Act, AuditEvent};
use chancery::domain::authz::{Authorization, AuthzState};
use chancery::domain::certificate::Certificate;
use chancery::domain::job::{Job, Work};
use chancery::domain::order::{Order, Phase};
use chancery::domain::{JobId, OrderId, Serial};
use chancery::store::records::{Record, Records, SerialEntry};
use chancery::store::{self, Settings};

use super::ledger::{self, Step};
use super::load::Actor;

/// All that matters here of a store.
pub struct Ruins {
    orders: Vec<Order>,
    authzs: Vec<Authorization>,
    jobs: BTreeMap<JobId, Work>,
    certificates: BTreeMap<Serial, Certificate>,
    entries: BTreeMap<Serial, String>,
    audit: Vec<AuditEvent>,
}

impl Ruins {
    /// Looks at a copy, so that the server itself is the one who has to repair what it left behind.
    pub async fn of_copy(store: &Path) -> Self {
        let copy = tempfile::TempDir::new().unwrap();
        copy_all(store, copy.path());
        Self::of(copy.path()).await
    }

    /// Looks at a store that no server has open.
    pub async fn of(store: &Path) -> Self {
        let records = Records::new(store::open(&Settings { path: store.to_owned(), ..Settings::default() }).unwrap());
        let serials = all::<Certificate>(&records).await.into_iter().map(|held| (held.serial, held)).collect();
        Self {
            orders: all(&records).await,
            authzs: all(&records).await,
            jobs: all::<Job>(&records).await.into_iter().map(|job| (job.id, job.work)).collect(),
            certificates: serials,
            entries: all::<SerialEntry>(&records).await.into_iter().map(|held| (held.serial, held.purpose)).collect(),
            audit: audit(&records).await,
        }
    }

    /// Every debt has a job that will pay it, and every job has a debt.
    pub fn nothing_waits_in_vain(&self) {
        let mut owed = BTreeMap::new();
        for order in &self.orders {
            if let Phase::Issuing { job, .. } = &order.phase {
                owed.insert(job.clone(), format!("{}", order.id));
            }
        }
        for authz in &self.authzs {
            if let AuthzState::Pending { attempt: Some(attempt) } = &authz.state {
                owed.insert(attempt.job.clone(), format!("{}", authz.id));
            }
        }
        // A revocation owes lists, which are signed anew whether its job is still there or not.
        let owes = |work: &Work| !matches!(work, Work::PublishLists { .. });
        let jobs: BTreeSet<&JobId> = self.jobs.iter().filter(|(_, work)| owes(work)).map(|(id, _)| id).collect();
        assert_eq!(owed.keys().collect::<BTreeSet<_>>(), jobs, "owed: {owed:?}, jobs: {:?}", self.jobs);
    }

    /// The serials that may have been signed by the process that was killed, although no certificate is recorded.
    pub fn suspended(&self) -> Vec<Serial> {
        let suspended = self.orders.iter().filter_map(|order| match order.phase {
            Phase::Issuing { serial, .. } => Some(serial),
            _ => None,
        });
        suspended.collect()
    }

    /// How many certificates there are.
    pub fn certificates(&self) -> usize {
        self.certificates.len()
    }

    /// No serial may have been signed twice: each was recorded for one order before it was used, none was used after a
    /// process died over it, and every certificate has its one entry in the audit log.
    pub fn serials_were_used_once(&self, suspended: &[Serial]) {
        let mut issued = self.acts(|act| match act {
            Act::CertificateIssued { serial, order, .. } => Some((*serial, order.clone())),
            _ => None,
        });
        let mut orders = BTreeSet::new();
        for (serial, certificate) in &self.certificates {
            assert_eq!(self.entries.get(serial).map(String::as_str), Some(certificate.order.as_str()), "{serial}");
            assert!(orders.insert(certificate.order.as_str()), "order {} has two certificates", certificate.order);
            assert_eq!(issued.remove(serial).as_deref(), Some(&[certificate.order.clone()][..]), "{serial}");
        }
        assert!(issued.is_empty(), "issued without a certificate: {issued:?}");
        for serial in suspended {
            assert!(!self.certificates.contains_key(serial), "{serial} was used after a process died over it");
        }
        self.serials_are_accounted_for();
    }

    /// Each order's serials are that of its finalization and one more for each that was abandoned.
    fn serials_are_accounted_for(&self) {
        let abandoned = self.acts(|act| match act {
            Act::SerialAbandoned { serial, order } => Some((order.clone(), *serial)),
            _ => None,
        });
        for order in self.orders.iter().filter(|order| !matches!(order.phase, Phase::Open)) {
            let mut recorded: BTreeSet<Serial> =
                self.entries.iter().filter(|(_, purpose)| *purpose == order.id.as_str()).map(|(s, _)| *s).collect();
            for serial in abandoned.get(&order.id).into_iter().flatten() {
                assert!(recorded.remove(serial), "{serial} was abandoned, but never recorded for order {}", order.id);
                assert!(!self.certificates.contains_key(serial), "{serial} was abandoned and yet used");
            }
            let left: Vec<Serial> = recorded.into_iter().collect();
            match order.phase {
                Phase::Issued { serial, .. } | Phase::Issuing { serial, .. } => assert_eq!(left, [serial]),
                Phase::Open | Phase::Review { .. } | Phase::Failed { .. } => assert!(left.len() <= 1, "{left:?}"),
            }
        }
    }

    /// What clients hold is what the store holds.
    pub fn agree_with(&self, actors: &[Actor]) {
        for account in actors.iter().flat_map(Actor::accounts) {
            let account = account.lock();
            let downloaded = account.orders.iter().filter(|(_, order)| order.chain.is_some());
            downloaded.for_each(|(path, order)| self.agrees_with(path, order));
        }
    }

    fn agrees_with(&self, path: &str, order: &ledger::Order) {
        let serial = order.serial();
        let id: OrderId = path.rsplit('/').next().unwrap().parse().unwrap();
        let held = self.certificates.get(&serial).unwrap_or_else(|| panic!("{serial} of {path} is not in the store"));
        assert_eq!((&held.order, &held.der), (&id, &order.leaf()), "{path}");
        // Whatever was asked has been answered by now.
        assert_eq!(held.is_revoked(), order.revoked == Step::Done, "{path}");
    }

    fn acts<K: Ord, V>(&self, wanted: impl Fn(&Act) -> Option<(K, V)>) -> BTreeMap<K, Vec<V>> {
        let mut found: BTreeMap<K, Vec<V>> = BTreeMap::new();
        for (key, value) in self.audit.iter().filter_map(|event| wanted(&event.act)) {
            found.entry(key).or_default().push(value);
        }
        found
    }
}

async fn all<T: Record>(records: &Records) -> Vec<T> {
    let found = records.list::<T>(b"", None, usize::MAX).await.unwrap();
    found.into_iter().map(|stored| stored.into_value()).collect()
}

async fn audit(records: &Records) -> Vec<AuditEvent> {
    records.audit(None, usize::MAX).await.unwrap().into_iter().map(|(_, event)| event).collect()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
