//! Files, arguments and environment of commands, through WASI: what each run sees, writes and leaves.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    error::ErrorCode,
    function::{Grants, RunLimits},
    outcome::Outcome,
    setup::{Setup, Start},
};
use fusebox_sandbox::{Call, FilesArchive, Guest, HostCalls, Run, WaitLimit};

use crate::support::{ample, call, code, returned, run, run_call, sandbox, wasm};

/// Imports with their types.
const IMPORTS: [(&str, &str); 12] = [
    ("args_sizes_get", "(param i32 i32) (result i32)"),
    ("args_get", "(param i32 i32) (result i32)"),
    ("environ_sizes_get", "(param i32 i32) (result i32)"),
    ("environ_get", "(param i32 i32) (result i32)"),
    ("fd_write", "(param i32 i32 i32 i32) (result i32)"),
    ("fd_read", "(param i32 i32 i32 i32) (result i32)"),
    ("fd_seek", "(param i32 i64 i32 i32) (result i32)"),
    ("fd_filestat_get", "(param i32 i32) (result i32)"),
    ("fd_filestat_set_size", "(param i32 i64) (result i32)"),
    ("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
    ("fd_close", "(param i32) (result i32)"),
    ("proc_exit", "(param i32)"),
];

/// Returns a command of a WASI version, whose paths are "d/f", "/tmp/f" without its first character, and "out" as data.
fn command(version: &str, start: &str) -> String {
    let imports =
        IMPORTS.map(|(name, kind)| format!(r#"(import "{version}" "{name}" (func ${name} {kind}))"#)).concat();
    format!(
        r#"(module {imports} (memory (export "memory") 2)
            (data (i32.const 512) "d/f") (data (i32.const 528) "tmp/f") (data (i32.const 544) "../d/f")
            (func $check (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then (call $proc_exit (local.get 0)))))
            (func $open (param $path i32) (param $len i32) (param $how i32) (param $rights i64) (result i32)
                (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $how)
                    (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 600)))
            (func $write (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $len))
                (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (func $read (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $len))
                (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (func (export "_start") {start}))"#
    )
}

const PREVIEW1: &str = "wasi_snapshot_preview1";
/// Opens "d/f" and writes what it reads to stdout.
const SHOW: &str = "(call $check (call $open (i32.const 512) (i32.const 3) (i32.const 0) (i64.const 2)) (i32.const 0))
    (call $check (call $read (i32.load (i32.const 600)) (i32.const 1024) (i32.const 4096)) (i32.const 0))
    (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8))))";

fn archive() -> FilesArchive {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(7);
    tar.append_data(&mut header, "d/f", &b"content"[..]).unwrap();
    FilesArchive::of(&Bytes::from(tar.into_inner().unwrap())).unwrap()
}

fn call_with(setup: Setup, args: &[&str], limits: RunLimits) -> Call {
    let call = call(b"", limits);
    let start = Start { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Start::default() };
    Call { invocation: call.invocation.clone().started(setup, start), ..call }
}

fn with_files(text: &str, limits: RunLimits) -> Run {
    let archive = archive();
    sandbox().add_files(&archive.digest, &archive.bytes).unwrap();
    let files_bytes = archive.bytes.len() as u64;
    let setup = Setup { files: Some(archive.digest), files_bytes, ..Setup::default() };
    run_call(sandbox(), &wasm(text), call_with(setup, &[], limits))
}

#[track_caller]
fn errno(run: &Run) -> i32 {
    match run.outcome {
        Outcome::GuestError { exit_code: Some(code), .. } => code,
        _ => panic!("{:?}", run.outcome),
    }
}

#[test]
fn arguments_and_environment_are_those_of_version_and_request() {
    let start = "(drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
        (drop (call $args_get (i32.const 64) (i32.const 1024)))
        (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 20))))
        (drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
        (drop (call $environ_get (i32.const 64) (i32.const 1024)))
        (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 20))))";
    let env = vec![("LEVEL".to_owned(), "3".to_owned()), ("EMPTY".to_owned(), String::new())];
    let setup = Setup { args: vec!["-v".to_owned()], env, ..Setup::default() };
    let call = call_with(setup, &["in put", ""], ample());
    let ran = run_call(sandbox(), &wasm(&command(PREVIEW1, start)), call);
    assert_eq!(returned(&ran), b"tested\0-v\0in put\0\0LEVEL=3\0EMPTY=\0");
}

/// Answers one question for the configuration, with values of which one is no text and one is set by the version.
struct Configured(Mutex<Vec<HostCall>>);

impl HostCalls for Configured {
    fn call(&self, _: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let mut asked = self.0.lock().unwrap();
        asked.push(call);
        let setting = |name: &str, value: &'static [u8]| (name.parse().unwrap(), Bytes::from_static(value));
        let settings = [("B.C", &b"2=3"[..]), ("LEVEL", b"9"), ("RAW", b"\xff"), ("ZERO", b"a\0b")];
        match asked.len() {
            1 => Ok(HostAnswer::Configs(settings.map(|(name, value)| setting(name, value)).into())),
            _ => Err(Refusal::Unavailable),
        }
    }
}

