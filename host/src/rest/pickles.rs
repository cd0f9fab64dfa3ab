//! Pickled functions in the routes of the Python platform: registered with the runtime of the Python that made them,
//! called with pickled arguments, answered with pickled results. Nothing is unpickled outside of the sandbox.

use bytes::Bytes;
use fusebox_api::functions::LimitParams;
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    pickle::{self, PythonVersion},
    runtime::Language,
    task::{Status, Task},
};
use tokio::task::spawn_blocking;

use super::{
    App,
    error::Problem,
    functions::Asked,
    scripts::{self, Script},
};
use crate::{
    pickles::{choose::choose, pack::pack},
    scripts::{Runtimes, check::Verb},
    tenancy::Caller,
};
use fusebox_store::FunctionRef;

/// First byte of pickles; modules begin with 0.
const PICKLE: u8 = 0x80;
/// Name of a pickle's file.
const ENTRY: &str = "function.pickle";
/// First words of a refusal at registration, as the Python platform writes them.
const INVALID_FUNCTION: &str = "Invalid function payload";
/// First words of a refusal of arguments.
const INVALID_PARAMETERS: &str = "Invalid parameters payload";

/// Returns true if a function's payload is to be read as a pickle.
pub(super) fn is_pickle(payload: &[u8]) -> bool {
    payload.first() == Some(&PICKLE)
}

/// Registers a pickled function.
///
/// # Errors
/// `InvalidScript` or `RuntimeUnavailable` in the words of the Python platform; others as for scripts.
pub(super) async fn register(
    app: &App,
    caller: &Caller,
    name: &str,
    payload: Bytes,
) -> Result<FunctionVersion, Problem> {
    let invalid = |code, reason: String| Problem::new(code, format!("{INVALID_FUNCTION}: {reason}"));
    let settings = app.settings.pickles.clone();
    let (here, runtimes) = (pythons(&app.scripts.runtimes), app.scripts.runtimes.clone());
    let source = payload.clone();
    // Reading a large pickle and packing modules take some milliseconds.
    let read = spawn_blocking(move || {
        let script = |reason: String| (ErrorCode::InvalidScript, reason);
        let inspected = pickle::inspect(&payload).map_err(|error| script(error.to_string()))?;
        let version = choose(&here, inspected.versions, settings.default);
        let version = version.map_err(|error| (ErrorCode::RuntimeUnavailable, error.to_string()))?;
        let packed = pack(&settings.path, &inspected.modules).map_err(|error| script(error.to_string()))?;
        let files = packed.tar().map_err(|error| script(error.to_string()))?;
        Ok((version, files))
    });
    let read = read.await.map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
    let (version, files) = read.map_err(|(code, reason)| invalid(code, reason))?;
    let runtime = runtimes.choose(&format!("{}{version}", Language::Python), None)?;
    let script = Script { runtime, verb: Verb::Pickle, entry: ENTRY.to_owned(), source, files };
    let asked = Asked { limits: scripts::limits(app, LimitParams::default())?, ..Asked::default() };
    let added = scripts::add(app, caller, name, script, asked).await;
    let (function, _) = added.map_err(|problem| match problem.code() {
        ErrorCode::InvalidScript => invalid(ErrorCode::InvalidScript, problem.detail().to_owned()),
        _ => problem,
    })?;
    Ok(function)
}

/// Returns the versions of Python that this host runs.
fn pythons(runtimes: &Runtimes) -> Vec<PythonVersion> {
    let names = runtimes.all().map(|runtime| &runtime.name).filter(|name| name.language() == Language::Python);
    names.filter_map(|name| name.version().parse().ok()).collect()
}

/// Checks the structure of a pickled function's arguments. Other functions take any bytes.
///
/// # Errors
/// `InvalidRequest` if they are no pickle.
pub(super) fn check_parameters(function: &FunctionVersion, input: &[u8]) -> Result<(), Problem> {
    if !is_pickled(function) {
        return Ok(());
    }
    let invalid = |error| Problem::new(ErrorCode::InvalidRequest, format!("{INVALID_PARAMETERS}: {error}"));
    pickle::check(input).map_err(invalid)
}

fn is_pickled(function: &FunctionVersion) -> bool {
    function.setup.runtime.is_some() && function.setup.args.first().is_some_and(|word| word == Verb::Pickle.run())
}

/// Returns what the client of a pickled function reads of an ended task in place of its output: an exception that it can
/// raise, if the run left no pickle. `None` if the output is one, the function another, or the task not at its end.
///
/// # Errors
/// Those of the store.
pub(super) async fn instead(app: &App, task: &Task, output: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    let failure = task.failure();
    let is_own = failure.is_none_or(|failure| failure.code == ErrorCode::GuestError);
    let has_ended = matches!(task.status(), Status::Completed | Status::Failed);
    if !has_ended || is_own && pickle::is_pickle(output) {
        return Ok(None);
    }
    let reference = FunctionRef::Id(task.function);
    let function = match app.store.remembered(&task.tenant, &reference) {
        Some(function) => Some(function),
        None => app.store.function(&task.tenant, &reference).await?,
    };
    if !function.is_some_and(|function| is_pickled(&function)) {
        return Ok(None);
    }
    let text = failure.map_or_else(
        || "no-result: the function ended its interpreter".to_owned(),
        |failure| format!("{}: {}", failure.code, failure.message),
    );
    Ok(Some(pickle::runtime_error(&text)))
}
