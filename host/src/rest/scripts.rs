//! Registration of scripts: the source is packed into the version's files, and the runtime checks it in the sandbox.

use bytes::Bytes;
use fusebox_api::{functions::LimitParams, scripts::ScriptParams};
use fusebox_core::{
    error::ErrorCode,
    function::{Abi, FunctionVersion, RunLimits},
    limits::MIB,
    name::FunctionName,
    runtime::Language,
    setup::Start,
};
use fusebox_store::{FunctionRef, NewFunction, Registered};
use fusebox_system::random;

use super::{
    App,
    error::Problem,
    functions::{self, Added, Asked},
    invoke,
};
use crate::{
    scripts::{
        NoRuntime, Runtime,
        check::{self, Checked, DIR, Fault, Verb, Verdict},
        python::Requirement,
    },
    tenancy::Caller,
};

/// CPU time of a script's runs unless another is chosen: interpreters take tens of times as long as compiled code.
const CPU_MS_DEFAULT: u32 = 5_000;
/// Memory of a script's runs unless another is chosen; CPython has 20 MiB before a script's own.
const MEMORY_BYTES_DEFAULT: u64 = 128 * MIB;
/// Length of the name of a script's file.
const ENTRY_BYTES_MAX: usize = 128;

/// Script to be registered.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// Runtime that runs it.
    pub(super) runtime: std::sync::Arc<Runtime>,
    /// Way in which the runtime is entered.
    pub(super) verb: Verb,
    /// Name of its file.
    pub(super) entry: String,
    /// Content of its file.
    pub(super) source: Bytes,
    /// Tar of the files beside it, with their paths from the root directory of a run.
    pub(super) files: Option<Bytes>,
}

impl Script {
    /// Returns the script that a request describes; `of_type` is the language of its content type.
    ///
    /// # Errors
    /// `UnprocessableRequest` with what to change, or `RuntimeUnavailable` with what there is.
    pub(super) fn of(
        app: &App,
        params: &ScriptParams,
        of_type: Option<Language>,
        source: Bytes,
        files: Option<Bytes>,
    ) -> Result<Self, Problem> {
        let language = params.language.as_deref().or_else(|| of_type.map(Language::as_str)).ok_or_else(|| {
            unprocessable("language", "the body is a script: name its language, such as language=python".to_owned())
        })?;
        let wanted = params.requires_python.as_deref().map(str::parse::<Requirement>).transpose();
        let wanted = wanted.map_err(|error| unprocessable("requires_python", error.to_string()))?;
        let runtime = app.scripts.runtimes.choose(language, wanted.as_ref())?;
        let entry = params.entry.as_deref().unwrap_or_else(|| runtime.name.language().entry());
        check_entry(entry, runtime.name.language())?;
        Ok(Self { verb: Verb::Run, entry: entry.to_owned(), runtime, source, files })
    }
}

/// Checks the name of a script's file.
fn check_entry(entry: &str, language: Language) -> Result<(), Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let endings: &[&str] = match language {
        Language::JavaScript => &[".js", ".mjs"],
        Language::Python => &[".py"],
    };
    let is_entry = entry.bytes().all(is_plain)
        && !entry.starts_with(['.', '-'])
        && entry.len() <= ENTRY_BYTES_MAX
        && endings.iter().any(|ending| entry.ends_with(ending));
    if is_entry {
        return Ok(());
    }
    let detail = format!(
        "a script's file has a name of at most {ENTRY_BYTES_MAX} characters of A-Z, a-z, 0-9, ., _ and -, which ends in {}: \
         such as {}",
        endings.join(" or "),
        language.entry()
    );
    Err(unprocessable("entry", detail))
}

/// Returns the refusal of a module with parameters of a script.
pub(super) fn no_script() -> Problem {
    unprocessable("language", "requires_python and entry belong to a script: name its language as well".to_owned())
}

fn unprocessable(parameter: &str, detail: String) -> Problem {
    Problem::new(ErrorCode::UnprocessableRequest, detail).with("parameter", parameter)
}

/// Returns the limits of a script's version: those that are chosen, over defaults that suit an interpreter.
///
/// # Errors
/// `InvalidLimits` if one is zero or above its ceiling.
pub(super) fn limits(app: &App, chosen: LimitParams) -> Result<RunLimits, Problem> {
    let (own, ceiling) = (app.settings.limits, &app.settings.ceiling);
    let with_cpu = own.with_cpu(None, Some(own.cpu_ms.max(CPU_MS_DEFAULT)), ceiling);
    let defaults = RunLimits {
        fuel: own.fuel.max(with_cpu.fuel),
        memory_bytes: own.memory_bytes.max(MEMORY_BYTES_DEFAULT),
        ..with_cpu
    };
    Ok(chosen.over(defaults.capped(ceiling), ceiling)?)
}

