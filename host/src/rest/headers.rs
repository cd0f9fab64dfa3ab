//! Security headers of every response: no content sniffing, no loading, no scripts, no referrer, no caching. Functions
//! return untrusted bytes, and a link can open them in a browser.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::endpoints;

/// Forbids loading anything and gives shown content no rights on this origin.
const CONTENT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// Policy of the rendered documentation: only its own files; it sets styles at run time.
const DOCS_CONTENT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Other sites may not embed a response; the origins of `--cors-origin` may still fetch it.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// One year. Sent only under TLS: a host that serves plain HTTP behind a proxy leaves this header to the proxy.
const ALWAYS_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the security headers to a function's own response, and takes away what would act on the API's origin.
pub(super) fn protect_served(headers: &mut HeaderMap, is_apart: bool, is_tls: bool) {
    endpoints::protect(headers, is_apart);
    if is_apart {
        return;
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    for (name, value) in
        [(header::REFERRER_POLICY, NO_REFERRER), (RESOURCE_POLICY, SAME_ORIGIN), (header::CACHE_CONTROL, NO_STORE)]
    {
        headers.entry(name).or_insert(value);
    }
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, ALWAYS_TLS);
    }
}

/// Number of headers added here, with the request id, so that the map grows once.
const ADDED: usize = 7;

/// Returns true if the path belongs to the rendered documentation.
pub(super) fn is_docs(path: &str) -> bool {
    path == "/docs" || path.starts_with("/docs/")
}

/// Adds the security headers to a response.
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
