//! The guard that every request passes: its caller is found and may do what the route is for, or it is refused; its query says
//! nothing that the route does not know; and the answer is counted. All this before the body is read.
//!
//! Without API keys anyone who can reach the port, which is on loopback then, may use it. A web page a developer visits must
//! not be able to: a request that a browser sends on a page's behalf names the page in `Origin`, and one sent through a
//! name that a page made point here (DNS rebinding) names that in `Host`.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use fusebox_core::error::ErrorCode;

use super::{App, access::Access, cors::Cors, error::Problem, idempotency, server::doors::Door};
use crate::tenancy::{Needs, Refusal};

/// See the module's documentation.
pub(super) async fn guard(app: &App, access: &Access, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let response = match admit(app, access, route, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    app.metrics.request(route.unwrap_or_default(), response.status().as_u16());
    response
}

/// Lets a request in as its caller's, or says why not. Whatever the answer will be, it spends the caller's rate.
async fn admit(app: &App, access: &Access, route: Option<&str>, request: &mut Request) -> Result<(), Problem> {
    refuse_ambiguous(request.headers())?;
    let row = route.map(|route| access.row(route, request.method()));
    let is_open = matches!(row, Some(Ok(row)) if row.needs == Needs::Nothing);
    // Whether a process is alive must not depend on its store, and where there is no such path nothing is to be allowed.
    let closed = match app.gate.is_closed().await {
        Err(_) if is_open || row.is_none() => app.gate.was_closed(),
        closed => closed?,
    };
    if !closed && is_foreign(request.uri(), request.headers(), &app.settings.cors) {
        let detail = "requests from web pages and for other hosts are refused: send them to localhost, without Origin";
        return Err(Problem::new(ErrorCode::ForeignOrigin, detail));
    }
    let row = match row {
        Some(Ok(row)) if !is_open => row,
        Some(Ok(_)) => return Ok(()),
        // There is nothing there: who asks all the same is known by its key alone, where it sends one.
        missing => {
            if let Ok(caller) = app.gate.admit(bearer(request.headers()), Needs::Nothing).await {
                app.meter.request(&caller.tenant, app.clock.now())?;
            }
            return missing.map_or(Ok(()), |missing| missing.map(drop));
        }
    };
    let admitted = app.gate.admit(bearer(request.headers()), row.needs).await;
    if let (Ok(caller), Some(door)) = (&admitted, request.extensions().get::<Arc<Door>>()) {
        door.used_by(caller)?;
    }
    if let Ok(caller) | Err(Refusal::Forbidden(caller)) = &admitted {
        app.meter.request(&caller.tenant, app.clock.now())?;
    }
    match admitted {
        Ok(caller) => {
            row.check_query(request.uri().query())?;
            request.extensions_mut().insert(caller);
            Ok(())
        }
        Err(refusal) => {
            if let Refusal::Forbidden(caller) = &refusal {
                let asked = format!("{} {}", request.method(), route.unwrap_or_default());
                app.denials.record(caller, &asked, app.clock.now());
            }
            Err(refusal.into())
        }
    }
}

/// The token of `Authorization: Bearer`; an empty one, which is no key, of anything else.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    Some(token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token.trim()))
}

/// Refuses a request whose meaning depends on who reads it: a proxy, or a retry, may take the other of two values.
fn refuse_ambiguous(headers: &HeaderMap) -> Result<(), Problem> {
    for name in &[header::HOST, idempotency::KEY] {
        let mut values = headers.get_all(name).into_iter();
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            let detail = format!("the request has two different {name} headers: send one");
            return Err(Problem::new(ErrorCode::InvalidRequest, detail).with("header", name.as_str()));
        }
    }
    Ok(())
}

fn is_foreign(target: &Uri, headers: &HeaderMap, listed: &Cors) -> bool {
    let foreign_host = headers.get(header::HOST).is_some_and(|host| !is_local(host.to_str().unwrap_or_default()))
        // HTTP/2 names the host here, and so may HTTP/1.
        || target.authority().is_some_and(|authority| !is_local(authority.as_str()));
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
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_a_bearers_and_whatever_else_is_sent_is_no_key() {
        let token = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(text))]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(bearer(&HeaderMap::new()), None);
        assert_eq!(token("Bearer fb_1_2").as_deref(), Some("fb_1_2"));
        assert_eq!(token("bearer  fb_1_2").as_deref(), Some("fb_1_2"));
        for none in ["Basic fb_1_2", "fb_1_2", "Bearer", "Bearer ", ""] {
            assert_eq!(token(none).as_deref(), Some(""), "{none}");
        }
    }

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
