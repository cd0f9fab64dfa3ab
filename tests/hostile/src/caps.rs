//! For each structural limit a module above it, and one exactly at it if that is cheap, which verifies the number
//! itself.

use wasm_encoder::{ConstExpr, ExportKind, ValType};

use crate::{
    Hostile, Must,
    encode::{Parts, items, leb, module, section},
};

const COMPLEX: Must = Must::BeRefused("module-too-complex");

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = code();
    modules.extend(sections());
    modules
}

/// Returns non-empty blocks, each of which costs the compiler time.
fn blocks(count: usize) -> Vec<u8> {
    // block; local.get 0; i32.const 1; i32.add; local.set 0; end
    [0x02, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0b].repeat(count)
}

fn code() -> Vec<Hostile> {
    let body = |body: Vec<u8>| Parts { body, locals: vec![(1, ValType::I32)], ..Parts::default() }.finish();
    let nested = |depth: usize| body([[0x02, 0x40].repeat(depth), [0x0b].repeat(depth)].concat());
    // i32.const 0 and br_table with `count` targets, in a separate block.
    let targets = |count: u32| body([vec![0x02, 0x40, 0x41, 0, 0x0e], items(count, &[0]), vec![0, 0x0b]].concat());
    let locals = |count: u32| Parts { locals: vec![(count, ValType::I64)], ..Parts::default() }.finish();
    let bytes = |count: usize| body([0x01].repeat(count));
    // Functions of 1 MiB of nop.
    let code_bytes = |count: u32| {
        let body = [leb((1 << 20) - 2), vec![0], vec![0x01; (1 << 20) - 4], vec![0x0b]].concat();
        module(&[
            section(1, &[1, 0x60, 0, 0]),
            section(3, &items(count, &[0])),
            section(7, b"\x01\x06_start\0\0"),
            section(10, &items(count, &body)),
        ])
    };
    let functions = |functions: u32| Parts { functions, ..Parts::default() }.finish();
    vec![
        Hostile::new("functions-above", "one function more than there may be", functions(40_001), COMPLEX),
        Hostile::new("blocks-above", "20,000 blocks in a row took 7.7 s to compile", body(blocks(15_166)), COMPLEX),
        Hostile::new("nesting-above", "50,000 nested blocks took 11 s to compile", nested(15_166), COMPLEX),
        Hostile::new("nesting-at", "as deep as it may be", nested(15_160), Must::Complete),
        Hostile::new(
            "code-above",
            "more code than there may be, each function within its limit",
            code_bytes(13),
            COMPLEX,
        ),
        Hostile::new("code-at", "as much code as there may be, which does nothing", code_bytes(11), Must::Complete),
        Hostile::new("targets-above", "a branch table with a target too many", targets(10_001), COMPLEX),
        Hostile::new("targets-at", "the largest branch table", targets(10_000), Must::Complete),
        Hostile::new("locals-above", "a local too many", locals(5_001), COMPLEX),
        Hostile::new("locals-at", "as many locals as there may be", locals(4_999), Must::Complete),
        Hostile::new(
            "locals-claimed",
            "4,000,000,000 locals in six bytes",
            locals(4_000_000_000),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new("body-above", "a function of more than 1 MiB", bytes(1 << 20), COMPLEX),
        Hostile::new(
            "body-at",
            "a function of just below 1 MiB that does nothing",
            bytes((1 << 20) - 64),
            Must::Complete,
        ),
    ]
}

fn sections() -> Vec<Hostile> {
    let empty_type = [0x60, 0, 0];
    let types = |count| module(&[section(1, &items(count, &empty_type))]);
    let imports = |count| {
        let import = [b"\x07fusebox\x05clock\0\0".to_vec()].concat();
        module(&[section(1, &[1, 0x60, 0, 1, 0x7e]), section(2, &items(count, &import))])
    };
    // Immutable i32 globals of value 0.
    let globals = |count| Parts { globals: items(count, &[0x7f, 0, 0x41, 0, 0x0b]), ..Parts::default() }.finish();
    // Passive, empty segments of functions.
    let elements = |count| Parts { elements: items(count, &[1, 0, 0]), ..Parts::default() }.finish();
    let exports = |count: u32| {
        let mut parts = Parts::default();
        for n in 2..count {
            parts.exports.export(&format!("e{n}"), ExportKind::Func, 0);
        }
        parts.finish()
    };
    let data = |count| Parts::default().spread_data(count).finish();
    // 10 bytes, and 10 between them and the next ones.
    let near = |count: u32| {
        let mut parts = Parts::default();
        for n in 0..count {
            parts.data.active(0, &ConstExpr::i32_const(i32::try_from(n * 20).unwrap_or_default()), *b"0123456789");
        }
        parts.finish()
    };
    let claimed = [leb(u32::MAX), vec![0; 8]].concat();
    let padding = section(0, &[vec![1, b'x'], vec![0; 65 << 20]].concat());
    vec![
        Hostile::new("types-above", "a type too many", types(5_001), COMPLEX),
        Hostile::new("imports-above", "an import too many", imports(5_001), COMPLEX),
        Hostile::new("globals-above", "a global too many", globals(5_001), COMPLEX),
        Hostile::new("globals-at", "as many globals as there may be", globals(5_000), Must::Complete),
        Hostile::new("elements-above", "an element segment too many", elements(5_001), COMPLEX),
        Hostile::new("exports-above", "an export too many", exports(5_001), COMPLEX),
        Hostile::new("exports-at", "as many exports as there may be", exports(5_000), Must::Complete),
        Hostile::new("data-above", "a data segment too many", data(4_097), COMPLEX),
        Hostile::new(
            "data-at",
            "data segments of a byte, spread over 64 MiB: 25,000 took 65 s",
            data(4_096),
            Must::Complete,
        ),
        Hostile::new("data-near", "90,000 data segments side by side, which are one", near(90_000), Must::Complete),
        Hostile::new("data-count-above", "more data segments than the format has", near(100_001), COMPLEX),
        Hostile::new(
            "count-claimed",
            "4,294,967,295 functions in nine bytes",
            module(&[section(3, &claimed)]),
            COMPLEX,
        ),
        Hostile::new(
            "too-large",
            "65 MiB of nothing",
            [module(&[]), padding].concat(),
            Must::BeRefused("payload-too-large"),
        ),
        Hostile::new("memories-above", "two memories", module(&[section(5, &[2, 0, 1, 0, 1])]), COMPLEX),
        Hostile::new("tables-above", "a table too many", module(&[section(4, &items(9, &[0x70, 0, 1]))]), COMPLEX),
    ]
}
