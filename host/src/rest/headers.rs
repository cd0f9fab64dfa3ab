//! What a browser is told with every answer: to believe its type, to load and run nothing, to tell no other site where it
//! was, and to keep nothing. What functions return is strangers' bytes, and a link can open it in a browser.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::request_id::RequestIds;

/// Nothing may be loaded, and what is shown has no rights on this origin.
const CONTENT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// The rendered documentation: its own files; it styles itself as it runs.
const DOCS_CONTENT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Other sites' pages may not embed an answer; those that `--cors-origin` names may fetch it.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A year. Said under TLS alone: a host that speaks plain HTTP behind a proxy leaves this to the proxy.
const ALWAYS_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What whatever answers is put into.
pub(super) struct Envelope {
    pub(super) ids: RequestIds,
    pub(super) is_tls: bool,
}

/// Names the request, and protects its answer.
pub(super) async fn envelope(State(envelope): State<Arc<Envelope>>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let mut response = envelope.ids.name(request, next).await;
    protect(response.headers_mut(), uri.path(), envelope.is_tls);
    response
}

fn protect(headers: &mut HeaderMap, path: &str, is_tls: bool) {
    let is_docs = path == "/docs" || path.starts_with("/docs/");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    headers.insert(header::CONTENT_SECURITY_POLICY, if is_docs { DOCS_CONTENT } else { CONTENT });
    if !is_docs {
        headers.insert(header::CACHE_CONTROL, NO_STORE);
    }
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, ALWAYS_TLS);
    }
}
