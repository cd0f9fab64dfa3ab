//! From a function's response to a client's.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    http::{self, Header},
    outcome::Failure,
};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::tail::Tail;
use crate::rest::invoke::{LOG, RECEIPT};

/// Mark of a response that a function has given.
#[derive(Clone, Copy, Debug)]
pub(in crate::rest) struct Served {
    /// True if the request arrived on the domain or the listener of functions.
    pub(in crate::rest) is_apart: bool,
}

/// Fault of a response that cannot be sent. Its text is a sentence that says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::rest) enum Unsendable {
    /// The response has not the form of a message.
    #[error(transparent)]
    Message(#[from] http::MessageError),
    /// The length that the function states is not that of the body.
    #[error("the response's Content-Length is not the length of its body: leave the header out")]
    Length,
}

/// Headers with which a page could act on the whole origin, which is the API's, or on its other pages.
const OF_THE_ORIGIN: [HeaderName; 4] =
    [header::SET_COOKIE, header::STRICT_TRANSPORT_SECURITY, header::ALT_SVC, header::PUBLIC_KEY_PINS];
/// Further such headers, for which the `http` crate has no constant.
const OF_THE_ORIGIN_BY_NAME: [&str; 7] = [
    "clear-site-data",
    "nel",
    "origin-agent-cluster",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie2",
];

/// Takes away the rights of a page: no scripts, no forms, an origin of its own.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// Builds the client's response.
///
/// # Errors
/// Fails if the response cannot be sent.
pub(super) fn of_client(own: http::Response, is_head: bool) -> Result<Response, Unsendable> {
    let http::Response { status, headers, body, trailers } = own;
    let status = StatusCode::from_u16(status).map_err(|_| http::MessageError::BadStatus)?;
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if has_body { body } else { Bytes::new() };
    let mut map = mapped(headers)?;
    if let Some(length) = map.remove(header::CONTENT_LENGTH) {
        let stated: Option<usize> = length.to_str().ok().and_then(|length| length.parse().ok());
        // A response to HEAD may state the length of the body that it leaves out.
        if is_head && body.is_empty() && stated.is_some() {
            map.insert(header::CONTENT_LENGTH, length);
        } else if has_body && stated != Some(body.len()) {
            return Err(Unsendable::Length);
        }
    }
    remove_ours(&mut map);
    let body = match trailers.is_empty() || is_head || !has_body {
        true => Body::from(body),
        false => with_trailers(&mut map, body, trailers)?,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = map;
    Ok(response)
}

/// Builds the client's response of which the first part is there.
///
/// # Errors
/// Fails if the head cannot be sent.
pub(super) fn of_part(head: http::Response, tail: Tail) -> Result<Response, Unsendable> {
    let http::Response { status, headers, trailers, .. } = head;
    let status = StatusCode::from_u16(status).map_err(|_| http::MessageError::BadStatus)?;
    let mut map = mapped(headers)?;
    remove_ours(&mut map);
    // HTTP/1 sends trailers only behind a body of unstated length, and only announced ones.
    if !map.contains_key(header::CONTENT_LENGTH) {
        let names = trailers.iter().map(|trailer| trailer.name.as_str()).collect::<Vec<_>>();
        let names = [RECEIPT.as_str()].into_iter().chain(names).collect::<Vec<_>>().join(", ");
        map.insert(header::TRAILER, HeaderValue::try_from(names).map_err(|_| http::MessageError::BadHeader)?);
    }
    let mut response = Response::new(Body::new(tail));
    *response.status_mut() = status;
    *response.headers_mut() = map;
    Ok(response)
}

/// Returns the response of a run that failed with its status alone, which is 500 or above; `None` if it failed otherwise.
/// Headers and body are empty if the response was passed on.
pub(super) fn fault(failure: &Failure, output: &Bytes) -> Option<http::Response> {
    let own = (failure.code == ErrorCode::GuestError).then(|| http::Response::parse(output).ok());
    own.flatten().filter(http::Response::is_fault)
}

/// Removes headers that nobody but this host says.
pub(super) fn remove_ours(map: &mut HeaderMap) {
    for ours in [&RECEIPT, &LOG] {
        map.remove(ours);
    }
}

pub(super) fn mapped(headers: Vec<Header>) -> Result<HeaderMap, Unsendable> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for Header { name, value } in headers {
        let name: HeaderName = name.parse().map_err(|_| http::MessageError::BadHeader)?;
        map.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| http::MessageError::BadHeader)?);
    }
    Ok(map)
}

