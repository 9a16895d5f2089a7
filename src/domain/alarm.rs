//! Alarm policies: when a customer is warned of certificates that end, how often, and whom.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AlarmId, ChannelId, CustomerId, TemplateId, Timestamp};

/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// A policy for alarms before certificates end (NOTIFY-07, NOTIFY-09).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmPolicy {
    /// Its id.
    pub id: AlarmId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it is called.
    pub name: String,
    /// What its owner says about it.
    pub remark: String,
    /// What is monitored: certificates.
    pub monitoring_type: MonitoringType,
    /// What about them: the time of their end.
    pub policy_type: PolicyType,
    /// The project that it belongs to.
    pub project: String,
    /// Which certificates.
    pub objects: Objects,
    /// With fewer days left than these an alarm is raised.
    pub days: u32,
    /// Days between alarms for one certificate; 0: there is one only.
    pub interval_days: u32,
    /// Whom it goes to.
    pub template: TemplateId,
    /// When it was made.
    pub created: Timestamp,
}

/// What a policy monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MonitoringType {
    /// Certificates.
    SslCertificate,
}

/// What a policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// The time of the end.
    ExpirationTime,
}

/// The certificates of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objects {
    /// All that the customer has at the time.
    All,
    /// These: serials of issued ones, ids of uploaded ones.
    These(Vec<String>),
}

/// Whom alarms go to (NOTIFY-09).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What it is called.
    pub name: String,
    /// The channels; a webhook among them may set further automation in motion (NOTIFY-11).
    pub recipients: Vec<ChannelId>,
    /// When it was made.
    pub created: Timestamp,
}

impl AlarmPolicy {
    /// Whether it is for that certificate.
    pub fn is_for(&self, certificate: &str) -> bool {
        match &self.objects {
            Objects::All => true,
            Objects::These(these) => these.iter().any(|one| one == certificate),
        }
    }

    /// The moment of the alarm that is due for a certificate that ends then: the latest one. None before the first, and when
    /// the certificate has ended.
    pub fn due(&self, not_after: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let first = not_after - DAY * self.days;
        if now < first || not_after < now {
            return None;
        }
        match self.interval_days {
            0 => Some(first),
            // The first message is the threshold's, the others follow in steps.
            days => {
                let step = DAY * days;
                let steps = now.since(first).as_secs() / step.as_secs();
                Some(first + Duration::from_secs(steps * step.as_secs()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(days: u32, interval_days: u32) -> AlarmPolicy {
        AlarmPolicy {
            id: AlarmId::random(),
            customer: CustomerId::random(),
            name: "Ends".to_owned(),
            remark: String::new(),
            monitoring_type: MonitoringType::SslCertificate,
            policy_type: PolicyType::ExpirationTime,
            project: String::new(),
            objects: Objects::All,
            days,
            interval_days,
            template: TemplateId::random(),
            created: Timestamp::default(),
        }
    }

    #[test]
    fn alarms_are_due_from_the_threshold_on_in_steps_until_the_end() {
        let end = Timestamp::from_secs(100 * 86_400);
        let at = |days: u64| Timestamp::from_secs(days * 86_400);
        // NOTIFY-07, NOTIFY-08
        for (days, interval, now, due) in [
            (30, 0, 69, None),
            (30, 0, 70, Some(70)),
            (30, 0, 99, Some(70)),
            (30, 0, 101, None),
            (10, 3, 90, Some(90)),
            (10, 3, 92, Some(90)),
            (10, 3, 93, Some(93)),
            (10, 3, 99, Some(99)),
            (10, 1, 100, Some(100)),
        ] {
            assert_eq!(policy(days, interval).due(end, at(now)), due.map(at), "{days} {interval} {now}");
        }
    }
}
