//! Organisations and people as customers keep them on file, and what of an organisation stands in certificates.

use serde::{Deserialize, Serialize};

use super::{CustomerId, Error, OrganisationId, PersonId, Result, Timestamp, country};

/// An organisation profile. It never changes but for its standing, and is never deleted: who has other data makes another
/// one (ORG-06).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Whose profile it is.
    pub customer: CustomerId,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: OrganisationFacts,
    /// When it was submitted.
    pub created: Timestamp,
    /// What reviewers found.
    pub standing: Standing,
}

/// What a customer tells of an organisation (ORG-01).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganisationFacts {
    /// Its full name, as it is registered.
    pub name: String,
    /// The department that applies; people are told, certificates are not (Baseline Requirements 7.1.4.2).
    pub department: String,
    /// Street and number.
    pub address: String,
    /// City or place.
    pub locality: String,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Country, two capital letters (ISO 3166).
    pub country: String,
    /// Landline on which it is reached (ORG-09).
    pub phone: String,
    /// What an EV certificate says besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
}

/// What reviewers found of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Standing {
    /// It waits for a person (ORG-07).
    Submitted {
        /// Since when.
        since: Timestamp,
    },
    /// It was found right.
    Approved {
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
        /// What they wrote.
        note: String,
    },
    /// It was found wrong.
    Refused {
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
}

/// A person whom reviewers turn to (ORG-02, ORG-03).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// Whose profile it is.
    pub customer: CustomerId,
    /// What the person does for the application.
    pub role: Role,
    /// What is known of them.
    #[serde(flatten)]
    pub facts: PersonFacts,
    /// When it was submitted.
    pub created: Timestamp,
    /// What reviewers found.
    pub standing: Standing,
}

/// What a person does for an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers for the application (ORG-02).
    Administrator,
    /// Is called and written to (ORG-03).
    Contact,
}

/// What a customer tells of a person (ORG-02).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonFacts {
    /// Full name.
    pub name: String,
    /// Position in the organisation.
    pub position: String,
    /// Telephone.
    pub phone: String,
    /// E-mail address.
    pub email: String,
}

/// The subject of an OV or EV certificate (Baseline Requirements 7.1.2.7.4 and 7.1.2.7.5). There is no organisational unit:
/// those are forbidden since 2022-09-01.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The full legal name, at most 64 characters.
    pub organisation: String,
    /// Street and number.
    pub street: Option<String>,
    /// City or town; this or `state` is there.
    pub locality: Option<String>,
    /// State or province.
    pub state: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1, two capital letters.
    pub country: String,
    /// What only EV certificates name.
    pub ev: Option<EvSubject>,
}

/// What EV certificates say of an organisation besides (EV Guidelines 7.1.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvSubject {
    /// One of the four phrases of EV Guidelines 7.1.4.2.3.
    pub business_category: String,
    /// Where it is registered: ISO 3166-1, two capital letters.
    pub jurisdiction_country: String,
    /// State or province of the register, if it is kept at that level.
    pub jurisdiction_state: Option<String>,
    /// City of the register, if it is kept at that level.
    pub jurisdiction_locality: Option<String>,
    /// Its number in the register.
    pub registration_number: String,
}

/// Where and as what an organisation is registered, which EV certificates tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// What kind of organisation it is.
    pub business_category: BusinessCategory,
    /// Where it is registered.
    pub jurisdiction: Jurisdiction,
    /// Under which number.
    pub registration_number: String,
}

/// Kinds of organisations (EV Guidelines 7.1.4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BusinessCategory {
    #[serde(rename = "Private Organization")]
    Private,
    #[serde(rename = "Government Entity")]
    Government,
    #[serde(rename = "Business Entity")]
    Business,
    #[serde(rename = "Non-Commercial Entity")]
    NonCommercial,
}

/// Where an organisation is registered; a place is in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jurisdiction {
    /// Country, two capital letters.
    pub country: String,
    /// State or province, where it is registered there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Place, where it is registered there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
}

