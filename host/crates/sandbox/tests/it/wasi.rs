//! WASI preview 1: a command's stdin, stdout, stderr, arguments, clock and random; no network, and waits that end with the
//! run.

use std::{thread, time::Duration};

use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    outcome::{Outcome, StopReason},
};

use crate::support::{ample, call, code, returned, run, run_call, sandbox, timed, wasm};

const SLACK: Duration = Duration::from_secs(5);

/// Returns a command with these WASI imports and this `_start`.
fn command(imports: &[&str], start: &str) -> String {
    let imports: String = imports.iter().map(|name| import(name)).collect();
    format!(r#"(module {imports} (memory (export "memory") 2) (func (export "_start") {start}))"#)
}

fn import(name: &str) -> String {
    let params = match name {
        "fd_read" | "fd_write" | "poll_oneoff" => "(param i32 i32 i32 i32) (result i32)",
        "clock_time_get" => "(param i32 i64 i32) (result i32)",
        "sock_accept" => "(param i32 i32 i32) (result i32)",
        "proc_exit" => "(param i32)",
        "fd_prestat_get" | "random_get" | "args_sizes_get" | "args_get" | "environ_sizes_get" => {
            "(param i32 i32) (result i32)"
        }
        other => panic!("{other}"),
    };
    format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} {params}))"#)
}

/// Returns code that writes `len` bytes at `ptr` to a descriptor.
fn write(fd: u32, ptr: u32, len: &str) -> String {
    format!(
        "(i32.store (i32.const 0) (i32.const {ptr})) (i32.store (i32.const 4) {len})
         (drop (call $fd_write (i32.const {fd}) (i32.const 0) (i32.const 1) (i32.const 8)))"
    )
}

/// Waits on the monotonic clock for one hour.
const SLEEP_AN_HOUR: &str =
    "(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
     (drop (call $poll_oneoff (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))";

#[test]
fn stdin_goes_in_and_stdout_comes_out() {
    let copy = format!(
        "(i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
         (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))) {}",
        write(1, 1_024, "(i32.load (i32.const 8))")
    );
    assert_eq!(returned(&run(&command(&["fd_read", "fd_write"], &copy), b"through", ample())), b"through");
}

#[test]
fn stderr_is_the_log() {
    let text = command(&["fd_write"], &write(2, 1_024, "(i32.const 5)"));
    let text = text.replace("(func (export", "(data (i32.const 1024) \"noted\") (func (export");
    let run = run(&text, b"", ample());
    assert_eq!((returned(&run), &run.log[..]), (b"".as_slice(), b"noted".as_slice()));
}

#[test]
fn a_failed_command_explains_itself_with_its_last_lines_of_stderr() {
    const TEXT: &str = "panicked at src/main.rs:2:5:\nboom";
    for (import, end, frames) in [("proc_exit", "(call $proc_exit (i32.const 101))", 0), ("fd_read", "unreachable", 1)]
    {
        let body = format!("{} {end}", write(2, 1_024, &format!("(i32.const {})", TEXT.len())));
        let text = command(&["fd_write", import], &body);
        let text = text.replace("(func (export", &format!("(data (i32.const 1024) {TEXT:?}) (func (export"));
        let run = run(&text, b"", ample());
        assert_eq!((run.traces.stderr.as_str(), run.traces.backtrace.len()), (TEXT, frames), "{:?}", run.outcome);
    }
}

#[test]
fn the_exit_code_decides() {
    let exit =
        |code: u32| run(&command(&["proc_exit"], &format!("(call $proc_exit (i32.const {code}))")), b"", ample());
    assert_eq!(returned(&exit(0)), b"");
    let failed = exit(3);
    let Outcome::GuestError { exit_code, .. } = failed.outcome else { panic!("{:?}", failed.outcome) };
    assert_eq!(exit_code, Some(3));
}

#[test]
fn the_first_argument_is_the_functions_name_and_there_is_no_environment() {
    let start = format!(
        "(drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
         (drop (call $args_get (i32.const 32) (i32.const 1024)))
         (drop (call $environ_sizes_get (i32.const 24) (i32.const 28)))
         (if (i32.ne (i32.load (i32.const 16)) (i32.const 1)) (then (unreachable)))
         (if (i32.ne (i32.load (i32.const 24)) (i32.const 0)) (then (unreachable))) {}",
        write(1, 1_024, "(i32.const 6)")
    );
    let text = command(&["args_sizes_get", "args_get", "environ_sizes_get", "fd_write"], &start);
    assert_eq!(returned(&run(&text, b"", ample())), b"tested");
}

