//! What people do about certificates, as data: reviews, letters and reminders, and who is held to which of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};

use super::{Brand, Class, Product, ceiling};
use crate::domain::Timestamp;
use crate::policy::fault::Fault;

/// Reviews, letters and reminders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paperwork {
    /// How applications are reviewed.
    pub review: Review,
    /// The letters that are uploaded.
    pub letters: Vec<Letter>,
    /// Who may remind reviewers, and when.
    pub reminders: Reminders,
}

/// `[review]`: how applications are reviewed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Review {
    /// First and last business day on which an application of a type is normally decided (REVIEW-01, REVIEW-02, ISSUE-06).
    pub business_days: BTreeMap<Class, [u32; 2]>,
    /// Business days in which an organisation profile is normally decided (ORG-07).
    pub profile_business_days: u32,
    /// Days besides Saturday and Sunday on which nobody works (section 27).
    pub holidays: BTreeSet<Day>,
    /// How many reviewers must approve an application of a type; 1 unless said.
    pub approvers: BTreeMap<Class, u32>,
    /// What must be done, by the name that brands refer to.
    pub flows: BTreeMap<String, Flow>,
}

/// What must be done before a certificate that names an organisation is issued.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The steps, in their order (REVIEW-05 to REVIEW-07).
    pub steps: Vec<Step>,
    /// Least and most minutes that a pre-review takes (REVIEW-04).
    #[serde(default)]
    pub pre_review_minutes: Option<[u32; 2]>,
    /// Whether nobody needs to approve when an earlier certificate of the same type was obtained with the same data
    /// (REVIEW-09, X-23).
    #[serde(default)]
    pub same_data_skips_review: bool,
}

/// A step of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A person looks at the organisation first (REVIEW-04).
    PreReview,
    /// A sealed letter is uploaded (DOC-01, DOC-07).
    Letter,
    /// Control of every name is shown by ACME's challenges.
    Validation,
    /// A person approves (REVIEW-08).
    Review,
}

/// `[[letters]]`: a letter that is uploaded. Its size is a setting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The review flows whose products need it.
    pub flows: BTreeSet<String>,
    /// What kinds of files are taken (DOC-02, DOC-07).
    pub formats: BTreeSet<Format>,
    /// Whether a clear photo may stand for a scan (DOC-12).
    #[serde(default)]
    pub photo: bool,
    /// Whether another file may take its place.
    pub reupload: Reupload,
    /// Who needs none (DOC-04, DOC-11).
    #[serde(default)]
    pub exempt: Option<Exemption>,
    /// The brands that always need it (DOC-05).
    #[serde(default)]
    pub never_exempt: BTreeSet<String>,
    /// The rules that this rests on.
    #[serde(default)]
    pub basis: Vec<String>,
}

/// What a letter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A first application.
    Application,
    /// A renewal (DOC-09).
    Renewal,
    /// A revocation (DOC-10, DOC-11).
    Revocation,
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG.
    Jpg,
    /// PNG.
    Png,
    /// GIF.
    Gif,
    /// PDF.
    Pdf,
}

/// Whether a letter may be uploaded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reupload {
    /// The first is the only one (DOC-07, DOC-10).
    Never,
    /// Until it is decided (DOC-03).
    WhileInReview,
}

/// Who needs no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exemption {
    /// Whoever uses an approved organisation and administrator (DOC-04).
    ApprovedProfile,
    /// Whoever has automatic validation set up for the names (DOC-11).
    AutomaticValidation,
}

/// `[reminder]`: who may remind reviewers, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reminders {
    /// Hours to wait, by type (REMIND-02 to REMIND-04).
    pub wait_hours: BTreeMap<Class, u32>,
    /// From what those are counted.
    pub counts_from: BTreeMap<Class, CountsFrom>,
    /// For each brand the types that take reminders; a brand that is not here takes none (REMIND-01, REMIND-05).
    pub brands: BTreeMap<String, BTreeSet<Class>>,
}

/// From what the wait for a reminder is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountsFrom {
    /// From the submission of the application.
    Submission,
    /// From the upload of the letter; from the submission where none is needed (section 27).
    Letter,
}

/// When a product's reviewers may be reminded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminder {
    /// Hours to wait.
    pub wait_hours: u32,
    /// From when.
    pub counts_from: CountsFrom,
}

/// A day, as its first moment in UTC; written `2020-03-25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub Timestamp);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let start = (text.len() == 10).then(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))).flatten();
        start.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("\"{text}\" is not a day from 1970 on, written as \"2020-03-25\""))
        })
    }
}

impl Paperwork {
    /// The letter that products of a review flow need for a purpose.
    pub fn letter(&self, flow: &str, purpose: Purpose) -> Option<&Letter> {
        self.letters.iter().find(|letter| letter.purpose == purpose && letter.flows.contains(flow))
    }

