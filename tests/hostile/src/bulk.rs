//! Single operators with much work. The engine checks the epoch only between operators.

use crate::{
    Hostile, Must,
    write::{core, core_of},
};

const WHOLE: &str = "(memory (export \"memory\") 1024)";
const LATE: Must = Must::Fail("deadline-exceeded");

pub(crate) fn modules() -> Vec<Hostile> {
    let forever = |name, trick, memory: &str, more: &str, body: &str| {
        Hostile::new(name, trick, core_of(memory, more, &format!("(loop {body} (br 0))")), LATE).by_the_clock()
    };
    let table = "(table 20000 funcref) (elem $e func $handle $handle $handle $handle)";
    let trap = Must::Fail("trap");
    vec![
        forever(
            "fill",
            "fills 64 MiB, again and again",
            WHOLE,
            "",
            "(memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864))",
        ),
        forever(
            "copy-overlapping",
            "moves 64 MiB by a byte, again and again",
            WHOLE,
            "",
            "(memory.copy (i32.const 1) (i32.const 0) (i32.const 67108863))",
        ),
        forever(
            "init",
            "copies a segment, again and again",
            WHOLE,
            "(data $d \"0123456789abcdef\")",
            "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 16))",
        ),
        forever(
            "table-fill",
            "fills the largest table, again and again",
            "(memory (export \"memory\") 1)",
            table,
            "(table.fill (i32.const 0) (ref.func $handle) (i32.const 20000))",
        ),
        forever(
            "table-copy",
            "moves the largest table by one, again and again",
            "(memory (export \"memory\") 1)",
            table,
            "(table.copy (i32.const 1) (i32.const 0) (i32.const 19999))",
        ),
        Hostile::new(
            "fill-outside",
            "a fill that ends a byte outside",
            core("", "(memory.fill (i32.const 1) (i32.const 1) (i32.const 131072))"),
            trap,
        ),
        Hostile::new(
            "copy-wraps",
            "an end that wraps around 2^32",
            core("", "(memory.copy (i32.const 0) (i32.const -16) (i32.const 32))"),
            trap,
        ),
        Hostile::new(
            "init-dropped",
            "a segment that was dropped",
            core("(data $d \"abc\")", "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))"),
            trap,
        ),
    ]
}
