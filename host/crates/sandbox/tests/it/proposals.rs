//! Proposals that modules may use, under the limits of a run.

use fusebox_core::{error::ErrorCode, function::RunLimits, outcome::Outcome};

use crate::support::{ample, answer, code, core_with, refused, returned, run, wasm};

const TAGS: &str = "(tag $t (param i32)) (tag $other)";

/// Returns a function that outputs the four bytes of the value that `compute` leaves.
fn value(more: &str, compute: &str) -> String {
    let store = format!("(i32.store (i32.const 16) {compute})");
    core_with(&format!("{store} {}", answer("(i32.const 0)", "(i32.const 16)", "(i32.const 4)")), more)
}

#[test]
fn an_exception_is_caught_with_its_value_across_calls() {
    let more = format!(
        "{TAGS} (func $throws (param i32) (if (local.get 0) (then (call $throws (i32.sub (local.get 0) (i32.const 1))))) (throw $t (i32.const 7)))"
    );
    let compute = "(block $caught (result i32)
        (block $not (try_table (catch $t $caught) (catch $other $not) (call $throws (i32.const 100)))) (i32.const 0))";
    assert_eq!(returned(&run(&value(&more, compute), b"", ample())), 7_i32.to_le_bytes());
}

#[test]
fn an_exception_that_nobody_catches_is_a_trap() {
    let run = run(&core_with("(throw $other)", TAGS), b"", ample());
    match &run.outcome {
        Outcome::Trapped { kind, .. } => assert!(kind.contains("exception"), "{kind}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn traps_fuel_and_deadlines_cannot_be_caught() {
    let catching = |body: &str| {
        core_with(&format!("(loop $again (block $b (try_table (catch_all $b) {body})) (br $again))"), TAGS)
    };
    assert_eq!(code(&run(&catching("(unreachable)"), b"", ample())), ErrorCode::Trap);
    assert_eq!(code(&run(&catching("(nop)"), b"", RunLimits { fuel: 10_000, ..ample() })), ErrorCode::OutOfFuel);
    assert_eq!(
        code(&run(&catching("(loop (br 0))"), b"", RunLimits { wall_ms: 50, ..ample() })),
        ErrorCode::DeadlineExceeded
    );
}

#[test]
fn fuel_spent_before_a_throw_stays_spent() {
    let spin = "(local.set 0 (i32.const 1000)) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))";
    let more = format!("{TAGS} (func $work (param i32) {spin} (throw $other))");
    let body = "(loop $again (block $b (try_table (catch $other $b) (call $work (i32.const 0))))
        (br_if $again (local.tee 0 (i32.add (local.get 0) (i32.const 1)))))";
    let limits = RunLimits { fuel: 10_000_000, ..ample() };
    let run = run(&core_with(body, &more), b"", limits);
    assert_eq!(run.outcome, Outcome::OutOfFuel { limit: 10_000_000 });
}

#[test]
fn exceptions_count_towards_the_memory_of_their_run() {
    let body = "(loop $again (block $b (try_table (catch $other $b) (throw $other))) (br $again))";
    let limits = RunLimits { memory_bytes: 4 << 20, ..ample() };
    let run = run(&core_with(body, TAGS), b"", limits);
    assert_eq!(run.outcome, Outcome::OutOfMemory { limit: 4 << 20 });
    assert!(run.receipt.memory_bytes <= 4 << 20 && run.receipt.memory_bytes > 1 << 20, "{:?}", run.receipt);
}

#[test]
fn a_throw_costs_the_fuel_of_its_search_for_a_handler() {
    // 2,000 frames with 8 handlers each, of which none matches.
    let handlers = "(catch $t $i)".repeat(8);
    let more = format!(
        "{TAGS} (func $deep (param i32)
            (if (i32.eqz (local.get 0)) (then (throw $other)))
            (drop (block $i (result i32) (try_table {handlers} (call $deep (i32.sub (local.get 0) (i32.const 1)))) (i32.const 0))))"
    );
    let body = "(loop $again (block $b (try_table (catch $other $b) (call $deep (i32.const 2000)))) (br $again))";
    let limits = RunLimits { fuel: 20_000_000, wall_ms: 60_000, ..ample() };
    let run = run(&core_with(body, &more), b"", limits);
    assert_eq!(run.outcome, Outcome::OutOfFuel { limit: 20_000_000 });
}

