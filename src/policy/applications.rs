//! What is to be done about an application, by the flow of its brand, and where it stands for its customer.

use std::time::Duration;

use super::calendar;
use super::catalog::{Catalog, Class, Exemption, Flow, Letter, Product, Purpose, Reupload, Step};
use super::status::Status;
use crate::domain::application::{Application, Known, Route, Stage, Task};
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

/// The letter of that kind of application, also where this one needs none.
pub fn letter_kind<'a>(catalog: &'a Catalog, product: &Product, renewal: bool) -> Option<&'a Letter> {
    let (name, _) = flow(catalog, product).ok()?;
    let purpose = if renewal { Purpose::Renewal } else { Purpose::Application };
    catalog.paperwork().letter(name, purpose)
}

/// What is to be done about an application before the domains alone decide.
pub fn route(catalog: &Catalog, product: &Product, facts: &Facts) -> Result<Route> {
    let (_, flow) = flow(catalog, product)?;
    let letter = letter(catalog, product, facts)?;
    // REVIEW-09, X-23
    let known = facts.same_data.clone().filter(|_| flow.same_data_skips_review);
    // REVIEW-05, REVIEW-06, REVIEW-07: the steps of the brand's flow, in their order.
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

/// How long an approval serves (Baseline Requirements 4.2.1).
pub const APPROVAL_DAYS: u32 = 398;

/// What a customer should know about what is to be done now.
pub fn hints(catalog: &Catalog, product: &Product, task: Option<Task>) -> Vec<String> {
    let Ok((_, flow)) = flow(catalog, product) else { return Vec::new() };
    let kinds = [false, true].into_iter().filter_map(|renewal| letter_kind(catalog, product, renewal));
    match task {
        None => Vec::new(),
        Some(Task::PreReview) => {
            let [least, most] = flow.pre_review_minutes.unwrap_or_default();
            vec![format!(
                "The pre-review takes {least} minutes to {} hours; order when it has passed (REVIEW-04).",
                most / 60
            )]
        }
        Some(Task::Letter) => kinds.take(1).map(|letter| letter_hint(catalog, letter)).collect(),
        Some(Task::Review) => review_hints(catalog, product, flow),
    }
}

fn review_hints(catalog: &Catalog, product: &Product, flow: &Flow) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some([first, last]) = catalog.paperwork().review.business_days.get(&product.class) {
        hints.push(format!(
            "The review of {} takes {first} to {last} business days (REVIEW-01, REVIEW-02, ISSUE-02).",
            product.class
        ));
    }
    // ORG-12
    hints.push(
        "Watch the telephone and the e-mail of the organisation and its contact: reviewers use them (ORG-12)."
            .to_owned(),
    );
    hints.push(match flow.steps.contains(&Step::PreReview) {
        true => "The reviewer calls from the US, at the number of the business registration (ORG-11).".to_owned(),
        false if flow.same_data_skips_review => {
            "It is issued when domain validation and manual approval have both passed (REVIEW-08).".to_owned()
        }
        false => {
            "Expect the reviewer's call and the domain confirmation e-mail; the letter is confirmed offline by the \
                  seller's staff and the CA (REVIEW-07, REVIEW-10, REVIEW-14)."
                .to_owned()
        }
    });
    let mails = letter_kind(catalog, product, false)
        .is_some_and(|letter| product.brand.as_ref().is_some_and(|brand| letter.never_exempt.contains(brand)));
    if mails && is_extended(product) {
        hints.push(
            "The CA mails review papers of its own within 2 to 3 business days; answer them by mail, they are not uploaded \
             here (DOC-06)."
                .to_owned(),
        );
    }
    hints.push("E-mails of the CA can arrive before the status changes; it follows (REVIEW-12).".to_owned());
    hints
}

fn letter_hint(catalog: &Catalog, letter: &Letter) -> String {
    let photo = if letter.photo { "; a clear photo is accepted in place of a scan (DOC-12)" } else { "" };
    let again = match letter.reupload {
        Reupload::Never => "It can be uploaded once and not be replaced (DOC-07)",
        Reupload::WhileInReview => "While it is being reviewed it may be uploaded again (DOC-03)",
    };
    format!("{}{photo}. {again}.", letter_files(catalog, letter))
}

/// What files a letter may be: "Use JPG, PNG or PDF up to 1.4 MB".
pub fn letter_files(catalog: &Catalog, letter: &Letter) -> String {
    let names: Vec<String> = letter.formats.iter().map(|format| format!("{format:?}").to_uppercase()).collect();
    let listed = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    };
    let bytes = catalog.settings().letter_max_bytes;
    let rule = match (letter.purpose, letter.reupload) {
        (Purpose::Revocation, Reupload::Never) => "DOC-10",
        (Purpose::Revocation, Reupload::WhileInReview) => "DOC-11",
        (_, Reupload::Never) => "DOC-07",
        (_, Reupload::WhileInReview) => "DOC-02",
    };
    format!("Use {listed} up to {:.1} MB ({rule})", f64::from(bytes) / 1_000_000.0)
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
