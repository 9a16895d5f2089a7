//! The application for a certificate that names an organisation: its data, its letter, and how far people have come with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ApplicationId, CustomerId, DocumentId, Error, Identifier, Kind, OrganisationId, PersonId, PurchaseId, Result,
    Timestamp,
};

/// The application for one term of a purchase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Who applies.
    pub customer: CustomerId,
    /// What was paid.
    pub purchase: PurchaseId,
    /// Which year of it, from 1.
    pub term: u32,
    /// The product.
    pub product: String,
    /// What was filled in.
    pub form: Form,
    /// The application that it continues: its form was taken over (RENEW-05).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<ApplicationId>,
    /// How often it was submitted or changed, from 1.
    pub revision: u32,
    /// When it was submitted, the last time.
    pub submitted: Timestamp,
    /// The letter that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<Letter>,
    /// How far it has come.
    pub stage: Stage,
    /// What happened to it, oldest first.
    pub history: Vec<Happening>,
}

/// What a customer fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The organisation that the certificate names.
    pub organisation: OrganisationId,
    /// Who answers for the application.
    pub administrator: PersonId,
    /// Who is called and written to; may be the same data (ORG-03).
    pub contact: PersonId,
    /// The names that are to be ordered, as far as they were told (BUY-05).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Identifier>,
}

/// A letter that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Where it is kept.
    pub document: DocumentId,
    /// What kind of file it is, by its content: `pdf`.
    pub format: String,
    /// Octets.
    pub size: u64,
    /// When it came.
    pub at: Timestamp,
}

/// What is left to be done before the domains alone decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// A reviewer looks at the organisation first (REVIEW-04).
    PreReview,
    /// The customer uploads the letter (DOC-01).
    Letter,
    /// Reviewers decide (REVIEW-08).
    Review,
}

/// How far an application has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Stage {
    /// Something is to be done.
    Open {
        /// What.
        task: Task,
        /// Since when.
        since: Timestamp,
        /// What comes after it.
        then: Vec<Task>,
    },
    /// Nothing stands in the way of certificates.
    Approved {
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
        /// Until then it serves (Baseline Requirements 4.2.1).
        until: Timestamp,
    },
    /// Reviewers said no (REVIEW-11).
    Refused {
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
}

/// Something that happened to an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What: `submitted`, `letter-uploaded`, `pre-review-passed`, `approved`, `refused`, `carried-over`, `reopened`,
    /// `canceled`.
    pub event: String,
    /// Who did it, or why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// An approval that an application begins with, because the same data were approved before (REVIEW-09).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// By whom, or why.
    pub by: String,
    /// Until then it serves.
    pub until: Timestamp,
}

/// What an application is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Who applies.
    pub customer: CustomerId,
    /// What was paid.
    pub purchase: PurchaseId,
    /// Which year of it.
    pub term: u32,
    /// The product.
    pub product: String,
    /// The application that it continues.
    pub renews: Option<ApplicationId>,
}

/// What is to be done about a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The tasks, in their order.
    pub tasks: Vec<Task>,
    /// The approval that counts once these are done, if nobody needs to decide.
    pub known: Option<Known>,
}

impl Application {
    /// A submitted application (BUY-03).
    pub fn submit(of: Subject, form: Form, route: Route, now: Timestamp) -> Self {
        let event = if of.renews.is_some() { "carried-over" } else { "submitted" };
        let application = Self {
            id: ApplicationId::random(),
            customer: of.customer,
            purchase: of.purchase,
            term: of.term,
            product: of.product,
            form,
            renews: of.renews,
            revision: 1,
            submitted: now,
            letter: None,
            stage: begin(route, now),
            history: Vec::new(),
        };
        application.noted(event, String::new(), now)
    }

    /// The application with another form, from the beginning (REVIEW-11); not while reviewers have it or have approved it.
    pub fn resubmit(self, form: Form, route: Route, now: Timestamp) -> Result<Self> {
        match &self.stage {
            Stage::Refused { .. } | Stage::Open { task: Task::Letter | Task::PreReview, .. } => {}
            Stage::Approved { until, .. } if *until <= now => {}
            Stage::Open { task: Task::Review, .. } => {
                return Err(conflict(
                    "The application is being reviewed; it can be changed if the review fails (REVIEW-11).",
                ));
            }
            Stage::Approved { .. } => {
                return Err(conflict("The application was approved; other data need a new purchase (REVIEW-11)."));
            }
        }
        // The letter confirmed what was written before.
        let stage = begin(route, self.next_round(now));
        let changed = Self { form, letter: None, submitted: now, stage, ..self };
        Ok(changed.noted("submitted", String::new(), now))
    }

