//! What a browser is told with every answer: to believe its type, to load and run nothing, to tell no other site where it
//! was, and to keep nothing. What functions return is strangers' bytes, and a link can open it in a browser.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

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

/// What is added to an answer here, with its request's id, so that its headers grow once.
const ADDED: usize = 7;

/// Whether a path is the rendered documentation's.
pub(super) fn is_docs(path: &str) -> bool {
    path == "/docs" || path.starts_with("/docs/")
}

/// Protects an answer.
pub(super) fn protect(headers: &mut HeaderMap, is_docs: bool, is_tls: bool) {
    headers.reserve(ADDED);
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
