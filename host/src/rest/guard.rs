//! What every request passes: foreign origins are refused, and the answer is counted.
//!
//! Without API keys anyone who can reach the port may use it. A web page a developer visits must not be able to: a
//! request that a browser sends on a page's behalf names the page in `Origin`, and one sent through a name that a page
//! made point here (DNS rebinding) names that in `Host`.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use fusebox_core::error::ErrorCode;

use super::{Shared, cors::Cors, error::Problem};

/// See the module's documentation.
pub async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = if is_foreign(request.headers(), &app.settings.cors) {
        let detail = "requests from web pages and for other hosts are refused: send them to localhost, without Origin";
        Problem::new(ErrorCode::ForeignOrigin, detail).into_response()
    } else {
        next.run(request).await
    };
    app.metrics.request(route.as_ref().map_or("", MatchedPath::as_str), response.status().as_u16());
    response
}

fn is_foreign(headers: &HeaderMap, listed: &Cors) -> bool {
    let foreign_host = headers.get(header::HOST).is_some_and(|host| !is_local(host.to_str().unwrap_or_default()));
    let foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        !origin.as_ref().and_then(Uri::authority).is_some_and(|authority| is_local(authority.as_str()))
    });
    foreign_host || foreign_origin && !listed.allows(headers)
}

/// Whether an authority, with or without a port, is this machine by a name that no page can make point elsewhere.
fn is_local(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]"] {
            assert!(is_local(local), "{local}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1:8000", "", "null"]
        {
            assert!(!is_local(foreign), "{foreign}");
        }
    }
}
