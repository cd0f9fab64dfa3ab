//! Limits of runs: each ends a run that exceeds it, in time and with its own error code.

use std::{thread, time::Duration};

use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    outcome::{Outcome, StopReason},
};

use crate::support::{
    self, ample, answer, call, code, core, core_with, echo, returned, run, run_call, sandbox, timed, wasm,
};

const SPIN: &str = "(loop (br 0))";
/// Far more than the delays of a loaded machine, far less than the duration of an unbounded guest.
const SLACK: Duration = Duration::from_secs(5);

fn wall(ms: u32) -> RunLimits {
    RunLimits { wall_ms: ms, ..ample() }
}

#[test]
fn a_loop_ends_with_its_fuel() {
    let run = run(&core(SPIN), b"", RunLimits { fuel: 1_000_000, ..ample() });
    assert_eq!(run.outcome, Outcome::OutOfFuel { limit: 1_000_000 });
    assert_eq!(run.receipt.fuel, Some(1_000_000));
}

#[test]
fn a_loop_ends_at_its_deadline() {
    let (run, took) = timed(|| run(&core(SPIN), b"", wall(100)));
    assert_eq!(run.outcome, Outcome::DeadlineExceeded { limit_ms: 100 });
    assert!(took >= Duration::from_millis(100) && took < SLACK, "{took:?}");
}

#[test]
fn a_loop_ends_with_its_cpu_time_and_a_wait_does_not() {
    let limits = RunLimits { cpu_ms: 50, ..ample() };
    let run = run(&core(SPIN), b"", limits);
    assert_eq!(run.outcome, Outcome::OutOfCpu { limit_ms: 50 });
    assert!((50_000..1_000_000).contains(&run.receipt.cpu_us), "{:?}", run.receipt);
    assert!(run.traces.backtrace[0].starts_with("handle +0x"), "{:?}", run.traces);
    // Waits 300 ms on the monotonic clock, then returns.
    let wait = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 300000000))
            (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))))"#;
    let waited = support::run(wait, b"", limits);
    assert!(waited.receipt.wall_us >= 300_000, "{:?}", waited.receipt);
    returned(&waited);
}

#[test]
fn a_loop_in_the_start_function_meets_the_same_fuse() {
    let text = core_with("", &format!("(func $start {SPIN}) (start $start)"));
    assert_eq!(code(&run(&text, b"", wall(100))), ErrorCode::DeadlineExceeded);
    assert_eq!(code(&run(&text, b"", RunLimits { fuel: 10_000, ..ample() })), ErrorCode::OutOfFuel);
}

#[test]
fn a_loop_is_stopped_from_outside() {
    let call = call(b"", wall(60_000));
    let stop = call.stop.clone();
    let module = wasm(&core(SPIN));
    sandbox().prepare(&module).unwrap();
    let (run, took) = thread::scope(|scope| {
        let running = scope.spawn(|| timed(|| run_call(sandbox(), &module, call)));
        stop.raise(StopReason::Cancelled);
        running.join().unwrap()
    });
    assert_eq!(run.outcome, Outcome::Stopped(StopReason::Cancelled));
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn long_bulk_operations_end_at_the_tick_after_them() {
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864)) (br 0))";
    let text = core(fill).replace("\"memory\") 2", "\"memory\") 1024");
    let (run, took) = timed(|| run(&text, b"", wall(100)));
    assert_eq!(code(&run), ErrorCode::DeadlineExceeded);
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn memory_beyond_the_limit_is_refused_and_what_follows_is_out_of_memory() {
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let run = run(&core(grow), b"", RunLimits { memory_bytes: 4 << 20, ..ample() });
    assert_eq!(run.outcome, Outcome::OutOfMemory { limit: 4 << 20 });
    assert!(run.receipt.memory_bytes <= 4 << 20 && run.receipt.memory_bytes > 3 << 20, "{:?}", run.receipt);
}

#[test]
fn a_guest_that_lives_with_a_refusal_goes_on() {
    let grow = "(drop (memory.grow (i32.const 10000)))";
    assert_eq!(returned(&run(&core(grow), b"", ample())), b"");
}

#[test]
fn a_first_memory_above_the_limit_is_out_of_memory() {
    let text = core("").replace("\"memory\") 2", "\"memory\") 512");
    let run = run(&text, b"", RunLimits { memory_bytes: 1 << 20, ..ample() });
    assert_eq!(code(&run), ErrorCode::OutOfMemory, "{:?}", run.outcome);
}

#[test]
fn a_table_is_bounded() {
    let text = core_with(
        "(loop (br_if 0 (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
        "(table 1 funcref)",
    );
    assert_eq!(code(&run(&text, b"", ample())), ErrorCode::OutOfMemory);
}

#[test]
fn a_loop_of_failing_grows_ends_with_its_fuel_in_time() {
    let grow = "(loop (drop (memory.grow (i32.const 60000))) (br 0))";
    let (run, took) = timed(|| run(&core(grow), b"", RunLimits { fuel: 1_000_000_000, ..wall(60_000) }));
    assert_eq!(code(&run), ErrorCode::OutOfFuel);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn an_output_above_its_limit_is_not_even_read() {
    let claim = answer("(i32.const 0)", "(i32.const 0)", "(i32.const -1)");
    let run = run(&core(&claim), b"", RunLimits { output_bytes: 100, ..ample() });
    assert_eq!(run.outcome, Outcome::OutputTooLarge { bytes: u32::MAX.into(), limit: 100 });
}

#[test]
fn an_output_at_its_limit_is_fine_and_a_byte_more_is_not() {
    let limits = RunLimits { output_bytes: 5, ..ample() };
    assert_eq!(returned(&run(&echo(), b"12345", limits)), b"12345");
    assert_eq!(code(&run(&echo(), b"123456", limits)), ErrorCode::OutputTooLarge);
}

#[test]
fn a_log_above_its_limit_is_cut_and_a_flood_ends_the_run() {
    let import = r#"(import "fusebox" "log" (func $log (param i32 i32 i32)))"#;
    let twice = "(call $log (i32.const 3) (local.get 0) (local.get 1)) \
                 (call $log (i32.const 3) (local.get 0) (local.get 1))";
    let limits = RunLimits { log_bytes: 120, ..ample() };
    let cut = run(&core_with(twice, import), &[b'x'; 100], limits);
    returned(&cut);
    assert!(cut.log.ends_with(b"[the log is cut here: its limit is reached]\n"), "{:?}", cut.log);
    assert!(cut.log.len() < 220, "{}", cut.log.len());

    let flood = "(loop (call $log (i32.const 3) (local.get 0) (local.get 1)) (br 0))";
    assert_eq!(run(&core_with(flood, import), &[b'x'; 100], limits).outcome, Outcome::LogFlood { limit: 120 });
}

#[test]
fn limits_above_the_ceiling_are_capped() {
    let mut options = crate::support::options(tempfile::tempdir().unwrap().path());
    options.ceiling = RunLimits { fuel: 1_000, ..RunLimits::CEILING };
    let sandbox = fusebox_sandbox::Sandbox::new(options).unwrap();
    let run = run_call(&sandbox, &wasm(&core(SPIN)), call(b"", ample()));
    assert_eq!(run.outcome, Outcome::OutOfFuel { limit: 1_000 });
}
