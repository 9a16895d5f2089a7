//! What the tests of OCSP share: requests octet by octet, answers taken apart, and openssl as the relying party.

use std::path::PathBuf;

use aws_lc_rs::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery::domain::Timestamp;
use http_body_util::BodyExt as _;
use rcgen::KeyPair;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::acme_tools::{leaf, parsed};
use crate::ca_tools::{RSA2048, openssl, openssl_request, pem};
use crate::support::client::{Client, csr_with};
use crate::support::world::World;

pub const SEQUENCE: u8 = 0x30;
pub const OCTETS: u8 = 0x04;

/// id-pkix-ocsp-nonce, and an extension that nobody knows.
pub const NONCE: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
pub const STRANGE: &[u8] = &[0x06, 0x03, 0x2a, 0x03, 0x04];

pub const SHA1: (&Algorithm, &[u8]) =
    (&SHA1_FOR_LEGACY_USE_ONLY, &[0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00]);
pub const SHA2: (&Algorithm, &[u8]) = (&SHA256, &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]);

/// One element of DER.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        middle @ 0x80..=0xff => vec![0x81, middle as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag], &length[..], &content].concat()
}

/// The elements that octets consist of.
pub fn elements(mut octets: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let [tag, first, rest @ ..] = octets {
        let (length, rest) = match first & 0x7f {
            length if first < &0x80 => (usize::from(length), rest),
            count => {
                let (octets, rest) = rest.split_at(usize::from(count));
                (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
            }
        };
        let (content, after) = rest.split_at(length);
        found.push((*tag, content));
        octets = after;
    }
    assert!(octets.is_empty());
    found
}

/// A CertID for a serial (the content of its INTEGER) of an issuer, whose certificate is at hand.
pub fn cert_id(issuer: &[u8], serial: &[u8], (hash, name): (&'static Algorithm, &[u8])) -> Vec<u8> {
    let issuer = parsed(issuer);
    let hashed = |octets: &[u8]| der(OCTETS, &[digest::digest(hash, octets).as_ref()]);
    let key = hashed(&issuer.public_key().subject_public_key.data);
    der(SEQUENCE, &[&der(SEQUENCE, &[name]), &hashed(issuer.subject().as_raw()), &key, &der(2, &[serial])])
}

/// A request about those CertIDs with these extensions (none: none).
pub fn request_with(ids: &[Vec<u8>], extensions: &[u8]) -> Vec<u8> {
    let list: Vec<u8> = ids.iter().flat_map(|id| der(SEQUENCE, &[id])).collect();
    let extensions = match extensions {
        [] => Vec::new(),
        some => der(0xa2, &[&der(SEQUENCE, &[some])]),
    };
    der(SEQUENCE, &[&der(SEQUENCE, &[&der(SEQUENCE, &[&list]), &extensions])])
}

pub fn request(ids: &[Vec<u8>]) -> Vec<u8> {
    request_with(ids, &[])
}

/// An extension with that value, critical or not.
pub fn extension(name: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    der(SEQUENCE, &[name, critical, &der(OCTETS, &[value])])
}

pub fn nonce(octets: &[u8]) -> Vec<u8> {
    extension(NONCE, false, &der(OCTETS, &[octets]))
}

/// What an answer says about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Single {
    pub id: Vec<u8>,
    /// `good`, `unknown`, or `revoked <time> <reason>`.
    pub status: String,
    pub this_update: String,
    pub next_update: String,
}

/// An answer, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// OCSPResponseStatus; all below is empty unless it is 0.
    pub code: u8,
    pub singles: Vec<Single>,
    pub nonce: Option<Vec<u8>>,
    /// KeyHash of the responder.
    pub by_key: Vec<u8>,
    pub produced: String,
    /// The certificates that go with it.
    pub certificates: Vec<Vec<u8>>,
}

pub const MALFORMED: u8 = 1;
pub const INTERNAL: u8 = 2;
pub const TRY_LATER: u8 = 3;
pub const UNAUTHORIZED: u8 = 6;

