//! What is to be done about an application, by the flow of its brand, and where it stands for its customer.

use std::time::Duration;

use super::calendar;
use super::catalog::{Catalog, Class, Exemption, Flow, Letter, Product, Purpose, Reupload, Step};
use super::status::Status;
use crate::domain::application::{Application, Known, Route, Stage, Task};
use crate::domain::order::OrderStatus;
use crate::domain::organisation::Organisation;
use crate::domain::{Error, Kind, Result, Timestamp};

/// What the route of an application depends on besides its product.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whether it continues an earlier one.
    pub renewal: bool,
    /// Whether organisation and administrator are approved entries of the customer's profile (DOC-04).
    pub approved_profile: bool,
    /// The approval that the same data had before, for the same type of certificate (REVIEW-09).
    pub same_data: Option<Known>,
}

/// The flow of a product's brand, and its name.
pub fn flow<'a>(catalog: &'a Catalog, product: &'a Product) -> Result<(&'a str, &'a Flow)> {
    let brand = product.brand.as_deref().and_then(|id| catalog.brand(id));
    let name = brand.and_then(|brand| brand.review_flow.as_deref());
    name.zip(catalog.review_flow(product)).ok_or_else(|| {
        Error::new(
            Kind::Conflict,
            format!(
                "\"{}\" takes no application data: its order is the application, and a validated one is issued (REVIEW-03).",
                product.id
            ),
        )
    })
}

/// The letter that an application needs; none: no letter.
pub fn letter<'a>(catalog: &'a Catalog, product: &Product, facts: &Facts) -> Result<Option<&'a Letter>> {
    let (name, flow) = flow(catalog, product)?;
    if !flow.steps.contains(&Step::Letter) {
        // DOC-08
        return Ok(None);
    }
    // DOC-09: a renewal has a letter of its own kind, or none.
    let purpose = if facts.renewal { Purpose::Renewal } else { Purpose::Application };
    let needed = |letter: &&Letter| {
        // DOC-05, DOC-06: GlobalSign always has one; what it mails itself comes on top and is not uploaded here.
        let never = product.brand.as_ref().is_some_and(|brand| letter.never_exempt.contains(brand));
        // DOC-04
        let exempt = letter.exempt == Some(Exemption::ApprovedProfile) && facts.approved_profile;
        // the setting says whether its EV papers are mailed only.
        let mailed = never && is_extended(product) && !catalog.settings().globalsign_ev_letter;
        !mailed && (never || !exempt)
    };
    Ok(catalog.paperwork().letter(name, purpose).filter(needed))
}

/// What is to be done about an application before the domains alone decide.
pub fn route(catalog: &Catalog, product: &Product, facts: &Facts) -> Result<Route> {
    let (_, flow) = flow(catalog, product)?;
    let letter = letter(catalog, product, facts)?;
    // REVIEW-09, X-23
    let known = facts.same_data.clone().filter(|_| flow.same_data_skips_review);
    let tasks = flow.steps.iter().filter_map(|step| match step {
        Step::PreReview => Some(Task::PreReview),
        Step::Letter => letter.map(|_| Task::Letter),
        Step::Validation => None,
        Step::Review => known.is_none().then_some(Task::Review),
    });
    let mut tasks: Vec<Task> = tasks.collect();
    // The letter of data that are known is still looked at.
    if tasks.contains(&Task::Letter) && !tasks.contains(&Task::Review) {
        tasks.push(Task::Review);
    }
    Ok(Route { tasks, known })
}

/// Whether a letter may be uploaded in the place of another (DOC-03, DOC-07).
pub fn replaceable(letter: &Letter) -> bool {
    letter.reupload == Reupload::WhileInReview
}

/// Whether certificates of a product say where the organisation is registered.
pub fn is_extended(product: &Product) -> bool {
    matches!(product.class, Class::Ev | Class::EvPro)
}

/// Whether an organisation can stand in a product's certificates.
pub fn accept_organisation(product: &Product, organisation: &Organisation) -> Result<()> {
    if let crate::domain::organisation::Standing::Refused { reason, .. } = &organisation.standing {
        return Err(Error::malformed(format!(
            "The organisation profile was refused: {reason}. Make another one under /profiles/organisations (ORG-06, ORG-13)."
        )));
    }
    if is_extended(product) && organisation.facts.registration.is_none() {
        return Err(Error::malformed(
            "An EV certificate says where its organisation is registered: make a profile with \"registration\" under \
             /profiles/organisations (ORG-13).",
        ));
    }
    Ok(())
}