/// Returns a body of unstated length, since HTTP/1 sends trailers only behind such a one, and only announced ones.
fn with_trailers(map: &mut HeaderMap, body: Bytes, trailers: Vec<Header>) -> Result<Body, Unsendable> {
    let names = trailers.iter().map(|trailer| trailer.name.as_str()).collect::<Vec<_>>().join(", ");
    map.insert(header::TRAILER, HeaderValue::try_from(names).map_err(|_| http::MessageError::BadHeader)?);
    let frames = [Frame::data(body), Frame::trailers(mapped(trailers)?)];
    let frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
    Ok(Body::new(StreamBody::new(stream::iter(frames))))
}

/// Takes from a function's response what would act on others that its host name serves. `is_apart` is true if functions
/// have the host name for themselves.
pub(in crate::rest) fn protect(headers: &mut HeaderMap, is_apart: bool) {
    if is_apart {
        keep_own_cookies(headers);
        return;
    }
    for name in &OF_THE_ORIGIN {
        headers.remove(name);
    }
    for name in OF_THE_ORIGIN_BY_NAME {
        headers.remove(name);
    }
    // Several policies hold together, so the function's own can only restrict further.
    headers.append(header::CONTENT_SECURITY_POLICY, SANDBOX);
}

/// Removes cookies that a function sets for other hosts of the domain.
fn keep_own_cookies(headers: &mut HeaderMap) {
    let header::Entry::Occupied(cookies) = headers.entry(header::SET_COOKIE) else { return };
    let (name, all) = cookies.remove_entry_mult();
    let own: Vec<_> = all.filter(|cookie| !names_a_domain(cookie.as_bytes())).collect();
    headers.extend(own.into_iter().map(|cookie| (name.clone(), cookie)));
}

/// Returns true if a cookie has the attribute `Domain`.
fn names_a_domain(cookie: &[u8]) -> bool {
    let attributes = cookie.split(|byte| *byte == b';').skip(1);
    let names = attributes.map(|attribute| attribute.split(|byte| *byte == b'=').next().unwrap_or_default());
    names.map(<[u8]>::trim_ascii).any(|name| name.eq_ignore_ascii_case(b"domain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &'static str) -> Result<Response, Unsendable> {
        of_client(http::Response::parse(&Bytes::from_static(text.as_bytes())).unwrap(), false)
    }

    #[test]
    fn a_stated_length_must_be_the_bodys() {
        assert!(response("200\ncontent-length: 2\n\nso").is_ok());
        assert_eq!(response("200\ncontent-length: 3\n\nso").unwrap_err(), Unsendable::Length);
        assert_eq!(response("200\ncontent-length: x\n\nso").unwrap_err(), Unsendable::Length);
        assert!(response("304\ncontent-length: 7\n\n").is_ok());
        let own = http::Response::parse(&Bytes::from_static(b"200\ncontent-length: 7\n\n")).unwrap();
        assert_eq!(of_client(own, true).unwrap().headers()[header::CONTENT_LENGTH], "7");
    }

    #[test]
    fn nothing_that_acts_on_the_origin_leaves_the_apis() {
        let names = OF_THE_ORIGIN.iter().map(HeaderName::as_str).chain(OF_THE_ORIGIN_BY_NAME);
        let mut headers: HeaderMap = names.map(|name| (name.parse().unwrap(), HeaderValue::from_static("x"))).collect();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src *"));
        protect(&mut headers, false);
        let policies: Vec<_> = headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!((headers.len(), policies), (2, vec![&HeaderValue::from_static("default-src *"), &SANDBOX]));
    }

    #[test]
    fn a_host_of_its_own_sets_cookies_for_itself_alone() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2; Path=/; domain=fn.example", "c=domain", "d=4; DOMAIN = x", "e=5; Secure"] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        protect(&mut headers, true);
        let kept: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(kept, ["a=1", "c=domain", "e=5; Secure"]);
    }
}
