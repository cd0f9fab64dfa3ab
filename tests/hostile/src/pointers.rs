//! Invalid pointers and lengths, for every function of module `fusebox` and every place where the host follows a
//! guest's pointer.

use crate::{
    Hostile, Must,
    write::{command, core, core_of, fusebox, wasm},
};

/// A function of module `fusebox`: name, parameters, result, positions of pointers followed by their lengths (other
/// parameters are 0), and the grant it requires, as a part of a registration's query.
type Import = (&'static str, &'static str, &'static str, &'static [usize], &'static str);

/// All functions of module `fusebox`.
pub(crate) const IMPORTS: &[Import] = &[
    ("answer", "ii", "(result i32)", &[0], ""),
    ("clock", "", "(result i64)", &[], ""),
    ("config", "ii", "(result i64)", &[0], "&grants=config"),
    ("context", "ii", "(result i32)", &[0], ""),
    ("fail", "ii", "", &[0], ""),
    ("http", "ii", "(result i64)", &[0], "&grants=http=example.com"),
    ("kv_get", "ii", "(result i64)", &[0], "&grants=kv"),
    ("kv_set", "iiiiII", "(result i64)", &[0, 2], "&grants=kv"),
    ("kv_delete", "iiI", "(result i64)", &[0], "&grants=kv"),
    ("kv_keys", "iiii", "(result i64)", &[0, 2], "&grants=kv"),
    ("log", "iii", "", &[1], ""),
    ("random", "ii", "", &[0], ""),
    ("secret", "ii", "(result i64)", &[0], "&grants=secrets"),
];

/// Invalid pointers and lengths in a memory of 131,072 bytes.
const WRONG: &[(&str, &str, i64, i64)] = &[
    ("straddle", "the last byte inside, the next one outside", 131_071, 2),
    ("past", "one byte, just after the end", 131_072, 1),
    ("wrap", "pointer and length together pass 2^32", 0xffff_fff0, 0x20),
    ("negative", "a pointer that is negative to whoever reads it as signed", 0x8000_0000, 0x10),
    ("long", "from inside, longer than any memory", 16, 0xffff_ffff),
];

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules: Vec<Hostile> = IMPORTS.iter().flat_map(games).collect();
    modules.extend(results());
    modules.extend(inputs());
    modules
}

/// Returns a module for each invalid pointer in each position of one import.
fn games(&(name, params, result, pointers, grants): &Import) -> Vec<Hostile> {
    let import = fusebox(name, params, result);
    let game = |at: usize, &(game, trick, ptr, len): &(&str, &'static str, i64, i64)| {
        let argument = |place: usize| match place {
            place if place == at => format!("(i32.const {ptr})"),
            place if place == at + 1 => format!("(i32.const {len})"),
            place if params.as_bytes().get(place) == Some(&b'I') => "(i64.const 0)".to_owned(),
            _ => "(i32.const 0)".to_owned(),
        };
        let arguments: String = (0..params.len()).map(argument).collect();
        let dropped = if result.is_empty() { "" } else { "(drop)" };
        let place = if pointers.len() > 1 { ["-a", "-b", "-c"][at / 2] } else { "" };
        let module = core(&import, &format!("(call ${name} {arguments}) {dropped}"));
        let name = format!("{}{place}-{game}", name.replace('_', "-"));
        Hostile { limits: grants, ..Hostile::new(&name, trick, module, Must::Fail("bad-pointer")) }
    };
    pointers.iter().flat_map(|&at| WRONG.iter().map(move |wrong| game(at, wrong))).collect()
}

/// Modules that return invalid results.
fn results() -> Vec<Hostile> {
    let record = |tag: i64, ptr: i64, len: i64| {
        let word = |at, value| format!("(i32.store (i32.const {at}) (i32.const {value}))");
        core("", &[word(0, tag), word(4, ptr), word(8, len)].concat())
    };
    let at = |address: &str| {
        wasm(&format!(
            r#"(module (memory (export "memory") 2) (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
                (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const {address})))"#
        ))
    };
    let bad = Must::Fail("bad-pointer");
    vec![
        Hostile::new("record-outside", "the result record is outside", at("-4"), bad),
        Hostile::new("record-straddles", "the result record is half outside", at("131064"), bad),
        Hostile::new("output-outside", "the output is outside", record(0, 0xffff_fff0, 64), bad),
        Hostile::new("output-straddles", "the output is half outside", record(0, 131_000, 200), bad),
        Hostile::new(
            "output-four-gib",
            "an output of 4 GiB, of which nothing may be allocated",
            record(0, 0, 0xffff_ffff),
            Must::Fail("output-too-large"),
        ),
        Hostile::new("output-unknown-tag", "a result that is neither output nor error", record(77, 0, 0), bad),
        Hostile::new("output-is-record", "the output is the record itself", record(0, 0, 12), Must::Complete),
        Hostile::new("error-outside", "the error is outside", record(1, 0x7fff_ffff, 1), bad),
        Hostile::new("output-nothing-far", "no bytes, from an address outside", record(0, 0xffff_ffff, 0), bad),
    ]
}

/// Modules that return invalid addresses for the input.
fn inputs() -> Vec<Hostile> {
    let alloc = |body: &str| {
        wasm(&format!(
            r#"(module (memory (export "memory") 2) (func (export "fusebox_alloc") (param i32) (result i32) {body})
                (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))"#
        ))
    };
    let bad = Must::Fail("bad-pointer");
    let log = fusebox("log", "iii", "");
    let at_end = "(call $log (i32.const 3) (i32.const 131072) (i32.const 0))";
    vec![
        Hostile::new("alloc-outside", "the input shall be written outside", alloc("(i32.const -64)"), bad),
        Hostile::new("alloc-at-end", "the input shall be written at the very end", alloc("(i32.const 131072)"), bad),
        Hostile::new("alloc-null", "the input overwrites address 0", alloc("(i32.const 0)"), Must::Fail("bad-pointer")),
        Hostile::new("log-nothing-at-end", "no bytes, at the end: that is inside", core(&log, at_end), Must::Complete),
        Hostile::new(
            "log-without-memory",
            "a host call of a module that has no memory",
            wasm(&format!(
                r#"(module {log} (func (export "_start") (call $log (i32.const 3) (i32.const 0) (i32.const 1))))"#
            )),
            bad,
        ),
        Hostile::new(
            "log-empty-memory",
            "a memory of no pages",
            core_of("(memory (export \"memory\") 0)", &log, "(call $log (i32.const 3) (i32.const 0) (i32.const 1))"),
            bad,
        ),
        Hostile::new(
            "log-command",
            "a command calls as a core function does",
            command(&log, "(call $log (i32.const 3) (i32.const -1) (i32.const 2))"),
            bad,
        ),
    ]
}
