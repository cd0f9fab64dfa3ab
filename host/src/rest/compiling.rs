//! Versions that are not ready: what they answer, and waits for the end of their compilation.

use std::{ops::ControlFlow, time::Duration};

use axum::http::header;
use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, VersionState},
    outcome::Failure,
};
use fusebox_store::FunctionRef;
use tokio::time::Instant;

use super::{App, error::Problem, functions, quota::refused, wait::within};
use crate::{compilations::NoCompileTime, tenancy::Caller};

/// Interval at which a waiter reads the version without news of this node; another one may compile it.
const FALLBACK: Duration = Duration::from_secs(1);
/// `Retry-After` of a version that is being compiled, in seconds.
const COMPILING_S: u32 = 5;

/// Checks that a version can run.
///
/// # Errors
/// `FunctionCompiling` or `FunctionFailed`, with what to do.
pub(super) fn check(function: &FunctionVersion) -> Result<(), Problem> {
    let FunctionVersion { id, name, .. } = function;
    match &function.state {
        VersionState::Ready => Ok(()),
        VersionState::Compiling => {
            let detail = format!(
                "version {} of {name} is being compiled: wait until its state is ready, with GET /v1/functions/{id} and \
                 Prefer: wait",
                function.version
            );
            let problem = Problem::new(ErrorCode::FunctionCompiling, detail).with("version", id.to_string());
            Err(problem.with_header(header::RETRY_AFTER, COMPILING_S.into()))
        }
        VersionState::Failed(Failure { message, .. }) => {
            let detail = format!(
                "version {} of {name} could not be compiled, and there is no other: {message}; delete it and deploy again",
                function.version
            );
            Err(Problem::new(ErrorCode::FunctionFailed, detail).with("version", id.to_string()))
        }
    }
}

/// Builds the answer to a registration whose compilation failed while the client waited. The version stays.
pub(super) fn failed(function: &FunctionVersion, failure: &Failure) -> Problem {
    let kept = "; the version is kept as failed until you delete it";
    Problem::new(failure.code, format!("{}{kept}", failure.message)).with("version", function.id.to_string())
}

/// Builds the refusal of a tenant whose compile time is used up.
pub(super) fn no_time(NoCompileTime { per_hour_s, wait_ms }: NoCompileTime) -> Problem {
    let detail = format!(
        "this tenant's deploys may use {per_hour_s} seconds of compilation an hour, which are used up: try again in \
         {} s",
        wait_ms.div_ceil(1_000)
    );
    refused(ErrorCode::CompileQuota, detail, per_hour_s, wait_ms)
}

/// Waits until a version is no longer being compiled, or `seconds` have passed, and returns it.
///
/// # Errors
/// Fails if the store does not answer, the caller's key has ended, or the version does not exist.
pub(super) async fn for_end(
    app: &App,
    caller: &Caller,
    function: &FunctionRef,
    seconds: u64,
) -> Result<FunctionVersion, Problem> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let read = || async {
        app.gate.confirm(caller).await?;
        let found = app.store.function(&caller.tenant, function).await?;
        let is_over = found.as_ref().is_none_or(|found| found.state != VersionState::Compiling);
        Ok::<_, Problem>(if is_over { ControlFlow::Break(found) } else { ControlFlow::Continue(found) })
    };
    let found = within(app, deadline, FALLBACK).until(None, || app.compilations.settled(), read).await?;
    found.ok_or_else(|| match function {
        FunctionRef::Id(id) => functions::not_found(&id.to_string()),
        FunctionRef::Name(name) => functions::not_found(name.as_str()),
    })
}