    /// When the reviewers of a product may be reminded; none if they can't be (REMIND-01).
    pub fn reminder(&self, product: &Product) -> Option<Reminder> {
        let types = self.reminders.brands.get(product.brand.as_deref()?)?;
        types.get(&product.class).and_then(|class| {
            let (wait_hours, counts_from) =
                (self.reminders.wait_hours.get(class)?, self.reminders.counts_from.get(class)?);
            Some(Reminder { wait_hours: *wait_hours, counts_from: *counts_from })
        })
    }

    /// What is wrong with the values; `places` are those of the letters in the file.
    pub(super) fn faults(&self, places: &[usize], brands: &BTreeMap<String, Brand>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, key: String, reason: &str| {
            if !holds {
                faults.push(Fault::new(key, reason));
            }
        };
        let known = |brand: &String| brands.contains_key(brand);
        for (class, [first, last]) in &self.review.business_days {
            demand(
                first <= last && (1..=ceiling::REVIEW_DAYS).contains(last),
                format!("review.business_days.{}", class.id()),
                &format!("[{first}, {last}] is not a first and a last day of at most {}", ceiling::REVIEW_DAYS),
            );
        }
        for (class, count) in &self.review.approvers {
            let key = format!("review.approvers.{}", class.id());
            demand((1..=ceiling::APPROVERS).contains(count), key, "there are 1 to 5 reviewers who must agree");
        }
        for (name, flow) in &self.review.flows {
            let key = |key: &str| format!("review.flows.{name}.{key}");
            let mut once = flow.steps.clone();
            once.sort_unstable();
            once.dedup();
            demand(once.len() == flow.steps.len(), key("steps"), "a step is taken once");
            for (step, why) in [
                // Baseline Requirements 3.2.2.4 and 3.2.2.1: neither can be left out.
                (Step::Validation, "control of every name is always shown: name the step \"validation\""),
                (
                    Step::Review,
                    "a person always approves what names an organisation: name the step \"review\" (REVIEW-08)",
                ),
            ] {
                demand(flow.steps.contains(&step), key("steps"), why);
            }
            let minutes_fit = match flow.pre_review_minutes {
                Some([least, most]) => flow.steps.contains(&Step::PreReview) && least <= most,
                None => !flow.steps.contains(&Step::PreReview),
            };
            let why = "least and most minutes go with the step \"pre-review\", and with no other flow";
            demand(minutes_fit, key("pre_review_minutes"), why);
            let letter = !flow.steps.contains(&Step::Letter) || self.letter(name, Purpose::Application).is_some();
            demand(letter, key("steps"), "no letter with purpose \"application\" is for this flow (DOC-01)");
        }
        for (letter, place) in self.letters.iter().zip(places) {
            let key = |key: &str| format!("letters[{place}].{key}");
            let same = |other: &&Letter| other.id == letter.id;
            demand(
                super::file::is_id(&letter.id),
                key("id"),
                "this is not 1 to 64 lower-case letters, digits and hyphens",
            );
            demand(self.letters.iter().filter(same).count() == 1, key("id"), "this id stands there twice");
            demand(!letter.formats.is_empty(), key("formats"), "name at least one of jpg, png, gif and pdf");
            demand(!letter.flows.is_empty(), key("flows"), "name at least one of [review.flows]");
            for flow in letter.flows.iter().filter(|flow| !self.review.flows.contains_key(*flow)) {
                demand(false, key("flows"), &format!("there is no table [review.flows.{flow}]"));
            }
            for brand in letter.never_exempt.iter().filter(|brand| !known(brand)) {
                demand(false, key("never_exempt"), &format!("there is no brand \"{brand}\""));
            }
            let exempt = letter.exempt.is_some() || letter.never_exempt.is_empty();
            demand(exempt, key("never_exempt"), "nobody is exempt from this letter anyway");
        }
        for (class, hours) in &self.reminders.wait_hours {
            demand(
                *hours <= ceiling::REMINDER_HOURS,
                format!("reminder.wait_hours.{}", class.id()),
                &format!("{hours} is more than {}", ceiling::REMINDER_HOURS),
            );
        }
        for (brand, types) in &self.reminders.brands {
            let key = || format!("reminder.brands.{brand}");
            demand(known(brand), key(), &format!("there is no brand \"{brand}\""));
            for class in types {
                demand(class.is_paid(), key(), &format!("{class} certificates have no reminder (REMIND-06)"));
                let timed =
                    self.reminders.wait_hours.contains_key(class) && self.reminders.counts_from.contains_key(class);
                let why =
                    format!("say in reminder.wait_hours and reminder.counts_from when \"{}\" may remind", class.id());
                demand(timed, key(), &why);
            }
        }
        faults
    }
}
