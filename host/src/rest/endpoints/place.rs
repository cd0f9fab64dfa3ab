//! Function that a request names, and the path within it.

use std::sync::Arc;

use axum::http::{HeaderMap, Uri, header};
use fusebox_core::{function::FunctionVersion, name::TenantId};

/// Mark of a request that arrived on the domain or the listener of functions, not on that of the API.
#[derive(Clone, Debug)]
pub(in crate::rest) struct Apart {
    /// Tenant that the host names; `None` if the host names no function.
    pub(in crate::rest) tenant: Option<TenantId>,
    /// Scheme-less address of the function's own host, with its port.
    pub(in crate::rest) host: Option<String>,
    /// Path and query as sent, where they are the function's own.
    pub(in crate::rest) target: Option<String>,
}

/// Function that a request has reached.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Version that runs.
    pub(super) version: Arc<FunctionVersion>,
    /// True if the request arrived apart from the API.
    pub(super) is_apart: bool,
    /// Path at which the function is reached; empty at the root of a host of its own.
    pub(super) prefix: String,
    /// Path and query within the function.
    pub(super) target: String,
}

/// Splits the path of a request to `/fn/{function}/…` into the prefix and the target within the function.
pub(super) fn split(uri: &Uri) -> Option<(String, String)> {
    let path = uri.path();
    let rest = path.strip_prefix("/fn/")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (name, inner) = rest.split_at_checked(end)?;
    let inner = if inner.is_empty() { "/" } else { inner };
    let query = uri.query().map(|query| ["?", query].concat()).unwrap_or_default();
    Some((["/fn/", name].concat(), [inner, &query].concat()))
}

/// Returns the host that a request names, with its port.
pub(super) fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    // HTTP/2 carries the host in the target, and where HTTP/1 does too, it counts before the header (RFC 9112, 3.2.2).
    let named = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(|authority| authority.as_str()).or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_behind_the_name() {
        for (uri, prefix, target) in [
            ("/fn/hello", "/fn/hello", "/"),
            ("/fn/hello?a=b", "/fn/hello", "/?a=b"),
            ("/fn/hello/", "/fn/hello", "/"),
            ("/fn/hello/a/b?c=/d", "/fn/hello", "/a/b?c=/d"),
            ("/fn/a%2Fb//c?", "/fn/a%2Fb", "//c?"),
            ("http://h.example/fn/hello/x", "/fn/hello", "/x"),
        ] {
            let split = split(&uri.parse().unwrap()).unwrap();
            assert_eq!(split, (prefix.to_owned(), target.to_owned()), "{uri}");
        }
        assert_eq!(split(&"/v1/functions".parse().unwrap()), None);
    }
}
