//! What strangers' bytes meet first, as functions of bytes that panic where a promise is broken. libFuzzer calls them
//! with bytes of its own (`make fuzz`), a test with the seeds and with what once broke one (`make test`).
//!
//! | module | bytes of | promise |
//! |---|---|---|
//! | [`wire`] | a peer on the workers' link | a message or none; what is a message is written as it was read |
//! | [`module`] | an upload | an answer, the same one each time |
//! | [`api`] | a request's body | an answer that is no fault of the host's |
//! | [`imports`] | a guest, as arguments of host calls | the run ends within its limits, and the host does not panic |
//! | [`artifact`] | a file in the cache, or of another host | nothing is loaded that is not authentic |

pub mod api;
pub mod artifact;
pub mod imports;
pub mod module;
pub mod wire;

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use fusebox_core::function::RunLimits;
use fusebox_sandbox::{CompileCommand, Options, Sandbox};
use tempfile::TempDir;

/// A target: its name, what it does with bytes, and the bytes that fuzzing starts from.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// Every target.
pub const TARGETS: [Target; 5] = [
    ("wire", wire::run, wire::seeds),
    ("module", module::run, module::seeds),
    ("api", api::run, api::seeds),
    ("imports", imports::run, imports::seeds),
    ("artifact", artifact::run, artifact::seeds),
];

/// Bytes that a sandbox's artifacts may take here.
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// The sandbox that targets share, its directory in memory where the system has such.
static SANDBOX: LazyLock<(Sandbox, TempDir)> = LazyLock::new(|| {
    let home = scratch();
    let program = compile_child();
    let made = Sandbox::new(Options {
        slots: 1,
        ceiling: RunLimits::CEILING,
        cache_dir: cache_dir(home.path()),
        cache_bytes_max: CACHE_BYTES_MAX,
        compile_command: CompileCommand { program, args: Vec::new() },
    });
    (made.unwrap_or_else(|error| panic!("the sandbox: {error}")), home)
});

pub(crate) fn sandbox() -> &'static Sandbox {
    &SANDBOX.0
}

pub(crate) fn cache() -> PathBuf {
    cache_dir(SANDBOX.1.path())
}

fn cache_dir(home: &Path) -> PathBuf {
    home.join("artifacts")
}

pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap_or_else(|error| panic!("a scratch directory: {error}"))
}

/// The compile child is a program of this package: beside a target's program, or a folder above a test's.
fn compile_child() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("this program's path: {error}"));
    let folders = program.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("fuzz-compile-child")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("fuzz-compile-child is not built: cargo build --release --workspace"))
}
