//! A client of the server's REST API.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, Method, Response};
use rustls::crypto::aws_lc_rs;
use serde_json::Value;

use super::{Failure, Remote, local};
use crate::config::{self, Config};

/// A server, and the right to give it orders.
pub(super) struct Server {
    client: Client,
    base: String,
    token: String,
}

impl Server {
    /// The server that the options name; what they leave out comes from the configuration and its data directory.
    pub(super) fn of(remote: &Remote) -> Result<Self, Failure> {
        let config = local::load(&remote.files)?;
        let base = remote.server.clone().unwrap_or_else(|| config.server.public_url.clone());
        let token = match remote.token.clone().or_else(config::token_from_environment) {
            Some(token) => token,
            None => {
                let path = config.server.data_dir.join("operator.token");
                std::fs::read_to_string(&path).map_err(|error| {
                    format!("no token: {} cannot be read ({error}); give --token or CHANCERY_TOKEN", path.display())
                })?
            }
        };
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client: client(remote, &config)?, base, token: token.trim().to_owned() })
    }

    /// One object.
    pub(super) async fn fetch(&self, path: &str) -> Result<Value, Failure> {
        read(self.ask(Method::GET, path, None).await?).await
    }

    /// All objects of a collection, page by page.
    pub(super) async fn fetch_all(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut page = path.to_owned();
        loop {
            let mut answer = self.fetch(&page).await?;
            let next = answer.get("next").and_then(Value::as_str).map(str::to_owned);
            match answer.get_mut("items").map(Value::take).unwrap_or(answer) {
                Value::Array(items) => all.extend(items),
                _ => return Err(format!("{}{page} did not answer with a list", self.base).into()),
            }
            match next {
                Some(after) => {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    page = format!("{path}{mark}after={}", segment(&after));
                }
                None => return Ok(all),
            }
        }
    }

    /// Sends an object, or nothing, and gives what comes back; null for an empty answer.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        read(self.ask(method, path, body).await?).await
    }

    /// The octets of a file, whose keys that password locks.
    pub(super) async fn download(&self, path: &str, password: Option<&str>) -> Result<Vec<u8>, Failure> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let request = match password {
            Some(password) => request.header("Chancery-Key-Password", password),
            None => request,
        };
        let answer =
            request.send().await.map_err(|error| format!("{} cannot be asked: {}", self.base, causes(&error)))?;
        match answer.status().is_success() {
            true => Ok(answer.bytes().await?.to_vec()),
            false => Err(read(answer).await.err().unwrap_or_else(|| "the server refused".into())),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Response, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.map_err(|error| format!("{} cannot be asked: {}", self.base, causes(&error)).into())
    }
}

/// A part of a path or query, with what could be mistaken for their punctuation escaped.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn client(remote: &Remote, config: &Config) -> Result<Client, Failure> {
    // The only failure is that there is a provider already, which is the same.
    drop(aws_lc_rs::default_provider().install_default());
    // The token must not follow a redirect to somebody else.
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(60));
    // With a certificate from elsewhere, the server's own root says nothing about it.
    let own = config.server.data_dir.join("root.pem");
    let root = match &remote.root {
        Some(path) => Some(path.as_path()),
        None => (config.server.tls.is_none() && own.exists()).then_some(own.as_path()),
    };
    let builder = match root {
        Some(path) => builder.tls_certs_only(trust_anchors(path)?),
        None => builder,
    };
    Ok(builder.build()?)
}

fn trust_anchors(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let named = |error: &dyn std::error::Error| format!("{} holds no trust anchor: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| named(&error))?;
    Ok(Certificate::from_pem_bundle(&text).map_err(|error| named(&error))?)
}

/// The object in an answer, or the problem that it tells.
async fn read(answer: Response) -> Result<Value, Failure> {
    let status = answer.status();
    let text = answer.text().await?;
    if status.is_success() {
        return if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) };
    }
    let problem = serde_json::from_str::<Value>(&text).unwrap_or_default();
    match problem.get("detail").and_then(Value::as_str) {
        Some(detail) => Err(format!("{detail} ({status})").into()),
        None => Err(format!("the server answered {status}").into()),
    }
}

/// An error with what led to it; reqwest's own text stops at "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        told.push_str(": ");
        told.push_str(&cause.to_string());
        next = cause.source();
    }
    told
}