#[test]
fn a_tail_call_needs_no_stack_and_takes_fuel() {
    let more = "(func $count (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 9)))) (return_call $count (i32.sub (local.get 0) (i32.const 1))))
        (func $forever (return_call $forever))";
    assert_eq!(returned(&run(&value(more, "(call $count (i32.const 1000000))"), b"", ample())), 9_i32.to_le_bytes());
    let endless = core_with("(call $forever)", more);
    assert_eq!(code(&run(&endless, b"", RunLimits { fuel: 1_000_000, ..ample() })), ErrorCode::OutOfFuel);
    assert_eq!(code(&run(&endless, b"", RunLimits { wall_ms: 50, ..ample() })), ErrorCode::DeadlineExceeded);
}

#[test]
fn relaxed_vectors_have_the_same_results_everywhere() {
    // The deterministic profile: an index above 15 gives 0, and a fused multiplication rounds once.
    let swizzle = "(i32x4.extract_lane 0 (i8x16.relaxed_swizzle
        (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16) (v128.const i8x16 0 16 100 -1 0 0 0 0 0 0 0 0 0 0 0 0)))";
    assert_eq!(returned(&run(&value("", swizzle), b"", ample())), [1, 0, 0, 0]);
    let fused = "(i32.reinterpret_f32 (f32x4.extract_lane 0 (f32x4.relaxed_madd
        (f32x4.splat (f32.const 1.0000001)) (f32x4.splat (f32.const 1.0000001)) (f32x4.splat (f32.const -1.0000002)))))";
    let x = 1.000_000_1_f32;
    assert_eq!(returned(&run(&value("", fused), b"", ample())), x.mul_add(x, -1.000_000_2).to_bits().to_le_bytes());
}

#[test]
fn references_to_objects_of_the_host_may_be_kept_in_tables() {
    let more = "(table $refs 10 externref) (table $funs 2 funcref) (elem (table $funs) (i32.const 0) func $handle)";
    let compute = "(ref.is_null (table.get $refs (i32.const 3)))";
    let body = "(table.set $refs (i32.const 3) (ref.null extern))";
    let text =
        value(more, compute).replacen("(i32.store (i32.const 16)", &format!("{body} (i32.store (i32.const 16)"), 1);
    assert_eq!(returned(&run(&text, b"", ample())), 1_i32.to_le_bytes());
}

#[test]
fn a_proposal_that_is_off_is_named_with_the_option_that_avoids_it() {
    for (text, uses, remedy) in [
        (r#"(module (memory i64 1) (func (export "_start")))"#, "64 bits", "wasm32"),
        (r#"(module (memory 1 2 shared) (func (export "_start")))"#, "shared memory", "-pthread"),
        (
            r#"(module (memory 1) (func (export "_start") (drop (i32.atomic.load (i32.const 0)))))"#,
            "threads",
            "atomics",
        ),
        (r#"(module (type (struct)) (func (export "_start")))"#, "garbage collector", "linear memory"),
        (
            r#"(module (type $t (func)) (func (export "_start") (call_ref $t (ref.null $t))))"#,
            "typed references",
            "-mgc",
        ),
        (
            r#"(module (func (export "_start") (drop (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))) drop))"#,
            "128 bits",
            "wide-arithmetic",
        ),
        (r#"(module (memory 1 (pagesize 1)) (func (export "_start")))"#, "another size", "--page-size"),
    ] {
        let error = refused(&wasm(text));
        assert_eq!(error.code, ErrorCode::InvalidModule, "{text}: {error}");
        assert!(error.message.contains(uses) && error.message.contains(remedy), "{text}: {error}");
        assert!(error.message.ends_with("#proposals"), "{error}");
    }
}

#[test]
fn exceptions_in_their_old_form_are_refused_with_the_option_for_the_new_one() {
    // A `try` block of the old form, which the text format no longer has: try, end.
    let module = wasm(r#"(module (func (export "_start") (nop) (nop) (nop)))"#);
    let at = module.windows(3).position(|bytes| bytes == [1, 1, 1]).unwrap();
    let mut old = module;
    old[at..at + 3].copy_from_slice(&[0x06, 0x40, 0x0b]);
    let error = refused(&old);
    assert_eq!(error.code, ErrorCode::InvalidModule, "{error}");
    assert!(error.message.contains("legacy-eh=false"), "{error}");
}
