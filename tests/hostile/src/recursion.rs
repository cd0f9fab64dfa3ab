//! Recursion of every kind. Each must end as a stack overflow of the guest, not of the host's thread.

use crate::{
    Hostile, Must,
    write::{command, core, fusebox, wasi},
};

pub(crate) fn modules() -> Vec<Hostile> {
    [alone(), with_the_host()].concat()
}

fn deep(name: &str, trick: &'static str, wasm: Vec<u8>) -> Hostile {
    Hostile::new(name, trick, wasm, Must::Fail("stack-overflow"))
}

/// Recursion among the guest's own functions.
fn alone() -> Vec<Hostile> {
    let locals = "i64 ".repeat(2_000);
    let sum: String =
        (0..2_000).step_by(7).map(|n| format!("(local.set {n} (i64.add (local.get {n}) (i64.const 1)))")).collect();
    let params = "i64 ".repeat(500);
    let pushed: String = (0..500).map(|n| format!("(local.get {n})")).collect();
    vec![
        deep("thin", "the smallest frames", core("(func $f (call $f))", "(call $f)")),
        deep("fat", "frames of 16 KB", core(&format!("(func $f (local {locals}) {sum} (call $f) {sum})"), "(call $f)")),
        deep(
            "many-parameters",
            "500 parameters a call",
            core(
                &format!("(func $f (param {params}) (call $f {pushed}))"),
                &format!("(call $f {})", "(i64.const 1)".repeat(500)),
            ),
        ),
        deep("mutual", "two functions call each other", core("(func $f (call $g)) (func $g (call $f))", "(call $f)")),
        deep(
            "indirect",
            "through a table",
            core(
                "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $f) (func $f (call_indirect (type $t) (i32.const 0)))",
                "(call $f)",
            ),
        ),
        deep("in-start", "before any call", core("(func $f (call $f)) (start $f)", "")),
        deep(
            "in-alloc",
            "the host's first call of a guest",
            core("(func $f (result i32) (call $f))", "(drop (call $f))"),
        ),
    ]
}

/// Recursion with host calls on each level.
fn with_the_host() -> Vec<Hostile> {
    let log = fusebox("log", "iii", "");
    let get = wasi("clock_time_get", "iIi");
    vec![
        deep(
            "with-host-calls",
            "a host call on each level: the last one is made at the stack's very end",
            core(
                &format!("{log} (func $f (call $log (i32.const 5) (i32.const 0) (i32.const 0)) (call $f))"),
                "(call $f)",
            ),
        ),
        deep(
            "with-wasi-calls",
            "the same with WASI, whose calls need more of the host's stack",
            command(
                &format!(
                    "{get} (func $f (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0))) (call $f))"
                ),
                "(call $f)",
            ),
        ),
        deep(
            "imported-indirect",
            "a table that holds a host function and the guest's own",
            core(
                &format!(
                    "{log} (type $l (func (param i32 i32 i32))) (table 2 funcref) (elem (i32.const 0) $log $f)
                     (func $f (param i32 i32 i32)
                        (call_indirect (type $l) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0))
                        (call_indirect (type $l) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 1)))"
                ),
                "(call $f (i32.const 0) (i32.const 0) (i32.const 0))",
            ),
        ),
        Hostile::new(
            "with-log-flood",
            "floods the log while it recurses: whichever comes first must end it",
            core(
                &format!("{log} (func $f (call $log (i32.const 5) (i32.const 0) (i32.const 60000)) (call $f))"),
                "(call $f)",
            ),
            Must::Fail("log-flood"),
        ),
    ]
}
