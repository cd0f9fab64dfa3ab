//! Calls that require a grant: a test double answers, and the guest returns the result.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Capability, Expects, Grants, HostAnswer, HostCall, Redacted, Refusal},
    error::ErrorCode,
    function::RunLimits,
    limits::{HTTP_REQUEST_BYTES_MAX, KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX},
    outcome::{Outcome, StopReason},
};
use fusebox_sandbox::{Call, Guest, HostCalls, Run, WaitLimit};
use proptest::prelude::*;

use crate::support::{ample, answer, call, code, core_with, returned, run_call, sandbox, timed, wasm};

const IMPORTS: &str = r#"
    (import "fusebox" "config" (func $config (param i32 i32) (result i64)))
    (import "fusebox" "secret" (func $secret (param i32 i32) (result i64)))
    (import "fusebox" "kv_get" (func $kv_get (param i32 i32) (result i64)))
    (import "fusebox" "kv_set" (func $kv_set (param i32 i32 i32 i32 i64 i64) (result i64)))
    (import "fusebox" "kv_delete" (func $kv_delete (param i32 i32 i64) (result i64)))
    (import "fusebox" "http" (func $http (param i32 i32) (result i64)))
    (import "fusebox" "answer" (func $answer (param i32 i32) (result i32)))"#;

/// Answers every call in the same way and records the calls.
struct Planted {
    answer: Result<HostAnswer, Refusal>,
    asked: Mutex<Vec<HostCall>>,
}

impl HostCalls for Planted {
    fn call(&self, guest: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        assert_eq!(guest.function.as_str(), "tested");
        self.asked.lock().unwrap().push(call);
        self.answer.clone()
    }
}

/// Never answers: waits until its limit is exhausted.
struct Silent(AtomicU32);

impl HostCalls for Silent {
    fn call(&self, _: Guest<'_>, _: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        self.0.fetch_add(1, Ordering::SeqCst);
        while let Some(left) = limit.left() {
            thread::park_timeout(left.min(Duration::from_millis(5)));
        }
        Err(Refusal::TimedOut)
    }
}

fn all_grants() -> Grants {
    Grants::parse_list("config,secrets,kv,http=example.com").unwrap()
}

fn granted(text: &str, input: &[u8], limits: RunLimits, grants: Grants, host_calls: Option<Arc<dyn HostCalls>>) -> Run {
    let mut call = call(input, limits);
    call.invocation.grants = grants;
    run_call(sandbox(), &wasm(text), Call { host_calls, ..call })
}

/// Returns a function that outputs the call's result in 8 bytes, followed by the kept answer.
fn tell(import: &str) -> String {
    let body = format!(
        "(i64.store (i32.const 2048) {import})
         (i32.store (i32.const 4096) (call $answer (i32.const 2056) (i32.const 1024))) {}",
        answer("(i32.const 0)", "(i32.const 2048)", "(i32.add (i32.const 8) (i32.load (i32.const 4096)))")
    );
    core_with(&body, IMPORTS)
}

/// Makes a call; returns its result, the kept answer, and the calls received.
fn ask(import: &str, input: &[u8], answer: Result<HostAnswer, Refusal>) -> (i64, Vec<u8>, Vec<HostCall>) {
    let planted = Arc::new(Planted { answer, asked: Mutex::default() });
    let run = granted(&tell(import), input, ample(), all_grants(), Some(planted.clone()));
    let (number, kept) = returned(&run).split_at(8);
    let asked = planted.asked.lock().unwrap().clone();
    (i64::from_le_bytes(number.try_into().unwrap()), kept.to_vec(), asked)
}

const CONFIG: &str = "(call $config (local.get 0) (local.get 1))";
const GET: &str = "(call $kv_get (local.get 0) (local.get 1))";

fn set(value: (&str, usize), ttl: i64, expects: i64) -> String {
    let (ptr, len) = value;
    format!(
        "(call $kv_set (local.get 0) (local.get 1) (i32.const {ptr}) (i32.const {len}) (i64.const {ttl}) \
         (i64.const {expects}))"
    )
}