impl BusinessCategory {
    /// As certificates have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "Private Organization",
            Self::Government => "Government Entity",
            Self::Business => "Business Entity",
            Self::NonCommercial => "Non-Commercial Entity",
        }
    }
}

impl Role {
    /// What it is called in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Contact => "contact",
        }
    }
}

impl Standing {
    /// Whether a person found it right.
    pub fn is_approved(&self) -> bool {
        matches!(self, Self::Approved { .. })
    }

    /// Since when it waits for a person; none if it does not.
    pub fn waits_since(&self) -> Option<Timestamp> {
        match self {
            Self::Submitted { since } => Some(*since),
            Self::Approved { .. } | Self::Refused { .. } => None,
        }
    }

    /// The word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Approved { .. } => "approved",
            Self::Refused { .. } => "refused",
        }
    }

    /// A person found the profile right; of two decisions the first counts.
    pub fn approve(self, by: &str, note: &str, now: Timestamp) -> Result<Self> {
        self.undecided()?;
        Ok(Self::Approved { at: now, by: by.to_owned(), note: note.to_owned() })
    }

    /// A person found it wrong.
    pub fn refuse(self, by: &str, reason: &str, now: Timestamp) -> Result<Self> {
        self.undecided()?;
        Ok(Self::Refused { at: now, by: by.to_owned(), reason: reason.to_owned() })
    }

    fn undecided(&self) -> Result<()> {
        match self {
            Self::Submitted { .. } => Ok(()),
            decided => Err(Error::new(
                super::Kind::Conflict,
                format!("The profile is not waiting for a review: it is {} (ORG-06).", decided.as_str()),
            )),
        }
    }
}

/// Whether a text only says that there is none, which stands in no certificate (Baseline Requirements 7.1.4.2: metadata such
/// as ".", "-" and " ", or other indications that a field is absent or does not apply).
pub fn says_nothing(text: &str) -> bool {
    const WORDS: [&str; 7] = ["n/a", "none", "null", "nil", "not applicable", "unknown", "undefined"];
    !text.chars().any(char::is_alphanumeric) || WORDS.contains(&text.to_ascii_lowercase().as_str())
}

impl OrganisationFacts {
    /// The same without blanks around the values, if nothing is missing and each value fits into a certificate.
    pub fn checked(self) -> Result<Self> {
        let mut fields = Fields::default();
        let facts = Self {
            name: fields.needed("name", &self.name, 64),
            department: fields.needed("department", &self.department, 64),
            address: fields.needed("address", &self.address, 128),
            locality: fields.needed("locality", &self.locality, 128),
            state: fields.optional("state", self.state.as_deref(), 128),
            postal_code: fields.optional("postal_code", self.postal_code.as_deref(), 40),
            country: fields.country("country", &self.country),
            phone: fields.phone("phone", &self.phone),
            registration: self.registration.map(|registration| fields.registration(registration)),
        };
        fields.result("ORG-01").map(|()| facts)
    }
}

impl Organisation {
    /// What certificates say of it; of an EV certificate with its registration.
    pub fn subject(&self, ev: bool) -> Subject {
        let OrganisationFacts { name, address, locality, state, postal_code, country, registration, .. } =
            self.facts.clone();
        Subject {
            organisation: name,
            street: Some(address),
            locality: Some(locality),
            state,
            postal_code,
            country,
            ev: registration.filter(|_| ev).map(EvSubject::from),
        }
    }
}

impl From<Registration> for EvSubject {
    fn from(Registration { business_category, jurisdiction, registration_number }: Registration) -> Self {
        let Jurisdiction { country, state, locality } = jurisdiction;
        Self {
            business_category: business_category.as_str().to_owned(),
            jurisdiction_country: country,
            jurisdiction_state: state,
            jurisdiction_locality: locality,
            registration_number,
        }
    }
}