/// Checks and registers a script, and writes the audit log.
pub(super) async fn add(
    app: &App,
    caller: &Caller,
    name: &str,
    script: Script,
    asked: Asked,
) -> Result<(FunctionVersion, Added), Problem> {
    let name: FunctionName = name.parse()?;
    let added = check_and_register(app, caller, name.clone(), script, asked).await;
    functions::record(caller, &name, &added);
    added
}

async fn check_and_register(
    app: &App,
    caller: &Caller,
    name: FunctionName,
    script: Script,
    Asked { limits, grants, mut setup, .. }: Asked,
) -> Result<(FunctionVersion, Added), Problem> {
    let Script { runtime, verb, entry, source, files } = script;
    let tenant = caller.tenant.clone();
    let module = runtime.module().await?;
    let archive = app.modules.script_archive(files, format!("{DIR}/{entry}"), source).await?;
    app.modules.add_files(archive.digest, archive.bytes.clone()).await?;
    setup.files = Some(archive.digest);
    setup.files_bytes = archive.bytes.len() as u64;
    setup.runtime = Some(runtime.name.clone());
    let checked = Checked {
        tenant: tenant.clone(),
        name: name.clone(),
        runtime: runtime.name.clone(),
        module,
        verb,
        entry: entry.clone(),
        setup: setup.clone(),
        memory_bytes: limits.memory_bytes,
    };
    in_sandbox(app, checked).await?;
    setup.args = verb.run_args(&entry).into_iter().chain(setup.args).collect();
    let before = app.store.function(&tenant, &FunctionRef::Name(name.clone())).await?;
    let new_grants = before.map(|before| grants.beyond(&before.grants));
    let quotas = app.meter.quotas().of(&tenant);
    let new = NewFunction {
        id: random::function_id(app.clock.now()),
        tenant,
        name,
        module: module.digest,
        abi: Abi::Command,
        limits,
        grants,
        setup,
        files: archive.bytes,
        versions_max: quotas.functions,
        stored_max: quotas.stored_bytes,
    };
    app.gate.confirm(caller).await?;
    let registered = match app.store.register_known(new.clone(), module.bytes).await? {
        Registered::NoModule => app.store.register(new, runtime.wasm(module).await?).await?,
        registered => registered,
    };
    let function = functions::registered_version(app, caller, registered)?;
    Ok((function, Added { compile_ms: Some(0), new_grants }))
}

/// Checks a script in the sandbox. Its tenant is charged the fuel, and has no more checks at a time than other runs.
///
/// # Errors
/// `InvalidScript` with the place of the fault, or the reason why there is no check.
async fn in_sandbox(app: &App, checked: Checked) -> Result<(), Problem> {
    let Some(checks) = &app.scripts.checks else {
        let detail = "this host cannot check scripts: its log has the reason, from its start";
        return Err(Problem::new(ErrorCode::RuntimeUnavailable, detail));
    };
    let function = checked.into_function(app.clock.now(), &app.settings.ceiling);
    let ended = invoke::run_in(app, &**checks, function, Start::default(), Bytes::new(), None).await?;
    match check::verdict(&ended) {
        Verdict::Good => Ok(()),
        Verdict::Bad(fault) => Err(fault.into()),
        Verdict::Lost => Err(Problem::new(ErrorCode::Overloaded, "the check of the script was lost: try again")),
    }
}

impl From<Fault> for Problem {
    fn from(Fault { message, file, line, column }: Fault) -> Self {
        let place = [file.clone(), line.map(|line| line.to_string()), column.map(|column| column.to_string())];
        let place: Vec<_> = place.into_iter().map_while(|part| part).collect();
        let detail = if place.is_empty() { message } else { format!("{}: {message}", place.join(":")) };
        let problem = Self::new(ErrorCode::InvalidScript, detail);
        let problem = file.into_iter().fold(problem, |problem, file| problem.with("file", file));
        let problem = line.into_iter().fold(problem, |problem, line| problem.with("line", line));
        column.into_iter().fold(problem, |problem, column| problem.with("column", column))
    }
}

impl From<NoRuntime> for Problem {
    fn from(error: NoRuntime) -> Self {
        let code = match error {
            NoRuntime::Compiling(_) => ErrorCode::Overloaded,
            NoRuntime::Unknown(_) | NoRuntime::Broken { .. } => ErrorCode::RuntimeUnavailable,
        };
        Self::new(code, error.to_string())
    }
}
