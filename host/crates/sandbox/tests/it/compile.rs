//! The compile child from the caller's view: killed in time, its artifacts stored, authenticated, and shared between
//! processes.

use std::{
    fs,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use fusebox_core::error::ErrorCode;
use fusebox_sandbox::{ArtifactKey, CompileCommand, Compiler, ModuleError, Sandbox};

use rustix::process::Signal;

use crate::support::{ample, call, core, core_with, echo, open, options, returned, run_call, wasm};

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "cwasm")).collect();
    files.sort();
    files
}

#[test]
fn an_artifact_is_kept_and_used_by_the_next_process() {
    let home = tempfile::tempdir().unwrap();
    let module = wasm(&echo());
    assert!(!open(home.path()).prepare(&module).unwrap().compile.is_zero());
    assert_eq!(files(home.path()).len(), 1);
    let next = open(home.path());
    assert!(next.prepare(&module).unwrap().compile.is_zero(), "it is there already");
    assert_eq!(returned(&run_call(&next, &module, call(b"again", ample()))), b"again");
}

#[test]
fn a_compilation_takes_cpu_time_that_grows_with_the_code() {
    let home = tempfile::tempdir().unwrap();
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(500);
    let code = format!("(func (param i32) (result i32) {step} (local.get 0))").repeat(60);
    let (prepared, time) = open(home.path()).prepare_as_new(&wasm(&core_with("", &code)));
    assert!(prepared.unwrap().is_compiled && time.cpu >= Duration::from_millis(50), "{time:?}");
    assert_eq!(time.charged(), time.cpu);
}

#[test]
fn an_artifact_that_is_not_authentic_is_never_loaded() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (wasm(&echo()), wasm(&core("(unreachable)")));
    open(home.path()).prepare(&first).unwrap();
    let whole = fs::read(&files(home.path())[0]).unwrap();
    let changed = [
        ("a byte of the header", flipped(&whole, 3)),
        ("a byte of the code", flipped(&whole, whole.len() / 2)),
        ("the last byte", flipped(&whole, whole.len() - 1)),
        ("cut short", whole[..whole.len() / 2].to_vec()),
    ];
    for (what, changed) in changed {
        fs::write(&files(home.path())[0], changed).unwrap();
        let sandbox = open(home.path());
        let digest = sandbox.inspect(&first).unwrap().digest;
        assert!(sandbox.load(&digest).unwrap().is_none(), "{what}");
        assert!(!sandbox.prepare(&first).unwrap().compile.is_zero(), "{what}: it is compiled again");
        assert_eq!(returned(&run_call(&sandbox, &first, call(b"ok", ample()))), b"ok", "{what}");
    }

    // Replaces one module's artifact by another's.
    let sandbox = open(home.path());
    sandbox.prepare(&second).unwrap();
    let both = files(home.path());
    fs::copy(&both[0], home.path().join("kept")).unwrap();
    fs::copy(&both[1], &both[0]).unwrap();
    let fresh = open(home.path());
    let digests = [&first, &second].map(|module| fresh.inspect(module).unwrap().digest);
    let loaded = digests.map(|digest| fresh.load(&digest).unwrap().is_some());
    assert_eq!(loaded.iter().filter(|loaded| **loaded).count(), 1, "only the one in its own place is loaded");
}

fn flipped(file: &[u8], at: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at] ^= 1;
    file
}

#[test]
fn another_hosts_artifacts_mean_nothing_here() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let module = wasm(&echo());
    open(there.path()).prepare(&module).unwrap();
    let sandbox = open(here.path());
    let foreign = &files(there.path())[0];
    fs::copy(foreign, here.path().join("artifacts").join(foreign.file_name().unwrap())).unwrap();
    assert!(sandbox.load(&sandbox.inspect(&module).unwrap().digest).unwrap().is_none());
}

#[test]
fn an_artifact_that_another_host_gives_runs_without_compiling() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (module, link) = (wasm(&echo()), ArtifactKey([5; 32]));
    let giver = open(there.path());
    let digest = giver.prepare(&module).unwrap().inspected.digest;
    let mut options = options(here.path());
    options.compile_command = CompileCommand { program: "/nowhere/at/all".into(), args: Vec::new() };
    let taker = Sandbox::new(options).unwrap();
    assert_eq!(taker.engine_hash(), giver.engine_hash());
    taker.import(&digest, &link, &giver.export(&digest, &link).unwrap().unwrap()).unwrap();
    assert_eq!(returned(&run_call(&taker, &module, call(b"here", ample()))), b"here");
}

