//! Interfaces that the host offers, over the host calls of the run: each is called by a component, and answered by a
//! test double.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, Grants, HostAnswer, HostCall, KvKey, KvValue, Redacted, Refusal},
    error::ErrorCode,
};
use fusebox_hostile::component::handler_with;
use fusebox_sandbox::{Call, Guest, HostCalls, Run, WaitLimit};

use crate::support::{ample, call, code, returned, run_call, sandbox, wasm};

/// Answers calls in this order and records them.
struct Planted {
    answers: Mutex<Vec<Result<HostAnswer, Refusal>>>,
    asked: Mutex<Vec<HostCall>>,
}

impl HostCalls for Planted {
    fn call(&self, _: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        self.asked.lock().unwrap().push(call);
        self.answers.lock().unwrap().remove(0)
    }
}

/// Returns a handler that calls functions of imported instances, which `lowered` names, and outputs what is at address
/// 64: `bytes` of it, or if 0 the list to which `list` points.
pub(super) fn calling(imports: &str, lowered: &[(&str, &str, &str)], body: &str, (ptr, len): (&str, &str)) -> String {
    let (mut lowers, mut uses, mut with) = (String::new(), String::new(), String::new());
    for (at, (instance, function, kind)) in lowered.iter().enumerate() {
        lowers += &format!(
            r#"(core func $f{at} (canon lower (func ${instance} "{function}") (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc"))))"#
        );
        uses += &format!(r#"(import "host" "f{at}" (func $f{at} {kind}))"#);
        with += &format!(r#"(export "f{at}" (func $f{at}))"#);
    }
    let body = format!("{body} (i32.store (i32.const 4) {ptr}) (i32.store (i32.const 8) {len})");
    handler_with(&body, &[imports, &lowers].concat(), &uses, &format!(r#"(with "host" (instance {with}))"#))
}

pub(super) fn run(
    text: &str,
    input: &[u8],
    grants: &str,
    answers: Vec<Result<HostAnswer, Refusal>>,
) -> (Run, Vec<HostCall>) {
    let planted = Arc::new(Planted { answers: Mutex::new(answers), asked: Mutex::default() });
    let mut call = call(input, ample());
    call.invocation.grants = Grants::parse_list(grants).unwrap();
    let run = run_call(sandbox(), &wasm(text), Call { host_calls: Some(planted.clone()), ..call });
    let asked = planted.asked.lock().unwrap().clone();
    (run, asked)
}

pub(super) fn key(text: &'static str) -> KvKey {
    Bytes::from(text).try_into().unwrap()
}

fn value(text: &'static str) -> KvValue {
    Bytes::from(text).try_into().unwrap()
}

fn found(revision: u64, text: &'static str) -> Result<HostAnswer, Refusal> {
    Ok(HostAnswer::Value { revision, value: text.into() })
}

fn set(key_text: &'static str, value_text: &'static str, expects: Expects) -> HostCall {
    HostCall::KvSet { key: key(key_text), value: value(value_text), ttl: None, expects }
}

const KV: &str = r#"(import "fusebox:function/kv@0.1.0" (instance $kv
    (type $r (enum "absent" "conflict" "too-large" "quota" "refused" "unavailable" "timed-out" "invalid"))
    (export "refusal" (type $refusal (eq $r)))
    (type $x (variant (case "anything") (case "nothing") (case "exactly" u64)))
    (export "expects" (type $expects (eq $x)))
    (export "get" (func (param "key" (list u8))
        (result (result (option (tuple u64 (list u8))) (error $refusal)))))
    (export "set" (func (param "key" (list u8)) (param "value" (list u8)) (param "ttl-ms" (option u64))
        (param "expects" $expects) (result (result u64 (error $refusal)))))
    (export "delete" (func (param "key" (list u8)) (param "expects" $expects)
        (result (result bool (error $refusal)))))))"#;

#[test]
fn our_key_value_interface_has_revisions_times_to_live_and_conditions() {
    let get = |what| {
        calling(
            KV,
            &[("kv", "get", "(param i32 i32 i32)")],
            "(call $f0 (local.get 0) (local.get 1) (i32.const 64))",
            what,
        )
    };
    let value_of = get(("(i32.load (i32.const 88))", "(i32.load (i32.const 92))"));
    let (ran, asked) = run(&value_of, b"key", "kv", vec![found(258, "value")]);
    assert_eq!((returned(&ran), asked), (&b"value"[..], vec![HostCall::KvGet(key("key"))]));
    assert!(ran.receipt.fuel.is_some_and(|fuel| fuel > 20_000), "{:?}", ran.receipt);
    let raw = get(("(i32.const 64)", "(i32.const 24)"));
    let (ran, _) = run(&raw, b"key", "kv", vec![found(258, "value")]);
    assert_eq!(returned(&ran), b"\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
    let (ran, _) = run(&raw, b"key", "kv", vec![Err(Refusal::Absent)]);
    assert_eq!(returned(&ran)[..9], [0; 9], "none");
    let (ran, _) = run(&raw, b"key", "kv", vec![Err(Refusal::TimedOut)]);
    assert_eq!((returned(&ran)[0], returned(&ran)[8]), (1, 6), "an error with the refusal");
    let (ran, asked) = run(&raw, b"", "kv", vec![]);
    assert_eq!((returned(&ran)[0], returned(&ran)[8], asked), (1, 7, vec![]), "an empty key is not asked for");

    let exactly = calling(
        KV,
        &[("kv", "set", "(param i32 i32 i32 i32 i32 i64 i32 i64 i32)")],
        "(call $f0 (local.get 0) (i32.const 1) (i32.add (local.get 0) (i32.const 1)) (i32.const 2) (i32.const 1)
            (i64.const 5000) (i32.const 2) (i64.const 7) (i32.const 64))",
        ("(i32.const 72)", "(i32.const 8)"),
    );
    let (ran, asked) = run(&exactly, b"kvv", "kv", vec![Ok(HostAnswer::Set(8))]);
    let expected = HostCall::KvSet {
        key: key("k"),
        value: value("vv"),
        ttl: Some(5_000.try_into().unwrap()),
        expects: Expects::Revision(7),
    };
    assert_eq!((returned(&ran), asked), (&8_u64.to_le_bytes()[..], vec![expected]));
    let delete = calling(
        KV,
        &[("kv", "delete", "(param i32 i32 i32 i64 i32)")],
        "(call $f0 (local.get 0) (local.get 1) (i32.const 1) (i64.const 0) (i32.const 64))",
        ("(i32.const 64)", "(i32.const 2)"),
    );
    let (ran, asked) = run(&delete, b"key", "kv", vec![Ok(HostAnswer::Deleted(true))]);
    let expected = HostCall::KvDelete { key: key("key"), expects: Expects::Nothing };
    assert_eq!((returned(&ran), asked), (&[0, 1][..], vec![expected]));
}

#[test]
fn a_component_without_its_grant_does_not_run() {
    let get = calling(KV, &[("kv", "get", "(param i32 i32 i32)")], "", ("(i32.const 0)", "(i32.const 0)"));
    let (ran, asked) = run(&get, b"", "config", vec![]);
    assert_eq!((code(&ran), asked), (ErrorCode::BadModule, vec![]));
}

#[test]
fn context_secrets_configuration_and_log_are_those_of_the_function() {
    let context = r#"(import "fusebox:function/context@0.1.0" (instance $context
        (type $c (record (field "task" (option string)) (field "attempt" u32) (field "tenant" string)
            (field "function" string) (field "deadline-ms" u64)))
        (export "call" (type $call (eq $c)))
        (export "get" (func (result $call)))))"#;
    let tell = |what| calling(context, &[("context", "get", "(param i32)")], "(call $f0 (i32.const 64))", what);
    let (ran, _) = run(&tell(("(i32.load (i32.const 88))", "(i32.load (i32.const 92))")), b"", "", vec![]);
    assert_eq!(returned(&ran), b"tested");
    let (ran, _) = run(&tell(("(i32.const 76)", "(i32.const 4)")), b"", "", vec![]);
    assert_eq!(returned(&ran), 3_u32.to_le_bytes(), "the attempt");

    let secrets = r#"(import "fusebox:function/secrets@0.1.0" (instance $secrets
        (type $r (enum "absent" "conflict" "too-large" "quota" "refused" "unavailable" "timed-out" "invalid"))
        (export "refusal" (type $refusal (eq $r)))
        (export "get" (func (param "name" string) (result (result (option (list u8)) (error $refusal)))))))"#;
    let config = r#"(import "wasi:config/store@0.2.0-rc.1" (instance $config
        (type $f (variant (case "upstream" string) (case "io" string)))
        (export "error" (type $error (eq $f)))
        (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))"#;
    let get = "(call $f0 (local.get 0) (local.get 1) (i32.const 64))";
    let place = ("(i32.load (i32.const 72))", "(i32.load (i32.const 76))");
    let secret = calling(secrets, &[("secrets", "get", "(param i32 i32 i32)")], get, place);
    let (ran, asked) = run(&secret, b"NAME", "secrets", vec![Ok(HostAnswer::Secret(Redacted("s3cret".into())))]);
    assert_eq!((returned(&ran), asked), (&b"s3cret"[..], vec![HostCall::Secret("NAME".parse().unwrap())]));
    for version in ["0.2.0-rc.1", "0.2.0-draft-2024-09-27"] {
        let text =
            calling(&config.replace("0.2.0-rc.1", version), &[("config", "get", "(param i32 i32 i32)")], get, place);
        let (ran, asked) = run(&text, b"NAME", "config", vec![Ok(HostAnswer::Config("EUR".into()))]);
        assert_eq!((returned(&ran), asked), (&b"EUR"[..], vec![HostCall::Config("NAME".parse().unwrap())]));
    }

    let logging = r#"(import "wasi:logging/logging@0.1.0-draft" (instance $logging
        (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $l)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))"#;
    let log = calling(
        logging,
        &[("logging", "log", "(param i32 i32 i32 i32 i32)")],
        "(call $f0 (i32.const 3) (local.get 0) (i32.const 4) (local.get 0) (local.get 1))",
        ("(i32.const 0)", "(i32.const 0)"),
    );
    let (ran, _) = run(&log, b"disk is full", "", vec![]);
    assert_eq!(&ran.log[..], b"WARN disk: disk is full\n");
}

