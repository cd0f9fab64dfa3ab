//! From a client's request to a function's: what passes, and what the host adds.

use axum::http::{HeaderMap, HeaderName, header, request::Parts};
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    http::{self, CONNECTION_HEADERS, Header, METHODS, MessageError, cgi},
};

use super::{
    admit,
    place::{Reached, host_of},
};
use crate::rest::{error::Problem, server::connections::Connection};

/// Name of the function, without its tenant.
const FUNCTION: &str = "fusebox-function";
/// Path within the function, under the name that Spin's SDK reads.
const PATH_INFO: &str = "spin-path-info";

/// Builds the function's request without its body.
///
/// # Errors
/// `MethodNotAllowed` or `InvalidRequest` if it cannot be passed on.
pub(super) fn of_function(head: &mut Parts, reached: &Reached, is_tls: bool) -> Result<http::Request, Problem> {
    let method = METHODS.into_iter().find(|method| head.method == *method);
    let method =
        method.ok_or_else(|| Problem::new(ErrorCode::MethodNotAllowed, MessageError::BadMethod.to_string()))?;
    let mut headers = passed(&head.headers, reached.is_apart)?;
    headers.extend(added(head, reached, is_tls)?);
    Ok(http::Request { method: method.to_owned(), target: reached.target.clone(), headers, body: Bytes::new() })
}

/// Returns the headers that pass: none of the connection, none with which the host itself speaks to functions, no
/// credentials of this API, and cookies only where they cannot be another service's.
fn passed(headers: &HeaderMap, is_apart: bool) -> Result<Vec<Header>, Problem> {
    let is_our_key = admit::is_ours(headers);
    let of_connection = named_by_connection(headers);
    let passes = |name: &HeaderName| match name.as_str() {
        "authorization" => !is_our_key,
        // Cookies belong to a host name, whatever its port: here they are those of the API's neighbours.
        "cookie" => is_apart,
        // Added as `added` knows them.
        "host" | cgi::FORWARDED_FOR | cgi::PREFIX => false,
        name if name.starts_with("fusebox-") || name.starts_with("spin-") => false,
        name => !CONNECTION_HEADERS.contains(&name) && !of_connection.iter().any(|other| other == name),
    };
    let passing = headers.iter().filter(|(name, _)| passes(name));
    passing.map(|(name, value)| Ok(checked(name.as_str(), value.as_bytes())?)).collect()
}

/// Returns the trailers that pass, by the rules for headers.
pub(super) fn passing_trailers(trailers: HeaderMap) -> HeaderMap {
    const NOT_TRAILERS: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::CONTENT_LENGTH, header::HOST];
    let passes = |name: &HeaderName| {
        let text = name.as_str();
        let is_ours = text.starts_with("fusebox-") || text.starts_with("spin-");
        !is_ours && !NOT_TRAILERS.contains(name) && !CONNECTION_HEADERS.contains(&text)
    };
    let mut passing = HeaderMap::new();
    for (name, value) in trailers.iter().filter(|(name, _)| passes(name)) {
        passing.append(name, value.clone());
    }
    passing
}

/// Returns the headers that `Connection` names, in lower case: they are of the connection too (RFC 9110, 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Returns the headers that the host adds.
fn added(head: &Parts, reached: &Reached, is_tls: bool) -> Result<Vec<Header>, MessageError> {
    let host = host_of(&head.uri, &head.headers).unwrap_or_default();
    let scheme = if is_tls { "https" } else { "http" };
    let url = [scheme, "://", host, &reached.prefix, &reached.target].concat();
    let path = reached.target.split('?').next().unwrap_or_default();
    let name = reached.version.name.to_string();
    let before = head.headers.get_all(cgi::FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let nearest = head.extensions.get::<std::sync::Arc<Connection>>().map(|connection| connection.address());
    let nearest = nearest.map(|address| address.to_string());
    let forwarded = before.chain(nearest.as_deref()).collect::<Vec<_>>().join(", ");
    let all = [
        ("host", host),
        (cgi::FORWARDED_FOR, forwarded.as_str()),
        (cgi::PREFIX, reached.prefix.as_str()),
        (cgi::FULL_URL, url.as_str()),
        (PATH_INFO, path),
        (FUNCTION, name.trim()),
    ];
    let there = all.into_iter().filter(|(_, value)| !value.is_empty());
    there.map(|(name, value)| checked(name, value.as_bytes())).collect()
}

fn checked(name: &str, value: &[u8]) -> Result<Header, MessageError> {
    Header::new(name, Bytes::copy_from_slice(value.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::Request;

    use super::*;
    use crate::rest::endpoints::test_version;

    fn reached(is_apart: bool) -> Reached {
        let (prefix, target) = ("/fn/hello".to_owned(), "/a%20b?c=d".to_owned());
        Reached { version: Arc::new(test_version("hello")), is_apart, prefix, target }
    }

    fn sent(headers: &[(&str, &str)], is_apart: bool) -> http::Request {
        let mut request = Request::builder().method("POST").uri("/fn/hello/a%20b?c=d");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        of_function(&mut head, &reached(is_apart), false).unwrap()
    }

    #[test]
    fn a_function_learns_where_it_is_reached_and_nothing_else_passes_for_that() {
        let forged = [
            ("host", "h.example"),
            ("x-forwarded-prefix", "/evil"),
            ("spin-full-url", "http://evil/"),
            ("spin-client-addr", "evil"),
            ("fusebox-function", "evil"),
            ("fusebox-trailer", "a: b"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        let request = sent(&forged, false);
        let value = |name: &str| request.header(name).map(|value| std::str::from_utf8(value).unwrap());
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a%20b?c=d"));
        assert_eq!(value("host"), Some("h.example"));
        assert_eq!(value("x-forwarded-prefix"), Some("/fn/hello"));
        assert_eq!(value("spin-path-info"), Some("/a%20b"));
        assert_eq!(value("spin-full-url"), Some("http://h.example/fn/hello/a%20b?c=d"));
        assert_eq!(value("fusebox-function"), Some("hello"));
        assert_eq!(value("x-forwarded-for"), Some("10.0.0.1"));
        assert_eq!((value("spin-client-addr"), value("fusebox-trailer")), (None, None));
    }

    #[test]
    fn our_credentials_our_neighbours_cookies_and_headers_of_the_connection_stay_here() {
        let ours = [("authorization", "Bearer fb_0123456789abcdef_x"), ("cookie", "session=1"), ("x-mine", "1")];
        let request = sent(&ours, false);
        assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
        assert_eq!(request.header("x-mine").unwrap(), "1");
        let twice = [("authorization", "Basic eA=="), ("authorization", "bearer fb_0123456789abcdef_x")];
        assert_eq!(sent(&twice, true).header("authorization"), None);
        let theirs = sent(&[("authorization", "Basic eA=="), ("cookie", "session=1")], true);
        assert_eq!(theirs.header("authorization").unwrap(), "Basic eA==");
        assert_eq!(theirs.header("cookie").unwrap(), "session=1");
        let hop =
            [("connection", "close, X-Hop"), ("x-hop", "1"), ("te", "trailers"), ("upgrade", "h2c"), ("expect", "x")];
        let request = sent(&hop, true);
        assert!(hop.iter().all(|(name, _)| request.header(name).is_none()));
    }
}
