//! E-mail: as a file in the spool, and by SMTP.

use std::path::Path;

use chancery::domain::{NoticeId, Timestamp};
use chancery::post::{Mail, Outcome, Post, Security, Settings, Smtp};
use tempfile::TempDir;

use crate::support::mailbox::MailServer;

fn mail(to: &str) -> Mail {
    Mail {
        id: "AAAAAAAAAAAAAAAAAAAAAA".parse::<NoticeId>().unwrap(),
        to: to.to_owned(),
        subject: "Certificate of bücher.example.com ends soon".to_owned(),
        text: "Renew it.\n\n.\nIt is a line of its own.".to_owned(),
        at: Timestamp::from_secs(1_795_262_400),
    }
}

fn spooling(place: &Path) -> Post {
    Post::new(Settings { spool: place.join("spool"), ..Settings::default() }, "").unwrap()
}

fn through(server: &MailServer) -> Post {
    let smtp = Smtp {
        host: "127.0.0.1".to_owned(),
        port: Some(server.port()),
        security: Security::None,
        username: None,
        password_file: None,
    };
    Post::new(Settings { smtp: Some(smtp), ..Settings::default() }, "").unwrap()
}

fn files(place: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(place.join("spool")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_spool_holds_one_file_for_each_message_and_recipient_however_often_it_is_written() {
    let place = TempDir::new().unwrap();
    let post = spooling(place.path());
    for _ in 0..2 {
        assert_eq!(post.mail(&mail("one@example.com")).await, Outcome::Delivered);
    }
    let first = std::fs::read(place.path().join("spool").join(&files(place.path())[0])).unwrap();
    assert_eq!(post.mail(&mail("two@example.com")).await, Outcome::Delivered);
    assert_eq!(spooling(place.path()).mail(&mail("one@example.com")).await, Outcome::Delivered);

    let names = files(place.path());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names.iter().all(|name| name.starts_with("AAAAAAAAAAAAAAAAAAAAAA-") && name.ends_with(".eml")),
        "{names:?}"
    );
    let again = names.iter().map(|name| std::fs::read(place.path().join("spool").join(name)).unwrap());
    assert!(again.into_iter().any(|text| text == first), "the second write gave other octets");
}

#[tokio::test]
async fn a_message_in_the_spool_is_one_of_rfc_5322() {
    let place = TempDir::new().unwrap();
    spooling(place.path()).mail(&mail("one@example.com")).await;
    let name = &files(place.path())[0];
    let text = std::fs::read_to_string(place.path().join("spool").join(name)).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default();
    assert_eq!(header("From"), "chancery@localhost");
    assert_eq!(header("To"), "one@example.com");
    assert_eq!(header("Message-ID"), format!("<{}@localhost>", name.trim_end_matches(".eml")));
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert!(header("Date").contains("21 Nov 2026"), "{head}");
    assert!(header("Subject").contains("=?utf-8?"), "{head}");
}

#[tokio::test]
async fn a_mail_server_gets_the_message_as_it_is() {
    let server = MailServer::start().await;
    assert_eq!(through(&server).mail(&mail("one@example.com")).await, Outcome::Delivered);
    let [received] = &server.received()[..] else { panic!("{:?}", server.received()) };
    assert_eq!((received.from.as_str(), received.to.as_str()), ("chancery@localhost", "one@example.com"));
    assert!(received.text.contains("Message-ID: <AAAAAAAAAAAAAAAAAAAAAA-"), "{}", received.text);
    assert!(received.text.contains("\r\n.\r\nIt is a line of its own."), "{}", received.text);
}

#[tokio::test]
async fn what_a_mail_server_says_decides_whether_it_is_tried_again() {
    let server = MailServer::start().await;
    let post = through(&server);
    let later = |outcome: &Outcome| matches!(outcome, Outcome::Later(_));
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
    server.answer_recipients("451 4.3.2 come back later");
    let outcome = post.mail(&mail("one@example.com")).await;
    assert!(later(&outcome), "{outcome:?}");
    server.answer_recipients("550 5.1.1 no such user");
    let outcome = post.mail(&mail("one@example.com")).await;
    assert!(refused(&outcome), "{outcome:?}");
    server.answer_recipients("530 5.7.0 authentication required");
    let outcome = post.mail(&mail("one@example.com")).await;
    assert!(later(&outcome), "{outcome:?}");
    let outcome = post.mail(&mail("nobody at all")).await;
    assert!(refused(&outcome), "{outcome:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_mail_server_that_is_away_and_a_spool_that_is_no_directory_are_tried_again() {
    let port = { MailServer::start().await.port() };
    let smtp = Smtp {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        security: Security::None,
        username: None,
        password_file: None,
    };
    let away = Post::new(Settings { smtp: Some(smtp), ..Settings::default() }, "").unwrap();
    let outcome = away.mail(&mail("one@example.com")).await;
    assert!(matches!(outcome, Outcome::Later(_)), "{outcome:?}");

    let place = TempDir::new().unwrap();
    std::fs::write(place.path().join("spool"), "a file").unwrap();
    let outcome = spooling(place.path()).mail(&mail("one@example.com")).await;
    assert!(matches!(outcome, Outcome::Later(_)), "{outcome:?}");
}