#[test]
fn values_are_kept_for_the_guest_to_fetch() {
    let value = Bytes::from_static(b"value");
    let name = || "NAME".parse().unwrap();
    let (number, kept, asked) = ask(CONFIG, b"NAME", Ok(HostAnswer::Config(value.clone())));
    assert_eq!((number, &kept[..], asked), (5, &b"value"[..], vec![HostCall::Config(name())]));

    let secret = "(call $secret (local.get 0) (local.get 1))";
    let (number, kept, asked) = ask(secret, b"NAME", Ok(HostAnswer::Secret(Redacted(value.clone()))));
    assert_eq!((number, &kept[..], asked), (5, &b"value"[..], vec![HostCall::Secret(name())]));

    let (number, kept, _) = ask(GET, b"key", Ok(HostAnswer::Value { revision: 258, value: value.clone() }));
    assert_eq!((number, &kept[..]), (13, &b"\x02\x01\0\0\0\0\0\0value"[..]));

    let http = "(call $http (local.get 0) (local.get 1))";
    let (number, kept, _) = ask(http, b"GET https://example.com/\n\n", Ok(HostAnswer::Http(value)));
    assert_eq!((number, &kept[..]), (5, &b"value"[..]));
}

#[test]
fn a_set_and_a_delete_say_what_they_expect() {
    let (number, kept, asked) = ask(&set(("0", 3), 50, 7), b"key", Ok(HostAnswer::Set(8)));
    assert_eq!((number, kept.len()), (8, 0));
    match &asked[..] {
        [HostCall::KvSet { key, value, ttl, expects }] => {
            assert_eq!((key.as_bytes(), value.as_bytes()), (&b"key"[..], &[0; 3][..]));
            assert_eq!((ttl.map(|ttl| ttl.ms()), *expects), (Some(50), Expects::Revision(7)));
        }
        other => panic!("{other:?}"),
    }
    let delete = "(call $kv_delete (local.get 0) (local.get 1) (i64.const -1))";
    for (there, said) in [(true, 1), (false, 0)] {
        assert_eq!(ask(delete, b"key", Ok(HostAnswer::Deleted(there))).0, said);
    }
}

#[test]
fn a_refusal_is_its_number_and_leaves_no_answer() {
    for refusal in [Refusal::Absent, Refusal::Conflict, Refusal::Quota, Refusal::Unavailable, Refusal::TimedOut] {
        let (number, kept, _) = ask(GET, b"key", Err(refusal));
        assert_eq!((number, kept.len()), (refusal.code(), 0));
    }
    let body = format!("(drop {CONFIG}) (drop {GET})");
    let twice = tell(&format!("(block (result i64) {body} (i64.const 0))"));
    let planted = Planted { answer: Ok(HostAnswer::Config(Bytes::from_static(b"value"))), asked: Mutex::default() };
    // The first name is valid, and so is the second call's key, so its answer is kept. A refused call clears it.
    let run = granted(&twice, b"NAME", ample(), all_grants(), Some(Arc::new(planted)));
    assert_eq!(&returned(&run)[8..], b"value");
    let planted = Planted { answer: Ok(HostAnswer::Config(Bytes::from_static(b"value"))), asked: Mutex::default() };
    let then_bad = "(call $kv_get (local.get 0) (i32.const 0))";
    let cleared = tell(&format!("(block (result i64) (drop {CONFIG}) {then_bad})"));
    let run = granted(&cleared, b"NAME", ample(), all_grants(), Some(Arc::new(planted)));
    assert_eq!(returned(&run), (-8_i64).to_le_bytes());
}

#[test]
fn without_an_outside_everything_is_unavailable() {
    let run = granted(&tell(GET), b"key", ample(), all_grants(), None);
    assert_eq!(returned(&run), (-6_i64).to_le_bytes());
}