impl Answer {
    /// Takes an OCSPResponse apart; panics over anything that is not of its form.
    pub fn read(octets: &[u8]) -> Self {
        let [(SEQUENCE, response)] = elements(octets)[..] else { panic!("{octets:02x?}") };
        let parts = elements(response);
        let [(0x0a, &[code]), ref bytes @ ..] = parts[..] else { panic!("{octets:02x?}") };
        assert!([0, 1, 2, 3, 5, 6].contains(&code), "{code}");
        let [(0xa0, bytes)] = *bytes else {
            assert!(code != 0 && bytes.is_empty(), "{octets:02x?}");
            return Self { code, ..Self::default() };
        };
        assert_eq!(code, 0);
        let bytes = elements(elements(bytes)[0].1);
        assert_eq!(bytes[0], (6, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1][..]));
        let [(SEQUENCE, basic)] = elements(bytes[1].1)[..] else { panic!("{octets:02x?}") };
        let [(SEQUENCE, tbs), (SEQUENCE, _), (3, _), (0xa0, certs)] = elements(basic)[..] else {
            panic!("{basic:02x?}")
        };
        let tbs = elements(tbs);
        let [(0xa2, by_key), (0x18, produced), (SEQUENCE, singles), ref extensions @ ..] = tbs[..] else {
            panic!("{tbs:02x?}")
        };
        let nonce = extensions.first().map(|(tag, extensions)| {
            assert_eq!(*tag, 0xa1);
            let all = elements(elements(extensions)[0].1);
            let [(SEQUENCE, extension)] = all[..] else { panic!("{all:02x?}") };
            assert_eq!(elements(extension)[0].1, &NONCE[2..]);
            elements(elements(extension)[1].1)[0].1.to_vec()
        });
        Self {
            code,
            singles: elements(singles).into_iter().map(|(_, single)| read_single(single)).collect(),
            nonce,
            by_key: elements(by_key)[0].1.to_vec(),
            produced: text(produced),
            certificates: elements(elements(certs)[0].1).iter().map(|(tag, content)| der(*tag, &[content])).collect(),
        }
    }

    /// The statuses of the certificates.
    pub fn statuses(&self) -> Vec<&str> {
        assert_eq!(self.code, 0, "{self:?}");
        self.singles.iter().map(|single| single.status.as_str()).collect()
    }
}

