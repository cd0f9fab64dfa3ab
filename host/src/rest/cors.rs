//! CORS: only web pages of the origins that an operator lists may read responses. Their rights come from an API key, as
//! for any other client; cookies are never used.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};

/// Request headers that pages may send, besides those that are always allowed.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, prefer, last-event-id, fusebox-log, x-request-id",
);
/// Response headers that a page may read.
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "fusebox-receipt, fusebox-log, fusebox-status, location, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, \
     x-request-id",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// Seconds for which a browser may cache the preflight response: short, so that a changed list takes effect soon.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Origin, such as `https://app.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl std::str::FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Option<Uri> = text.parse().ok();
        let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        let origin = uri.filter(is_web).and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
        match origin {
            Some(origin) if origin.eq_ignore_ascii_case(text) && !origin.contains('@') => {
                Ok(Self(origin.to_ascii_lowercase()))
            }
            _ => Err(format!("{text:?} is not an origin: write one such as https://app.example.com, without a path")),
        }
    }
}

/// Origins whose pages may read responses.
#[derive(Clone, Debug, Default)]
pub struct Cors(pub Vec<Origin>);

impl Cors {
    /// Returns true if the request comes from a page of a listed origin.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
        origin.is_some_and(|origin| self.0.iter().any(|listed| listed.0 == origin))
    }

    /// Answers preflight requests, and adds CORS headers to the responses of listed origins.
    pub(super) async fn answer<F: Future<Output = Response>>(
        &self,
        request: Request,
        next: impl FnOnce(Request) -> F,
    ) -> Response {
        if self.0.is_empty() {
            return next(request).await;
        }
        let origin = request.headers().get(header::ORIGIN).filter(|_| self.allows(request.headers())).cloned();
        let asks_first = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = match &origin {
            Some(_) if request.method() == Method::OPTIONS && asks_first => permission(),
            _ => next(request).await,
        };
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
        response
    }
}

fn permission() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for good in ["https://app.example.com", "http://localhost:3000", "HTTPS://App.Example.com"] {
            assert_eq!(good.parse(), Ok(Origin(good.to_ascii_lowercase())));
        }
        for bad in ["*", "null", "", "app.example.com", "https://a.example/", "https://a.example/x", "ftp://a.example"]
        {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn another_origin_that_looks_alike_is_none() {
        let cors = Cors(vec!["https://app.example.com".parse().unwrap()]);
        let allows = |origin: &'static str| {
            cors.allows(&HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]))
        };
        assert!(allows("https://app.example.com"));
        for other in
            ["http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.example", "null"]
        {
            assert!(!allows(other), "{other}");
        }
        assert!(!cors.allows(&HeaderMap::new()));
    }
}
