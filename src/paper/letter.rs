//! Letters that an organisation stamps and signs: the confirmation of an application, the request for a revocation (DOC).

use super::sheet::{Face, LINE, Sheets};
use crate::domain::Timestamp;

const TITLE: Face = Face { size: 16.0, bold: true };
const HEADING: Face = Face { size: 11.0, bold: true };
const BODY: Face = Face { size: 10.0, bold: false };
/// Where values stand beside their labels.
const COLUMN: f32 = 150.0;
/// How high the block with seal and signature is.
const SIGNATURE: f32 = 170.0;

/// A label and what it is for: `("Legal name", "深圳市…")`.
pub type Field = (String, String);

/// What stands in a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterForm {
    /// Its title.
    pub title: String,
    /// What whoever signs it declares.
    pub purpose: String,
    /// What it belongs to, with its id: `("Purchase", id)`.
    pub reference: Field,
    /// The product's name.
    pub product: String,
    /// Its brand.
    pub brand: String,
    /// The organisation: legal name, registration number, address, telephone and so on.
    pub organisation: Vec<Field>,
    /// The administrator, who is to be asked.
    pub administrator: Vec<Field>,
    /// The technical contact; may be empty.
    pub contact: Vec<Field>,
    /// The names of the certificate.
    pub names: Vec<String>,
    /// When it was made out.
    pub date: Timestamp,
}

/// The letter as PDF. Long texts wrap, and what does not fit on a page goes on on the next one.
pub fn letter(form: &LetterForm) -> Vec<u8> {
    let mut sheets = Sheets::new();
    sheets.paragraph(0.0, TITLE, &form.title);
    sheets.skip(8.0);
    sheets.paragraph(0.0, BODY, &form.purpose);
    let (label, id) = &form.reference;
    let date = day(form.date);
    let fields =
        [(label, id), (&"Product".into(), &form.product), (&"Brand".into(), &form.brand), (&"Date".into(), &date)];
    section(&mut sheets, "Application", fields);
    for (heading, fields) in
        [("Organisation", &form.organisation), ("Administrator", &form.administrator), ("Contact", &form.contact)]
    {
        section(&mut sheets, heading, fields.iter().map(|(label, value)| (label, value)));
    }
    let heading = format!("Names of the certificate ({})", form.names.len());
    let numbers: Vec<String> = (1..=form.names.len()).map(|n| format!("{n}.")).collect();
    section(&mut sheets, &heading, numbers.iter().zip(&form.names));
    sign(&mut sheets);
    sheets.finish(&form.title, &format!("{label} {id}    {date}"))
}

fn section<'f>(sheets: &mut Sheets, heading: &str, fields: impl IntoIterator<Item = (&'f String, &'f String)>) {
    let mut fields = fields.into_iter().peekable();
    if fields.peek().is_none() {
        return;
    }
    sheets.keep_together(56.0);
    sheets.skip(12.0);
    sheets.paragraph(0.0, HEADING, heading);
    sheets.skip(2.0);
    fields.for_each(|(label, value)| sheets.field(label, value, COLUMN, BODY));
}

fn sign(sheets: &mut Sheets) {
    sheets.keep_together(SIGNATURE);
    sheets.skip(18.0);
    sheets.paragraph(0.0, HEADING, "Seal and signature");
    sheets.skip(4.0);
    sheets.frame(150.0, 120.0, "Official seal of the organisation", Face { size: 8.0, bold: false });
    for label in ["Name (print)", "Position", "Signature", "Date"] {
        sheets.blank(label, 80.0, LINE - 80.0 - 170.0, BODY);
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
