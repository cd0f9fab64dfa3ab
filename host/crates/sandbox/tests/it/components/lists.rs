//! Lists that components ask for: keys of the namespace, configuration, environment.

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, KvCursor, KvPrefix, Refusal},
    outcome::{Outcome, StopReason},
};

use super::interfaces::{calling, key, run};
use crate::support::returned;

/// Returns the answer with a page of keys, and the call for the page after a place.
fn page(keys: &[&'static str], next: &'static str) -> Result<HostAnswer, Refusal> {
    let keys = keys.iter().map(|text| key(text)).collect();
    Ok(HostAnswer::Keys { keys, next: Bytes::from(next).try_into().unwrap() })
}

fn pages(prefix: &'static str, after: &'static str) -> HostCall {
    let (prefix, after): (KvPrefix, KvCursor) =
        (Bytes::from(prefix).try_into().unwrap(), Bytes::from(after).try_into().unwrap());
    HostCall::KvKeys { prefix, after }
}

#[test]
fn our_interface_lists_keys_in_pages() {
    let kv = r#"(import "fusebox:function/kv@0.1.0" (instance $kv
        (type $r (enum "absent" "conflict" "too-large" "quota" "refused" "unavailable" "timed-out" "invalid"))
        (export "refusal" (type $refusal (eq $r)))
        (type $p (record (field "keys" (list (list u8))) (field "next" (option (list u8)))))
        (export "page" (type $page (eq $p)))
        (export "keys" (func (param "prefix" (list u8)) (param "after" (option (list u8)))
            (result (result $page (error $refusal)))))))"#;
    let keys = |what| {
        calling(
            kv,
            &[("kv", "keys", "(param i32 i32 i32 i32 i32 i32)")],
            "(call $f0 (local.get 0) (i32.const 1) (i32.const 1) (i32.add (local.get 0) (i32.const 1)) (i32.const 2)
                (i32.const 64))",
            what,
        )
    };
    let next = keys(("(i32.load (i32.const 80))", "(i32.load (i32.const 84))"));
    let (ran, asked) = run(&next, b"pat", "kv", vec![page(&["p1", "p2"], "there")]);
    assert_eq!((returned(&ran), asked), (&b"there"[..], vec![pages("p", "at")]));
    let second =
        keys(("(i32.load offset=8 (i32.load (i32.const 68)))", "(i32.load offset=12 (i32.load (i32.const 68)))"));
    let (ran, _) = run(&second, b"pat", "kv", vec![page(&["p1", "p22"], "")]);
    assert_eq!(returned(&ran), b"p22");
    let (ran, _) = run(&keys(("(i32.const 64)", "(i32.const 5)")), b"pat", "kv", vec![Err(Refusal::Unavailable)]);
    assert_eq!(returned(&ran), [1, 0, 0, 0, 5]);
}

#[test]
fn the_configuration_is_in_the_environment_of_a_component_and_in_its_own_interface() {
    let environment = |version: &str| {
        let import = format!(
            r#"(import "wasi:cli/environment@{version}" (instance $environment
                (export "get-environment" (func (result (list (tuple string string)))))))"#
        );
        calling(
            &import,
            &[("environment", "get-environment", "(param i32)")],
            "(call $f0 (i32.const 64)) (call $f0 (i32.const 64))",
            ("(i32.load offset=8 (i32.load (i32.const 64)))", "(i32.load offset=12 (i32.load (i32.const 64)))"),
        )
    };
    let settings = || {
        let setting = |name: &str, value: &'static [u8]| (name.parse().unwrap(), Bytes::from_static(value));
        vec![Ok(HostAnswer::Configs(vec![setting("RAW", b"\xff"), setting("CURRENCY", b"EUR")]))]
    };
    for version in ["0.2.0", "0.3.0"] {
        let (ran, asked) = run(&environment(version), b"", "config", settings());
        assert_eq!((returned(&ran), asked), (&b"EUR"[..], vec![HostCall::Configs]), "{version}");
        let (ran, _) = run(&environment(version), b"", "config", vec![Err(Refusal::Unavailable)]);
        assert_eq!(ran.outcome, Outcome::Stopped(StopReason::Interrupted), "{version}");
    }
    for version in ["0.2.0-rc.1", "0.2.0-draft-2024-09-27"] {
        let import = format!(
            r#"(import "wasi:config/store@{version}" (instance $config
                (type $e (variant (case "upstream" string) (case "io" string)))
                (export "error" (type $error (eq $e)))
                (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))))"#
        );
        let all = calling(
            &import,
            &[("config", "get-all", "(param i32)")],
            "(call $f0 (i32.const 64))",
            ("(i32.load (i32.load (i32.const 68)))", "(i32.load offset=4 (i32.load (i32.const 68)))"),
        );
        let (ran, asked) = run(&all, b"", "config", settings());
        assert_eq!((returned(&ran), asked), (&b"CURRENCY"[..], vec![HostCall::Configs]), "{version}");
    }
}

