//! `Prefer` header (RFC 7240): names in any case, blanks around the equals sign, quoted values, and parameters after a
//! semicolon, which belong to their preference and are not preferences themselves.

use axum::http::{HeaderMap, HeaderName};
use fusebox_core::limits::WAIT_SECONDS_MAX;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Returns the seconds of the first `wait` preference, at most [`WAIT_SECONDS_MAX`]. RFC 7240 lets the first of several
/// count.
#[must_use]
pub(super) fn wait(headers: &HeaderMap) -> Option<u64> {
    let fields = headers.get_all(&PREFER).into_iter().filter_map(|field| field.to_str().ok());
    let mut preferences = fields.flat_map(|field| pieces(field, ','));
    let value = preferences.find_map(|preference| {
        let (name, value) = pieces(preference, ';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim())
    })?;
    let digits = unquoted(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number that overflows is above the maximum too.
    is_number.then(|| digits.parse().unwrap_or(WAIT_SECONDS_MAX).min(WAIT_SECONDS_MAX))
}

/// Returns true if the client prefers a response before the work is done.
#[must_use]
pub(super) fn is_async(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(&PREFER).into_iter().filter_map(|field| field.to_str().ok());
    let names = fields.flat_map(|field| pieces(field, ',')).filter_map(|preference| pieces(preference, ';').next());
    names.map(str::trim).any(|name| name.eq_ignore_ascii_case("respond-async"))
}

/// Splits a text at separators outside of quotes.
fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = is_quoted && !is_escaped && character == '\\';
        character == separator && !is_quoted
    })
}

/// Strips the quotes of a value. Escapes are left in place: numbers have none.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[&'static str]) -> Option<u64> {
        wait(&fields.iter().map(|field| (PREFER, field.parse().unwrap())).collect::<HeaderMap>())
    }

    #[test]
    fn the_preference_is_found_however_it_is_written() {
        for field in [
            "wait=7",
            "Wait=7",
            "WAIT=7",
            "wait = 7",
            " wait\t=\t7 ",
            "wait=\"7\"",
            "respond-async, wait=7",
            "respond-async,wait=7;x=y",
            "wait=7; wait=9",
            "handling=lenient; strict=\"a, wait=9\", wait=7",
            "x=\"\\\", wait=9\", wait=7",
            "return; wait=9, wait=7",
            ",, wait=7,",
            "wait=7, wait=9",
        ] {
            assert_eq!(asked(&[field]), Some(7), "{field}");
        }
        assert_eq!(asked(&["return=minimal", "wait=7", "wait=9"]), Some(7), "several fields");
    }

    #[test]
    fn it_is_bounded_and_what_is_no_number_is_none() {
        for field in ["wait=100000", "wait=99999999999999999999999999"] {
            assert_eq!(asked(&[field]), Some(WAIT_SECONDS_MAX), "{field}");
        }
        for field in [
            "return=minimal",
            "wait",
            "wait=",
            "wait=soon",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "x; wait=7",
            "awaits=7",
            "\"wait=7\"",
        ] {
            assert_eq!(asked(&[field]), None, "{field}");
        }
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn an_early_response_is_asked_for_by_its_whole_name() {
        let is_async = |field: &'static str| super::is_async(&HeaderMap::from_iter([(PREFER, field.parse().unwrap())]));
        assert!(is_async("respond-async") && is_async("wait=7, Respond-Async ; x=1"));
        assert!(
            !is_async("respond-asynchronously") && !is_async("x=\"respond-async\"") && !is_async("x; respond-async")
        );
    }
}
