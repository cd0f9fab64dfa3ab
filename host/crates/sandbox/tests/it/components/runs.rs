//! Runs of handlers: every way in which they end, and their limits.

use std::time::Duration;

use fusebox_core::{
    error::ErrorCode,
    function::{Abi, RunLimits},
    outcome::{Outcome, StopReason},
};

use crate::support::{ample, call, code, returned, run, run_call, sandbox, timed, wasm};
use fusebox_hostile::component::{answer, echo, handler, handler_with, nested};

/// Far more than the delays of a loaded machine, far less than the duration of an unbounded guest.
const SLACK: Duration = Duration::from_secs(5);
const PAGE_BYTES: u64 = 64 << 10;

fn wall(ms: u32) -> RunLimits {
    RunLimits { wall_ms: ms, ..ample() }
}

#[test]
fn a_handler_returns_its_output_or_its_error_with_a_receipt() {
    assert_eq!(sandbox().inspect(&wasm(&echo())).unwrap().abi, Abi::Component);
    let run = run(&echo(), b"hello", ample());
    assert_eq!(returned(&run), b"hello");
    assert!(run.receipt.fuel.is_some_and(|fuel| (1..1_000).contains(&fuel)), "{:?}", run.receipt);
    assert_eq!(run.receipt.memory_bytes, 2 * PAGE_BYTES);
    let error = handler(&answer(1, "(local.get 0)", "(local.get 1)"));
    let outcome = crate::support::run(&error, b"no such user", ample()).outcome;
    assert_eq!(outcome, Outcome::GuestError { error: "no such user".into(), exit_code: None });
}

#[test]
fn components_within_a_component_share_its_fuel_and_memory() {
    let whole = run(&nested(), b"from one memory to another", ample());
    assert_eq!(returned(&whole), b"from one memory to another");
    assert_eq!(whole.receipt.memory_bytes, 3 * PAGE_BYTES, "both memories");
    let used = whole.receipt.fuel.unwrap();
    let short = run(&nested(), b"from one memory to another", RunLimits { fuel: used / 2, ..ample() });
    assert_eq!(short.outcome, Outcome::OutOfFuel { limit: used / 2 });
    let small = run(&nested(), b"", RunLimits { memory_bytes: 3 * PAGE_BYTES - 1, ..ample() });
    assert_eq!(code(&small), ErrorCode::OutOfMemory);
}

#[test]
fn every_limit_ends_a_run() {
    let spin = handler("(loop (br 0))");
    assert_eq!(
        run(&spin, b"", RunLimits { fuel: 1_000_000, ..ample() }).outcome,
        Outcome::OutOfFuel { limit: 1_000_000 }
    );
    let (ended, took) = timed(|| run(&spin, b"", wall(100)));
    assert_eq!(ended.outcome, Outcome::DeadlineExceeded { limit_ms: 100 });
    assert!(took >= Duration::from_millis(100) && took < SLACK, "{took:?}");
    let grow = handler("(if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1)) (then (unreachable)))");
    assert_eq!(code(&run(&grow, b"", RunLimits { memory_bytes: 4 * PAGE_BYTES, ..ample() })), ErrorCode::OutOfMemory);
    let recursive = handler("(drop (call $handle (local.get 0) (local.get 1)))");
    assert_eq!(code(&run(&recursive, b"", ample())), ErrorCode::StackOverflow);
    let trap = run(&handler("(unreachable)"), b"", ample());
    let Outcome::Trapped { kind } = &trap.outcome else { panic!("{trap:?}") };
    assert!(kind.contains("unreachable") && !trap.traces.backtrace.is_empty(), "{trap:?}");
}

#[test]
fn an_output_above_its_limit_is_named_so_whatever_its_size() {
    let limits = RunLimits { output_bytes: 4_096, ..ample() };
    let large = |bytes: u32| {
        handler(&format!(
            "(drop (memory.grow (i32.const 64))) {}",
            answer(0, "(i32.const 0)", &format!("(i32.const {bytes})"))
        ))
    };
    for bytes in [4_097, 100_000, 3 << 20] {
        assert_eq!(code(&run(&large(bytes), b"", limits)), ErrorCode::OutputTooLarge, "{bytes}");
    }
    assert_eq!(returned(&run(&large(4_096), b"", limits)).len(), 4_096);
}

#[test]
fn results_outside_the_memory_trap() {
    for (ptr, len) in [
        ("(i32.const -1)", "(i32.const 2)"),
        ("(i32.const 131072)", "(i32.const 1)"),
        ("(i32.const 0)", "(i32.const 131073)"),
    ] {
        assert_eq!(code(&run(&handler(&answer(0, ptr, len)), b"", ample())), ErrorCode::Trap, "{ptr} {len}");
    }
    assert_eq!(code(&run(&handler(&answer(7, "(i32.const 0)", "(i32.const 0)")), b"", ample())), ErrorCode::Trap);
}

/// A handler that waits for an hour.
fn sleeper() -> String {
    let imports = r#"
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $pollable (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $pollable (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))"#;
    handler_with(
        "(call $block (call $subscribe (i64.const 3600000000000)))",
        imports,
        r#"(import "host" "block" (func $block (param i32))) (import "host" "subscribe" (func $subscribe (param i64) (result i32)))"#,
        r#"(with "host" (instance (export "block" (func $block)) (export "subscribe" (func $subscribe))))"#,
    )
}

#[test]
fn a_wait_ends_at_its_deadline_or_when_it_is_stopped() {
    let (ended, took) = timed(|| run(&sleeper(), b"", wall(100)));
    assert_eq!(ended.outcome, Outcome::DeadlineExceeded { limit_ms: 100 });
    assert!(took >= Duration::from_millis(100) && took < SLACK, "{took:?}");

    let call = call(b"", wall(60_000));
    let (stop, module) = (call.stop.clone(), wasm(&sleeper()));
    let (ended, took) = std::thread::scope(|scope| {
        let running = scope.spawn(|| timed(|| run_call(sandbox(), &module, call)));
        stop.raise(StopReason::Cancelled);
        running.join().unwrap()
    });
    assert_eq!(ended.outcome, Outcome::Stopped(StopReason::Cancelled));
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn a_slot_is_as_good_as_new_after_each_end() {
    let texts = [echo(), sleeper(), handler("(unreachable)"), nested(), handler("(loop (br 0))")];
    let modules: Vec<_> = texts.iter().map(|text| wasm(text)).collect();
    for round in 0..40 {
        let module = &modules[round % modules.len()];
        let ended = run_call(sandbox(), module, call(b"input", wall(20)));
        match round % modules.len() {
            0 | 3 => assert_eq!(returned(&ended), b"input"),
            2 => assert_eq!(code(&ended), ErrorCode::Trap),
            _ => assert_eq!(code(&ended), ErrorCode::DeadlineExceeded),
        }
    }
}
