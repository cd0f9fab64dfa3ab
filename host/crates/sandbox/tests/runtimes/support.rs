//! Runs of scripts in a runtime, with a double of the host's services.

use std::{
    collections::HashMap,
    env, fs,
    sync::{Arc, LazyLock, Mutex},
    thread,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, Grants, HostAnswer, HostCall, Redacted, Refusal},
    error::ErrorCode,
    function::RunLimits,
    id::ModuleDigest,
    invocation::Invocation,
    limits::{ARTIFACTS_BYTES_MAX, SLOT_STACK_BYTES},
    name::TenantId,
    outcome::Outcome,
    setup::{Setup, Start},
};
use fusebox_sandbox::{
    Call, CompileCommand, FilesArchive, Guest, HostCalls, LoadedModule, ModuleError, ModuleLimits, Options, Run,
    Sandbox, WaitLimit,
};
use serde_json::Value;
use tempfile::TempDir;

static SANDBOX: LazyLock<(Sandbox, TempDir)> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        slots: 4,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.path().join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() },
    };
    (Sandbox::new(options).unwrap(), home)
});

/// Turns of the compile child, each of a minute or more.
const TURNS_MAX: usize = 10;

/// A language with its runtime, compiled once.
pub(crate) struct Language {
    /// Name of the file that holds the function.
    pub(crate) entry: &'static str,
    module: LoadedModule,
}

pub(crate) static JAVASCRIPT: LazyLock<Language> = LazyLock::new(|| language("javascript", "handler.js"));
pub(crate) static PYTHON: LazyLock<Language> = LazyLock::new(|| language("python3.11", "handler.py"));

fn language(name: &str, entry: &'static str) -> Language {
    let program = env::current_exe().unwrap();
    let file = program.parent().unwrap().with_file_name("runtimes").join(name).with_extension("wasm");
    // The version in a name is no extension.
    let file = file.with_file_name(format!("{name}.wasm"));
    let wasm = fs::read(&file).unwrap_or_else(|_| panic!("there is no {}: run `make runtimes`", file.display()));
    // The compile child yields to everything else, so that on a busy machine it may need another turn.
    let is_busy = |error: &ModuleError| error.code == ErrorCode::Overloaded;
    let mut turns =
        (0..TURNS_MAX).map(|_| SANDBOX.0.prepare(&wasm)).skip_while(|turn| turn.as_ref().is_err_and(is_busy));
    let prepared = turns.next().expect("the machine is too busy to compile a runtime").unwrap();
    Language { entry, module: SANDBOX.0.load(&prepared.inspected.digest).unwrap().unwrap() }
}

/// A double of the host's services: configuration, a secret, entries of a store, and one web page.
#[derive(Default)]
pub(crate) struct Services {
    /// Refuses all calls, as the host does for a version without grants.
    pub(crate) refuses: bool,
    /// Entries by their keys, each with its revision.
    pub(crate) entries: Mutex<HashMap<Bytes, (u64, Bytes)>>,
}

impl HostCalls for Services {
    fn call(&self, _: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        if call == HostCall::Configs {
            // The environment of a command has them.
            return Ok(HostAnswer::Configs(Vec::new()));
        }
        let mut entries = self.entries.lock().unwrap();
        if self.refuses {
            return Err(Refusal::Refused);
        }
        match call {
            HostCall::Config(name) if name.as_str() == "COLOUR" => Ok(HostAnswer::Config("green".into())),
            HostCall::Secret(name) if name.as_str() == "KEY" => Ok(HostAnswer::Secret(Redacted("hush".into()))),
            HostCall::KvGet(key) => {
                let (revision, value) = entries.get(key.as_bytes()).cloned().ok_or(Refusal::Absent)?;
                Ok(HostAnswer::Value { revision, value })
            }
            HostCall::KvSet { key, value, expects, .. } => {
                let key = Bytes::copy_from_slice(key.as_bytes());
                let revision = entries.get(&key).map_or(0, |(revision, _)| *revision);
                match expects {
                    Expects::Nothing if revision != 0 => return Err(Refusal::Conflict),
                    Expects::Revision(expected) if revision != expected => return Err(Refusal::Conflict),
                    _ => {}
                }
                entries.insert(key, (revision + 1, Bytes::copy_from_slice(value.as_bytes())));
                Ok(HostAnswer::Set(revision + 1))
            }
            HostCall::KvDelete { key, .. } => Ok(HostAnswer::Deleted(entries.remove(key.as_bytes()).is_some())),
            HostCall::Http(request) => {
                assert!(request.as_bytes().starts_with(b"POST https://example.com/a\n"), "{request:?}");
                Ok(HostAnswer::Http("201\ncontent-type: application/json\n\n{\"seen\":true}".into()))
            }
            _ => Err(Refusal::Absent),
        }
    }
}

