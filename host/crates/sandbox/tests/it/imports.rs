//! Imports of core functions, including calls with pointers outside their memory.

use fusebox_core::error::ErrorCode;
use proptest::prelude::*;

use crate::support::{ample, answer, code, core_with, returned, run};

const IMPORTS: &str = r#"
    (import "fusebox" "log" (func $log (param i32 i32 i32)))
    (import "fusebox" "context" (func $context (param i32 i32) (result i32)))
    (import "fusebox" "clock" (func $clock (result i64)))
    (import "fusebox" "random" (func $random (param i32 i32)))
    (import "fusebox" "fail" (func $fail (param i32 i32)))"#;

#[test]
fn a_log_line_has_its_level_and_no_control_characters() {
    let body = "(call $log (i32.const 2) (local.get 0) (local.get 1))";
    let run = run(&core_with(body, IMPORTS), b"careful \x1b[31m\r now", ample());
    assert_eq!(&run.log[..], b"WARN careful [31m now\n");
}

#[test]
fn the_context_names_the_call() {
    let body = format!(
        "(local i32) (local.set 2 (call $context (i32.const 2048) (i32.const 1024))) {}",
        answer("(i32.const 0)", "(i32.const 2048)", "(local.get 2)")
    );
    let run = run(&core_with(&body, IMPORTS), b"", ample());
    let text = String::from_utf8(returned(&run).to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0].len(), 36, "{text}");
    assert_eq!(lines[1..], ["3", "99", "default", "tested"]);
}

#[test]
fn a_context_that_does_not_fit_is_cut_and_its_length_told() {
    let body = format!(
        "(i32.store (i32.const 4096) (call $context (i32.const 2048) (i32.const 4))) {}",
        answer("(i32.const 0)", "(i32.const 2048)", "(i32.const 8)")
    );
    let run = run(&core_with(&body, IMPORTS), b"", ample());
    assert_eq!(&returned(&run)[4..], [0; 4]);
}

#[test]
fn fail_ends_the_run_as_a_guest_error() {
    let body = "(call $fail (local.get 0) (local.get 1)) (unreachable)";
    let run = run(&core_with(body, IMPORTS), b"panicked at src/lib.rs:7", ample());
    let failure = run.outcome.failure().unwrap();
    assert_eq!((failure.code, failure.message.as_str()), (ErrorCode::GuestError, "panicked at src/lib.rs:7"));
}

#[test]
fn the_clock_is_unix_milliseconds_and_random_is_random() {
    let body = format!(
        "(i64.store (i32.const 2048) (call $clock)) (call $random (i32.const 2056) (i32.const 8)) {}",
        answer("(i32.const 0)", "(i32.const 2048)", "(i32.const 16)")
    );
    let text = core_with(&body, IMPORTS);
    let (first, second) = (run(&text, b"", ample()), run(&text, b"", ample()));
    let ms = u64::from_le_bytes(returned(&first)[..8].try_into().unwrap());
    assert!(ms > 1_700_000_000_000, "{ms}");
    assert_ne!(returned(&first)[8..], returned(&second)[8..]);
}

#[test]
fn host_calls_cost_fuel_by_the_call_and_by_the_byte() {
    let used = |bytes: u32| {
        let body = format!("(call $log (i32.const 3) (i32.const 0) (i32.const {bytes}))");
        run(&core_with(&body, IMPORTS), b"", ample()).receipt.fuel.unwrap()
    };
    let (small, large) = (used(0), used(16_000));
    assert!(small >= 2_000 && large - small >= 20_000, "{small} and {large}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Any pointer and any length in every import lead to an outcome, never to a panic or to a byte from outside the
    /// memory.
    #[test]
    fn no_pointer_harms_the_host(call in 0_usize..5, ptr: u32, len: u32, level: u32) {
        let (ptr, len, level) = (ptr.cast_signed(), len.cast_signed(), level.cast_signed());
        let body = match call {
            0 => format!("(call $log (i32.const {level}) (i32.const {ptr}) (i32.const {len}))"),
            1 => format!("(drop (call $context (i32.const {ptr}) (i32.const {len})))"),
            2 => format!("(call $random (i32.const {ptr}) (i32.const {len}))"),
            3 => format!("(call $fail (i32.const {ptr}) (i32.const {len}))"),
            _ => answer("(i32.const 0)", &format!("(i32.const {ptr})"), &format!("(i32.const {len})")),
        };
        let run = run(&core_with(&body, IMPORTS), b"", ample());
        let inside = u64::from(ptr.cast_unsigned()) + u64::from(len.cast_unsigned()) <= 2 << 16;
        if !inside {
            let found = code(&run);
            let expected = [ErrorCode::BadPointer, ErrorCode::OutputTooLarge, ErrorCode::LogFlood];
            prop_assert!(expected.contains(&found), "{:?}", run.outcome);
        }
    }
}

#[test]
fn a_result_record_outside_the_memory_is_a_bad_pointer() {
    for record in ["-1", "131072", "131061"] {
        let text = format!(
            r#"(module (memory (export "memory") 2)
                (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
                (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const {record})))"#
        );
        assert_eq!(code(&run(&text, b"", ample())), ErrorCode::BadPointer, "{record}");
    }
}

#[test]
fn an_allocation_outside_the_memory_is_a_bad_pointer() {
    let text = core_with("", "").replace("(i32.const 1024))", "(i32.const -4))");
    assert_eq!(code(&run(&text, b"input", ample())), ErrorCode::BadPointer);
}
