//! Components that export `wasi:cli/run`: the input on stdin, the output on stdout, stderr and exit codes as for
//! modules.

use fusebox_core::{
    error::ErrorCode,
    function::{Abi, RunLimits},
    outcome::Outcome,
};

use crate::support::{ample, code, returned, run, sandbox, wasm};

const STREAMS: &str = r#"
    (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
    (alias export $errors "error" (type $error))
    (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (export "input-stream" (type $in (sub resource)))
        (export "output-stream" (type $out (sub resource)))
        (type $failed (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $failed)))
        (export "[method]input-stream.blocking-read" (func (param "self" (borrow $in)) (param "len" u64)
            (result (result (list u8) (error $stream-error)))))
        (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $out))
            (param "contents" (list u8)) (result (result (error $stream-error)))))))
    (alias export $streams "input-stream" (type $in))
    (alias export $streams "output-stream" (type $out))
    (import "wasi:cli/stdin@0.2.0" (instance $stdin
        (alias outer 1 $in (type $outer)) (export "input-stream" (type $in (eq $outer)))
        (export "get-stdin" (func (result (own $in))))))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $out (type $outer)) (export "output-stream" (type $out (eq $outer)))
        (export "get-stdout" (func (result (own $out))))))
    (import "wasi:cli/stderr@0.2.0" (instance $stderr
        (alias outer 1 $out (type $outer)) (export "output-stream" (type $out (eq $outer)))
        (export "get-stderr" (func (result (own $out))))))
    (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
    (core module $libc (memory (export "memory") 4)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $libc (instantiate $libc))
    (core func $read (canon lower (func $streams "[method]input-stream.blocking-read")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
        (memory (core memory $libc "memory"))))
    (core func $get-stdin (canon lower (func $stdin "get-stdin")))
    (core func $get-stdout (canon lower (func $stdout "get-stdout")))
    (core func $get-stderr (canon lower (func $stderr "get-stderr")))
    (core func $leave (canon lower (func $exit "exit")))"#;

/// Returns a command whose `run` executes `run`, which leaves the result: 0 for success.
fn command(run: &str) -> String {
    format!(
        r#"(component {STREAMS}
            (core module $main
                (import "libc" "memory" (memory 1))
                (import "host" "read" (func $read (param i32 i64 i32)))
                (import "host" "write" (func $write (param i32 i32 i32 i32)))
                (import "host" "stdin" (func $stdin (result i32)))
                (import "host" "stdout" (func $stdout (result i32)))
                (import "host" "stderr" (func $stderr (result i32)))
                (import "host" "exit" (func $exit (param i32)))
                (func (export "run") (result i32) {run}))
            (core instance $main (instantiate $main (with "libc" (instance $libc)) (with "host" (instance
                (export "read" (func $read)) (export "write" (func $write)) (export "stdin" (func $get-stdin))
                (export "stdout" (func $get-stdout)) (export "stderr" (func $get-stderr))
                (export "exit" (func $leave))))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $command)))"#
    )
}

/// Copies up to 4 KiB from stdin to a stream.
fn copy(to: &str) -> String {
    format!(
        "(call $read (call $stdin) (i64.const 4096) (i32.const 0))
         (call $write (call {to}) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.const 16))"
    )
}

#[test]
fn a_command_reads_stdin_and_writes_stdout() {
    let echo = command(&format!("{} (i32.const 0)", copy("$stdout")));
    assert_eq!(sandbox().inspect(&wasm(&echo)).unwrap().abi, Abi::Command);
    let run = run(&echo, b"hello", ample());
    assert_eq!((returned(&run), &run.log[..]), (&b"hello"[..], &b""[..]));
    assert!(run.receipt.fuel.is_some());
}

#[test]
fn stderr_goes_to_the_log() {
    let run = run(&command(&format!("{} (i32.const 0)", copy("$stderr"))), b"oh no\n", ample());
    assert_eq!((returned(&run), &run.log[..]), (&b""[..], &b"oh no\n"[..]));
}

#[test]
fn an_exit_code_other_than_0_is_an_error_with_the_output() {
    let failed = Outcome::GuestError { error: "half".into(), exit_code: Some(1) };
    let returning = command(&format!("{} (i32.const 1)", copy("$stdout")));
    assert_eq!(run(&returning, b"half", ample()).outcome, failed);
    let exiting =
        |status: u32| command(&format!("{} (call $exit (i32.const {status})) (unreachable)", copy("$stdout")));
    assert_eq!(run(&exiting(1), b"half", ample()).outcome, failed);
    assert_eq!(run(&exiting(0), b"half", ample()).outcome, Outcome::Returned("half".into()));
}

#[test]
fn an_output_above_its_limit_ends_the_run() {
    let endless = command(
        "(loop (call $write (call $stdout) (i32.const 0) (i32.const 4096) (i32.const 8192)) (br 0)) (i32.const 0)",
    );
    let ended = run(&endless, b"", RunLimits { output_bytes: 10_000, ..ample() });
    assert_eq!(ended.outcome, Outcome::OutputTooLarge { bytes: 12_288, limit: 10_000 });
    let flood = endless.replace("(call $write (call $stdout)", "(call $write (call $stderr)");
    assert_eq!(code(&run(&flood, b"", RunLimits { log_bytes: 1_000, ..ample() })), ErrorCode::LogFlood);
}