impl PersonFacts {
    /// The same without blanks around the values, if nothing is missing.
    pub fn checked(self) -> Result<Self> {
        let mut fields = Fields::default();
        let facts = Self {
            name: fields.needed("name", &self.name, 64),
            position: fields.needed("position", &self.position, 64),
            phone: fields.phone("phone", &self.phone),
            email: fields.email("email", &self.email),
        };
        fields.result("ORG-02").map(|()| facts)
    }
}

/// Goes through the fields of a form and keeps what is wrong with them.
#[derive(Default)]
struct Fields {
    faults: Vec<String>,
}

impl Fields {
    /// RFC 5280 appendix A.1 has the upper bounds, in characters.
    fn needed(&mut self, field: &str, value: &str, most: usize) -> String {
        let value = value.trim();
        if value.is_empty() {
            self.faults.push(format!("Field \"{field}\" is missing"));
        } else if value.chars().count() > most {
            self.faults.push(format!("Field \"{field}\" has more than {most} characters"));
        } else if value.chars().any(char::is_control) {
            self.faults.push(format!("Field \"{field}\" has control characters"));
        } else if says_nothing(value) {
            self.faults.push(format!("Field \"{field}\" is \"{value}\", which says nothing"));
        }
        value.to_owned()
    }

    /// A field that may be left out, but not be empty.
    fn optional(&mut self, field: &str, value: Option<&str>, most: usize) -> Option<String> {
        value.map(|value| self.needed(field, value, most))
    }

    fn country(&mut self, field: &str, value: &str) -> String {
        let value = self.needed(field, value, 64).to_ascii_uppercase();
        if !value.is_empty() && !country::is_assigned(&value) {
            self.faults.push(format!("Field \"{field}\" is not the two letters of a country, as in \"CN\""));
        }
        value
    }

    /// ORG-09: a number on which somebody can be reached has 6 to 15 digits (ITU E.164).
    fn phone(&mut self, field: &str, value: &str) -> String {
        let value = self.needed(field, value, 64);
        let digits = value.chars().filter(char::is_ascii_digit).count();
        let dialled = value.chars().all(|c| c.is_ascii_digit() || " +-()./x".contains(c));
        let is_number = dialled && (6..=20).contains(&digits);
        if !value.is_empty() && !is_number {
            self.faults.push(format!(
                "Field \"{field}\" is no telephone number; enter a phone on which you can be reached (ORG-09)"
            ));
        }
        value
    }

    fn email(&mut self, field: &str, value: &str) -> String {
        let value = self.needed(field, value, 254);
        let good = value.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty() && host.contains('.') && !host.contains('@') && !host.starts_with('.')
        });
        if !value.is_empty() && (!good || value.contains(char::is_whitespace)) {
            self.faults.push(format!("Field \"{field}\" is no e-mail address"));
        }
        value
    }

    fn registration(&mut self, registration: Registration) -> Registration {
        let Jurisdiction { country, state, locality } = registration.jurisdiction;
        let jurisdiction = Jurisdiction {
            country: self.country("jurisdiction.country", &country),
            state: self.optional("jurisdiction.state", state.as_deref(), 128),
            locality: self.optional("jurisdiction.locality", locality.as_deref(), 128),
        };
        // EV Guidelines 7.1.4.2.4
        if jurisdiction.locality.is_some() && jurisdiction.state.is_none() {
            self.faults.push("Field \"jurisdiction.state\" is missing: a place is in a state".to_owned());
        }
        let registration_number = self.needed("registration_number", &registration.registration_number, 64);
        // X.520: a PrintableString.
        let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
        if !registration_number.chars().all(printable) {
            self.faults.push(
                "Field \"registration_number\" has characters other than letters, digits and '()+,-./:=?".to_owned(),
            );
        }
        Registration { business_category: registration.business_category, jurisdiction, registration_number }
    }

    fn result(self, rule: &str) -> Result<()> {
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(Error::malformed(format!("{} ({rule}).", self.faults.join("; ")))),
        }
    }
}
