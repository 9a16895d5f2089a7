//! What the benches of whole issuances share: the outside world, and what a real client does for a certificate.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::load::{Session, b64, text};

/// Order, authorization, challenge, poll, finalize, download: what a real client does.
pub async fn issue(session: &mut Session, name: &str) {
    let new_order = text(&session.account.directory["newOrder"]).to_owned();
    let asked = format!(r#"{{"identifiers":[{{"type":"dns","value":"{name}"}}]}}"#);
    let order = session.json(&new_order, &asked).await;
    let authz_url = text(&order["authorizations"][0]).to_owned();
    let authz = session.json(&authz_url, "").await;
    let offers = authz["challenges"].as_array().unwrap();
    let offer = offers.iter().find(|offer| offer["type"] == "http-01").unwrap();
    session.json(text(&offer["url"]), "{}").await;
    let mut authz = session.json(&authz_url, "").await;
    while authz["status"] == "pending" {
        authz = session.json(&authz_url, "").await;
    }
    assert_eq!(authz["status"], "valid", "{authz}");
    let payload = format!(r#"{{"csr":"{}"}}"#, b64(csr(name)));
    let order = session.json(text(&order["finalize"]), &payload).await;
    assert_eq!(order["status"], "valid", "{order}");
    let (_, chain) = session.post(text(&order["certificate"]), "").await;
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
}

fn csr(name: &str) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(&key).unwrap().der().to_vec()
}

/// Answers every http-01 request with the thumbprint of the account that the host's second label names.
pub async fn web_server(thumbprints: Arc<Mutex<HashMap<String, String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let thumbprints = thumbprints.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 2048];
                let mut length = 0;
                while !request[..length].ends_with(b"\r\n\r\n") {
                    match stream.read(&mut request[length..]).await {
                        Ok(read) if read > 0 => length += read,
                        _ => return,
                    }
                }
                let head = String::from_utf8_lossy(&request[..length]).to_ascii_lowercase();
                let host = head.split("\r\nhost:").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("");
                let account = host.trim().split('.').nth(1).unwrap_or("").to_owned();
                let path = String::from_utf8_lossy(&request[..length]);
                let token = path.split_whitespace().nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or("");
                let body = format!("{token}.{}", thumbprints.lock().get(&account).cloned().unwrap_or_default());
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

/// Answers A with 127.0.0.1 and everything else with no data, as a resolver would.
pub async fn dns_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let question = &packet[12..length];
            let Some(name) = question.iter().position(|byte| *byte == 0) else { continue };
            let question = &question[..name + 5];
            let is_a = question[name + 1..name + 3] == [0, 1];
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(question);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}
