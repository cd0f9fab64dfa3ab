//! Traps of every kind.

use crate::{
    Hostile, Must,
    write::{command, core},
};

pub(crate) fn modules() -> Vec<Hostile> {
    let traps = |name, trick, more: &str, body: &str| Hostile::new(name, trick, core(more, body), Must::Fail("trap"));
    let table = "(type $t (func)) (type $u (func (param i64))) (table 4 funcref) (elem (i32.const 0) $f) (func $f)";
    // Each function calls the next; the last one traps.
    let name = "n".repeat(90_000);
    let long: String = (0..16).map(|n| format!("(func $f{n} (@name \"{name}{n}\") (call $f{}))", n + 1)).collect();
    let long = format!("{long} (func $f16 (unreachable))");
    vec![
        traps("unreachable", "the operator that always traps", "", "(unreachable)"),
        traps("divide-by-zero", "an integer division by zero", "", "(drop (i32.div_s (i32.const 1) (local.get 2)))"),
        traps(
            "divide-overflow",
            "the smallest integer by -1, which traps the processor itself",
            "",
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        ),
        traps("remainder-by-zero", "a remainder by zero", "", "(drop (i64.rem_u (i64.const 1) (local.get 4)))"),
        traps("convert-nan", "a float that is no integer", "", "(drop (i32.trunc_f64_s (f64.const nan)))"),
        traps("convert-overflow", "a float above every integer", "", "(drop (i64.trunc_f64_u (f64.const 1e300)))"),
        traps("load-outside", "a load after the end", "", "(drop (i64.load (i32.const 131069)))"),
        traps(
            "load-offset",
            "a static offset that carries the address past 2^32",
            "",
            "(drop (i32.load offset=0xffffffff (i32.const -1)))",
        ),
        traps("store-outside", "a store after the end", "", "(i32.store8 (i32.const 0x7fffffff) (i32.const 1))"),
        traps(
            "store-vector",
            "a vector that is half outside",
            "",
            "(v128.store (i32.const 131064) (v128.const i64x2 1 1))",
        ),
        traps("call-null", "a call of an empty element", table, "(call_indirect (type $t) (i32.const 3))"),
        traps(
            "call-outside",
            "a call of an element after the table's end",
            table,
            "(call_indirect (type $t) (i32.const -1))",
        ),
        traps(
            "call-wrong-type",
            "a call of a function as one of another type",
            table,
            "(call_indirect (type $u) (i64.const 0) (i32.const 0))",
        ),
        traps("table-get-outside", "an element after the end", table, "(drop (table.get (i32.const 4)))"),
        traps(
            "data-outside",
            "a data segment outside of the memory, found when instantiated",
            "(data (i32.const 131072) \"x\")",
            "",
        ),
        traps(
            "elements-outside",
            "an element segment outside of the table",
            "(table 1 funcref) (elem (i32.const 1) $handle)",
            "",
        ),
        traps("trap-in-start", "the start function traps", "(func $f (unreachable)) (start $f)", ""),
        Hostile::new(
            "trap-long-names",
            "frames whose names have 90,000 letters each",
            core(&long, "(call $f0)"),
            Must::Fail("trap"),
        ),
        Hostile::new("trap-in-command", "a command that traps", command("", "(unreachable)"), Must::Fail("trap")),
    ]
}