#[test]
fn what_makes_no_sense_or_is_too_large_is_refused_before_it_is_asked() {
    let (invalid, too_large) = (Refusal::Invalid.code(), Refusal::TooLarge.code());
    let long_key = format!("(call $kv_get (i32.const 0) (i32.const {}))", KV_KEY_BYTES_MAX + 1);
    let long_http = format!("(call $http (i32.const 0) (i32.const {}))", HTTP_REQUEST_BYTES_MAX + 1);
    let cases: [(String, &[u8], i64); 10] = [
        (CONFIG.to_owned(), b"no name", invalid),
        (CONFIG.to_owned(), b"\xff", invalid),
        (CONFIG.to_owned(), b"", invalid),
        (GET.to_owned(), b"", invalid),
        (long_key, b"", too_large),
        (set(("0", KV_VALUE_BYTES_MAX + 1), 0, -1), b"key", too_large),
        (set(("0", 1), -1, -1), b"key", invalid),
        (set(("0", 1), i64::MAX, -1), b"key", invalid),
        (set(("0", 1), 0, -2), b"key", invalid),
        (long_http, b"", too_large),
    ];
    for (import, input, expected) in cases {
        let text = import.contains("$http").then(|| tell(&import).replace("\"memory\") 2", "\"memory\") 20"));
        let planted = Arc::new(Planted { answer: Ok(HostAnswer::Set(1)), asked: Mutex::default() });
        let text = text.unwrap_or_else(|| tell(&import));
        let run = granted(&text, input, ample(), all_grants(), Some(planted.clone()));
        assert_eq!(returned(&run), expected.to_le_bytes(), "{import}");
        assert!(planted.asked.lock().unwrap().is_empty(), "{import}");
    }
}

/// Imports that require a grant, each with its parameters.
const GRANTED: [(&str, &str, Capability); 6] = [
    ("config", "i32 i32", Capability::Config),
    ("secret", "i32 i32", Capability::Secrets),
    ("kv_get", "i32 i32", Capability::Kv),
    ("kv_set", "i32 i32 i32 i32 i64 i64", Capability::Kv),
    ("kv_delete", "i32 i32 i64", Capability::Kv),
    ("http", "i32 i32", Capability::Http),
];

/// Returns all grants but those of one capability.
fn others(needs: Capability) -> Grants {
    let all = all_grants();
    Grants::of(all.each().filter(|grant| !grant.to_string().starts_with(needs.as_str()))).unwrap()
}

