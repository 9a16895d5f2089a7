//! OCSP over HTTP (RFC 6960 appendix A, RFC 9919 sections 6 and 7): whatever is asked, the answer is an OCSPResponse.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use time::format_description::well_known::Rfc2822;

use super::{Source, is_known};
use crate::domain::Timestamp;
use crate::ra::{Caching, MAX_STATUS_REQUEST, StatusAnswer};

const ANSWER: &str = "application/ocsp-response";

/// Base64 as RFC 4648 section 4 has it; some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `GET /ocsp/<base64>`: the path is looked at as it came, because base64 has slashes of its own.
pub(super) async fn get(State(source): State<Arc<Source>>, uri: Uri, headers: HeaderMap) -> Response {
    // What cannot be read is answered like an empty request, which is malformed too.
    let rest = uri.path().strip_prefix("/ocsp").unwrap_or_default();
    let request = decode(rest.trim_start_matches('/')).unwrap_or_default();
    let answer = (source.ocsp)(request).await;
    match answer.caching {
        Some(caching) => cacheable(answer, caching, &headers),
        None => plain(answer),
    }
}

/// `POST /ocsp`. The media type of the request is not looked at: the body is a request or it is none.
pub(super) async fn post(State(source): State<Arc<Source>>, body: Body) -> Response {
    let request = axum::body::to_bytes(body, MAX_STATUS_REQUEST).await.unwrap_or_default();
    plain((source.ocsp)(request.to_vec()).await)
}

/// The octets of a request from the rest of a path, in base64 and percent-encoded or not.
fn decode(path: &str) -> Option<Vec<u8>> {
    // Three characters for each of base64's at most.
    if path.len() > 4 * MAX_STATUS_REQUEST {
        return None;
    }
    let mut text = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(octet) = rest.next() {
        text.push(match octet {
            b'%' => {
                let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
                let [Some(high), Some(low)] = digits else { return None };
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    BASE64.decode(text).ok()
}

fn plain(answer: StatusAnswer) -> Response {
    let media_type = [(CONTENT_TYPE, ANSWER)];
    match answer.is_signed {
        // RFC 9919 section 7.2: no-store may stand in no authoritative answer, and caches keep nothing without being told to.
        true => (media_type, [(CACHE_CONTROL, "private, max-age=0")], answer.der).into_response(),
        false => (media_type, [(CACHE_CONTROL, "no-store")], answer.der).into_response(),
    }
}

fn cacheable(answer: StatusAnswer, caching: Caching, headers: &HeaderMap) -> Response {
    let digest = digest::digest(&digest::SHA256, &answer.der);
    let tag = format!("\"{}\"", digest.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>());
    let control = format!("max-age={}, public, no-transform, must-revalidate", caching.max_age.as_secs());
    let fresh = is_known(&tag, headers);
    let caching = [
        (ETAG, tag),
        (CACHE_CONTROL, control),
        (EXPIRES, http_date(caching.next_update)),
        (LAST_MODIFIED, http_date(caching.this_update)),
    ];
    match fresh {
        true => (StatusCode::NOT_MODIFIED, caching).into_response(),
        false => (caching, [(CONTENT_TYPE, ANSWER)], answer.der).into_response(),
    }
}

/// RFC 9110 section 5.6.7: the date of an e-mail, with GMT for the zone.
fn http_date(moment: Timestamp) -> String {
    let date = moment.whole_second().to_offset().format(&Rfc2822).unwrap_or_default();
    date.replace("+0000", "GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_every_spelling() {
        // 0xfb 0xef 0xff has both of base64's own signs.
        for text in ["++//AA==", "%2B%2b%2F%2f%41%41%3D%3d", "++//AA", "%2B+/%2FAA="] {
            assert_eq!(decode(text).as_deref(), Some(&[0xfb, 0xef, 0xff, 0][..]), "{text}");
        }
        for text in ["-_", "++//AA==x", "%2", "%", "%zz", "%+1", "\u{e4}", " ", "AAAAA"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode(&"A".repeat(4 * MAX_STATUS_REQUEST + 4)), None);
    }

    #[test]
    fn dates_are_those_of_http() {
        let moment = Timestamp::from_secs(784_111_777);
        assert_eq!(http_date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