fn keyvalue(version: &str, number: &str) -> String {
    format!(
        r#"(import "wasi:keyvalue/store@{version}" (instance $store
            (export "bucket" (type $bucket (sub resource)))
            (type $f (variant (case "no-such-store") (case "access-denied") (case "other" string)))
            (export "error" (type $error (eq $f)))
            (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
            (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
                (result (result (option (list u8)) (error $error)))))))
        (alias export $store "bucket" (type $bucket))
        (alias export $store "error" (type $error))
        (import "wasi:keyvalue/atomics@{version}" (instance $atomics
            (alias outer 1 $bucket (type $b)) (export "bucket" (type $bucket (eq $b)))
            (alias outer 1 $error (type $e)) (export "error" (type $error (eq $e)))
            (export "increment" (func (param "bucket" (borrow $bucket)) (param "key" string) (param "delta" {number})
                (result (result {number} (error $error)))))))"#
    )
}

#[test]
fn both_drafts_of_wasi_keyvalue_read_and_count() {
    for (version, number) in [("0.2.0-draft", "u64"), ("0.2.0-draft2", "s64")] {
        let open = ("store", "open", "(param i32 i32 i32)");
        let get = calling(
            &keyvalue(version, number),
            &[open, ("store", "[method]bucket.get", "(param i32 i32 i32 i32)")],
            "(call $f0 (i32.const 0) (i32.const 0) (i32.const 64))
             (call $f1 (i32.load (i32.const 68)) (local.get 0) (local.get 1) (i32.const 80))",
            ("(i32.load (i32.const 88))", "(i32.load (i32.const 92))"),
        );
        let (ran, asked) = run(&get, b"key", "kv", vec![found(1, "value")]);
        assert_eq!((returned(&ran), asked), (&b"value"[..], vec![HostCall::KvGet(key("key"))]), "{version}");

        let add = calling(
            &keyvalue(version, number),
            &[open, ("atomics", "increment", "(param i32 i32 i32 i64 i32)")],
            "(call $f0 (i32.const 0) (i32.const 0) (i32.const 64))
             (call $f1 (i32.load (i32.const 68)) (local.get 0) (local.get 1) (i64.const 5) (i32.const 80))",
            ("(i32.const 88)", "(i32.const 8)"),
        );
        let answers = vec![Err(Refusal::Absent), Err(Refusal::Conflict), found(3, "37"), Ok(HostAnswer::Set(4))];
        let (ran, asked) = run(&add, b"n", "kv", answers);
        assert_eq!(returned(&ran), 42_u64.to_le_bytes(), "{version}");
        let get = || HostCall::KvGet(key("n"));
        let expected = vec![get(), set("n", "5", Expects::Nothing), get(), set("n", "42", Expects::Revision(3))];
        assert_eq!(asked, expected, "{version}");
        let (ran, _) = run(&add.replace("(i32.const 88)", "(i32.const 80)"), b"n", "kv", vec![found(3, "many")]);
        assert_eq!(returned(&ran)[0], 1, "{version}: not a number");
    }
}

