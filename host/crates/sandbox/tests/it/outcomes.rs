//! Every way in which a run ends has its own outcome, with the details known about it.

use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    outcome::{Outcome, StopReason},
};

use crate::support::{ample, answer, call, code, core, core_with, echo, returned, run, run_call, sandbox, wasm};

#[test]
fn a_function_returns_its_output_and_its_fuel_is_counted() {
    let run = run(&echo(), b"hello", ample());
    assert_eq!(returned(&run), b"hello");
    assert!(run.receipt.fuel.is_some_and(|fuel| fuel > 0 && fuel < 1_000), "{:?}", run.receipt);
    assert_eq!(run.receipt.memory_bytes, 2 << 16);
    assert!(run.receipt.wall_us >= run.receipt.instantiate_us);
}

#[test]
fn an_empty_input_and_an_empty_output_are_fine() {
    assert_eq!(returned(&run(&echo(), b"", ample())), b"");
}

#[test]
fn a_guest_error_keeps_its_bytes() {
    let text = core(&answer("(i32.const 1)", "(local.get 0)", "(local.get 1)"));
    let run = run(&text, b"no such user", ample());
    assert_eq!(run.outcome, Outcome::GuestError { error: b"no such user".as_slice().into(), exit_code: None });
    assert!(run.receipt.fuel.is_some());
}

#[test]
fn a_trap_tells_its_kind_and_where() {
    for (body, kind) in [
        ("(unreachable)", "unreachable"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.load (i32.const 0x7fffffff)))", "out of bounds memory"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion"),
    ] {
        let run = run(&core(body), b"", ample());
        let Outcome::Trapped { kind: found } = &run.outcome else { panic!("{:?}", run.outcome) };
        assert!(found.contains(kind), "{found}");
        assert!(run.traces.backtrace[0].starts_with("handle +0x"), "{:?}", run.traces);
        assert_eq!(run.receipt.fuel, None, "the engine loses the count on a trap");
    }
}

#[test]
fn a_run_that_a_limit_or_the_guest_ends_tells_where_with_demangled_names() {
    const NAME: &str = "$_ZN5guest4busy17h0123456789abcdefE";
    let fail = r#"(import "fusebox" "fail" (func $fail (param i32 i32)))"#;
    for (import, body, expected) in [
        ("", "(loop (br 0))", ErrorCode::OutOfFuel),
        (fail, "(call $fail (i32.const 0) (i32.const 0))", ErrorCode::GuestError),
    ] {
        let text = core_with(&format!("(call {NAME})"), &format!("{import} (func {NAME} {body})"));
        let run = run(&text, b"", RunLimits { fuel: 10_000, ..ample() });
        assert_eq!(code(&run), expected);
        let [inner, outer, ..] = &run.traces.backtrace[..] else { panic!("{:?}", run.traces) };
        assert!(inner.starts_with("guest::busy +0x") && outer.starts_with("handle +0x"), "{:?}", run.traces);
    }
}

#[test]
fn deep_recursion_is_a_stack_overflow_and_not_the_end_of_the_process() {
    let thin = core_with("(call $deep)", "(func $deep (call $deep))");
    let fat = core_with("(call $deep)", &format!("(func $deep (local {}) (call $deep))", "i64 ".repeat(2_000)));
    for text in [thin, fat] {
        let run = run(&text, b"", ample());
        assert_eq!(code(&run), ErrorCode::StackOverflow, "{:?}", run.outcome);
        assert_eq!(run.traces.backtrace.len(), 16);
    }
}

#[test]
fn a_raised_flag_stops_a_run_before_it_starts() {
    for (reason, expected) in
        [(StopReason::Cancelled, ErrorCode::Cancelled), (StopReason::Interrupted, ErrorCode::Interrupted)]
    {
        let call = call(b"", ample());
        call.stop.raise(reason);
        let run = run_call(sandbox(), &wasm(&echo()), call);
        assert_eq!(code(&run), expected);
    }
}

#[test]
fn the_first_reason_to_stop_stays() {
    let call = call(b"", ample());
    call.stop.raise(StopReason::Interrupted);
    call.stop.raise(StopReason::Cancelled);
    assert_eq!(call.stop.reason(), Some(StopReason::Interrupted));
}

#[test]
fn an_unknown_tag_is_no_answer() {
    let run = run(&core(&answer("(i32.const 7)", "(i32.const 0)", "(i32.const 0)")), b"", ample());
    assert_eq!(code(&run), ErrorCode::BadPointer, "{:?}", run.outcome);
}
