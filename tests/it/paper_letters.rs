//! Letters as people get them: read with pdftotext, Chinese text too.

use std::process::Command;

use chancery::domain::Timestamp;
use chancery::paper::letter::{LetterForm, letter};
use chancery::paper::sniff::{FileKind, sniff};

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

fn form(names: usize) -> LetterForm {
    LetterForm {
        title: "Confirmation of an application for a certificate".to_owned(),
        purpose:
            "We confirm that the administrator named below applies for this certificate in our name, that what is said \
                  here is true, and that we shall install the certificate only on servers that we control."
                .to_owned(),
        reference: ("Purchase".to_owned(), "aBcDeFgHiJkLmNoPqRsTuV".to_owned()),
        product: "SecureSite OV".to_owned(),
        brand: "SecureSite".to_owned(),
        organisation: fields(&[
            ("Legal name", "深圳市腾讯计算机系统有限公司"),
            ("Trading name", "Café Größe – “Übermut” & Søn"),
            ("Registration number", "91440300708461136T"),
            (
                "Address",
                "广东省深圳市南山区高新区科技中一路腾讯大厦三十五层，深圳湾科技生态园第十栋第二十三层东侧办公区域",
            ),
            ("Telephone", "+86 755 8601 3388"),
        ]),
        administrator: fields(&[("Name", "张伟"), ("E-mail", "admin@example.com")]),
        contact: Vec::new(),
        names: (1..=names).map(|n| format!("host-{n}.example.com")).collect(),
        date: Timestamp::from_secs(1_795_262_400),
    }
}

/// The text of a PDF, and how many pages it has.
fn read(pdf: &[u8]) -> (String, usize) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.pdf");
    std::fs::write(&path, pdf).unwrap();
    let output = Command::new("pdftotext").args(["-layout", "-enc", "UTF-8"]).arg(&path).arg("-").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "pdftotext complains");
    let text = String::from_utf8(output.stdout).unwrap();
    let pages = text.matches('\u{c}').count();
    (text, pages)
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn a_letter_holds_what_it_was_made_of_chinese_text_too() {
    let form = form(2);
    let pdf = letter(&form);
    assert_eq!(sniff(&pdf), Some(FileKind::Pdf));
    let (text, pages) = read(&pdf);
    assert_eq!(pages, 1, "{text}");
    let text = without_blanks(&text);
    let fields =
        [&form.organisation, &form.administrator].into_iter().flatten().flat_map(|(label, value)| [label, value]);
    let others = [&form.title, &form.purpose, &form.reference.1, &form.product, &form.names[1]];
    for expected in fields.chain(others) {
        assert!(text.contains(&without_blanks(expected)), "{expected} in {text}");
    }
    for expected in ["2026-11-21", "Signature", "Officialsealoftheorganisation", "1/1"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn many_names_go_on_on_further_pages() {
    let (text, pages) = read(&letter(&form(120)));
    assert!(pages >= 3, "{pages}");
    for n in 1..=120 {
        assert!(text.contains(&format!("host-{n}.example.com")), "{n}");
    }
    assert!(without_blanks(&text).contains(&format!("{pages}/{pages}")), "{text}");
    assert_eq!(text.matches("Official seal").count(), 1);
}
