//! Access to endpoints: with a key of the function's tenant, or without one to a function that is public.

use std::sync::Arc;

use axum::{
    RequestExt as _,
    extract::{RawPathParams, Request},
    http::{HeaderMap, header},
};
use fusebox_core::name::TenantId;
use fusebox_store::Scope;

use super::place::{self, Apart, Reached};
use crate::{
    rest::{
        app::App,
        compiling,
        error::Problem,
        functions,
        guard::{bearer, token},
        server::connections::Connection,
    },
    tenancy::{ApiKey, Needs, Refusal},
};

/// Authorizes a request to an endpoint, finds its function, and counts the request toward the tenant's rate.
pub(in crate::rest) async fn admit(app: &App, request: &mut Request) -> Result<(), Problem> {
    let apart = request.extensions_mut().remove::<Apart>();
    let name = name(request).await?;
    let key = key(request.headers()).map(str::to_owned);
    let admitted = app.gate.admit(key.as_deref(), Needs::Scope(Scope::Invoke)).await;
    if let (Ok(caller), Some(connection)) = (&admitted, request.extensions().get::<Arc<Connection>>()) {
        connection.used_by(caller)?;
    }
    let asked = apart.as_ref().and_then(|apart| apart.tenant.clone());
    let caller = match admitted {
        Ok(caller) => {
            app.meter.request(&caller.tenant, app.clock.now())?;
            if asked.is_some_and(|asked| asked != caller.tenant) {
                return Err(functions::not_found(&name));
            }
            caller
        }
        Err(Refusal::NoKey) => app.gate.public(asked.unwrap_or_else(TenantId::default_tenant)),
        Err(refusal) => return Err(refusal.into()),
    };
    let version = match functions::find(app, &caller.tenant, &name).await {
        // Without a key, functions that need one look like those that are not there.
        Ok(version) if caller.is_public && !version.setup.is_public => return Err(Refusal::NoKey.into()),
        Err(problem) if caller.is_public && problem.is_absence() => return Err(Refusal::NoKey.into()),
        found => found?,
    };
    compiling::check(&version)?;
    if caller.is_public {
        if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
            connection.used_by(&caller)?;
        }
        app.meter.request(&caller.tenant, app.clock.now())?;
    }
    let reached = reached(apart, request, version).ok_or_else(|| functions::not_found(&name))?;
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(reached);
    Ok(())
}

/// Returns the name in the path, decoded.
async fn name(request: &mut Request) -> Result<String, Problem> {
    let parameters = request.extract_parts::<RawPathParams>().await.ok();
    let named = parameters.as_ref().and_then(|all| all.iter().find(|(name, _)| *name == "function"));
    named.map(|(_, value)| value.to_owned()).ok_or_else(|| functions::not_found(request.uri().path()))
}

fn reached(
    apart: Option<Apart>,
    request: &Request,
    version: fusebox_core::function::FunctionVersion,
) -> Option<Reached> {
    let is_apart = apart.is_some();
    let (prefix, target) = match apart.and_then(|apart| apart.target) {
        Some(target) => (String::new(), target),
        None => place::split(request.uri())?,
    };
    Some(Reached { version: Arc::new(version), is_apart, prefix, target })
}

/// Returns the API key of a request; `None` if its credentials are another service's, which are the function's to read.
fn key(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).filter(|_| is_ours(headers))
}

/// Returns true if the request carries credentials of this API, in any of its headers for them.
pub(super) fn is_ours(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().any(|credentials| ApiKey::looks_like(token(credentials)))
}