#[test]
fn an_import_without_its_grant_is_not_run() {
    for (import, params, needs) in GRANTED {
        let text = core_with("", &format!(r#"(import "fusebox" "{import}" (func (param {params}) (result i64)))"#));
        let inspected = sandbox().inspect(&wasm(&text)).unwrap();
        assert_eq!(inspected.needs, [needs], "{import}");
        let run = granted(&text, b"", ample(), others(needs), None);
        match &run.outcome {
            Outcome::BadModule { reason } => assert!(reason.contains(&format!("the grant {needs}")), "{reason}"),
            other => panic!("{import}: {other:?}"),
        }
    }
    let every = sandbox().inspect(&wasm(&core_with("", IMPORTS))).unwrap();
    assert_eq!(every.needs, Capability::ALL);
}

const REQUEST: &str = "GET https://example.com/\n\n";

#[test]
fn a_commands_call_without_its_grant_is_refused_and_the_log_names_the_flag() {
    for (import, params, needs) in GRANTED {
        // A name of one letter, or the whole request.
        let arguments = match needs {
            Capability::Http => format!("(i32.const 1) (i32.const {})", REQUEST.len()),
            _ => params.split(' ').map(|kind| format!("({kind}.const 1)")).collect(),
        };
        let data = REQUEST.replace('\n', "\\0a");
        // Calls twice, and traps unless both are refused.
        let call = format!("(if (i64.ne (call $call {arguments}) (i64.const -5)) (then unreachable))");
        let text = format!(
            r#"(module (import "fusebox" "{import}" (func $call (param {params}) (result i64)))
                (memory (export "memory") 1) (data (i32.const 1) "{data}") (func (export "_start") {call} {call}))"#
        );
        let inspected = sandbox().inspect(&wasm(&text)).unwrap();
        assert_eq!(inspected.needs, [needs], "{import}");
        let run = granted(&text, b"", ample(), others(needs), None);
        assert!(matches!(run.outcome, Outcome::Returned(_)), "{import}: {:?}", run.outcome);
        let log = String::from_utf8(run.log.to_vec()).unwrap();
        assert_eq!(log.matches("is not granted").count(), 1, "{log}");
        assert!(log.contains(&format!("{needs} is not granted: deploy with --grant {needs}")), "{log}");
        let run = granted(&text, b"", ample(), all_grants(), None);
        assert!(matches!(run.outcome, Outcome::Trapped { .. }), "with the grant it is asked: {:?}", run.outcome);
    }
}

#[test]
fn calls_and_their_bytes_cost_fuel() {
    let used = |value: usize, kept: usize| {
        let answer = Ok(HostAnswer::Value { revision: 1, value: vec![0; kept].into() });
        let planted = Planted { answer, asked: Mutex::default() };
        let text = core_with(&format!("(drop {})", set(("0", value), 0, -1)), IMPORTS);
        granted(&text, b"key", ample(), all_grants(), Some(Arc::new(planted))).receipt.fuel.unwrap()
    };
    let (small, large_value, large_answer) = (used(0, 0), used(64_000, 0), used(0, 64_000));
    assert!(small >= 400_000, "{small}");
    assert!(large_value - small >= 80_000 && large_answer - small >= 80_000, "{small} {large_value} {large_answer}");

    let planted = Planted { answer: Err(Refusal::Absent), asked: Mutex::default() };
    let spin = core_with(&format!("(loop (drop {GET}) (br 0))"), IMPORTS);
    let limits = RunLimits { fuel: 20_000_000, ..ample() };
    let planted = Arc::new(planted);
    let run = granted(&spin, b"key", limits, all_grants(), Some(planted.clone()));
    assert_eq!(code(&run), ErrorCode::OutOfFuel);
    assert!(planted.asked.lock().unwrap().len() <= 50, "fuel bounds the calls of a run");
}

#[test]
fn a_call_ends_with_the_runs_time() {
    let silent = Arc::new(Silent(AtomicU32::new(0)));
    let limits = RunLimits { wall_ms: 100, ..ample() };
    let run = granted(&tell(GET), b"key", limits, all_grants(), Some(silent.clone()));
    assert_eq!(code(&run), ErrorCode::DeadlineExceeded);
    assert!(run.receipt.wall_us < 1_000_000, "{:?}", run.receipt);
    assert_eq!(silent.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_ends_when_the_run_is_stopped() {
    let silent = Arc::new(Silent(AtomicU32::new(0)));
    let mut call = call(b"key", ample());
    call.invocation.grants = all_grants();
    call.host_calls = Some(silent.clone());
    let stop = call.stop.clone();
    let (run, took) = thread::scope(|scope| {
        scope.spawn(|| {
            while silent.0.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            stop.raise(StopReason::Cancelled);
        });
        timed(|| run_call(sandbox(), &wasm(&tell(GET)), call))
    });
    assert_eq!(code(&run), ErrorCode::Cancelled);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Any pointer and any length in every import lead to an outcome, never to a panic or to a byte from outside the
    /// memory.
    #[test]
    fn no_pointer_harms_the_host(call in 0_usize..7, ptr: u32, len: u32, ttl: i64, expects: i64) {
        let (at, long) = (ptr.cast_signed(), len.cast_signed());
        let here = format!("(i32.const {at}) (i32.const {long})");
        let body = match call {
            0 => format!("(drop (call $config {here}))"),
            1 => format!("(drop (call $secret {here}))"),
            2 => format!("(drop (call $kv_get {here}))"),
            3 => format!("(drop (call $kv_set {here} (i32.const 0) (i32.const 1) (i64.const {ttl}) (i64.const {expects})))"),
            4 => format!("(drop (call $kv_set (i32.const 0) (i32.const 1) {here} (i64.const {ttl}) (i64.const {expects})))"),
            5 => format!("(drop (call $kv_delete {here} (i64.const {expects})))"),
            _ => format!("(drop (call $answer {here}))"),
        };
        let planted = Planted { answer: Ok(HostAnswer::Deleted(true)), asked: Mutex::default() };
        let run = granted(&core_with(&body, IMPORTS), b"", ample(), all_grants(), Some(Arc::new(planted)));
        let inside = u64::from(ptr) + u64::from(len) <= 2 << 16;
        match inside {
            true => prop_assert!(matches!(run.outcome, Outcome::Returned(_)), "{:?}", run.outcome),
            false => prop_assert_eq!(code(&run), ErrorCode::BadPointer),
        }
    }
}