/// First and last moment at which people are expected to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Hardly before.
    pub first: Timestamp,
    /// Normally by then.
    pub last: Timestamp,
}

/// When a task of an application that waits since then is expected to be done.
pub fn expected(catalog: &Catalog, product: &Product, task: Task, since: Timestamp) -> Option<Expected> {
    let review = &catalog.paperwork().review;
    let minutes = |count: u32| since + Duration::from_secs(u64::from(count) * 60);
    match task {
        Task::Letter => None,
        // REVIEW-04
        Task::PreReview => {
            let [least, most] = flow(catalog, product).ok()?.1.pre_review_minutes?;
            Some(Expected { first: minutes(least), last: minutes(most) })
        }
        // REVIEW-01, REVIEW-02, ISSUE-02
        Task::Review => {
            let [first, last] = *review.business_days.get(&product.class)?;
            let after = |count| calendar::later(since, count, &review.holidays);
            Some(Expected { first: after(first), last: after(last) })
        }
    }
}

/// How many reviewers must approve what is of that type.
pub fn approvers(catalog: &Catalog, class: Class) -> usize {
    catalog.paperwork().review.approvers.get(&class).copied().unwrap_or(1) as usize
}

/// The status of an application for which nothing was ordered yet, or none, in the canonical words.
pub fn status(application: Option<&Application>) -> Status {
    let Some(application) = application else { return Status::PendingSubmission };
    match &application.stage {
        Stage::Open { task: Task::PreReview, .. } => Status::PreReview,
        Stage::Open { task: Task::Letter, .. } => Status::PendingLetter,
        // REVIEW-10: from there on it is called pending validation, whoever is behind.
        Stage::Open { task: Task::Review, .. } | Stage::Approved { .. } => Status::PendingValidation,
        Stage::Refused { .. } => Status::ReviewFailed,
    }
}

/// The five stages that a customer sees (BUY-09).
pub const STAGES: [&str; 5] =
    ["information", "choice of method", "domain validation", "waiting for the CA", "issue"];

/// How many of the five stages are done.
pub fn stages_done(application: Option<&Application>, order: Option<(OrderStatus, bool)>) -> usize {
    let filled = application.is_some_and(|application| {
        matches!(application.stage, Stage::Approved { .. } | Stage::Open { task: Task::Review, .. })
    });
    match order {
        _ if !filled => 0,
        None | Some((OrderStatus::Invalid, _)) => 1,
        Some((OrderStatus::Pending, tried)) => 1 + usize::from(tried),
        Some((OrderStatus::Ready, _)) => 3,
        Some((OrderStatus::Processing, _)) => 3,
        Some((OrderStatus::Valid, _)) => 5,
    }
}

/// Why nothing can be ordered on an application yet; none if it can.
pub fn stops_order(application: &Application) -> Option<Error> {
    let told = match &application.stage {
        // REVIEW-04
        Stage::Open { task: Task::PreReview, since, .. } => {
            format!("Pre-review pending since {since}. Order again when it has passed (REVIEW-04).")
        }
        Stage::Refused { reason, .. } => review_failed(reason),
        Stage::Open { .. } | Stage::Approved { .. } => return None,
    };
    Some(Error::new(Kind::UserActionRequired, told))
}

/// Why an order can't be finalized yet; none if reviewers have, or had, everything.
pub fn stops_finalize(application: &Application) -> Option<Error> {
    match &application.stage {
        Stage::Open { task: Task::Letter, .. } => Some(Error::new(
            Kind::UserActionRequired,
            format!(
                "Upload the confirmation letter at /api/v1/purchases/{}/letter, then finalize again; the order stays ready \
                 (DOC-01).",
                application.purchase
            ),
        )),
        _ => stops_order(application),
    }
}

/// What a customer is told whose application was refused (REVIEW-11).
pub fn review_failed(reason: &str) -> String {
    format!("Review failed: {reason}; edit and resubmit (REVIEW-11).")
}
