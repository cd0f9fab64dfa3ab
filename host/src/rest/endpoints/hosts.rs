//! Domain and listener of functions: which requests go to functions, and which to the API. Neither serves the other's.

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{Uri, uri::PathAndQuery},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use fusebox_core::error::ErrorCode;

use super::place::{Apart, host_of};
use crate::rest::{error::Problem, headers};

/// Domain of functions, such as `fn.example.com`: a function `hello` of the tenant `default` has the host
/// `hello.fn.example.com`, one of another tenant `hello.TENANT.fn.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(String);

/// Largest domain, in bytes: it leaves room for a function and a tenant below the 253 of a host name.
const DOMAIN_BYTES_MAX: usize = 124;

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_label);
        match is_good && text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => {
                Err(format!("{text:?} is not a domain: write one such as fn.example.com, without scheme and port"))
            }
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Labels of a host below the domain.
#[derive(Debug, PartialEq, Eq)]
enum Below {
    /// The host is not below the domain.
    No,
    /// The host is the domain itself, or has labels that name no function.
    Nothing,
    /// Name of a function and of its tenant.
    Function(String, Option<String>),
}

impl Domain {
    fn below(&self, host: &str) -> Below {
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => host,
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let Some(above) = host.strip_suffix(&self.0) else { return Below::No };
        let labels = match above.strip_suffix('.') {
            Some(labels) => labels,
            None if above.is_empty() => return Below::Nothing,
            None => return Below::No,
        };
        let labels: Vec<&str> = labels.split('.').collect();
        match labels.iter().all(|label| is_label(label)).then_some(&labels[..]) {
            Some([name]) => Below::Function((*name).to_owned(), None),
            Some([name, tenant]) => Below::Function((*name).to_owned(), Some((*tenant).to_owned())),
            _ => Below::Nothing,
        }
    }
}

/// Rules of a listener.
struct Rules {
    domain: Option<Domain>,
    /// True if the listener serves functions alone.
    is_for_functions: bool,
    is_tls: bool,
}

/// Sends requests for hosts of the domain to functions; on the listener of functions, refuses all other routes.
pub fn directed(router: Router, domain: Option<Domain>, is_for_functions: bool, is_tls: bool) -> Router {
    if domain.is_none() && !is_for_functions {
        return router;
    }
    let rules = Arc::new(Rules { domain, is_for_functions, is_tls });
    // The layer is outside of the router, so that routes are looked up by the path that it writes.
    Router::new().fallback_service(router).layer(middleware::from_fn_with_state(rules, direct))
}

async fn direct(State(rules): State<Arc<Rules>>, mut request: Request, next: Next) -> Response {
    match rules.apply(&mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            headers::protect(response.headers_mut(), false, rules.is_tls);
            response
        }
    }
}

impl Rules {
    /// Marks a request for a function, and gives it a function's path.
    fn apply(&self, request: &mut Request) -> Result<(), Problem> {
        let host = host_of(request.uri(), request.headers()).unwrap_or_default().to_ascii_lowercase();
        let below = self.domain.as_ref().map_or(Below::No, |domain| domain.below(&host));
        let no_function = || {
            let detail = "no function has this address: functions are at /fn/NAME/, and at NAME.DOMAIN if the operator has \
                          set a domain";
            Problem::new(ErrorCode::RouteNotFound, detail)
        };
        match below {
            Below::Nothing => Err(no_function()),
            Below::No if !self.is_for_functions => Ok(()),
            Below::No if request.uri().path().starts_with("/fn/") => {
                request.extensions_mut().insert(Apart { tenant: None, host: None, target: None });
                Ok(())
            }
            Below::No => Err(no_function()),
            Below::Function(name, tenant) => {
                let tenant = match tenant {
                    Some(tenant) => tenant.parse().map_err(|_| no_function())?,
                    None => fusebox_core::name::TenantId::default_tenant(),
                };
                let target = request.uri().path_and_query().map(PathAndQuery::as_str).unwrap_or("/").to_owned();
                let uri = under(request.uri(), &name, &target).ok_or_else(no_function)?;
                *request.uri_mut() = uri;
                request.extensions_mut().insert(Apart { tenant: Some(tenant), host: Some(host), target: Some(target) });
                Ok(())
            }
        }
    }
}

/// Returns a URI with the path of a function before its own.
fn under(uri: &Uri, name: &str, target: &str) -> Option<Uri> {
    let path = target.starts_with('/').then(|| ["/fn/", name, target].concat())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_labels_alone() {
        for good in ["fn.example.com", "localhost", "FN.Example"] {
            assert_eq!(good.parse::<Domain>().unwrap().to_string(), good.to_ascii_lowercase());
        }
        for bad in
            ["", ".", "a..b", ".a", "a.", "https://a.example", "a.example:80", "a b", "*.a", "10.0.0.1", "é.example"]
        {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_below_the_domain_names_a_function() {
        let domain: Domain = "fn.example".parse().unwrap();
        let function = |name: &str, tenant: Option<&str>| Below::Function(name.to_owned(), tenant.map(str::to_owned));
        for (host, below) in [
            ("hello.fn.example", function("hello", None)),
            ("HELLO.fn.Example:8000", function("hello", None)),
            ("hello.fn.example.", function("hello", None)),
            ("hello.acme.fn.example", function("hello", Some("acme"))),
            ("a.b.c.fn.example", Below::Nothing),
            ("fn.example:80", Below::Nothing),
            (".fn.example", Below::Nothing),
            ("a b.fn.example", Below::Nothing),
            ("evilfn.example", Below::No),
            ("hello.fn.example.evil", Below::No),
            ("localhost:8000", Below::No),
            ("[::1]:8000", Below::No),
            ("", Below::No),
        ] {
            assert_eq!(domain.below(host), below, "{host}");
        }
    }

    #[test]
    fn a_path_is_put_below_the_function() {
        let under = |uri: &str, target: &str| under(&uri.parse().unwrap(), "f", target).map(|uri| uri.to_string());
        assert_eq!(under("/a?b", "/a?b").as_deref(), Some("/fn/f/a?b"));
        assert_eq!(under("http://h.example/", "/").as_deref(), Some("http://h.example/fn/f/"));
        assert_eq!(under("*", "*"), None);
    }
}
