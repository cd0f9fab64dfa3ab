//! Invalid modules, each with one defect.

use crate::{
    Hostile, Must,
    encode::{Parts, leb, module, section},
    write::wasm,
};

pub(crate) fn modules() -> Vec<Hostile> {
    [framing(), references(), bodies(), declarations()].concat()
}

fn invalid(name: &str, trick: &'static str, wasm: Vec<u8>) -> Hostile {
    Hostile::new(name, trick, wasm, Must::BeRefused("invalid-module"))
}

fn types() -> Vec<u8> {
    section(1, &[1, 0x60, 0, 0])
}

fn functions() -> Vec<u8> {
    section(3, &[1, 0])
}

fn start() -> Vec<u8> {
    section(7, b"\x01\x06_start\0\0")
}

fn code() -> Vec<u8> {
    section(10, &[1, 2, 0, 0x0b])
}

/// Headers, lengths, numbers, and the order of sections.
fn framing() -> Vec<Hostile> {
    let whole = Parts::default().finish();
    vec![
        invalid("cut", "the file ends within its last section", whole[..whole.len() - 3].to_vec()),
        invalid("only-header", "eight bytes, and nothing that could be called", module(&[])),
        invalid("trailing", "bytes after the end", [whole.clone(), vec![0x7f; 5]].concat()),
        invalid(
            "leb-overlong",
            "a number in six bytes where five are the most",
            module(&[vec![1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]]),
        ),
        invalid("leb-bits", "a number with bits above its 32nd", module(&[vec![1, 0x80, 0x80, 0x80, 0x80, 0x70]])),
        invalid("leb-endless", "a number that does not end", module(&[[vec![1], vec![0x80; 64]].concat()])),
        invalid(
            "section-too-long",
            "a section that claims 4 GiB",
            module(&[[vec![1], leb(u32::MAX), vec![0; 8]].concat()]),
        ),
        invalid("section-too-short", "a section that ends before its items", module(&[vec![1, 1, 1, 0x60, 0, 0]])),
        invalid("section-order", "the code stands before its types", module(&[code(), types(), functions(), start()])),
        invalid("section-twice", "two sections of types", module(&[types(), types(), functions(), start(), code()])),
        invalid("section-unknown", "a section that there is not", module(&[section(99, &[0])])),
    ]
}

/// References to missing parts, and duplicate or malformed names.
fn references() -> Vec<Hostile> {
    vec![
        invalid("code-without-function", "more bodies than functions", module(&[types(), code()])),
        invalid("function-without-code", "a function that has no body", module(&[types(), functions(), start()])),
        invalid(
            "type-unknown",
            "a function of a type that is not there",
            module(&[types(), section(3, &[1, 9]), start(), code()]),
        ),
        invalid(
            "export-unknown",
            "exports a function that is not there",
            module(&[types(), functions(), section(7, b"\x01\x06_start\0\x09"), code()]),
        ),
        invalid(
            "export-twice",
            "two exports of one name",
            module(&[types(), functions(), section(7, b"\x02\x06_start\0\0\x06_start\0\0"), code()]),
        ),
        invalid(
            "name-not-text",
            "an export's name that is no UTF-8",
            module(&[types(), functions(), section(7, b"\x01\x02\xff\xfe\0\0"), code()]),
        ),
        invalid(
            "start-unknown",
            "a start function that is not there",
            module(&[types(), functions(), start(), section(8, &[7]), code()]),
        ),
    ]
}

/// Bodies of functions.
fn bodies() -> Vec<Hostile> {
    let with_body = |body: &[u8]| {
        let size = u32::try_from(body.len()).unwrap_or_default();
        module(&[types(), functions(), start(), section(10, &[vec![1], leb(size), body.to_vec()].concat())])
    };
    vec![
        invalid("body-without-end", "a function that does not end", with_body(&[0, 0x01])),
        invalid("body-after-end", "operators after a function's end", with_body(&[0, 0x0b, 0x01])),
        invalid("body-unknown-operator", "an operator that there is not", with_body(&[0, 0xff, 0x0b])),
        invalid("body-empty-stack", "takes what nobody gave", with_body(&[0, 0x1a, 0x0b])),
        invalid("body-wrong-branch", "branches out of a block that is not there", with_body(&[0, 0x0c, 0x63, 0x0b])),
    ]
}

/// Memories, data and entries.
fn declarations() -> Vec<Hostile> {
    vec![
        invalid(
            "data-without-memory",
            "data for a memory that is not there",
            module(&[section(11, &[1, 0, 0x41, 0, 0x0b, 1, 0])]),
        ),
        Hostile::new(
            "memory-above-four-gib",
            "a memory of more pages than there are addresses",
            module(&[section(5, &[vec![1, 0], leb(65_537)].concat())]),
            Must::BeRefused("module-too-complex"),
        ),
        invalid(
            "memory-is-function",
            "what it exports as its memory is a function",
            wasm(
                r#"(module (func $f (param i32 i32) (result i32) (i32.const 0)) (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 0))
                (export "memory" (func $f)) (export "fusebox_handle" (func $f)))"#,
            ),
        ),
        invalid(
            "handle-of-wrong-type",
            "its entry has another type than the host calls it by",
            wasm(
                r#"(module (memory (export "memory") 1) (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 0))
                (func (export "fusebox_handle") (param i64 i64 f32) (result f64) (f64.const 0)))"#,
            ),
        ),
    ]
}
