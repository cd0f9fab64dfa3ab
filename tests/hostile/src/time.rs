//! Guests that never end, in every place where guest code runs, and loops that are cheap in fuel but slow.

use crate::{
    Hostile, Must,
    write::{command, core, core_of, fusebox, wasm},
};

const LATE: Must = Must::Fail("deadline-exceeded");
const SPIN: &str = "(loop (br 0))";

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = places();
    modules.extend(loops());
    modules
}

/// Modules that loop in each place where guest code runs.
fn places() -> Vec<Hostile> {
    let spin = format!("(func $spin {SPIN}) (start $spin)");
    let in_alloc = format!(
        r#"(module (memory (export "memory") 1) (func (export "fusebox_alloc") (param i32) (result i32) {SPIN} (i32.const 0))
            (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))"#
    );
    vec![
        Hostile::new("spin-fuel", "a loop without end meets its fuel", core("", SPIN), Must::Fail("out-of-fuel"))
            .by_fuel(),
        Hostile {
            limits: "&cpu_ms=100",
            ..Hostile::new(
                "spin-cpu",
                "a loop without end meets its CPU time",
                core("", SPIN),
                Must::Fail("out-of-cpu"),
            )
        },
        Hostile::new("spin", "a loop without end, with fuel for minutes", core("", SPIN), LATE).by_the_clock(),
        Hostile::new("spin-command", "the same in a command", command("", SPIN), LATE).by_the_clock(),
        Hostile::new("spin-start", "the start function runs before any call", core(&spin, ""), LATE).by_the_clock(),
        Hostile::new(
            "spin-start-fuel",
            "fuel must be set before the start function runs",
            core(&spin, ""),
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        Hostile::new("spin-alloc", "never answers where the input may go", wasm(&in_alloc), LATE).by_the_clock(),
        Hostile::new(
            "spin-initialize",
            "the reactor's constructor never ends",
            core(&format!(r#"(func (export "_initialize") {SPIN})"#), ""),
            LATE,
        )
        .by_the_clock(),
    ]
}

/// Modules with loops whose fuel underestimates their time.
fn loops() -> Vec<Hostile> {
    let by_clock = |name, trick, wasm| Hostile::new(name, trick, wasm, LATE).by_the_clock();
    let clock = fusebox("clock", "", "(result i64)");
    vec![
        by_clock("loop-nops", "operators that cost no fuel", core("", "(loop (nop) (nop) (block (nop)) (br 0))")),
        by_clock(
            "loop-div",
            "divisions: 10 times the time of an addition",
            core(
                "",
                "(local.set 4 (i64.const -1)) (loop (local.set 4 (i64.or (i64.div_u (local.get 4) (i64.const 3)) (i64.const 0x7000000000000001))) (br 0))",
            ),
        ),
        by_clock(
            "loop-sqrt",
            "square roots and denormal numbers",
            core(
                "",
                "(local.set 5 (f64.const 5e-324)) (loop (local.set 5 (f64.sqrt (f64.div (local.get 5) (f64.const 1.0000001)))) (br 0))",
            ),
        ),
        by_clock(
            "loop-misses",
            "each load misses every cache",
            core_of(
                "(memory (export \"memory\") 1024)",
                "",
                "(loop (local.set 2 (i32.and (i32.add (i32.mul (local.get 2) (i32.const 1664525)) (i32.add (i32.load (local.get 2)) (i32.const 1013904223))) (i32.const 67108860))) (br 0))",
            ),
        ),
        by_clock(
            "loop-host-calls",
            "a host call costs 2,000 times an addition",
            core(&clock, "(loop (drop (call $clock)) (br 0))"),
        ),
        by_clock(
            "loop-grows",
            "growing by nothing, for ever",
            core("", "(loop (drop (memory.grow (i32.const 0))) (br 0))"),
        ),
        by_clock(
            "loop-table-grows",
            "growing a table by nothing, for ever",
            core("(table 1 funcref)", "(loop (drop (table.grow (ref.null func) (i32.const 0))) (br 0))"),
        ),
        by_clock(
            "loop-indirect",
            "indirect calls, each checked",
            core(
                "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $nothing) (func $nothing)",
                "(loop (call_indirect (type $t) (i32.const 0)) (br 0))",
            ),
        ),
        Hostile::new(
            "loop-refused-grows",
            "a refused growth takes 25 times its fuel",
            core("", "(loop (drop (memory.grow (i32.const 60000))) (br 0))"),
            Must::Fail("out-of-fuel"),
        ),
    ]
}
