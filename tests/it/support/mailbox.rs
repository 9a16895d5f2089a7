//! Where messages arrive: a small mail server and a receiver of webhooks, on loopback.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A message as the mail server got it.
#[derive(Debug, Clone)]
pub struct Received {
    pub from: String,
    pub to: String,
    /// Header and body, dots no longer doubled.
    pub text: String,
}

#[derive(Default)]
struct Mailbox {
    received: Vec<Received>,
    /// What it answers to RCPT; none: it takes everybody.
    recipients: Option<String>,
}

/// A mail server; it stops when this is dropped.
pub struct MailServer {
    port: u16,
    mailbox: Arc<Mutex<Mailbox>>,
    _tasks: JoinSet<()>,
}

impl MailServer {
    /// A mail server on 127.0.0.1 that takes every message.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mailbox = Arc::<Mutex<Mailbox>>::default();
        let mut tasks = JoinSet::new();
        let of = mailbox.clone();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mailbox = of.clone();
                // Clients may hang up at any time.
                sessions.spawn(async move { drop(session(stream, &mailbox).await) });
            }
        });
        Self { port, mailbox, _tasks: tasks }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it got so far.
    pub fn received(&self) -> Vec<Received> {
        self.mailbox.lock().received.clone()
    }

    /// Answers this to every RCPT from now on.
    pub fn answer_recipients(&self, line: &str) {
        self.mailbox.lock().recipients = Some(line.to_owned());
    }
}

/// RFC 5321, as far as a client that sends one message at a time needs it.
async fn session(stream: TcpStream, mailbox: &Mutex<Mailbox>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.test ESMTP\r\n").await?;
    let (mut from, mut to, mut line) = (String::new(), String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let inside = |line: &str| line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer = match line.get(..4).unwrap_or_default() {
            "MAIL" => {
                from = inside(&line);
                "250 ok".to_owned()
            }
            "RCPT" => {
                to = inside(&line);
                mailbox.lock().recipients.clone().unwrap_or_else(|| "250 ok".to_owned())
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let text = read_message(&mut stream).await?;
                mailbox.lock().received.push(Received { from: from.clone(), to: to.clone(), text });
                "250 taken".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let (mut text, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text += line.strip_prefix('.').unwrap_or(&line);
    }
}

/// A call of a webhook.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Call {
    /// The header's value, empty if it was not sent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The body, read.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Ear {
    calls: Vec<Call>,
    /// What it answers; none: 204.
    answer: Option<String>,
    /// Whether it answers nothing.
    silent: bool,
}

/// A receiver of webhooks; it stops when this is dropped.
pub struct Receiver {
    port: u16,
    ear: Arc<Mutex<Ear>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// A receiver on 127.0.0.1 that answers 204.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ear = Arc::<Mutex<Ear>>::default();
        let mut tasks = JoinSet::new();
        let of = ear.clone();
        tasks.spawn(async move {
            let mut exchanges = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let ear = of.clone();
                exchanges.spawn(async move { drop(exchange(stream, &ear).await) });
            }
        });
        Self { port, ear, _tasks: tasks }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it heard so far.
    pub fn calls(&self) -> Vec<Call> {
        self.ear.lock().calls.clone()
    }

    /// Answers with this status line and these headers from now on, as in `503 Busy`.
    pub fn answer(&self, head: &str) {
        let mut ear = self.ear.lock();
        (ear.answer, ear.silent) = (Some(head.to_owned()), false);
    }

    /// Answers nothing from now on.
    pub fn keep_silent(&self) {
        self.ear.lock().silent = true;
    }
}

async fn exchange(stream: TcpStream, ear: &Mutex<Ear>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut headers, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            // It hung up before it had said anything.
            return Ok(());
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.push((name.to_ascii_lowercase(), value.trim_end().to_owned()));
        }
    }
    let mut call = Call { headers, body: String::new() };
    let mut body = vec![0; call.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    call.body = String::from_utf8(body).unwrap();
    let (answer, silent) = {
        let mut ear = ear.lock();
        ear.calls.push(call);
        (ear.answer.clone().unwrap_or_else(|| "204 Taken".to_owned()), ear.silent)
    };
    if silent {
        std::future::pending::<()>().await;
    }
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await
}
