//! Authorizes every request before its body is read: finds the caller, checks its scope and rate, and refuses unknown
//! query parameters. Also counts every response.
//!
//! A host without API keys listens on loopback only, and anyone who can reach the port may use it, except web pages
//! that a developer visits: a request that a browser sends for a page has the page's `Origin`, and one that a page
//! routes here through its own name (DNS rebinding) has that name in `Host`.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderValue, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use fusebox_core::error::ErrorCode;

use super::{
    access::Access,
    app::App,
    cors::Cors,
    endpoints::{self, Apart},
    error::Problem,
    idempotency,
    server::connections::Connection,
};
use crate::tenancy::{Needs, Refusal};

/// Authorizes a request, runs it and counts the response.
pub(super) async fn guard(app: &App, access: &Access, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let response = match admit(app, access, route, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    app.metrics.request(route.unwrap_or_default(), response.status().as_u16());
    if response.extensions().get() == Some(&ErrorCode::StoreFull) {
        app.metrics.store_full_refused();
    }
    response
}

/// Authorizes a request, or returns the problem. Either way the request counts toward the caller's rate.
async fn admit(app: &App, access: &Access, route: Option<&str>, request: &mut Request) -> Result<(), Problem> {
    refuse_ambiguous(request.headers())?;
    let row = route.map(|route| access.row(route, request.method()));
    let is_open = matches!(row, Some(Ok(row)) if row.needs == Needs::Nothing);
    // Liveness must not depend on the store, and neither must the response for an unknown path.
    let closed = match app.gate.is_closed().await {
        Err(_) if is_open || row.is_none() => app.gate.was_closed(),
        closed => closed?,
    };
    let own_host = request.extensions().get::<Apart>().and_then(|apart| apart.host.as_deref());
    if !closed && is_foreign(request.uri(), request.headers(), &app.settings.cors, own_host) {
        let detail = "requests from web pages and for other hosts are refused: send them to localhost, without Origin";
        return Err(Problem::new(ErrorCode::ForeignOrigin, detail));
    }
    let row = match row {
        Some(Ok(row)) if row.needs == Needs::Endpoint => return endpoints::admit(app, request).await,
        Some(Ok(row)) if !is_open => row,
        Some(Ok(_)) => return Ok(()),
        // No such route. The caller is only identified, if it sends a valid key, so that the request counts.
        missing => {
            if let Ok(caller) = app.gate.admit(bearer(request.headers()), Needs::Nothing).await {
                app.meter.request(&caller.tenant, app.clock.now())?;
            }
            return missing.map_or(Ok(()), |missing| missing.map(drop));
        }
    };
    let admitted = app.gate.admit(bearer(request.headers()), row.needs).await;
    // Removed, since nothing reads it later and the map then need not grow for the caller.
    if let (Ok(caller), Some(connection)) = (&admitted, request.extensions_mut().remove::<Arc<Connection>>()) {
        connection.used_by(caller)?;
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

/// Returns the token of `Authorization: Bearer`; empty, which is never a valid key, for any other scheme.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).map(token)
}

/// Returns the token of a bearer's credentials, or an empty one for others.
pub(super) fn token(credentials: &HeaderValue) -> &str {
    let parts = credentials.to_str().ok().and_then(|text| text.split_once(' '));
    parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token.trim())
}

/// Refuses contradictory headers: a proxy or a retry may take the other of the two values.
fn refuse_ambiguous(headers: &HeaderMap) -> Result<(), Problem> {
    // Without repeated headers there is nothing to compare.
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
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

/// Returns true if a page of another host may have sent the request. `own_host` is the host that a function has for
/// itself, whose pages may call it.
fn is_foreign(target: &Uri, headers: &HeaderMap, listed: &Cors, own_host: Option<&str>) -> bool {
    let is_local =
        |authority: &str| is_local(authority) || own_host.is_some_and(|own| own.eq_ignore_ascii_case(authority));
    let foreign_host = headers.get(header::HOST).is_some_and(|host| !is_local(host.to_str().unwrap_or_default()))
        // HTTP/2 carries the host in the target, and HTTP/1 can too.
        || target.authority().is_some_and(|authority| !is_local(authority.as_str()));
    let foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        !origin.as_ref().and_then(Uri::authority).is_some_and(|authority| is_local(authority.as_str()))
    });
    foreign_host || foreign_origin && !listed.allows(headers)
}

/// Returns true if an authority, with or without port, names this machine in a way that no page can redirect.
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