/// Answers of a listing with two pages, one of whose keys is in both and one no text, and the calls for it.
fn two_pages() -> (Vec<Result<HostAnswer, Refusal>>, Vec<HostCall>) {
    let mut second = page(&["b", "aa"], "");
    if let Ok(HostAnswer::Keys { keys, .. }) = &mut second {
        keys.push(Bytes::from_static(b"\xff").try_into().unwrap());
    }
    (vec![page(&["b", "c"], "7"), second], vec![pages("", ""), pages("", "7")])
}

#[test]
fn both_drafts_of_wasi_keyvalue_list_all_keys_that_are_text() {
    for (version, cursor, lowered) in [("0.2.0-draft", "u64", "i64"), ("0.2.0-draft2", "string", "i32 i32")] {
        let store = format!(
            r#"(import "wasi:keyvalue/store@{version}" (instance $store
                (export "bucket" (type $bucket (sub resource)))
                (type $f (variant (case "no-such-store") (case "access-denied") (case "other" string)))
                (export "error" (type $error (eq $f)))
                (type $k (record (field "keys" (list string)) (field "cursor" (option {cursor}))))
                (export "key-response" (type $keys (eq $k)))
                (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
                (export "[method]bucket.list-keys" (func (param "self" (borrow $bucket))
                    (param "cursor" (option {cursor})) (result (result $keys (error $error)))))))"#
        );
        let place = if cursor == "u64" { 88 } else { 84 };
        let list = |cursor: &str, what| {
            calling(
                &store,
                &[
                    ("store", "open", "(param i32 i32 i32)"),
                    ("store", "[method]bucket.list-keys", &format!("(param i32 i32 {lowered} i32)")),
                ],
                &format!(
                    "(call $f0 (i32.const 0) (i32.const 0) (i32.const 64))
                     (call $f1 (i32.load (i32.const 68)) {cursor} (i32.const 80))"
                ),
                what,
            )
        };
        let zeros = lowered.split(' ').map(|kind| format!("({kind}.const 0)")).collect::<String>();
        let first = format!("(i32.const 0) {zeros}");
        let (answers, expected) = two_pages();
        // The texts of a list lie behind each other.
        let at = format!("(i32.load (i32.load (i32.const {place})))");
        let (ran, asked) = run(&list(&first, (&at, "(i32.const 2)")), b"", "kv", answers);
        assert_eq!((returned(&ran), asked), (&b"aa"[..], expected), "{version}");
        let (answers, _) = two_pages();
        let count = format!("(i32.const {})", place + 4);
        let (ran, _) = run(&list(&first, (&count, "(i32.const 8)")), b"", "kv", answers);
        assert_eq!(returned(&ran)[..5], [3, 0, 0, 0, 0], "{version}: three keys, and no cursor");
        let other = format!("(i32.const 1) {zeros}");
        let (ran, asked) = run(&list(&other, ("(i32.const 80)", "(i32.const 1)")), b"", "kv", vec![]);
        assert_eq!((returned(&ran), asked), (&[1][..], vec![]), "{version}: a cursor that the host never gave");
    }
}

#[test]
fn too_many_keys_for_one_call_are_refused() {
    let stores = r#"(import "fermyon:spin/key-value@2.0.0" (instance $stores
        (export "store" (type $store (sub resource)))
        (type $f (variant (case "store-table-full") (case "no-such-store") (case "access-denied") (case "other" string)))
        (export "error" (type $error (eq $f)))
        (export "[static]store.open" (func (param "label" string) (result (result (own $store) (error $error)))))
        (export "[method]store.get-keys" (func (param "self" (borrow $store))
            (result (result (list string) (error $error)))))))"#;
    let keys = |what| {
        calling(
            stores,
            &[
                ("stores", "[static]store.open", "(param i32 i32 i32)"),
                ("stores", "[method]store.get-keys", "(param i32 i32)"),
            ],
            "(call $f0 (local.get 0) (i32.const 7) (i32.const 64)) (call $f1 (i32.load (i32.const 68)) (i32.const 80))",
            what,
        )
    };
    let (answers, expected) = two_pages();
    let first = ("(i32.load (i32.load (i32.const 84)))", "(i32.const 2)");
    let (ran, asked) = run(&keys(first), b"default", "kv", answers);
    assert_eq!((returned(&ran), asked), (&b"aa"[..], expected));
    let full = (0..9_000).map(|n| {
        let keys = vec![Bytes::from(format!("{n:0>512}")).try_into().unwrap()];
        Ok(HostAnswer::Keys { keys, next: Bytes::from_static(b"on").try_into().unwrap() })
    });
    let reason = ("(i32.load (i32.const 88))", "(i32.load (i32.const 92))");
    let (ran, asked) = run(&keys(reason), b"default", "kv", full.collect());
    assert_eq!(returned(&ran), b"a size limit is exceeded");
    assert_eq!(asked.len(), (4 << 20) / 512 + 1);
    assert!(ran.receipt.fuel.is_some_and(|fuel| fuel > 8_000 * 400_000), "each page costs as much as a call");
}
