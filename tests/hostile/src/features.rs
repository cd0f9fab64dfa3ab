//! Disabled proposals, imports that are not provided, and files that are not modules.

use crate::{
    Hostile, Must,
    write::{core, wasm},
};

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = proposals();
    modules.extend(imports());
    modules.extend(files());
    modules
}

fn proposals() -> Vec<Hostile> {
    let off = |name, trick, more: &str, body: &str| {
        let text = format!(r#"(module {more} (func $start (export "_start") {body}))"#);
        Hostile::new(name, trick, wasm(&text), Must::BeRefused("invalid-module"))
    };
    vec![
        off("memory-of-sixty-four-bits", "addresses of 64 bits", "(memory i64 1)", ""),
        off("shared-memory", "memory that threads share", "(memory 1 2 shared)", ""),
        off("atomics", "atomic operations", "(memory 1)", "(drop (i32.atomic.load (i32.const 0)))"),
        off("gc-struct", "objects for a garbage collector", "(type (struct (field i32)))", ""),
        off(
            "gc-array",
            "an array of 2,000,000,000 bytes",
            "(type $a (array (mut i8)))",
            "(drop (array.new $a (i32.const 1) (i32.const 2000000000)))",
        ),
        off(
            "wide-arithmetic",
            "numbers of 128 bits",
            "",
            "(i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)) (drop) (drop)",
        ),
        off("function-references", "calls through typed references", "(type $t (func))", "(call_ref $t (ref.null $t))"),
        off("odd-pages", "pages of one byte", "(memory 1 (pagesize 1))", ""),
        Hostile::new(
            "relaxed-vectors",
            "results that depend on the processor, where they are allowed to",
            core("", "(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))"),
            Must::Complete,
        ),
    ]
}

fn imports() -> Vec<Hostile> {
    let unknown =
        |name, trick, import: &str| Hostile::new(name, trick, core(import, ""), Must::BeRefused("unknown-import"));
    let long = format!(r#"(import "fusebox" "{}" (func))"#, "n".repeat(90_000));
    vec![
        unknown(
            "import-env",
            "a function of another platform",
            r#"(import "env" "system" (func (param i32) (result i32)))"#,
        ),
        unknown(
            "import-unknown",
            "a capability that there is not",
            r#"(import "fusebox" "exec" (func (param i32 i32)))"#,
        ),
        unknown("import-table", "a table of the host", r#"(import "fusebox" "log" (table 1 funcref))"#),
        unknown("import-global", "a global of the host", r#"(import "fusebox" "clock" (global i64))"#),
        unknown(
            "import-wrong-type",
            "a capability with another type",
            r#"(import "fusebox" "log" (func (param i64)))"#,
        ),
        Hostile::new(
            "import-wasi-in-core",
            "WASI from a core function, which may use it",
            core(r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#, ""),
            Must::Complete,
        ),
        unknown("import-long-name", "a name of 90,000 letters, which the refusal would repeat", &long),
        unknown("import-controls", "a name that drives a terminal", r#"(import "fusebox" "\1b[2J\07\0aok" (func))"#),
        unknown("import-nothing", "names that are empty", r#"(import "" "" (func))"#),
    ]
}

fn files() -> Vec<Hostile> {
    let other =
        |name, trick, bytes: &[u8]| Hostile::new(name, trick, bytes.to_vec(), Must::BeRefused("unsupported-module"));
    vec![
        other("text", "text, which a careless host would parse", b"(module (func (export \"_start\") (loop (br 0))))"),
        other(
            "native-program",
            "a program of this machine",
            b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00",
        ),
        other("pickle", "what the Python platform ran", b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix"),
        other("archive", "an archive", b"PK\x03\x04\x14\x00\x00\x00"),
        other("compressed", "a compressed file, which may be a bomb", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
        Hostile::new("garbage", "four bytes of nothing", vec![0, 1, 2, 3], Must::BeRefused("invalid-module")),
        Hostile::new(
            "version-two",
            "a version of WebAssembly that there is not",
            b"\0asm\x02\0\0\0".to_vec(),
            Must::BeRefused("invalid-module"),
        ),
    ]
}
