//! Plug-ins for Extism, written as text against the functions that their kits import, and reactors called by name.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    error::ErrorCode,
    function::{Abi, Grants, RunLimits},
    outcome::Outcome,
};
use fusebox_sandbox::{Guest, HostCalls, Run, WaitLimit};

use crate::support::{ample, call, code, refused, returned, run_call, sandbox, wasm};

/// Imports of every function, as kits for Go and others have them, used or not.
const IMPORTS: &str = r#"
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "free" (func $free (param i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "extism:host/env" "length_unsafe" (func $length_unsafe (param i64) (result i64)))
    (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
    (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
    (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
    (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
    (import "extism:host/env" "input_length" (func $input_length (result i64)))
    (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
    (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
    (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
    (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
    (import "extism:host/env" "error_set" (func $error_set (param i64)))
    (import "extism:host/env" "error_get" (func $error_get (result i64)))
    (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
    (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
    (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
    (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
    (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
    (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
    (import "extism:host/env" "log_error" (func $log_error (param i64)))
    (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
    (import "extism:host/env" "log_info" (func $log_info (param i64)))
    (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
    (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
    (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))"#;

/// Functions of a kit: `$put` copies the text at a pointer of the own memory into a new block, `$out` outputs a block,
/// `$input` returns a new block with the input.
const KIT: &str = r#"
    (memory (export "memory") 1)
    (func $put (param $from i32) (param $len i32) (result i64) (local $at i64) (local $n i32)
        (local.set $at (call $alloc (i64.extend_i32_u (local.get $len))))
        (block (loop (br_if 1 (i32.ge_u (local.get $n) (local.get $len)))
            (call $store_u8 (i64.add (local.get $at) (i64.extend_i32_u (local.get $n)))
                (i32.load8_u (i32.add (local.get $from) (local.get $n))))
            (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 0)))
        (local.get $at))
    (func $out (param $at i64) (call $output_set (local.get $at) (call $length (local.get $at))))
    (func $input (result i64) (local $at i64) (local $n i64)
        (local.set $at (call $alloc (call $input_length)))
        (block (loop (br_if 1 (i64.ge_u (local.get $n) (call $input_length)))
            (call $store_u8 (i64.add (local.get $at) (local.get $n)) (call $input_load_u8 (local.get $n)))
            (local.set $n (i64.add (local.get $n) (i64.const 1))) (br 0)))
        (local.get $at))"#;

/// Returns a plug-in with these exported functions and this data from address 0 on.
fn plugin(data: &str, functions: &[(&str, &str)]) -> String {
    let exports: String =
        functions.iter().map(|(name, body)| format!("(func (export \"{name}\") (result i32) {body})")).collect();
    format!("(module {IMPORTS} {KIT} (data (i32.const 0) \"{data}\") {exports})")
}

/// Returns a plug-in with one function, which ends with success.
fn one(data: &str, body: &str) -> String {
    plugin(data, &[("go", &format!("{body} (i32.const 0)"))])
}

/// Answers calls from a list, and notes them.
#[derive(Default)]
struct Planted {
    answers: Mutex<Vec<Result<HostAnswer, Refusal>>>,
    asked: Mutex<Vec<HostCall>>,
}

impl HostCalls for Planted {
    fn call(&self, _: Guest<'_>, asked: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        self.asked.lock().unwrap().push(asked);
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() { Err(Refusal::Absent) } else { answers.remove(0) }
    }
}

/// Runs a function of a module, given as text.
fn run_export(text: &str, export: Option<&str>, input: &[u8], limits: RunLimits) -> Run {
    run_granted(text, export, input, limits, "", &Arc::new(Planted::default()))
}

fn run_granted(
    text: &str,
    export: Option<&str>,
    input: &[u8],
    limits: RunLimits,
    grants: &str,
    planted: &Arc<Planted>,
) -> Run {
    let mut call = call(input, limits);
    call.invocation.export = export.map(str::to_owned);
    call.invocation.grants = Grants::parse_list(grants).unwrap();
    call.host_calls = Some(planted.clone());
    run_call(sandbox(), &wasm(text), call)
}

fn run(text: &str) -> Run {
    run_export(text, None, b"", ample())
}

#[test]
fn a_plug_in_reads_its_input_and_writes_its_output() {
    let text = one("", "(call $out (call $input))");
    let inspected = sandbox().inspect(&wasm(&text)).unwrap();
    assert_eq!((inspected.abi, inspected.needs), (Abi::Extism, Vec::new()));
    let input: Vec<u8> = (0..10_000).map(|n: u32| n.to_le_bytes()[0]).collect();
    assert_eq!(returned(&run_export(&text, None, &input, ample())), input);
    assert_eq!(returned(&run_export(&text, None, b"", ample())), b"");
    // Reads words, and the input at its address.
    let words = one(
        "",
        "(local $at i64) (local.set $at (call $alloc (i64.const 16)))
         (call $store_u64 (local.get $at) (call $input_load_u64 (i64.const 1)))
         (call $store_u64 (i64.add (local.get $at) (i64.const 8)) (call $load_u64 (call $input_offset)))
         (call $out (local.get $at))",
    );
    assert_eq!(returned(&run_export(&words, None, b"abcdefghij", ample())), b"bcdefghiabcdefgh");
}

#[test]
fn the_function_is_named_by_the_run_or_the_only_one() {
    let functions = [
        ("left", "(call $out (call $put (i32.const 0) (i32.const 4))) (i32.const 0)"),
        ("right", "(call $out (call $put (i32.const 4) (i32.const 5))) (i32.const 0)"),
    ];
    let text = plugin("leftright", &functions);
    for name in ["left", "right"] {
        assert_eq!(returned(&run_export(&text, Some(name), b"", ample())), name.as_bytes());
    }
    for (named, words) in [(None, "several functions"), (Some("up"), "no function \"up\" without parameters")] {
        let run = run_export(&text, named, b"", ample());
        let message = run.outcome.failure().unwrap().message;
        assert_eq!(code(&run), ErrorCode::BadModule);
        assert!(
            message.contains(words) && message.contains("--export") && message.contains("left, right"),
            "{message}"
        );
    }
    // Named though it has a parameter.
    let text = format!("(module {IMPORTS} (func (export \"f\") (param i32)) (func (export \"g\")))");
    assert_eq!(code(&run_export(&text, Some("f"), b"", ample())), ErrorCode::BadModule);
    assert_eq!(returned(&run_export(&text, None, b"", ample())), b"");
}

#[test]
fn an_error_or_a_code_fails_the_run() {
    let error =
        plugin("no such user", &[("go", "(call $error_set (call $put (i32.const 0) (i32.const 12))) (i32.const 1)")]);
    let run = run(&error);
    assert_eq!(run.outcome, Outcome::GuestError { error: Bytes::from_static(b"no such user"), exit_code: None });
    assert_eq!(run.outcome.failure().unwrap().message, "no such user");
    let coded = self::run(&plugin("", &[("go", "(i32.const 7)")]));
    assert_eq!(coded.outcome, Outcome::GuestError { error: Bytes::new(), exit_code: Some(7) });
    let unset = "(call $error_set (call $put (i32.const 0) (i32.const 1))) (call $error_set (i64.const 0))
        (if (i64.ne (call $error_get) (i64.const 0)) (then (unreachable)))";
    assert_eq!(returned(&self::run(&one("x", unset))), b"");
}

#[test]
fn the_log_has_a_line_for_each_message_with_its_level() {
    let lines: String = ["error", "warn", "info", "debug", "trace"]
        .map(|level| format!("(call $log_{level} (call $put (i32.const 0) (i32.const 5)))"))
        .concat();
    let run = run(&one("hello", &format!("{lines} (drop (call $get_log_level))")));
    let log = String::from_utf8(run.log.to_vec()).unwrap();
    assert_eq!(log, "ERROR hello\nWARN hello\nINFO hello\nDEBUG hello\nTRACE hello\n");
}

#[test]
fn variables_are_the_runs_own_or_entries_where_granted() {
    let text = one(
        "keyvalue",
        "(call $var_set (call $put (i32.const 0) (i32.const 3)) (call $put (i32.const 3) (i32.const 5)))
         (call $out (call $var_get (call $put (i32.const 0) (i32.const 3))))
         (call $var_set (call $put (i32.const 0) (i32.const 3)) (i64.const 0))
         (if (i64.ne (call $var_get (call $put (i32.const 0) (i32.const 3))) (i64.const 0)) (then (unreachable)))",
    );
    assert_eq!(returned(&run(&text)), b"value");
    let value = HostAnswer::Value { revision: 3, value: Bytes::from_static(b"stored") };
    let answers = vec![Ok(HostAnswer::Set(1)), Ok(value), Ok(HostAnswer::Deleted(true)), Err(Refusal::Absent)];
    let planted = Arc::new(Planted { answers: Mutex::new(answers), asked: Mutex::default() });
    assert_eq!(returned(&run_granted(&text, None, b"", ample(), "kv", &planted)), b"stored");
    let asked = planted.asked.lock().unwrap();
    assert!(matches!(
        &asked[..],
        [HostCall::KvSet { .. }, HostCall::KvGet(_), HostCall::KvDelete { .. }, HostCall::KvGet(_)]
    ));
}

#[test]
fn configuration_is_there_where_granted() {
    let text = one("KEY", "(call $out (call $config_get (call $put (i32.const 0) (i32.const 3))))");
    assert_eq!(returned(&run(&text)), b"", "a value that is not granted is absent");
    let answers = vec![Ok(HostAnswer::Config(Bytes::from_static(b"set")))];
    let planted = Arc::new(Planted { answers: Mutex::new(answers), asked: Mutex::default() });
    assert_eq!(returned(&run_granted(&text, None, b"", ample(), "config", &planted)), b"set");
}

#[test]
fn http_needs_its_grant_and_gives_status_headers_and_body() {
    let request = r#"{\"url\":\"https://a.example.com/x\",\"method\":\"POST\",\"headers\":{\"x\":\"1\"}}"#;
    let len = request.replace('\\', "").len();
    let body = format!(
        "(local $at i64) (local.set $at (call $http_request (call $put (i32.const 0) (i32.const {len})) (call $put (i32.const 0) (i32.const 1))))
         (if (i32.ne (call $http_status_code) (i32.const 201)) (then (unreachable)))
         (call $log_info (call $http_headers)) (call $out (local.get $at))"
    );
    let text = one(request, &body);
    let refused = run(&text);
    assert_eq!(code(&refused), ErrorCode::Trap);
    assert!(refused.outcome.failure().unwrap().message.contains("--grant http=HOST"), "{:?}", refused.outcome);
    let answers = vec![Ok(HostAnswer::Http(Bytes::from_static(b"201\nage: 4\n\nmade")))];
    let planted = Arc::new(Planted { answers: Mutex::new(answers), asked: Mutex::default() });
    let run = run_granted(&text, None, b"", ample(), "http=a.example.com", &planted);
    assert_eq!((returned(&run), &run.log[..]), (&b"made"[..], &b"INFO {\"age\":\"4\"}\n"[..]));
    let asked = planted.asked.lock().unwrap();
    let [HostCall::Http(sent)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(sent.as_bytes(), b"POST https://a.example.com/x\nx: 1\n\n{");
}

#[test]
fn addresses_outside_the_shared_memory_end_the_run() {
    for (body, words) in [
        ("(drop (call $load_u8 (i64.const 0)))", "load_u8"),
        ("(drop (call $load_u64 (i64.const -1)))", "load_u64"),
        ("(call $store_u8 (i64.const 4096) (i32.const 1))", "store_u8"),
        ("(call $store_u64 (i64.add (call $alloc (i64.const 8)) (i64.const 1)) (i64.const 1))", "store_u64"),
        ("(drop (call $input_load_u8 (i64.const 0)))", "input_load_u8"),
        ("(drop (call $input_load_u64 (i64.const -8)))", "input_load_u64"),
        ("(call $output_set (call $alloc (i64.const 8)) (i64.const 9))", "output_set"),
        ("(call $output_set (i64.const 1) (i64.const -1))", "output_set"),
        ("(call $error_set (i64.const 77))", "error_set"),
        ("(call $log_info (i64.const 77))", "log"),
        ("(drop (call $config_get (i64.const 0)))", "config_get"),
        ("(drop (call $var_get (i64.const 77)))", "var_get"),
        ("(call $var_set (call $alloc (i64.const 1)) (i64.const 77))", "var_set"),
        ("(drop (call $http_request (i64.const 77) (i64.const 0)))", "http_request"),
        (
            "(local $a i64) (local.set $a (call $alloc (i64.const 9))) (call $free (local.get $a)) (call $log_info (local.get $a))",
            "log",
        ),
    ] {
        let run = run(&one("", body));
        assert_eq!(code(&run), ErrorCode::BadPointer, "{body}: {:?}", run.outcome);
        assert!(run.outcome.failure().unwrap().message.contains(words), "{body}: {:?}", run.outcome);
    }
    let harmless = "(call $free (i64.const 0)) (call $free (i64.const 77)) (call $free (i64.const -1))
        (if (i64.ne (call $length (i64.const 77)) (i64.const 0)) (then (unreachable)))
        (if (i64.ne (call $length_unsafe (i64.const -1)) (i64.const 0)) (then (unreachable)))
        (if (i64.ne (call $alloc (i64.const 0)) (i64.const 0)) (then (unreachable)))";
    assert_eq!(returned(&run(&one("", harmless))), b"");
}

#[test]
fn shared_memory_counts_towards_the_runs_memory() {
    let limits = RunLimits { memory_bytes: 4 << 20, ..ample() };
    for body in [
        "(if (i64.eqz (call $alloc (i64.const 8388608))) (then (unreachable)))",
        "(if (i64.eqz (call $alloc (i64.const -1))) (then (unreachable)))",
        "(loop (br_if 0 (i64.ne (call $alloc (i64.const 65536)) (i64.const 0)))) (unreachable)",
        "(loop (br_if 0 (i64.ne (call $alloc (i64.const 1)) (i64.const 0)))) (unreachable)",
    ] {
        let run = run_export(&one("", body), None, b"", limits);
        assert_eq!(run.outcome, Outcome::OutOfMemory { limit: 4 << 20 }, "{body}");
        assert!(run.receipt.memory_bytes <= 4 << 20, "{:?}", run.receipt);
    }
    let freed = "(local $n i32) (loop (call $free (call $alloc (i64.const 65536)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000))))";
    assert_eq!(returned(&run_export(&one("", freed), None, b"", limits)), b"");
    let beside = "(if (i64.eqz (call $alloc (i64.const 3000000))) (then (unreachable)))
        (if (i32.eq (memory.grow (i32.const 20)) (i32.const -1)) (then (unreachable)))";
    assert_eq!(code(&run_export(&one("", beside), None, b"", limits)), ErrorCode::OutOfMemory);
    let input = vec![0; 5 << 20];
    assert_eq!(code(&run_export(&one("", ""), None, &input, limits)), ErrorCode::OutOfMemory);
    let vars = "(local $n i32) (loop (i32.store (i32.const 0) (local.get $n))
        (call $var_set (call $put (i32.const 0) (i32.const 4)) (call $alloc (i64.const 60000)))
        (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 0))";
    let run = run_export(&one("", vars), None, b"", ample());
    assert!(run.outcome.failure().unwrap().message.contains("grant kv"), "{:?}", run.outcome);
}

#[test]
fn the_output_and_the_log_have_their_limits() {
    let limits = RunLimits { output_bytes: 100, log_bytes: 200, ..ample() };
    let out = one("", "(call $out (call $alloc (i64.const 101)))");
    assert_eq!(run_export(&out, None, b"", limits).outcome, Outcome::OutputTooLarge { bytes: 101, limit: 100 });
    let flood = one("", "(loop (call $log_info (call $alloc (i64.const 100))) (br 0))");
    assert_eq!(run_export(&flood, None, b"", limits).outcome, Outcome::LogFlood { limit: 200 });
}

#[test]
fn initializers_run_before_the_function() {
    for init in ["_initialize", "__wasm_call_ctors"] {
        let text = format!(
            "(module {IMPORTS} (global $ready (mut i32) (i32.const 0)) (func (export \"{init}\") (global.set $ready (i32.const 1)))
                (func (export \"go\") (result i32) (i32.eqz (global.get $ready))))"
        );
        assert_eq!(returned(&run(&text)), b"", "{init}");
    }
    let haskell = format!(
        "(module {IMPORTS} (global $ready (mut i32) (i32.const 0))
            (func (export \"_initialize\") (global.set $ready (i32.const 1)))
            (func (export \"hs_init\") (param i32 i32) (global.set $ready (i32.add (global.get $ready) (i32.const 1))))
            (func (export \"go\") (result i32) (i32.ne (global.get $ready) (i32.const 2))))"
    );
    assert_eq!(returned(&run(&haskell)), b"");
}

#[test]
fn a_plug_in_may_use_wasi_and_exit() {
    let exit = |code: u32| {
        format!(
            "(module {IMPORTS} (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32))) {KIT}
                (data (i32.const 0) \"out\")
                (func (export \"go\") (call $out (call $put (i32.const 0) (i32.const 3))) (call $exit (i32.const {code}))))"
        )
    };
    assert_eq!(returned(&run(&exit(0))), b"out");
    assert_eq!(run(&exit(3)).outcome, Outcome::GuestError { error: Bytes::from_static(b"out"), exit_code: Some(3) });
}

#[test]
fn a_reactors_function_is_called_by_name_with_stdin_and_stdout() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_initialize") (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100)))
        (func (export "copy")
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        (func (export "fail") (result i32) (i32.const 5))
        (func (export "other") (param i32)))"#;
    assert_eq!(sandbox().inspect(&wasm(text)).unwrap().abi, Abi::Reactor);
    assert_eq!(returned(&run_export(text, Some("copy"), b"in", ample())), b"in");
    let failed = run_export(text, Some("fail"), b"in", ample());
    assert_eq!(failed.outcome, Outcome::GuestError { error: Bytes::new(), exit_code: Some(5) });
    let message = run_export(text, None, b"", ample()).outcome.failure().unwrap().message;
    assert!(message.ends_with("choose one with --export (REST: export): copy, fail"), "{message}");
}

#[test]
fn functions_that_no_kit_has_are_refused() {
    let import = |module: &str, name: &str| {
        wasm(&format!(r#"(module (import "{module}" "{name}" (func)) (func (export "go")))"#))
    };
    let unknown = refused(&import("extism:host/env", "fly"));
    assert_eq!(unknown.code, ErrorCode::UnknownImport);
    let own = refused(&import("extism:host/user", "my_function"));
    assert_eq!(own.code, ErrorCode::UnknownImport);
    assert!(own.message.contains("embedder"), "{}", own.message);
    let none = refused(&wasm(r#"(module (import "extism:host/env" "input_length" (func (result i64))))"#));
    assert_eq!(none.code, ErrorCode::InvalidModule);
}
