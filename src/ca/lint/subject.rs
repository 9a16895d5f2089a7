//! The subject as its profile wants it: what a plan may say of an organisation, and the octets that this becomes.

use super::{Fault, LeafPlan, der, ensure, fault};
use crate::domain::Identifier;
use crate::domain::country;
use crate::domain::organisation::{self, EvSubject, Subject};

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
const STATE: &[u8] = &[0x55, 0x04, 0x08];
const LOCALITY: &[u8] = &[0x55, 0x04, 0x07];
const POSTAL_CODE: &[u8] = &[0x55, 0x04, 0x11];
const STREET: &[u8] = &[0x55, 0x04, 0x09];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BUSINESS_CATEGORY: &[u8] = &[0x55, 0x04, 0x0f];
const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
/// 1.3.6.1.4.1.311.60.2.1 with 1, 2 and 3.
const JURISDICTION_LOCALITY: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x01];
const JURISDICTION_STATE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x02];
const JURISDICTION_COUNTRY: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x03];

/// EV Guidelines 7.1.4.2.3.
const BUSINESS_CATEGORIES: [&str; 4] =
    ["Private Organization", "Government Entity", "Business Entity", "Non-Commercial Entity"];

/// An attribute: its type, the tag of its string, its text, and the most characters that it may have (Baseline
/// Requirements 7.1.4.2).
struct Attribute<'a> {
    name: &'static str,
    kind: &'static [u8],
    tag: u8,
    text: &'a str,
    longest: usize,
}

/// The subject that a plan becomes, as its DER element.
pub(super) fn expected(plan: &LeafPlan) -> Vec<u8> {
    let common = plan.common_name.as_ref().map(Identifier::to_string);
    let mut attributes = plan.subject.as_ref().map(of_organisation).unwrap_or_default();
    attributes.extend(common.as_deref().map(|common| text("commonName", COMMON_NAME, 64, common)));
    attributes.extend(plan.subject.iter().filter_map(|subject| subject.ev.as_ref()).flat_map(of_ev));
    let names: Vec<u8> = attributes.iter().flat_map(Attribute::encode).collect();
    der::encode(der::SEQUENCE, &[&names])
}

/// What no plan may say of an organisation (CABF-OVE-01, -02 and -04).
pub(super) fn check_plan(plan: &LeafPlan) -> Result<(), Fault> {
    let Some(subject) = &plan.subject else { return Ok(()) };
    let placed = subject.state.is_some() || subject.locality.is_some();
    ensure(placed, "subject_place", "neither state nor locality of the organisation is known")?;
    let further = subject.ev.iter().flat_map(of_ev);
    of_organisation(subject).into_iter().chain(further).try_for_each(|attribute| attribute.check())?;
    let Some(ev) = &subject.ev else { return Ok(()) };
    let known = BUSINESS_CATEGORIES.contains(&ev.business_category.as_str());
    ensure(known, "subject_business_category", "the business category is none of the four of the EV Guidelines")?;
    ensure(!plan.names.iter().any(Identifier::is_wildcard), "ev_names", "an EV certificate holds no wildcards")
}

fn of_organisation(subject: &Subject) -> Vec<Attribute<'_>> {
    [
        Some(printable("countryName", COUNTRY, 2, &subject.country)),
        subject.state.as_deref().map(|state| text("stateOrProvinceName", STATE, 128, state)),
        subject.locality.as_deref().map(|town| text("localityName", LOCALITY, 128, town)),
        subject.postal_code.as_deref().map(|code| text("postalCode", POSTAL_CODE, 40, code)),
        subject.street.as_deref().map(|street| text("streetAddress", STREET, 128, street)),
        Some(text("organizationName", ORGANIZATION, 64, &subject.organisation)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_ev(ev: &EvSubject) -> Vec<Attribute<'_>> {
    [
        Some(text("businessCategory", BUSINESS_CATEGORY, 128, &ev.business_category)),
        Some(printable("jurisdictionCountry", JURISDICTION_COUNTRY, 2, &ev.jurisdiction_country)),
        ev.jurisdiction_state.as_deref().map(|state| text("jurisdictionState", JURISDICTION_STATE, 128, state)),
        ev.jurisdiction_locality.as_deref().map(|town| text("jurisdictionLocality", JURISDICTION_LOCALITY, 128, town)),
        Some(printable("serialNumber", SERIAL_NUMBER, 64, &ev.registration_number)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn text<'a>(name: &'static str, kind: &'static [u8], longest: usize, text: &'a str) -> Attribute<'a> {
    Attribute { name, kind, tag: UTF8_STRING, text, longest }
}

fn printable<'a>(name: &'static str, kind: &'static [u8], longest: usize, text: &'a str) -> Attribute<'a> {
    Attribute { name, kind, tag: PRINTABLE_STRING, text, longest }
}

impl Attribute<'_> {
    /// The relative distinguished name with this attribute alone (CABF-SUB-09).
    fn encode(&self) -> Vec<u8> {
        let kind = der::encode(der::OBJECT_IDENTIFIER, &[self.kind]);
        let text = der::encode(self.tag, &[self.text.as_bytes()]);
        der::encode(der::SET, &[&der::encode(der::SEQUENCE, &[&kind, &text])])
    }

    fn check(&self) -> Result<(), Fault> {
        match self.wrong() {
            Some(why) => fault("subject_attribute", format!("{} (\"{}\") {why}", self.name, self.text)),
            None => Ok(()),
        }
    }

    fn wrong(&self) -> Option<String> {
        let is_country = self.longest == 2;
        if is_country && !country::is_assigned(self.text) {
            return Some("is no country of ISO 3166-1".to_owned());
        }
        if self.text.chars().count() > self.longest {
            return Some(format!("has more than {} characters", self.longest));
        }
        // Baseline Requirements 7.1.2.7.4: nothing that only says that there is nothing, such as "-".
        if organisation::says_nothing(self.text) {
            return Some("says nothing".to_owned());
        }
        if self.text.trim() != self.text || self.text.chars().any(char::is_control) {
            return Some("has white space around it or control characters".to_owned());
        }
        let printable = |b: u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b);
        (self.tag == PRINTABLE_STRING && !self.text.bytes().all(printable))
            .then(|| "has characters that a PrintableString does not have".to_owned())
    }
}