#[test]
fn the_configuration_is_read_once_as_environment_where_it_is_granted() {
    let twice = "(drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
        (drop (call $environ_get (i32.const 64) (i32.const 1024)))
        (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 20))))";
    let env = vec![("LEVEL".to_owned(), "3".to_owned())];
    let with = |body: &str, grants: &str| {
        let configured = Arc::new(Configured(Mutex::default()));
        let mut call = call_with(Setup { env: env.clone(), ..Setup::default() }, &[], ample());
        call.invocation.grants = Grants::parse_list(grants).unwrap();
        let call = Call { host_calls: Some(configured.clone()), ..call };
        let ran = run_call(sandbox(), &wasm(&command(PREVIEW1, body)), call);
        let asked = configured.0.lock().unwrap().clone();
        (ran, asked)
    };
    let (ran, asked) = with(twice, "config");
    assert_eq!((returned(&ran), asked), (&b"LEVEL=3\0B.C=2=3\0"[..], vec![HostCall::Configs]));
    let (plain, asked) = with(twice, "kv");
    assert_eq!((returned(&plain), asked), (&b"LEVEL=3\0"[..], vec![]));
    assert!(ran.receipt.fuel.unwrap() > plain.receipt.fuel.unwrap() + 400_000, "reading it costs a call");
    let (ran, asked) = with("(drop (call $args_sizes_get (i32.const 16) (i32.const 20)))", "config");
    assert_eq!((returned(&ran), asked), (&b""[..], vec![]), "nobody looked");
}

#[test]
fn deployed_files_are_read_and_cannot_be_changed() {
    for version in [PREVIEW1, "wasi_unstable"] {
        assert_eq!(returned(&with_files(&command(version, SHOW), ample())), b"content", "{version}");
    }
    let open = |rights: u64, how: u32| {
        let start = format!(
            "(call $check (call $open (i32.const 512) (i32.const 3) (i32.const {how}) (i64.const {rights})) (i32.const 0))"
        );
        errno(&with_files(&command(PREVIEW1, &start), ample()))
    };
    assert_eq!((open(64, 0), open(64, 8), open(2, 5), open(2, 2)), (69, 69, 20, 54), "read-only, there, no directory");
    let outside = "(call $check (call $open (i32.const 544) (i32.const 6) (i32.const 0) (i64.const 2)) (i32.const 0))";
    assert_eq!(errno(&with_files(&command(PREVIEW1, outside), ample())), 63, "above the root");
    assert_eq!(errno(&run(&command(PREVIEW1, SHOW), b"", ample())), 44, "another version has no files");
}

#[test]
fn relative_paths_start_at_the_root_by_both_of_its_names() {
    // "." without its last, and "./d/../d/./f", from the directories "/" and ".".
    let start = |from: u32, at: u32, len: u32| {
        format!(
            "(call $check (call $path_open (i32.const {from}) (i32.const 1) (i32.const {at}) (i32.const {len})
                (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 600)) (i32.const 0))
            (call $check (call $read (i32.load (i32.const 600)) (i32.const 1024) (i32.const 4096)) (i32.const 0))
            (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8))))"
        )
    };
    let text = |from, at, len| {
        let data = r#"(data (i32.const 560) "./d/../d/./f")"#;
        command(PREVIEW1, &start(from, at, len)).replacen("(func $check", &format!("{data} (func $check"), 1)
    };
    for from in [3, 4] {
        assert_eq!(returned(&with_files(&text(from, 560, 12), ample())), b"content", "from {from}");
        assert_eq!(errno(&with_files(&text(from, 560, 1), ample())), 31, "a directory, from {from}");
    }
    let names = r#"(module (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (if (call $name (i32.const 3) (i32.const 64) (i32.const 1)) (then (unreachable)))
            (if (call $name (i32.const 4) (i32.const 65) (i32.const 9)) (then (unreachable)))
            (if (i32.ne (call $name (i32.const 4) (i32.const 66) (i32.const 0)) (i32.const 37)) (then (unreachable)))
            (if (i32.ne (call $name (i32.const 5) (i32.const 66) (i32.const 1)) (i32.const 8)) (then (unreachable)))
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 2))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    assert_eq!(returned(&run(names, b"", ample())), b"/.");
}

#[test]
fn the_scratch_is_empty_at_each_run() {
    let start = "(call $check (call $open (i32.const 528) (i32.const 5) (i32.const 5) (i64.const 66)) (i32.const 0))
        (call $check (call $write (i32.load (i32.const 600)) (i32.const 512) (i32.const 3)) (i32.const 0))
        (call $check (call $fd_seek (i32.load (i32.const 600)) (i64.const 1) (i32.const 0) (i32.const 608)) (i32.const 0))
        (call $check (call $read (i32.load (i32.const 600)) (i32.const 1024) (i32.const 9)) (i32.const 0))
        (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8))))
        (call $check (call $fd_close (i32.load (i32.const 600))) (i32.const 0))
        (call $check (call $fd_close (i32.load (i32.const 600))) (i32.const 8))";
    for _ in 0..2 {
        assert_eq!(returned(&run(&command(PREVIEW1, start), b"", ample())), b"/f");
    }
}