/// A run to be made.
#[derive(Default)]
pub(crate) struct Script<'a> {
    pub(crate) verb: Option<&'static str>,
    pub(crate) files: &'a [(&'a str, &'a str)],
    pub(crate) input: &'a [u8],
    pub(crate) content_type: Option<&'a str>,
    pub(crate) is_http: bool,
    pub(crate) services: Services,
}

impl Script<'_> {
    /// Runs a function of this source.
    pub(crate) fn run(self, language: &Language, source: &str) -> Run {
        self.run_file(language, language.entry, source.as_bytes())
    }

    /// Runs a function whose file has this name and content.
    pub(crate) fn run_file(self, language: &Language, entry: &str, content: &[u8]) -> Run {
        let mut tar = tar::Builder::new(Vec::new());
        let own = [(entry, content)];
        for (name, content) in self.files.iter().map(|(name, text)| (*name, text.as_bytes())).chain(own) {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, format!("app/{name}"), content).unwrap();
        }
        let archive = FilesArchive::of(&Bytes::from(tar.into_inner().unwrap())).unwrap();
        SANDBOX.0.add_files(&archive.digest, &archive.bytes).unwrap();
        let limits = RunLimits { fuel: RunLimits::CEILING.fuel, wall_ms: 60_000, ..RunLimits::default() };
        let grants = Grants::parse_list("config,secrets,kv,http=example.com").unwrap();
        let function = "tested".parse().unwrap();
        let (tenant, input) = (TenantId::default_tenant(), Bytes::copy_from_slice(self.input));
        let plain = Invocation::plain(tenant, function, ModuleDigest([0; 32]), limits, grants, input);
        let args = [self.verb.unwrap_or("run").to_owned(), format!("/app/{entry}")].to_vec();
        let env = self.content_type.map(|kind| ("CONTENT_TYPE".to_owned(), kind.to_owned())).into_iter().collect();
        let setup = Setup { files: Some(archive.digest), files_bytes: archive.bytes.len() as u64, ..Setup::default() };
        let mut invocation = plain.started(setup, Start::default());
        (invocation.args, invocation.env, invocation.is_http) = (args, env, self.is_http);
        let call = Call { host_calls: Some(Arc::new(self.services)), ..Call::new(invocation) };
        thread::scope(|scope| {
            let slot = thread::Builder::new().stack_size(SLOT_STACK_BYTES);
            slot.spawn_scoped(scope, || SANDBOX.0.run(&language.module, call)).unwrap().join().unwrap()
        })
    }

    /// Returns the JSON that a function of this source returns.
    #[track_caller]
    pub(crate) fn json(self, language: &Language, source: &str) -> Value {
        let run = self.run(language, source);
        serde_json::from_slice(returned(&run)).unwrap()
    }
}

#[track_caller]
pub(crate) fn returned(run: &Run) -> &[u8] {
    match &run.outcome {
        Outcome::Returned(output) => output,
        other => panic!("the run should have returned: {other:?}\n{}", log(run)),
    }
}

/// Returns the output of a run that failed with an exit code.
#[track_caller]
pub(crate) fn failed(run: &Run, code: i32) -> &[u8] {
    match &run.outcome {
        Outcome::GuestError { error, exit_code: Some(exit) } if *exit == code => error,
        other => panic!("the run should have failed with {code}: {other:?}\n{}", log(run)),
    }
}

pub(crate) fn log(run: &Run) -> String {
    String::from_utf8_lossy(&run.log).into_owned()
}