    /// A letter came; whether another may take its place is the flow's matter (DOC-03, DOC-07).
    pub fn upload(mut self, letter: Letter, replaceable: bool, now: Timestamp) -> Result<Self> {
        let again = self.next_round(now);
        match (&mut self.stage, &self.letter) {
            (Stage::Open { task: Task::Letter, .. }, _) => self.stage = self.next(now)?,
            // Who approved the letter before has not seen this one: the review begins anew.
            (Stage::Open { task: Task::Review, since, .. }, Some(_)) if replaceable => *since = again,
            (Stage::Open { .. }, Some(_)) => {
                return Err(conflict("The letter was already uploaded and cannot be replaced (DOC-07)."));
            }
            (Stage::Open { task: Task::PreReview, .. }, None) => {
                return Err(conflict("The pre-review comes first (REVIEW-05)."));
            }
            (Stage::Open { task: Task::Review, .. }, None) => {
                return Err(conflict("No letter is needed for this application (DOC-04, DOC-08, DOC-09)."));
            }
            (Stage::Approved { .. }, _) => {
                return Err(conflict("The application was approved; its letter stays (DOC-03)."));
            }
            (Stage::Refused { .. }, _) => {
                return Err(conflict("The review failed; edit and resubmit the application first (REVIEW-11)."));
            }
        }
        let document = letter.document.to_string();
        self.letter = Some(letter);
        Ok(self.noted("letter-uploaded", document, now))
    }

    /// A reviewer passed the pre-review (REVIEW-04).
    pub fn pass(mut self, by: &str, now: Timestamp) -> Result<Self> {
        match self.stage {
            Stage::Open { task: Task::PreReview, .. } => self.stage = self.next(now)?,
            _ => return Err(undecidable()),
        }
        Ok(self.noted("pre-review-passed", by.to_owned(), now))
    }

    /// Reviewers approved.
    pub fn approve(mut self, by: &str, until: Timestamp, now: Timestamp) -> Result<Self> {
        match self.stage {
            Stage::Open { task: Task::Review, .. } => {
                self.stage = Stage::Approved { at: now, by: by.to_owned(), until };
            }
            _ => return Err(undecidable()),
        }
        Ok(self.noted("approved", by.to_owned(), now))
    }

    /// A reviewer refused, in the pre-review or in the review.
    pub fn refuse(mut self, by: &str, reason: &str, now: Timestamp) -> Result<Self> {
        if self.waits_since().is_none() {
            return Err(undecidable());
        }
        self.stage = Stage::Refused { at: now, by: by.to_owned(), reason: reason.to_owned() };
        Ok(self.noted("refused", reason.to_owned(), now))
    }

    /// Its customer gave it up with the purchase: nobody has to look at it any more (DELETE-03).
    #[must_use]
    pub fn cancel(mut self, now: Timestamp) -> Self {
        let Stage::Open { .. } = self.stage else { return self };
        let reason = "The application was canceled by its customer.".to_owned();
        self.stage = Stage::Refused { at: now, by: "customer".to_owned(), reason };
        self.noted("canceled", String::new(), now)
    }

    /// The approval is too old to serve: reviewers look again (Baseline Requirements 4.2.1).
    pub fn reopen(mut self, now: Timestamp) -> Result<Self> {
        match self.stage {
            Stage::Approved { until, .. } if until <= now => {
                self.stage = Stage::Open { task: Task::Review, since: now, then: Vec::new() };
                Ok(self.noted("reopened", String::new(), now))
            }
            _ => Err(undecidable()),
        }
    }

    /// Whether an application with that form renews this one: it was approved, for the same organisation (RENEW-05).
    pub fn is_renewed_by(&self, form: &Form) -> bool {
        matches!(self.stage, Stage::Approved { .. }) && self.form.organisation == form.organisation
    }

    /// Since when it waits for a reviewer; none if it does not.
    pub fn waits_since(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Open { task: Task::PreReview | Task::Review, since, .. } => Some(*since),
            _ => None,
        }
    }

    /// When a round of review begins at `now`: after the one that it takes the place of, whatever the clock says, since
    /// approvals are counted by the beginning of their round.
    fn next_round(&self, now: Timestamp) -> Timestamp {
        self.waits_since().map_or(now, |since| now.max(since + Duration::from_millis(1)))
    }

    /// Whether certificates may be issued on it at `now`.
    pub fn serves(&self, now: Timestamp) -> bool {
        matches!(&self.stage, Stage::Approved { until, .. } if now < *until)
    }

    /// What is to be done now, if something is.
    pub fn task(&self) -> Option<Task> {
        match &self.stage {
            Stage::Open { task, .. } => Some(*task),
            Stage::Approved { .. } | Stage::Refused { .. } => None,
        }
    }

    fn next(&self, now: Timestamp) -> Result<Stage> {
        match &self.stage {
            Stage::Open { then, .. } => match then.split_first() {
                Some((task, then)) => Ok(Stage::Open { task: *task, since: self.next_round(now), then: then.to_vec() }),
                None => Err(Error::internal(format!("application {} has no task left", self.id))),
            },
            _ => Err(undecidable()),
        }
    }

    fn noted(mut self, event: &str, note: String, now: Timestamp) -> Self {
        if !self.history.is_empty() {
            self.revision += 1;
        }
        self.history.push(Happening { at: now, event: event.to_owned(), note });
        self
    }
}

fn begin(route: Route, now: Timestamp) -> Stage {
    match (route.tasks.split_first(), route.known) {
        (Some((task, then)), _) => Stage::Open { task: *task, since: now, then: then.to_vec() },
        (None, Some(Known { by, until })) => Stage::Approved { at: now, by, until },
        (None, None) => Stage::Open { task: Task::Review, since: now, then: Vec::new() },
    }
}

fn conflict(told: &str) -> Error {
    Error::new(Kind::Conflict, told)
}

fn undecidable() -> Error {
    conflict("The application is not waiting for a review.")
}
