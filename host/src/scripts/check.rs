//! Check of a script in the sandbox, before its registration: the runtime loads it, which runs its top level without any
//! grant, and reports what is wrong with it and where. Nothing is parsed here.

use fusebox_core::{
    error::{ErrorClass, ErrorCode},
    function::{Abi, FunctionVersion, Grants, RunLimits, VersionState},
    limits::{FUEL_PER_CPU_MS, KIB},
    name::{FunctionName, TenantId},
    outcome::{Ended, Failure},
    runtime::RuntimeName,
    setup::Setup,
    time::Millis,
};
use fusebox_system::random;
use serde::Deserialize;

use super::RuntimeModule;

/// CPU time of a check. Importing the largest packages of pure Python takes less than 1 s; a script that needs more at its
/// top level would need it in each run.
const CPU_MS: u32 = 5_000;
/// Wall time of a check, during which its client waits.
const WALL_MS: u32 = 10_000;
/// Output of a check: what the top level prints, and the report behind it.
const OUTPUT_BYTES: u64 = 256 * KIB;
/// Letters of a message that are passed on.
const MESSAGE_CHARS_MAX: usize = 1_000;
/// Letters of a file's name that are passed on.
const FILE_CHARS_MAX: usize = 200;
/// Directory of scripts in the files of their versions.
pub const DIR: &str = "app";

/// Way in which a runtime is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A script: its function `handle`, or `handle_http`.
    Run,
    /// A pickled function.
    Pickle,
}

impl Verb {
    /// Returns the word that enters a run.
    #[must_use]
    pub const fn run(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pickle => "pickle",
        }
    }

    const fn check(self) -> &'static str {
        match self {
            Self::Run => "check",
            Self::Pickle => "check-pickle",
        }
    }

    /// Returns the arguments of a version, or of its check, before those of its author.
    #[must_use]
    fn args(word: &str, entry: &str) -> Vec<String> {
        vec![word.to_owned(), format!("/{DIR}/{entry}")]
    }

    /// Returns the arguments of each run of a version whose source is this file.
    #[must_use]
    pub fn run_args(self, entry: &str) -> Vec<String> {
        Self::args(self.run(), entry)
    }
}

/// Script to be checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Tenant that is charged.
    pub tenant: TenantId,
    /// Name of the function.
    pub name: FunctionName,
    /// Runtime of the script.
    pub runtime: RuntimeName,
    /// Module of the runtime.
    pub module: RuntimeModule,
    /// Way in which the runtime is entered.
    pub verb: Verb,
    /// Name of the script's file.
    pub entry: String,
    /// Environment and files of the version.
    pub setup: Setup,
    /// Memory of the version's runs.
    pub memory_bytes: u64,
}

impl Checked {
    /// Returns the function whose run is the check, at a time. It is not stored. `ceiling` is the operator's.
    #[must_use]
    pub fn into_function(self, now: Millis, ceiling: &RunLimits) -> FunctionVersion {
        let limits = RunLimits {
            fuel: u64::from(CPU_MS) * FUEL_PER_CPU_MS,
            wall_ms: WALL_MS,
            memory_bytes: self.memory_bytes,
            output_bytes: OUTPUT_BYTES,
            cpu_ms: CPU_MS,
            ..RunLimits::default()
        };
        let Setup { env, files, files_bytes, .. } = self.setup;
        let args = Verb::args(self.verb.check(), &self.entry);
        FunctionVersion {
            id: random::function_id(now),
            tenant: self.tenant,
            name: self.name,
            version: 0,
            module: self.module.digest,
            module_bytes: self.module.bytes,
            abi: Abi::Command,
            limits: limits.capped(ceiling),
            grants: Grants::default(),
            setup: Setup { args, env, files, files_bytes, runtime: Some(self.runtime), ..Setup::default() },
            created_at: now,
            state: VersionState::Ready,
        }
    }
}

/// Fault of a script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// Sentence that describes it.
    pub message: String,
    /// File, relative to the script's directory.
    #[serde(default)]
    pub file: Option<String>,
    /// Line, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(default)]
    pub column: Option<u32>,
}

impl Fault {
    fn of(message: String) -> Self {
        Self { message, file: None, line: None, column: None }
    }

    /// Removes what could control a terminal, and makes paths relative.
    fn harmless(self) -> Self {
        let text = |text: String, most: usize| -> String {
            text.chars().filter(|letter| *letter == '\n' || !letter.is_control()).take(most).collect()
        };
        let file = self.file.map(|file| {
            let relative = file.strip_prefix(&format!("/{DIR}/")).map(str::to_owned);
            text(relative.unwrap_or(file), FILE_CHARS_MAX)
        });
        Self { message: text(self.message, MESSAGE_CHARS_MAX), file, ..self }
    }
}

/// Result of a check that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The script can be registered.
    Good,
    /// The script cannot run.
    Bad(Fault),
    /// The host failed; another try may succeed.
    Lost,
}