#[test]
fn one_directory_is_open_and_there_are_no_sockets() {
    let start = "(if (call $fd_prestat_get (i32.const 3) (i32.const 64)) (then (unreachable)))
         (if (i32.ne (i32.load (i32.const 68)) (i32.const 1)) (then (unreachable)))
         ;; EBADF (8)
         (if (i32.ne (call $fd_prestat_get (i32.const 5) (i32.const 64)) (i32.const 8)) (then (unreachable)))
         ;; ENOTSOCK (57)
         (if (i32.ne (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 64)) (i32.const 57)) (then (unreachable)))";
    returned(&run(&command(&["fd_prestat_get", "sock_accept"], start), b"", ample()));
}

#[test]
fn clocks_are_coarse_and_random_is_random() {
    let clock = format!(
        "(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 1024)))
         (drop (call $random_get (i32.const 1032) (i32.const 16))) {}",
        write(1, 1_024, "(i32.const 24)")
    );
    let text = command(&["clock_time_get", "random_get", "fd_write"], &clock);
    let (first, second) = (run(&text, b"", ample()), run(&text, b"", ample()));
    let ns = u64::from_le_bytes(returned(&first)[..8].try_into().unwrap());
    assert!(ns > 1_700_000_000_000_000_000 && ns.is_multiple_of(1_000_000), "{ns}");
    assert_ne!(returned(&first)[8..], returned(&second)[8..]);
}

#[test]
fn too_much_random_at_once_is_refused() {
    let text = command(&["random_get"], "(drop (call $random_get (i32.const 0) (i32.const 0x7fffffff)))");
    assert!(run(&text, b"", ample()).outcome.failure().is_some());
}

#[test]
fn output_above_its_limit_ends_the_run() {
    let flood = format!("(loop {} (br 0))", write(1, 1_024, "(i32.const 65536)"));
    let run = run(&command(&["fd_write"], &flood), b"", RunLimits { output_bytes: 100_000, ..ample() });
    assert_eq!(code(&run), ErrorCode::OutputTooLarge, "{:?}", run.outcome);
}

#[test]
fn a_flood_on_stderr_ends_the_run() {
    let flood = format!("(loop {} (br 0))", write(2, 1_024, "(i32.const 65536)"));
    let run = run(&command(&["fd_write"], &flood), b"", RunLimits { log_bytes: 1_000, ..ample() });
    assert_eq!(code(&run), ErrorCode::LogFlood, "{:?}", run.outcome);
    assert!(run.log.len() < 1_100);
}

#[test]
fn a_wait_ends_at_the_deadline() {
    let text = command(&["poll_oneoff"], SLEEP_AN_HOUR);
    let (run, took) = timed(|| run(&text, b"", RunLimits { wall_ms: 100, ..ample() }));
    assert_eq!(run.outcome, Outcome::DeadlineExceeded { limit_ms: 100 });
    assert!(took >= Duration::from_millis(100) && took < SLACK, "{took:?}");
}

#[test]
fn a_wait_ends_when_the_run_is_stopped() {
    let call = call(b"", ample());
    let stop = call.stop.clone();
    let module = wasm(&command(&["poll_oneoff"], SLEEP_AN_HOUR));
    sandbox().prepare(&module).unwrap();
    let (run, took) = thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| run_call(sandbox(), &module, call)));
        stop.raise(StopReason::Cancelled);
        waiting.join().unwrap()
    });
    assert_eq!(run.outcome, Outcome::Stopped(StopReason::Cancelled));
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn a_short_wait_ends_by_itself() {
    let text = command(&["poll_oneoff"], &SLEEP_AN_HOUR.replace("3600000000000", "5000000"));
    let (run, took) = timed(|| run(&text, b"", ample()));
    returned(&run);
    assert!(took >= Duration::from_millis(4) && took < SLACK, "{took:?}");
}

#[test]
fn nonsense_in_a_wait_is_an_error_of_the_guest() {
    for (text, expected) in [
        (
            "(drop (call $poll_oneoff (i32.const -8) (i32.const 0) (i32.const 1) (i32.const 0)))",
            Some(ErrorCode::BadPointer),
        ),
        (
            "(if (i32.ne (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 28)) (then (unreachable)))",
            None,
        ),
        (
            "(if (i32.ne (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)) (i32.const 28)) (then (unreachable)))",
            None,
        ),
    ] {
        let run = run(&command(&["poll_oneoff"], text), b"", ample());
        assert_eq!(run.outcome.failure().map(|failure| failure.code), expected, "{text}");
    }
}
