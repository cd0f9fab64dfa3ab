//! Modules within every limit that are expensive to compile, store, link or instantiate.

use wasm_encoder::{ExportKind, ValType};

use crate::{
    Hostile, Must,
    encode::{Parts, items, leb, section},
};

pub(crate) fn modules() -> Vec<Hostile> {
    let long_name = "n".repeat(90_000);
    let mut names = Parts::default();
    for n in 0..100 {
        names.exports.export(&format!("{long_name}{n}"), ExportKind::Func, 0);
    }
    let custom = Parts { last: section(0, b"\x01x").repeat(200_000), ..Parts::default() };
    vec![
        Hostile::new(
            "compile-blocks",
            "many functions, each just below the caps",
            many_functions(150),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new("export-names", "9 MB of exports' names", names.finish(), Must::Complete),
        Hostile::new(
            "escaping-functions",
            "10,000 functions, each of which may be called through a table",
            escaping_functions(),
            Must::Complete,
        ),
        Hostile::new(
            "name-section",
            "a section of names that names 100,000 functions that are not there",
            name_section(),
            Must::Complete,
        ),
        Hostile::new("custom-sections", "200,000 custom sections", custom.finish(), Must::Complete),
        Hostile::new(
            "type-bomb",
            "5,000 types of 1,000 parameters each",
            type_bomb(),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "const-bomb",
            "a global whose value is a sum of a million numbers: computed in each instantiation, without fuel",
            const_bomb(),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "const-offset-bomb",
            "the same as the address of a data segment",
            offset_bomb(),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "element-bomb",
            "an element segment of 4,000,000 functions",
            element_bomb(),
            Must::BeRefused("module-too-complex"),
        ),
        Hostile::new(
            "element-expressions",
            "the same, each an expression of its own",
            expression_bomb(),
            Must::BeRefused("module-too-complex"),
        ),
    ]
}

/// Returns functions with sequences of blocks, each below every limit; the register allocator is not linear in them.
fn many_functions(count: u32) -> Vec<u8> {
    let block = [0x02, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0b];
    let body = [vec![1, 1, 0x7f], block.repeat(9_900), vec![0x0b]].concat();
    let body = [leb(u32::try_from(body.len()).unwrap_or_default()), body].concat();
    crate::encode::module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &items(count, &[0])),
        section(7, b"\x01\x06_start\0\0"),
        section(10, &items(count, &body)),
    ])
}

/// Returns functions that are all referenced by a segment, so that each needs space in the instance. Four times as many
/// compile in about 5 s, which a busy machine may not achieve in time.
fn escaping_functions() -> Vec<u8> {
    const COUNT: u32 = 10_000;
    let functions: Vec<u8> = (0..COUNT).flat_map(leb).collect();
    let segment = [vec![1, 1, 0], leb(COUNT), functions].concat();
    Parts { functions: COUNT, tables: vec![1, 0x70, 0, 1], elements: segment, ..Parts::default() }.finish()
}

fn name_section() -> Vec<u8> {
    let mut entries = leb(100_000);
    for n in 0..100_000 {
        entries.extend([leb(n), vec![3, b'a', b'b', b'c']].concat());
    }
    let names = [vec![4], b"name".to_vec(), section(1, &entries)].concat();
    Parts { last: section(0, &names), ..Parts::default() }.finish()
}

fn type_bomb() -> Vec<u8> {
    let mut parts = Parts::default();
    for n in 0..4_999_u32 {
        // No two types are equal, so that none are deduplicated.
        let kind =
            |at: u32| [ValType::I32, ValType::I64, ValType::F32, ValType::F64][((n >> (2 * (at % 7))) & 3) as usize];
        parts.types.ty().function((0..1_000).map(kind), []);
    }
    parts.finish()
}

/// Encodes i32.const 1, followed by i32.const 1 and i32.add a million times.
fn sum() -> Vec<u8> {
    [vec![0x41, 1], [0x41, 1, 0x6a].repeat(1_000_000), vec![0x0b]].concat()
}

fn const_bomb() -> Vec<u8> {
    Parts { globals: [vec![1, 0x7f, 0], sum()].concat(), ..Parts::default() }.finish()
}

fn offset_bomb() -> Vec<u8> {
    let mut parts = Parts::default();
    let offset = sum();
    parts.data.active(0, &wasm_encoder::ConstExpr::raw(offset[..offset.len() - 1].iter().copied()), [1]);
    parts.finish()
}

fn element_bomb() -> Vec<u8> {
    // One table of functions, and one passive segment that repeats function 0.
    let segment = [vec![1, 1, 0], items(4_000_000, &[0])].concat();
    Parts { tables: vec![1, 0x70, 0, 1], elements: segment, ..Parts::default() }.finish()
}

fn expression_bomb() -> Vec<u8> {
    // A passive segment of funcref expressions: ref.func 0.
    let segment = [vec![1, 5, 0x70], items(4_000_000, &[0xd2, 0, 0x0b])].concat();
    Parts { tables: vec![1, 0x70, 0, 1], elements: segment, ..Parts::default() }.finish()
}