#[test]
fn the_draft_has_its_own_numbers_and_layouts() {
    // From the end (1) and from the start (2), and a size at 24.
    let start = format!(
        "(call $check (call $open (i32.const 512) (i32.const 3) (i32.const 0) (i64.const 2)) (i32.const 0))
        (call $check (call $fd_seek (i32.load (i32.const 600)) (i64.const -2) (i32.const 1) (i32.const 608)) (i32.const 0))
        (call $check (i32.load (i32.const 608)) (i32.const 5))
        (call $check (call $fd_filestat_get (i32.load (i32.const 600)) (i32.const 1024)) (i32.const 0))
        (call $check (i32.load (i32.const 1048)) (i32.const 7))
        (call $check (i32.load8_u (i32.const 1040)) (i32.const 4))
        (call $check (call $fd_seek (i32.load (i32.const 600)) (i64.const 0) (i32.const 2) (i32.const 608)) (i32.const 0)) {}",
        SHOW.split_once("(i32.const 0))\n").unwrap().1
    );
    assert_eq!(returned(&with_files(&command("wasi_unstable", &start), ample())), b"content");
}

#[test]
fn the_scratch_counts_as_memory_of_the_run() {
    let grow = |bytes: u64| {
        format!(
            "(call $check (call $open (i32.const 528) (i32.const 5) (i32.const 1) (i64.const 66)) (i32.const 0))
            (call $check (call $fd_filestat_set_size (i32.load (i32.const 600)) (i64.const {bytes})) (i32.const 0))"
        )
    };
    let limits = RunLimits { memory_bytes: 4 << 20, ..ample() };
    let fits = run(&command(PREVIEW1, &grow(2 << 20)), b"", limits);
    returned(&fits);
    assert!(fits.receipt.memory_bytes > 2 << 20, "{:?}", fits.receipt);
    for bytes in [5 << 20, 1 << 40, 1 << 62] {
        assert_eq!(errno(&run(&command(PREVIEW1, &grow(bytes)), b"", limits)), 51, "{bytes}");
    }
    let spends = run(&command(PREVIEW1, &grow(3 << 20)), b"", RunLimits { fuel: 500_000, ..limits });
    assert_eq!(code(&spends), ErrorCode::OutOfFuel, "growth costs fuel");
}

#[test]
fn open_files_are_bounded() {
    let start = "(local $errno i32)
        (loop
            (local.set $errno (call $open (i32.const 528) (i32.const 5) (i32.const 1) (i64.const 66)))
            (br_if 0 (i32.eqz (local.get $errno))))
        (call $check (i32.load (i32.const 600)) (i32.const 1023))
        (call $check (local.get $errno) (i32.const 0))";
    assert_eq!(errno(&run(&command(PREVIEW1, start), b"", ample())), 33);
}

#[test]
fn a_command_without_an_exported_memory_runs() {
    let exits = |code: u32| {
        let text = format!(
            r#"(module (import "{PREVIEW1}" "proc_exit" (func $exit (param i32)))
                (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        run(&text, b"", ample())
    };
    assert_eq!((returned(&exits(0)), errno(&exits(10))), (&b""[..], 10));
}

#[test]
fn a_core_function_imports_wasi_and_its_stdout_is_the_log() {
    let text = format!(
        r#"(module
            (import "{PREVIEW1}" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "{PREVIEW1}" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
            (import "fusebox" "clock" (func $clock (result i64)))
            (memory (export "memory") 1) (data (i32.const 256) "said") (global $ready (mut i32) (i32.const 0))
            (func (export "_initialize") (global.set $ready (i32.const 1)))
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_handle") (param i32 i32) (result i32)
                (if (i32.eqz (global.get $ready)) (then (unreachable)))
                (i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (i32.const 4))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                ;; Both clocks read the same, within two seconds.
                (drop (call $now (i32.const 0) (i64.const 0) (i32.const 64)))
                (if (i64.gt_s (i64.sub (call $clock) (i64.div_u (i64.load (i32.const 64)) (i64.const 1000000))) (i64.const 2000))
                    (then (unreachable)))
                (drop (call $now (i32.const 1) (i64.const 0) (i32.const 64)))
                (if (i64.eqz (i64.load (i32.const 64))) (then (unreachable)))
                (i32.store (i32.const 16) (i32.const 0))
                (i32.store (i32.const 20) (local.get 0)) (i32.store (i32.const 24) (local.get 1))
                (i32.const 16)))"#
    );
    let ran = run(&text, b"input", ample());
    assert_eq!((returned(&ran), &ran.log[..]), (&b"input"[..], &b"said"[..]));
}