fn read_single(single: &[u8]) -> Single {
    let parts = elements(single);
    let [(SEQUENCE, id), status, (0x18, this_update), (0xa0, next_update)] = parts[..] else { panic!("{parts:02x?}") };
    let status = match status {
        (0x80, []) => "good".to_owned(),
        (0x82, []) => "unknown".to_owned(),
        (0xa1, revoked) => {
            let revoked = elements(revoked);
            let reason = revoked.get(1).map(|(tag, reason)| (*tag, elements(reason)[0]));
            let reason = reason.map_or("none".to_owned(), |(tag, (kind, code))| {
                assert_eq!((tag, kind, code.len()), (0xa0, 0x0a, 1));
                code[0].to_string()
            });
            format!("revoked {} {reason}", text(revoked[0].1))
        }
        other => panic!("{other:02x?}"),
    };
    let next_update = text(elements(next_update)[0].1);
    Single { id: der(SEQUENCE, &[id]), status, this_update: text(this_update), next_update }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

pub async fn send(router: &Router, request: Request<Body>) -> (Response<()>, Vec<u8>) {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (Response::from_parts(parts, ()), body)
}

/// An answer by POST: always 200 and of the right media type.
pub async fn post(router: &Router, octets: &[u8]) -> Vec<u8> {
    let request = Request::post("/ocsp").header("content-type", "application/ocsp-request");
    let (response, body) = send(router, request.body(Body::from(octets.to_vec())).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/ocsp-response");
    body
}

/// An answer by GET of that path below `/ocsp/`.
pub async fn get_path(router: &Router, path: &str) -> (Response<()>, Vec<u8>) {
    let (response, body) = send(router, Request::get(format!("/ocsp/{path}")).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/ocsp-response");
    (response, body)
}

pub async fn get(router: &Router, octets: &[u8]) -> (Response<()>, Vec<u8>) {
    get_path(router, &STANDARD.encode(octets)).await
}

/// The same request by both methods, which say the same.
pub async fn ask(router: &Router, octets: &[u8]) -> Answer {
    let answer = Answer::read(&post(router, octets).await);
    let again = Answer::read(&get(router, octets).await.1);
    assert_eq!(
        (answer.code, &answer.singles, &answer.nonce, &answer.by_key),
        (again.code, &again.singles, &again.nonce, &again.by_key)
    );
    answer
}

/// A certificate for a new P-256 key, DER.
pub async fn issued(world: &World, client: &Client, names: &[&str]) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    finalized(world, client, names, &csr_with(&key, names)).await
}

/// A certificate for a new RSA key, DER.
pub async fn issued_rsa(world: &World, client: &Client, name: &str) -> Vec<u8> {
    let request = openssl_request(RSA2048, &["-addext", &format!("subjectAltName=DNS:{name}")]);
    finalized(world, client, &[name], &request).await
}

async fn finalized(world: &World, client: &Client, names: &[&str], csr: &[u8]) -> Vec<u8> {
    let (_, order) = world.ready_order(client, names).await;
    let done: Value = client.finalize(&order, csr).await.expect(200).json();
    leaf(&client.certificate(&done).await)
}

/// The certificate of an intermediate, DER.
pub fn issuer(world: &World, name: &str) -> Vec<u8> {
    world.ra().issuer_certificate(name).unwrap()
}

/// A CertID, by SHA-1, of a certificate of the issuer of that name.
pub fn id_of(world: &World, by: &str, certificate: &[u8]) -> Vec<u8> {
    cert_id(&issuer(world, by), parsed(certificate).raw_serial(), SHA1)
}

/// openssl with a certificate, its issuer and the root in files, at the time of the world.
pub struct RelyingParty {
    place: PathBuf,
    at: String,
}

impl RelyingParty {
    pub fn of(world: &World, by: &str, certificate: &[u8]) -> Self {
        let place = world.scratch().to_owned();
        std::fs::write(place.join("root.pem"), world.ra().root_pem()).unwrap();
        std::fs::write(place.join("issuer.pem"), pem(&issuer(world, by))).unwrap();
        std::fs::write(place.join("leaf.pem"), pem(certificate)).unwrap();
        Self { place, at: world.now().as_secs().to_string() }
    }

    pub fn path(&self, file: &str) -> String {
        self.place.join(file).to_str().unwrap().to_owned()
    }

    /// The request that openssl makes.
    pub fn request(&self, further: &[&str]) -> Vec<u8> {
        let [issuer, leaf, out] = ["issuer.pem", "leaf.pem", "request.der"].map(|file| self.path(file));
        // The digest has to stand before the certificate that it is for.
        let digest = further.iter().filter(|argument| argument.starts_with("-sha"));
        let others = further.iter().filter(|argument| !argument.starts_with("-sha"));
        let mut arguments = vec!["ocsp"];
        arguments.extend(digest);
        arguments.extend(["-issuer", &issuer, "-cert", &leaf, "-reqout", &out]);
        arguments.extend(others);
        openssl(&arguments).unwrap();
        std::fs::read(&out).unwrap()
    }

    /// What openssl says to an answer to the request that it made last: the signature is that of a responder of the issuer
    /// below the root, and the nonce is that of the request.
    pub fn verify(&self, answer: &[u8]) -> String {
        let [request, issuer, root, file] =
            ["request.der", "issuer.pem", "root.pem", "answer.der"].map(|file| self.path(file));
        std::fs::write(&file, answer).unwrap();
        let chain = ["-CAfile", &root, "-verify_other", &issuer, "-attime", &self.at];
        let mut arguments = vec!["ocsp", "-reqin", &request, "-respin", &file, "-resp_text"];
        arguments.extend(chain);
        let told = openssl(&arguments).unwrap();
        assert!(told.contains("Response verify OK"), "{told}");
        assert!(!told.contains("Nonce Verify error"), "{told}");
        told
    }

    /// What openssl says to a server by POST.
    pub fn ask(&self, url: &str, further: &[&str]) -> String {
        let [issuer, leaf, root] = ["issuer.pem", "leaf.pem", "root.pem"].map(|file| self.path(file));
        let mut arguments = vec!["ocsp"];
        arguments.extend(further);
        arguments.extend(["-issuer", &issuer, "-cert", &leaf, "-url", url]);
        arguments.extend(["-CAfile", &root, "-verify_other", &issuer, "-attime", &self.at]);
        openssl(&arguments).unwrap()
    }
}

/// A world without RSA issuers, whose keys take their time.
pub async fn world() -> World {
    World::with(|config| config.ca.rsa_issuers = false).await
}

/// A moment as OCSP writes it.
pub fn generalized(moment: Timestamp) -> String {
    moment.to_string().replace(['-', ':', 'T'], "")
}
