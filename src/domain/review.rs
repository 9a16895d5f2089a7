//! The review desk: what people decide, what they wrote about it, and who has said what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ApplicationId, Error, Kind, OrderId, OrganisationId, PersonId, Result, RevocationId, Timestamp};

/// What waits at the desk. Written as `application:id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matter {
    /// An order with a sensitive word (WORD-05).
    Order(OrderId),
    /// An organisation profile (ORG-07).
    Organisation(OrganisationId),
    /// An administrator profile (DOC-04).
    Administrator(PersonId),
    /// An application, in its pre-review or its review (REVIEW-04 to REVIEW-07).
    Application(ApplicationId),
    /// A request for a revocation.
    Revocation(RevocationId),
}

impl Matter {
    /// The kind, as lists show it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Order(_) => "order",
            Self::Organisation(_) => "organisation",
            Self::Administrator(_) => "administrator",
            Self::Application(_) => "application",
            Self::Revocation(_) => "revocation",
        }
    }

    /// The id of the thing, which is that of its review.
    pub fn id(&self) -> &str {
        match self {
            Self::Order(id) => id.as_str(),
            Self::Organisation(id) => id.as_str(),
            Self::Administrator(id) => id.as_str(),
            Self::Application(id) => id.as_str(),
            Self::Revocation(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Matter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id())
    }
}

impl FromStr for Matter {
    type Err = ();

    /// Reads what `Display` writes; a bare id is an order's, as all were once.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            None => text.parse().map(Self::Order),
            Some(("order", id)) => id.parse().map(Self::Order),
            Some(("organisation", id)) => id.parse().map(Self::Organisation),
            Some(("administrator", id)) => id.parse().map(Self::Administrator),
            Some(("application", id)) => id.parse().map(Self::Application),
            Some(("revocation", id)) => id.parse().map(Self::Revocation),
            Some(_) => Err(()),
        }
    }
}

/// What was written about a matter: one file for each, made with the first entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseFile {
    /// The matter's id.
    pub id: String,
    /// Approvals, also those of earlier rounds.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What reviewers noted.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// When reviewers were reminded (REMIND-01).
    #[serde(default)]
    pub reminders: Vec<Timestamp>,
}

/// A reviewer's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they wrote.
    pub note: String,
    /// What they rest it on: where the number was found, who answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Since when the matter had waited.
    pub round: Timestamp,
    /// Whether that round was decided: then it counts no more.
    #[serde(default)]
    pub spent: bool,
}

/// What a reviewer noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
    /// Whether the customer could not be reached (ORG-12).
    #[serde(default)]
    pub unreachable: bool,
}

impl CaseFile {
    /// An empty file.
    pub fn of(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// The approvals that count in the round that began then.
    pub fn approvals_of(&self, round: Timestamp) -> impl Iterator<Item = &Approval> {
        self.approvals.iter().filter(move |approval| approval.round == round && !approval.spent)
    }

    /// The matter was decided: the next round begins without approvals.
    #[must_use]
    pub fn decided(mut self) -> Self {
        self.approvals.iter_mut().for_each(|approval| approval.spent = true);
        self
    }

    /// One more reviewer says yes: nobody counts twice in a round. The file, and how many have said so.
    pub fn approve(mut self, approval: Approval) -> Result<(Self, usize)> {
        let (round, by) = (approval.round, &approval.by);
        if self.approvals_of(round).any(|earlier| is_same_person(&earlier.by, by)) {
            return Err(Error::new(
                Kind::Conflict,
                format!("\"{by}\" has approved already; another reviewer must look at it too."),
            ));
        }
        self.approvals.push(approval);
        let count = self.approvals_of(round).count();
        Ok((self, count))
    }
}

/// Whether two names are of one person, as far as names tell. A person may hold several tokens, so ids say nothing, and the
/// operators' tokens may all be in one hand.
pub fn is_same_person(one: &str, other: &str) -> bool {
    let is_operator = |name: &str| name.split(' ').next() == Some("operator");
    (is_operator(one) && is_operator(other)) || person(one) == person(other)
}

/// The name alone of `role id (name)`.
fn person(by: &str) -> String {
    let named = by.split_once(" (").and_then(|(_, name)| name.strip_suffix(')'));
    named.unwrap_or(by).trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matters_round_trip_and_bare_ids_are_orders() {
        let id = OrderId::random();
        assert_eq!(id.as_str().parse(), Ok(Matter::Order(id.clone())));
        for matter in [
            Matter::Order(id),
            Matter::Organisation(OrganisationId::random()),
            Matter::Administrator(PersonId::random()),
            Matter::Application(ApplicationId::random()),
            Matter::Revocation(RevocationId::random()),
        ] {
            assert_eq!(matter.to_string().parse(), Ok(matter));
        }
        assert_eq!("other:x".parse::<Matter>(), Err(()));
    }

    #[test]
    fn nobody_approves_twice_in_a_round() {
        let yes = |by: &str, round| Approval {
            by: by.to_owned(),
            at: Timestamp::default(),
            note: String::new(),
            evidence: Vec::new(),
            round: Timestamp::from_secs(round),
            spent: false,
        };
        let (file, count) = CaseFile::of("x").approve(yes("a", 1)).unwrap();
        assert_eq!(count, 1);
        assert_eq!(file.clone().approve(yes("a", 1)).unwrap_err().kind(), Kind::Conflict);
        assert_eq!(file.clone().approve(yes("b", 1)).unwrap().1, 2);
        // Four eyes are those of two people, whatever tokens they hold.
        for (first, second, count) in [
            ("reviewer x (Wang)", "reviewer y (wang )", None),
            ("operator", "operator y (Wang)", None),
            ("operator x (Zhang)", "operator y (Wang)", None),
            ("operator x (Wang)", "reviewer y (Wang)", None),
            ("reviewer x (Wang)", "reviewer y (Wang (Li))", Some(2)),
            ("operator", "reviewer y (Wang)", Some(2)),
        ] {
            let (file, _) = CaseFile::of("x").approve(yes(first, 1)).unwrap();
            let made = file.approve(yes(second, 1)).ok().map(|(_, count)| count);
            assert_eq!(made, count, "{first}, {second}");
        }
        // What was approved before it was sent back counts no more.
        assert_eq!(file.clone().approve(yes("a", 2)).unwrap().1, 1);
        assert_eq!(file.decided().approve(yes("a", 1)).unwrap().1, 1);
    }
}
