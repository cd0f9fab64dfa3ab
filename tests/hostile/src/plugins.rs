//! Plug-ins for Extism: allocations, addresses and lengths that they invent, floods, and foreign blocks.

use crate::{
    Hostile, Must,
    write::{import, wasm},
};

/// Functions of `extism:host/env`: name, parameters, result.
const FUNCTIONS: &[crate::Function] = &[
    ("alloc", "I", "(result i64)"),
    ("free", "I", ""),
    ("length", "I", "(result i64)"),
    ("load_u8", "I", "(result i32)"),
    ("load_u64", "I", "(result i64)"),
    ("store_u8", "Ii", ""),
    ("store_u64", "II", ""),
    ("input_load_u64", "I", "(result i64)"),
    ("output_set", "II", ""),
    ("error_set", "I", ""),
    ("config_get", "I", "(result i64)"),
    ("var_get", "I", "(result i64)"),
    ("var_set", "II", ""),
    ("http_request", "II", "(result i64)"),
    ("http_headers", "", "(result i64)"),
    ("log_info", "I", ""),
];

/// Returns a plug-in whose only function executes `body`, with an i32 as local 0 and i64 as locals 1 and 2.
fn plugin(body: &str) -> Vec<u8> {
    let imports: String =
        FUNCTIONS.iter().map(|(name, params, result)| import("extism:host/env", name, params, result)).collect();
    wasm(&format!(
        r#"(module {imports} (memory (export "memory") 2) (func (export "go") (result i32) (local i32 i64 i64) {body} (i32.const 0)))"#
    ))
}

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = allocations();
    modules.extend(addresses());
    modules.extend(floods().into_iter().chain(tricks()));
    modules
}

