//! Clients of the Python platform, unmodified: programs in Python with dill, around the real runtime of Python. What they
//! run and what they expect is in `pickles/client.py` and `pickles/test_client.py`.
//!
//! Needs `make runtimes` and Python 3.11 with dill, pytest and requests, which `scripts/setup.sh test` installs.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use fusebox_harness::Server;

use crate::{cluster::Cluster, modes::worker};

/// Variable that names another Python 3.11 with dill, pytest and requests than the one that the setup makes.
const PYTHON: &str = "FUSEBOX_PYTHON";

/// Returns a path from the project's root.
fn from_root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn target() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_fusebox"));
    binary.ancestors().nth(2).unwrap().to_owned()
}

/// Returns the directory of runtimes, which must have Python 3.11.
fn runtimes() -> String {
    let dir = target().join("release/runtimes");
    let file = dir.join("python3.11.wasm");
    assert!(file.is_file(), "{} is missing: make runtimes", file.display());
    dir.display().to_string()
}

/// Runs a program of `tests/it/pickles` with Python 3.11.
fn python(args: &[&str], url: &str) -> Output {
    let python = std::env::var_os(PYTHON).map_or_else(|| target().join("python3.11/bin/python"), PathBuf::from);
    let mut command = Command::new(&python);
    command
        .args(args)
        .env("SERVICE", url)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(from_root("tests/it/pickles"));
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{}: {error}: run scripts/setup.sh test, or set {PYTHON}", python.display()),
    }
}

#[track_caller]
fn assert_good(output: &Output) {
    let [said, erred] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let wrong: Vec<_> = said.lines().filter(|line| line.contains(", false, ")).collect();
    assert!(output.status.success(), "{}\n{erred}\n{said}", wrong.join("\n"));
}

fn host(more: &[&str]) -> (Server, tempfile::TempDir) {
    let (server, home) = crate::server(&[&["--runtimes", &runtimes()], more].concat());
    wait_for_runtime(server.url());
    (server, home)
}

/// Waits until a host has compiled the runtime.
fn wait_for_runtime(url: &str) {
    assert_good(&python(&["client.py", url, "ready"], ""));
}

#[test]
fn the_functions_of_the_study_end_as_native_ones() {
    let (server, _home) = host(&[]);
    assert_good(&python(&["client.py", server.url(), "study"], ""));
}

#[test]
fn the_functions_of_the_study_end_as_native_ones_on_workers() {
    for mode in ["push", "pull"] {
        let mut cluster = Cluster::new();
        let url = cluster.rest_with(&["--runtimes", &runtimes()]);
        let (_dispatcher, address) = cluster.dispatcher(mode, "0");
        let home = tempfile::tempdir().unwrap();
        let _worker = worker(mode, 2, &address, &home, &[]);
        wait_for_runtime(&url);
        assert_good(&python(&["client.py", &url, "study"], ""));
    }
}

#[test]
fn hostile_functions_are_contained() {
    let (server, _home) = host(&[]);
    assert_good(&python(&["client.py", server.url(), "hostile"], ""));
}

#[test]
fn functions_of_a_test_module_run_under_pytest() {
    let path = from_root("tests/it/pickles").display().to_string();
    let (server, _home) = host(&["--python-path", &path]);
    assert_good(&python(&["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_client.py"], server.url()));
}
