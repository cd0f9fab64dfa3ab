//! Excessive memory and tables.

use crate::{
    Hostile, Must,
    write::{command, core, core_of},
};

pub(crate) fn modules() -> Vec<Hostile> {
    [memories(), tables()].concat()
}

const FULL: Must = Must::Fail("out-of-memory");

fn memories() -> Vec<Hostile> {
    let first = |pages: &str| format!("(memory (export \"memory\") {pages})");
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let touch = "(loop (i32.store (local.get 2) (i32.const -1)) (local.set 2 (i32.add (local.get 2) (i32.const 4096)))
                   (br_if 0 (i32.lt_u (local.get 2) (i32.const 67108864))))
                 (i32.store (i32.const 0) (i32.const 0)) (i64.store (i32.const 4) (i64.const 0))";
    vec![
        Hostile::new(
            "first-four-gib",
            "a first memory of 4 GiB",
            core_of(&first("65536"), "", ""),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "first-above-ceiling",
            "a page more than any run may have",
            core_of(&first("4097"), "", ""),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "first-above-limit",
            "a first memory above the function's own limit",
            core_of(&first("1025"), "", ""),
            FULL,
        ),
        Hostile::new(
            "maximum-four-gib",
            "a maximum of 4 GiB reserves nothing",
            core_of(&first("1 65536"), "", ""),
            Must::Complete,
        ),
        Hostile::new("grow-until-refused", "grows in small steps, and traps when it is refused", core("", grow), FULL),
        Hostile::new(
            "grow-at-once",
            "grows by 4 GiB in one step",
            core("", "(if (i32.eq (memory.grow (i32.const 65534)) (i32.const -1)) (then (unreachable)))"),
            FULL,
        ),
        Hostile::new(
            "grow-wraps",
            "a size in pages that is no size in bytes: charged by the page",
            core("", "(if (i32.eq (memory.grow (i32.const -1)) (i32.const -1)) (then (unreachable)))"),
            Must::Fail("out-of-fuel"),
        ),
        Hostile::new("touch-all", "writes to each page of 64 MiB", core_of(&first("1024"), "", touch), Must::Complete),
        Hostile::new(
            "touch-all-command",
            "the same in a command",
            command(
                "",
                &format!(
                    "(drop (memory.grow (i32.const 1022))) {}",
                    touch.replace(" 2)", " 0)").replace("set 2 ", "set 0 ")
                ),
            ),
            Must::Complete,
        ),
    ]
}

fn tables() -> Vec<Hostile> {
    vec![
        Hostile::new(
            "table-huge",
            "a table of 4,000,000,000 elements",
            core("(table 4000000000 funcref)", ""),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "table-above-cap",
            "a table one element above what there is",
            core("(table 20001 funcref)", ""),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "table-maximum-huge",
            "a table that may grow to 4,000,000,000",
            core("(table 1 4000000000 funcref)", ""),
            Must::Complete,
        ),
        Hostile::new(
            "table-grow",
            "grows a table until it is refused, and traps then",
            core(
                "(table 1 funcref)",
                "(loop (br_if 0 (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
            ),
            FULL,
        ),
        Hostile::new(
            "table-grow-at-once",
            "grows a table by 2^32 - 2: charged by the element",
            core(
                "(table 1 funcref)",
                "(if (i32.eq (table.grow (ref.null func) (i32.const -2)) (i32.const -1)) (then (unreachable)))",
            ),
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        Hostile::new(
            "table-externref",
            "references to the host's own objects, of which there are none",
            core("(table 20000 externref)", "(table.fill (i32.const 0) (ref.null extern) (i32.const 20000))"),
            Must::Complete,
        ),
        Hostile::new(
            "tables-together",
            "eight tables, each as large as one may be",
            core(&"(table 20000 funcref)".repeat(8), ""),
            FULL,
        ),
    ]
}
