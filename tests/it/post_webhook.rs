//! Webhooks: what receivers see, where they may be, and what their answers mean.

use aws_lc_rs::hmac;
use chancery::domain::Timestamp;
use chancery::post::{Outcome, Post, Settings, Webhook, check_url};

use crate::support::mailbox::Receiver;

const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

fn post(allow_private_addresses: bool) -> Post {
    let settings = Settings { allow_private_addresses, webhook_timeout_ms: 500, ..Settings::default() };
    Post::new(settings, "").unwrap()
}

fn webhook(url: &str) -> Webhook {
    let text = |text: &str| text.to_owned();
    Webhook { url: text(url), secret: text("a secret"), id: text("an-id"), body: text("{\"a\":\"b\"}") }
}

#[tokio::test]
async fn a_call_is_json_with_an_id_and_a_signature_that_the_secret_verifies() {
    let receiver = Receiver::start().await;
    assert_eq!(post(true).call(&webhook(&receiver.url()), NOW).await, Outcome::Delivered);
    let [call] = &receiver.calls()[..] else { panic!("{:?}", receiver.calls()) };
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.header("chancery-delivery"), "an-id");
    assert_eq!(call.body, "{\"a\":\"b\"}");
    let (time, tag) = call.header("chancery-signature").split_once(",v1=").unwrap();
    assert_eq!(time, "t=1795262400");
    let tag: Vec<u8> = (0..tag.len()).step_by(2).map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap()).collect();
    let verified = |secret: &str, body: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, format!("1795262400.{body}").as_bytes(), &tag).is_ok()
    };
    assert!(verified("a secret", &call.body));
    assert!(!verified("another", &call.body) && !verified("a secret", "{}"));
}

#[tokio::test]
async fn what_a_receiver_answers_decides_whether_it_is_called_again() {
    let receiver = Receiver::start().await;
    let post = post(true);
    let mut seen = Vec::new();
    let answers = ["200 Ok", "202 Taken", "301 Moved\r\nLocation: /", "400 Bad", "401 Who", "404 None", "410 Gone"];
    for answer in answers.into_iter().chain(["429 Slow", "500 Oh", "503 Busy"]) {
        receiver.answer(answer);
        let outcome = match post.call(&webhook(&receiver.url()), NOW).await {
            Outcome::Delivered => "delivered",
            Outcome::Later(_) => "later",
            Outcome::Refused(_) => "refused",
        };
        seen.push((&answer[..3], outcome));
    }
    let expected = [
        ("200", "delivered"),
        ("202", "delivered"),
        ("301", "refused"),
        ("400", "refused"),
        ("401", "later"),
        ("404", "later"),
        ("410", "refused"),
        ("429", "later"),
        ("500", "later"),
        ("503", "later"),
    ];
    assert_eq!(seen, expected);
    // A redirect was not followed.
    assert_eq!(receiver.calls().len(), expected.len());
}

#[tokio::test]
async fn a_receiver_that_says_nothing_or_is_away_is_called_again() {
    let receiver = Receiver::start().await;
    receiver.keep_silent();
    let outcome = post(true).call(&webhook(&receiver.url()), NOW).await;
    assert!(matches!(outcome, Outcome::Later(_)), "{outcome:?}");
    let url = receiver.url();
    drop(receiver);
    let outcome = post(true).call(&webhook(&url), NOW).await;
    assert!(matches!(&outcome, Outcome::Later(why) if why.contains("tcp connect")), "{outcome:?}");
}

#[tokio::test]
async fn private_addresses_are_not_dialled_whatever_they_are_called() {
    let receiver = Receiver::start().await;
    let (post, port) = (post(false), receiver.port());
    let hosts = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "0x7f.1", "localhost"];
    for host in hosts {
        let outcome = post.call(&webhook(&format!("https://{host}:{port}/hook")), NOW).await;
        assert!(
            matches!(&outcome, Outcome::Refused(why) if why.contains("address is not public")),
            "{host}: {outcome:?}"
        );
        assert!(!format!("{outcome:?}").contains("127.0.0.1"), "{outcome:?}");
    }
    assert!(receiver.calls().is_empty());
}

#[test]
fn the_url_of_a_webhook_is_https_without_a_password() {
    let (closed, open) = (Settings::default(), Settings { allow_private_addresses: true, ..Settings::default() });
    for bad in
        ["example.com", "http://example.com", "ftp://example.com", "https://me:word@example.com", "https://10.0.0.1"]
    {
        assert!(check_url(bad, &closed).is_err(), "{bad}");
    }
    assert_eq!(check_url("https://example.com/hook?a=b", &closed), Ok(()));
    assert_eq!(check_url("http://10.0.0.1:8080/", &open), Ok(()));
    assert!(check_url("file:///etc/passwd", &open).is_err());
}