#[test]
fn the_interfaces_of_spin_are_those_of_the_function_too() {
    let stores = r#"(import "fermyon:spin/key-value@2.0.0" (instance $stores
        (export "store" (type $store (sub resource)))
        (type $f (variant (case "store-table-full") (case "no-such-store") (case "access-denied") (case "other" string)))
        (export "error" (type $error (eq $f)))
        (export "[static]store.open" (func (param "label" string) (result (result (own $store) (error $error)))))
        (export "[method]store.exists" (func (param "self" (borrow $store)) (param "key" string)
            (result (result bool (error $error)))))))"#;
    let exists = calling(
        stores,
        &[
            ("stores", "[static]store.open", "(param i32 i32 i32)"),
            ("stores", "[method]store.exists", "(param i32 i32 i32 i32)"),
        ],
        "(call $f0 (local.get 0) (i32.const 7) (i32.const 64))
         (call $f1 (i32.load (i32.const 68)) (local.get 0) (local.get 1) (i32.const 80))",
        ("(i32.const 80)", "(i32.const 5)"),
    );
    let (ran, asked) = run(&exists, b"default", "kv", vec![found(1, "")]);
    assert_eq!((returned(&ran), asked), (&[0, 0, 0, 0, 1][..], vec![HostCall::KvGet(key("default"))]));
    let (ran, _) = run(&exists, b"another", "kv", vec![]);
    assert_eq!(code(&ran), ErrorCode::Trap, "no such store, so its handle is none");

    let variables = r#"(import "fermyon:spin/variables@2.0.0" (instance $variables
        (type $f (variant (case "invalid-name" string) (case "undefined" string) (case "provider" string) (case "other" string)))
        (export "error" (type $error (eq $f)))
        (export "get" (func (param "name" string) (result (result string (error $error)))))))"#;
    let get = calling(
        variables,
        &[("variables", "get", "(param i32 i32 i32)")],
        "(call $f0 (local.get 0) (local.get 1) (i32.const 64))",
        ("(i32.load (i32.const 68))", "(i32.load (i32.const 72))"),
    );
    let secret = || Ok(HostAnswer::Secret(Redacted("hidden".into())));
    let (ran, asked) = run(&get, b"name", "config,secrets", vec![Err(Refusal::Absent), secret()]);
    let name = || "name".parse().unwrap();
    assert_eq!((returned(&ran), asked), (&b"hidden"[..], vec![HostCall::Config(name()), HostCall::Secret(name())]));
    let (ran, asked) = run(
        &get.replace("(i32.load (i32.const 68))", "(i32.const 64)")
            .replace("(i32.load (i32.const 72))", "(i32.const 5)"),
        b"name",
        "config",
        vec![Err(Refusal::Absent)],
    );
    assert_eq!((returned(&ran), asked.len()), (&[1, 0, 0, 0, 1][..], 1), "undefined; secrets were not granted");
}