fn allocations() -> Vec<Hostile> {
    let made = |name, trick, body: &str, must| Hostile::new(name, trick, plugin(body), must);
    let full = Must::Fail("out-of-memory");
    let must_fit = |call: &str| format!("(if (i64.eqz {call}) (then (unreachable)))");
    let again = "(loop (br_if 0 (i64.ne (call $alloc (i64.const SIZE)) (i64.const 0)))) (unreachable)";
    vec![
        made("alloc-huge", "a block of all addresses", &must_fit("(call $alloc (i64.const -1))"), full),
        made("alloc-above", "a block above the memory", &must_fit("(call $alloc (i64.const 68719476736))"), full),
        made("alloc-bytes", "blocks of a byte: their entries are charged", &again.replace("SIZE", "1"), full),
        made("alloc-pages", "blocks until it is refused", &again.replace("SIZE", "65536"), full),
        made(
            "alloc-and-grow",
            "fills its own memory after the shared one",
            "(drop (call $alloc (i64.const 50000000))) (if (i32.eq (memory.grow (i32.const 400)) (i32.const -1)) (then (unreachable)))",
            full,
        ),
        made(
            "alloc-split",
            "splits one large block into small ones",
            "(call $free (call $alloc (i64.const 30000000))) (loop (br_if 0 (i64.ne (call $alloc (i64.const 1)) (i64.const 0)))) (unreachable)",
            full,
        ),
        made(
            "alloc-loop",
            "allocates and frees without end",
            "(loop (call $free (call $alloc (i64.const 1000000))) (br 0))",
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
    ]
}

fn addresses() -> Vec<Hostile> {
    let made = |name, trick, body: &str, must| Hostile::new(name, trick, plugin(body), must);
    let bad = Must::Fail("bad-pointer");
    let block = "(local.set 1 (call $alloc (i64.const 16)))";
    vec![
        made("load-zero", "reads address 0", "(drop (call $load_u8 (i64.const 0)))", bad),
        made("load-end", "reads a word across the end", "(drop (call $load_u64 (i64.const -4)))", bad),
        made("store-far", "writes to a far address", "(call $store_u64 (i64.const 1099511627776) (i64.const 1))", bad),
        made(
            "store-across",
            "writes a word across the end of the last block",
            &format!("{block} (call $store_u64 (i64.add (local.get 1) (i64.const 9)) (i64.const 1))"),
            bad,
        ),
        made("input-wraps", "reads the input at an offset that wraps", "(drop (call $input_load_u64 (i64.const -8)))", bad),
        made(
            "output-huge",
            "an output of all bytes",
            &format!("{block} (call $output_set (local.get 1) (i64.const -1))"),
            bad,
        ),
        made("error-foreign", "an error that is no block", "(call $error_set (i64.const 4711))", bad),
        made("log-foreign", "a message that is no block", "(call $log_info (i64.const 4711))", bad),
        made(
            "log-freed",
            "a message in a block that was freed",
            &format!("{block} (call $free (local.get 1)) (call $log_info (local.get 1))"),
            bad,
        ),
        made("config-foreign", "the name of a value that is no block", "(drop (call $config_get (i64.const -1)))", bad),
        made("var-foreign", "a variable whose value is no block", &format!("{block} (call $var_set (local.get 1) (i64.const 3))"), bad),
        made("request-foreign", "a request that is no block", "(drop (call $http_request (i64.const 1) (i64.const 1)))", bad),
        made(
            "free-foreign",
            "frees what it does not have, twice",
            &format!(
                "{block} (call $free (i64.const -1)) (call $free (i64.add (local.get 1) (i64.const 8)))
                 (call $free (local.get 1)) (call $free (local.get 1))
                 (if (i64.ne (call $length (local.get 1)) (i64.const 0)) (then (unreachable)))
                 (local.set 2 (call $alloc (i64.const 16))) (if (i64.eq (call $alloc (i64.const 16)) (local.get 2)) (then (unreachable)))"
            ),
            Must::Complete,
        ),
    ]
}

fn floods() -> Vec<Hostile> {
    let made = |name, trick, body: &str, must| Hostile::new(name, trick, plugin(body), must);
    vec![
        made(
            "plugin-log-flood",
            "messages without end",
            "(loop (call $log_info (call $alloc (i64.const 4096))) (br 0))",
            Must::Fail("log-flood"),
        ),
        made(
            "plugin-var-flood",
            "variables without end: a run has 1 MiB of them",
            "(loop (local.set 1 (call $alloc (i64.const 8))) (local.set 2 (i64.add (local.get 2) (i64.const 1)))
                (call $store_u64 (local.get 1) (local.get 2)) (call $var_set (local.get 1) (call $alloc (i64.const 65536))) (br 0))",
            Must::Fail("trap"),
        ),
        made(
            "plugin-alloc-nothing",
            "blocks of no bytes, without end",
            "(loop (drop (call $alloc (i64.const 0))) (br 0))",
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        made(
            "plugin-input-loop",
            "reads the same word of the input without end",
            "(loop (drop (call $input_load_u64 (i64.const 0))) (br 0))",
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        made(
            "plugin-error-flood",
            "sets another error without end",
            "(local.set 1 (call $alloc (i64.const 1000))) (loop (call $error_set (local.get 1)) (br 0))",
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        made(
            "plugin-output-flood",
            "sets a large output without end",
            "(local.set 1 (call $alloc (i64.const 1000000)))
                (loop (call $output_set (local.get 1) (i64.const 1000000)) (br 0))",
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        made("plugin-spin", "loops without end", "(loop (br 0))", Must::Fail("deadline-exceeded")).by_the_clock(),
    ]
}

fn tricks() -> Vec<Hostile> {
    let made = |name, trick, body: &str, must| Hostile::new(name, trick, plugin(body), must);
    vec![
        made(
            "plugin-http",
            "a request without a grant",
            "(drop (call $http_request (call $alloc (i64.const 8)) (i64.const 0)))",
            Must::Fail("trap"),
        ),
        made(
            "plugin-http-none",
            "headers before any response",
            "(if (i64.ne (call $http_headers) (i64.const 0)) (then (unreachable)))",
            Must::Complete,
        ),
        Hostile {
            limits: "&export=stay",
            ..made("plugin-export", "enters a function that is not there", "", Must::Fail("bad-module"))
        },
        made(
            "plugin-output-freed",
            "an output in a block that was freed",
            "(local.set 1 (call $alloc (i64.const 16))) (call $free (local.get 1))
                (call $output_set (local.get 1) (i64.const 16))",
            Must::Complete,
        ),
        made(
            "plugin-request-huge",
            "a request whose text is no JSON",
            "(drop (call $http_request (call $alloc (i64.const 1000000)) (call $alloc (i64.const 1000000))))",
            Must::Fail("trap"),
        ),
    ]
}
