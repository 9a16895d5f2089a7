//! Revocation lists over HTTP, with what caches need: they are large, and everybody fetches them (RFC 5280 section 4.2.1.13,
//! RFC 9110 section 13, RFC 9111 section 4.2).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Source, is_known};
use crate::domain::{Error, Kind, Timestamp};
use crate::ra::CurrentList;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The first day of 1970 was a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// `GET /crl/<issuer>/<shard>.crl`.
pub(super) async fn crl(
    State(source): State<Arc<Source>>,
    Path((issuer, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    // One spelling for each shard: "+1" and "01" would read as numbers too.
    let shard = file.strip_suffix(".crl").and_then(|text| text.parse().ok().filter(|n: &u16| n.to_string() == text));
    let Some(shard) = shard else { return StatusCode::NOT_FOUND.into_response() };
    match (source.crl)(issuer, shard).await {
        Ok(list) => answer(list, &headers),
        Err(error) => refusal(&error),
    }
}

/// RFC 2585 section 4.2 gives the media type.
fn answer(list: CurrentList, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", list.tag);
    let caching = [
        (LAST_MODIFIED, http_date(list.this_update)),
        (CACHE_CONTROL, format!("public, max-age={}", list.fresh.as_secs())),
        (EXPIRES, http_date(list.now + list.fresh)),
    ];
    let fresh = has(&list, &tag, headers);
    let caching = ([(ETAG, tag)], caching);
    match fresh {
        true => (StatusCode::NOT_MODIFIED, caching).into_response(),
        false => (caching, [(CONTENT_TYPE, "application/pkix-crl")], list.der).into_response(),
    }
}

/// Whether the client has this very list. RFC 9110 section 13.2.2: a tag speaks before a date.
fn has(list: &CurrentList, tag: &str, headers: &HeaderMap) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return is_known(tag, headers);
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok()).and_then(read_http_date);
    let made = list.this_update.as_secs();
    // RFC 9110 section 8.8.2.2: a date of the very second tells two lists of that second not apart.
    since.is_some_and(|since| made < since || made == since && list.datable)
}

/// RFC 9110 section 5.6.7: IMF-fixdate.
fn http_date(moment: Timestamp) -> String {
    let t = moment.whole_second().to_offset();
    let day = DAYS[(moment.as_secs() / 86_400 % 7) as usize];
    let month = MONTHS[usize::from(u8::from(t.month())) - 1];
    format!("{day}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT", t.day(), t.year(), t.hour(), t.minute(), t.second())
}

/// Seconds since 1970 of an IMF-fixdate. None for other forms, which nobody sends any more: a condition that can't be read is
/// left out of account (RFC 9110 section 13.1.3).
fn read_http_date(text: &str) -> Option<u64> {
    let mut words = text.strip_suffix(" GMT")?.get(5..)?.split(' ');
    let [day, month, year, time] = [words.next()?, words.next()?, words.next()?, words.next()?];
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let moment = Timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))?;
    // What reads as a date and is written in another way is none.
    (http_date(moment) == text).then(|| moment.as_secs())
}

fn refusal(error: &Error) -> Response {
    match error.kind() {
        Kind::NotFound => StatusCode::NOT_FOUND.into_response(),
        Kind::Unavailable => {
            let wait = error.retry_after_hint().map_or(1, |wait| wait.as_secs().max(1));
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, wait.to_string())]).into_response()
        }
        _ => {
            tracing::error!(error = ?error, "a revocation list could not be given");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let moment = Timestamp::from_secs(784_111_777);
        assert_eq!(http_date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for other in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 GMT",
            "x",
            "ééééééééé GMT",
            "",
        ] {
            assert_eq!(read_http_date(other), None, "{other}");
        }
    }
}
