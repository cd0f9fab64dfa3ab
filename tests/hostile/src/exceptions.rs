//! Exceptions and tail calls: objects without end, searches for handlers, and recursion without a stack.

use crate::{
    Hostile, Must,
    write::{command, core, fusebox, wasi},
};

const FULL: Must = Must::Fail("out-of-memory");
const TRAP: Must = Must::Fail("trap");
const SPENT: Must = Must::Fail("out-of-fuel");
const COMPLEX: Must = Must::BeRefused("module-too-complex");
const TAG: &str = "(tag $t)";

pub(crate) fn modules() -> Vec<Hostile> {
    [objects(), ends(), searches(), tail_calls()].concat()
}

/// Sets little memory, which exceptions fill soon.
fn in_little(hostile: Hostile) -> Hostile {
    Hostile { limits: "&memory_bytes=4194304", ..hostile }
}

/// Returns code that throws without end, and catches what it threw.
fn caught(tag: &str, thrown: &str, more: &str) -> String {
    format!("(loop $again (block $b (try_table ({tag} $b) {thrown})) {more} (br $again))")
}

/// Exceptions as objects in the memory of their run.
fn objects() -> Vec<Hostile> {
    let params = "i64 ".repeat(1_000);
    let (values, drops) = ("(i64.const 1)".repeat(1_000), "drop ".repeat(1_000));
    let large = format!(
        "(loop $again (block $b (result {params}) (try_table (catch $l $b) (throw $l {values})) (unreachable)) {drops} (br $again))"
    );
    let kept = "(loop $again
        (drop (table.grow $kept (block $b (result exnref) (try_table (catch_all_ref $b) (throw $t)) (unreachable)) (i32.const 1)))
        (br $again))";
    vec![
        in_little(Hostile::new(
            "throw-flood",
            "throws and catches without end",
            core(TAG, &caught("catch $t", "(throw $t)", "")),
            FULL,
        )),
        in_little(Hostile::new(
            "throw-large",
            "exceptions of 8 KB without end",
            core(&format!("(tag $l (param {params}))"), &large),
            FULL,
        )),
        in_little(Hostile::new(
            "throw-kept",
            "keeps each exception in a table",
            core(&format!("{TAG} (table $kept 0 exnref)"), kept),
            FULL,
        )),
        Hostile::new(
            "throw-full-memory",
            "throws when its memory is already as large as it may be",
            core(TAG, "(drop (memory.grow (i32.const 1022))) (block $b (try_table (catch $t $b) (throw $t)))"),
            FULL,
        ),
    ]
}

/// Exceptions against what ends a run.
fn ends() -> Vec<Hostile> {
    let exit = wasi("proc_exit", "i");
    vec![
        Hostile::new("throw-uncaught", "throws what nobody catches", core(TAG, "(throw $t)"), TRAP),
        Hostile::new(
            "throw-in-start",
            "throws before any call",
            core(&format!("{TAG} (func $s (throw $t)) (start $s)"), ""),
            Must::Fail("bad-module"),
        ),
        Hostile::new(
            "throw-null",
            "throws an exception that there is not",
            core("", "(throw_ref (ref.null exn))"),
            TRAP,
        ),
        Hostile::new(
            "catch-trap",
            "catches everything, also traps",
            core("", &caught("catch_all", "(unreachable)", "")),
            TRAP,
        ),
        Hostile::new(
            "catch-fuel",
            "the same with the end of its fuel",
            core("", &caught("catch_all", "(loop (br 0))", "")),
            SPENT,
        )
        .by_fuel(),
        Hostile::new(
            "catch-deadline",
            "the same with its deadline",
            core("", &caught("catch_all", "(loop (br 0))", "")),
            Must::Fail("deadline-exceeded"),
        )
        .by_the_clock(),
        Hostile::new(
            "catch-overflow",
            "the same with the end of its stack",
            core("(func $f (call $f))", &caught("catch_all", "(call $f)", "")),
            Must::Fail("stack-overflow"),
        ),
        Hostile::new(
            "catch-exit",
            "the same with its own exit",
            command(&format!("{exit} {TAG}"), &caught("catch_all", "(call $proc_exit (i32.const 0))", "")),
            Must::Complete,
        ),
    ]
}

/// Searches for handlers, which take time for each frame and each handler.
fn searches() -> Vec<Hostile> {
    let eight = "(catch $u $i)".repeat(8);
    let deep = format!(
        "{TAG} (tag $u) (func $f (param i32) (if (i32.eqz (local.get 0)) (then (throw $t)))
            (block $i (try_table {eight} (call $f (i32.sub (local.get 0) (i32.const 1))))))"
    );
    let bare = format!(
        "{TAG} (func $f (param i32) (if (i32.eqz (local.get 0)) (then (throw $t)))
            (call $f (i32.sub (local.get 0) (i32.const 1))))"
    );
    let again = |depth: u32| caught("catch $t", &format!("(call $f (i32.const {depth}))"), "");
    let nested = |depth: usize| {
        let (open, close) = ("(try_table (catch $u $i) ".repeat(depth), ")".repeat(depth));
        core(&format!("{TAG} (tag $u)"), &caught("catch $t", &format!("(block $i {open} (throw $t) {close})"), ""))
    };
    let calls = format!("(block $i (try_table {eight} {}))", "(call $g)".repeat(1_700));
    vec![
        Hostile::new("throw-deep", "throws past 1,500 frames with 8 handlers each", core(&deep, &again(1_500)), SPENT)
            .by_fuel(),
        Hostile::new("throw-far", "throws past 3,000 frames without handlers", core(&bare, &again(3_000)), SPENT)
            .by_fuel(),
        Hostile::new("throw-nested", "throws past 500 handlers of one function", nested(500), SPENT).by_fuel(),
        Hostile::new(
            "catches-above",
            "a handler more than a block may have",
            core(&format!("{TAG} (tag $u)"), &format!("(block $i (try_table (catch $t $i) {eight}))")),
            COMPLEX,
        ),
        Hostile::new(
            "catches-by-calls",
            "1,700 calls, each of which may continue at 8 handlers",
            core("(tag $u) (func $g)", &calls),
            COMPLEX,
        ),
    ]
}

fn tail_calls() -> Vec<Hostile> {
    let params = "i64 ".repeat(500);
    let values = "(i64.const 1)".repeat(500);
    let log = fusebox("log", "iii", "");
    vec![
        Hostile::new(
            "tail-call",
            "recursion that needs no stack",
            core("(func $f (return_call $f))", "(call $f)"),
            SPENT,
        ).by_fuel(),
        Hostile::new(
            "tail-call-late",
            "the same with much fuel",
            core("(func $f (return_call $f))", "(call $f)"),
            Must::Fail("deadline-exceeded"),
        )
        .by_the_clock(),
        Hostile::new(
            "tail-call-wide",
            "between functions with many and with no parameters",
            core(
                &format!("(func $f (param {params}) (return_call $g)) (func $g (return_call $f {values}))"),
                "(call $g)",
            ),
            SPENT,
        ).by_fuel(),
        Hostile::new(
            "tail-call-indirect",
            "through a table",
            core(
                "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $f) (func $f (return_call_indirect (type $t) (i32.const 0)))",
                "(call $f)",
            ),
            SPENT,
        ).by_fuel(),
        Hostile::new(
            "tail-call-host",
            "the host's function in place of the guest's frame",
            core(
                &format!("{log} (func $f (return_call $log (i32.const 3) (i32.const 0) (i32.const 60000)))"),
                "(loop (call $f) (br 0))",
            ),
            Must::Fail("log-flood"),
        ),
    ]
}