#[test]
fn the_key_and_the_directory_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()));
    let mode = |path: &str| fs::metadata(home.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("artifacts"), 0o700);
    assert_eq!(mode("artifacts/key"), 0o600);
}

/// Returns functions with long sequences of blocks, of which the register allocator's cost is not linear.
fn bomb(functions: u32) -> Vec<u8> {
    let body = "(block (local.set 0 (i32.add (i32.const 1) (local.get 0))))".repeat(9_900);
    let functions: String = (0..functions).map(|n| format!("(func $f{n} (param i32) {body})")).collect();
    wasm(&core_with("", &functions))
}

#[test]
fn a_module_that_costs_more_than_its_size_tells_is_refused_before_it_is_compiled() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = open(home.path());
    assert!(sandbox.inspect(&bomb(2)).is_ok());
    let error = sandbox.prepare(&bomb(3)).unwrap_err();
    assert_eq!(error.code, ErrorCode::ModuleTooComplex, "{error}");
    assert!(files(home.path()).is_empty());
}

/// Passes inspection by: the child's limits hold for whatever it is sent.
#[test]
fn a_compile_child_ends_at_its_limit_of_cpu_time() {
    let CompileCommand { program, args } = options(Path::new("")).compile_command;
    let (input, output) = (Stdio::piped(), Stdio::null());
    let mut child = Command::new(program).args(args).env_clear().stdin(input).stdout(output).spawn().unwrap();
    // The order precedes the module: a second, where 15 functions of 9,900 blocks take about 33.
    let order = [&1_u64.to_le_bytes()[..], &bomb(15)].concat();
    child.stdin.take().unwrap().write_all(&order).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::XCPU.as_raw()));
}

/// CPU time of a compilation that met its limit.
const COSTLY: Duration = Duration::from_secs(13);

/// Compiles no module: it met the limit, each time.
struct Limited(AtomicU32);

impl Compiler for Limited {
    fn compile(&self, _: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
        (Err(ModuleError { code: ErrorCode::CompileLimit, message: "too costly".to_owned() }), COSTLY)
    }
}

#[test]
fn a_module_that_met_the_limit_once_is_refused_again_without_a_second_chance() {
    let home = tempfile::tempdir().unwrap();
    let limited = Arc::new(Limited(AtomicU32::new(0)));
    let sandbox = Sandbox::open(options(home.path())).unwrap().compile_with(limited.clone()).start().unwrap();
    for _ in 0..3 {
        assert_eq!(sandbox.prepare(&wasm(&echo())).unwrap_err().code, ErrorCode::CompileLimit);
        let (refused, time) = sandbox.prepare_as_new(&wasm(&echo()));
        assert_eq!((refused.unwrap_err().code, time.cpu), (ErrorCode::CompileLimit, COSTLY), "and charged again");
    }
    assert_eq!(limited.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_compile_child_that_cannot_be_run_or_answers_nonsense_is_the_hosts_fault() {
    let ended_by =
        |script: &str| CompileCommand { program: "/bin/sh".into(), args: ["-c", script].map(Into::into).to_vec() };
    let program = |path: &str| CompileCommand { program: path.into(), args: Vec::new() };
    for (command, code) in [
        (program("/nowhere/at/all"), ErrorCode::Internal),
        (program("/bin/true"), ErrorCode::Internal),
        (ended_by("exit 7"), ErrorCode::Internal),
        // A panic, a crash, and a lack of memory, of which the compiler's own errors are the module's.
        (ended_by("exit 101"), ErrorCode::InvalidModule),
        (ended_by("kill -SEGV $$"), ErrorCode::InvalidModule),
        (ended_by("kill -ABRT $$"), ErrorCode::CompileLimit),
        (ended_by("kill -XCPU $$"), ErrorCode::CompileLimit),
        (ended_by("kill -KILL $$"), ErrorCode::Overloaded),
    ] {
        let home = tempfile::tempdir().unwrap();
        let mut options = options(home.path());
        let shown = format!("{command:?}");
        options.compile_command = command;
        let error = Sandbox::new(options).unwrap().prepare(&wasm(&echo())).unwrap_err();
        assert_eq!(error.code, code, "{shown}: {error}");
    }
}
