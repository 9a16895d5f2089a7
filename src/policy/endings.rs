//! What customers are told of certificates that end: when, and in which words.

use super::catalog::days;
use crate::domain::Timestamp;

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Renewal is open (RENEW-02, RENEW-03).
    Open,
    /// Renewal has been open for a while (RENEW-04).
    Reminder,
    /// It has ended.
    Ended,
}

/// How a certificate is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// By a purchase.
    Paid,
    /// By a new application, free of charge (RENEW-10).
    Free,
    /// By a new order.
    Order,
    /// Elsewhere: it was uploaded.
    Elsewhere,
}

/// A certificate that ends.
#[derive(Debug, Clone)]
pub struct Ending<'a> {
    /// Its names.
    pub names: &'a [String],
    /// Its serial, or its id.
    pub certificate: &'a str,
    /// How it is renewed.
    pub renewal: Renewal,
    /// Its last second.
    pub not_after: Timestamp,
}

impl Stage {
    /// All of them, in their time.
    pub const ALL: [Self; 3] = [Self::Open, Self::Reminder, Self::Ended];

    /// What is to be told by now of a certificate whose renewal opens at `opens`: the latest, if anything. `offset_days` is
    /// the reminder's distance from the opening (RENEW-04, NOTIFY-05, X-30: the next day).
    pub fn at(opens: Timestamp, not_after: Timestamp, offset_days: u32, now: Timestamp) -> Option<Self> {
        if not_after < now {
            Some(Self::Ended)
        } else if opens + days(offset_days) <= now {
            Some(Self::Reminder)
        } else {
            (opens <= now).then_some(Self::Open)
        }
    }

    /// Its word.
    pub fn event(self) -> &'static str {
        match self {
            Self::Open => "renewal-open",
            Self::Reminder => "renewal-reminder",
            Self::Ended => "certificate-ended",
        }
    }
}

impl Ending<'_> {
    /// The first name, and how many others there are.
    fn called(&self) -> String {
        match self.names {
            [] => self.certificate.to_owned(),
            [one] => one.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        }
    }

    /// The line of the message for that stage.
    pub fn subject(&self, stage: Stage) -> String {
        let called = self.called();
        match stage {
            Stage::Open => format!("Renewal is open: the certificate for {called} ends on {}", self.day()),
            Stage::Reminder => format!("Reminder: renew the certificate for {called}, which ends on {}", self.day()),
            Stage::Ended => format!("The certificate for {called} has ended"),
        }
    }

    /// The line of an alarm (NOTIFY-07).
    pub fn alarm_subject(&self, now: Timestamp) -> String {
        format!("{} days left: the certificate for {} ends on {}", self.days_left(now), self.called(), self.day())
    }

    /// Whole days until the end.
    pub fn days_left(&self, now: Timestamp) -> u64 {
        if self.not_after < now { 0 } else { self.not_after.since(now).as_secs() / 86_400 }
    }

    fn day(&self) -> String {
        self.not_after.to_string().chars().take(10).collect()
    }

    /// What happens and what to do.
    pub fn text(&self, stage: Option<Stage>) -> String {
        let ends = match stage {
            Some(Stage::Ended) => "ended",
            _ => "ends",
        };
        let mut lines = vec![
            format!("The certificate {} for {} {ends} at {}.", self.certificate, self.names.join(", "), self.not_after),
            String::new(),
            // FAQ-06
            "If it is not renewed, browsers warn visitors, data may be exposed, the service is interrupted with the losses \
             that brings, and the site ranks lower in searches."
                .to_owned(),
            String::new(),
        ];
        lines.extend(self.advice().into_iter().map(|line| format!("- {line}")));
        lines.join("\n")
    }

    fn advice(&self) -> Vec<&'static str> {
        let mut told = match self.renewal {
            Renewal::Paid => vec![
                // RENEW-04, RENEW-12
                "Renew it now, at the latest 3 to 10 business days before it ends: the new order takes its time.",
                // RENEW-13
                "After the renewal the new order is submitted for review, issued and deployed anew.",
            ],
            // RENEW-10
            Renewal::Free => vec![
                "A free certificate is not renewed as it stands: apply for a new one, free of charge, and validate its \
                 names anew. Do so now.",
            ],
            Renewal::Order => vec!["Order a new certificate for the same names now."],
            Renewal::Elsewhere => {
                vec![
                    "It was issued by another CA: renew it there or order one here, and upload the new one. Do so now.",
                ]
            }
        };
        // RENEW-01, X-31, VALIDITY-05
        told.push(
            "A renewal is a new certificate. Install it in place of the old one, which keeps working until it ends.",
        );
        // RENEW-14
        told.push("How it is installed depends on its encryption standard and on your server's type.");
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reminder_follows_the_opening_by_the_offset() {
        let day = |count: u64| Timestamp::from_secs(count * 86_400);
        // RENEW-04, NOTIFY-05, X-30
        for (now, offset, stage) in [
            (69, 1, None),
            (70, 1, Some(Stage::Open)),
            (71, 1, Some(Stage::Reminder)),
            (71, 2, Some(Stage::Open)),
            (72, 2, Some(Stage::Reminder)),
            (100, 1, Some(Stage::Reminder)),
            (101, 1, Some(Stage::Ended)),
        ] {
            assert_eq!(Stage::at(day(70), day(100), offset, day(now)), stage, "{now} {offset}");
        }
    }
}
