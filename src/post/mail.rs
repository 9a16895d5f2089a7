//! E-mail: how a message looks (RFC 5322), and the two ways that it goes: to a server by SMTP, or into the spool.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use serde::Deserialize;

use super::{Failure, Outcome, Settings, spool};
use crate::domain::{NoticeId, Timestamp};

/// How long the server for e-mail may take for one command.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `[notices.smtp]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// The server's name.
    pub host: String,
    /// Its port: usually 587 for STARTTLS, 465 for TLS, 25 for neither.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: Security,
    /// Who we are for it; none: it asks for nothing.
    pub username: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
}

/// How the connection to the server for e-mail is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// It begins in the clear and must turn to TLS before anything is said.
    #[default]
    StartTls,
    /// It is TLS from the start.
    Tls,
    /// It is not, as on one's own machine.
    None,
}

/// A message to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// What it tells: with the address this is its name.
    pub id: NoticeId,
    /// The address.
    pub to: String,
    /// A line.
    pub subject: String,
    /// What it says, plain text.
    pub text: String,
    /// When it was written.
    pub at: Timestamp,
}

impl Mail {
    /// What no other message is called: the notice and whom it goes to.
    pub fn name(&self) -> String {
        let hash: String =
            digest(&SHA256, self.to.as_bytes()).as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
        format!("{}-{hash}", self.id)
    }

    /// The message as it is sent: the same octets each time.
    fn message(&self, from: &Mailbox) -> Result<Message, Failure> {
        let to: Address = self.to.parse()?;
        let subject: String = self.subject.chars().filter(|c| !c.is_control()).collect();
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .date(UNIX_EPOCH + Duration::from_secs(self.at.as_secs()))
            .message_id(Some(format!("<{}@{}>", self.name(), from.email.domain())))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(self.text.clone())?;
        Ok(message)
    }
}

/// What is wrong with an address for e-mail, if anything is.
pub fn check_address(text: &str) -> Result<(), String> {
    text.parse::<Address>().map(drop).map_err(|fault| format!("\"{text}\" is not an e-mail address: {fault}"))
}

/// RFC 3834 section 5: nobody's holiday reply comes back.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The way that e-mail goes.
pub(super) struct Way {
    from: Mailbox,
    to: Door,
}

enum Door {
    Spool(PathBuf),
    /// The connections are made inside the runtime, at the first message.
    Server(Box<AsyncSmtpTransportBuilder>, OnceLock<AsyncSmtpTransport<Tokio1Executor>>),
}

impl Way {
    pub fn of(settings: &Settings) -> Result<Self, Failure> {
        let from = settings.from.parse().map_err(|fault| format!("notices.from \"{}\": {fault}", settings.from))?;
        let to = match &settings.smtp {
            None => Door::Spool(settings.spool.clone()),
            Some(smtp) => Door::Server(Box::new(smtp.builder()?), OnceLock::new()),
        };
        Ok(Self { from, to })
    }

    pub async fn send(&self, mail: &Mail) -> Outcome {
        let message = match mail.message(&self.from) {
            Ok(message) => message,
            Err(fault) => return Outcome::Refused(format!("no message can be made for this address: {fault}")),
        };
        match &self.to {
            Door::Spool(directory) => spool::write(directory.clone(), mail.name(), message.formatted()).await,
            Door::Server(builder, connections) => {
                let server = connections.get_or_init(|| (**builder).clone().build());
                server.send(message).await.map_or_else(|error| judge(&error), |_| Outcome::Delivered)
            }
        }
    }
}

impl Smtp {
    fn builder(&self) -> Result<AsyncSmtpTransportBuilder, Failure> {
        let builder = match self.security {
            Security::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&self.host)?,
            Security::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&self.host)?,
            Security::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host),
        };
        let builder = self.port.into_iter().fold(builder, AsyncSmtpTransportBuilder::port).timeout(Some(TIMEOUT));
        let (Some(user), Some(file)) = (&self.username, &self.password_file) else { return Ok(builder) };
        let password = std::fs::read_to_string(file)
            .map_err(|error| format!("notices.smtp.password_file {}: {error}", file.display()))?;
        Ok(builder.credentials(Credentials::new(user.clone(), password.trim_end().to_owned())))
    }
}

/// RFC 5321 section 4.2.1: 5xx is for good, unless the server speaks of who we are rather than of the message; then the
/// operator can put it right, and no message is lost by a wrong password.
fn judge(error: &lettre::transport::smtp::Error) -> Outcome {
    let told = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let code = error.status().map(|code| code.to_string());
    let about_us = matches!(code.as_deref(), Some("530" | "534" | "535" | "538"));
    if error.is_permanent() && !about_us { Outcome::Refused(told) } else { Outcome::Later(told) }
}