/// Reads what a check has left.
#[must_use]
pub fn verdict(ended: &Ended) -> Verdict {
    let Some(failure) = &ended.failure else { return Verdict::Good };
    let reported = last_line(&ended.output).and_then(|line| serde_json::from_slice::<Fault>(line).ok());
    match (failure.code, reported) {
        (ErrorCode::GuestError, Some(fault)) => Verdict::Bad(fault.harmless()),
        (code, _) if code.class() == ErrorClass::Guest => Verdict::Bad(Fault::of(unreported(failure)).harmless()),
        _ => Verdict::Lost,
    }
}

/// Returns the last line that is not empty; the top level may have printed others.
fn last_line(output: &[u8]) -> Option<&[u8]> {
    output.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).rfind(|line| !line.is_empty())
}

fn unreported(failure: &Failure) -> String {
    match failure.code {
        ErrorCode::OutOfFuel | ErrorCode::OutOfCpu | ErrorCode::DeadlineExceeded => format!(
            "the top level did not end within {} s of CPU time or {} s: do what takes long in the function",
            CPU_MS / 1_000,
            WALL_MS / 1_000
        ),
        ErrorCode::OutOfMemory => "the top level needs more memory than a run has: raise the memory limit".to_owned(),
        _ => format!("the top level ended the interpreter: {}", failure.message),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fusebox_core::outcome::Receipt;

    use super::*;

    fn of(code: Option<ErrorCode>, output: &str) -> Verdict {
        let failure = code.map(|code| Failure::new(code, "it failed"));
        let output = Bytes::copy_from_slice(output.as_bytes());
        verdict(&Ended { failure, output, receipt: Receipt::default(), log: Bytes::new() })
    }

    fn fault(code: ErrorCode, output: &str) -> Fault {
        match of(Some(code), output) {
            Verdict::Bad(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fault_has_its_place() {
        let line = r#"{"message":"invalid syntax","file":"/app/handler.py","line":3,"column":7}"#;
        for printed in ["", "hello\n", "{\"message\": 1}\n"] {
            let found = fault(ErrorCode::GuestError, &format!("{printed}{line}\n\n"));
            assert_eq!((found.file.as_deref(), found.line, found.column), (Some("handler.py"), Some(3), Some(7)));
            assert_eq!(found.message, "invalid syntax");
        }
        let placeless = fault(ErrorCode::GuestError, r#"{"message":"no \u001b[1mhandle","line":null}"#);
        assert_eq!(placeless, Fault::of("no [1mhandle".to_owned()));
        let long = format!(r#"{{"message":"{}","file":"{}"}}"#, "m".repeat(9_000), "f".repeat(9_000));
        let long = fault(ErrorCode::GuestError, &long);
        assert_eq!((long.message.len(), long.file.unwrap().len()), (MESSAGE_CHARS_MAX, FILE_CHARS_MAX));
    }

    #[test]
    fn whatever_else_a_top_level_does_is_the_scripts_fault() {
        for (code, output, words) in [
            (ErrorCode::GuestError, "", "ended the interpreter: it failed"),
            (ErrorCode::GuestError, "{\"message\":\"cut", "ended the interpreter"),
            (ErrorCode::Trap, "", "ended the interpreter"),
            (ErrorCode::OutOfFuel, "", "within 5 s of CPU time or 10 s"),
            (ErrorCode::DeadlineExceeded, "", "within 5 s"),
            (ErrorCode::OutOfMemory, "", "more memory"),
        ] {
            let message = fault(code, output).message;
            assert!(message.contains(words), "{code}: {message}");
        }
        assert_eq!(of(None, "anything"), Verdict::Good);
        assert_eq!(of(Some(ErrorCode::Internal), ""), Verdict::Lost);
    }

    #[test]
    fn a_check_has_a_fuse_of_its_own_below_the_operators() {
        let checked = Checked {
            tenant: TenantId::default_tenant(),
            name: "f".parse().unwrap(),
            runtime: "python3.13".parse().unwrap(),
            module: RuntimeModule { digest: fusebox_core::id::ModuleDigest([1; 32]), bytes: 2 },
            verb: Verb::Pickle,
            entry: "function.pickle".to_owned(),
            setup: Setup {
                args: vec!["x".to_owned()],
                env: vec![("A".to_owned(), "1".to_owned())],
                ..Setup::default()
            },
            memory_bytes: 3,
        };
        let ceiling = RunLimits { wall_ms: 7, ..RunLimits::CEILING };
        let function = checked.into_function(Millis(1), &ceiling);
        assert_eq!((function.limits.cpu_ms, function.limits.wall_ms, function.limits.memory_bytes), (CPU_MS, 7, 3));
        assert_eq!(function.setup.args, ["check-pickle", "/app/function.pickle"]);
        assert_eq!((function.setup.env.len(), &function.grants), (1, &Grants::default()));
        assert_eq!(Verb::Run.run_args("a.js"), ["run", "/app/a.js"]);
    }
}
