//! Generates modules with wasm-smith: valid ones, with the exports of a function and a selection of our imports. A seed
//! determines its module. `fusebox-smith FIRST COUNT` writes the modules of COUNT seeds from FIRST to stdout, each
//! preceded by its length (4 bytes, little-endian); 0 stands for a seed that yields no module.

use std::io::Write as _;

use arbitrary::{Arbitrary as _, Unstructured};
use wasm_smith::{Config, Module};

/// Exports of every core function.
const EXPORTS: &str = r#"(module (memory (export "memory") 1 1024)
    (func (export "fusebox_alloc") (param i32) (result i32) unreachable)
    (func (export "fusebox_handle") (param i32 i32) (result i32) unreachable))"#;
/// Imports available to it.
const IMPORTS: &str = r#"(module
    (import "fusebox" "answer" (func (param i32 i32) (result i32)))
    (import "fusebox" "clock" (func (result i64)))
    (import "fusebox" "context" (func (param i32 i32) (result i32)))
    (import "fusebox" "log" (func (param i32 i32 i32)))
    (import "fusebox" "random" (func (param i32 i32))))"#;
/// Number of random bytes from which a module is made.
const ENTROPY_BYTES: usize = 16 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let first = numbers.next().ok_or("usage: fusebox-smith FIRST COUNT")??;
    let count = numbers.next().ok_or("usage: fusebox-smith FIRST COUNT")??;
    let (exports, imports) = (wat::parse_str(EXPORTS)?, wat::parse_str(IMPORTS)?);
    let mut out = std::io::stdout().lock();
    for seed in first..first + count {
        let module = make(seed, &exports, &imports).unwrap_or_default();
        out.write_all(&u32::try_from(module.len())?.to_le_bytes())?;
        out.write_all(&module)?;
    }
    Ok(())
}

fn make(seed: u64, exports: &[u8], imports: &[u8]) -> Option<Vec<u8>> {
    let entropy = entropy(seed);
    let mut choices = Unstructured::new(&entropy);
    // The proportions are drawn as well: some modules have a single kind of operator, others hardly use memory.
    let config = Config {
        exports: Some(exports.to_vec()),
        available_imports: Some(imports.to_vec()),
        max_instructions: 400,
        max_memory32_bytes: 64 << 20,
        max_table_elements: 20_000,
        // References to host objects require them and are disabled.
        reference_types_enabled: false,
        // In addition to the exported one.
        max_memories: 0,
        min_memories: 0,
        max_tables: 1,
        memory64_enabled: false,
        threads_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        tail_call_enabled: false,
        relaxed_simd_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        custom_descriptors_enabled: false,
        shared_everything_threads_enabled: false,
        ..Config::arbitrary(&mut choices).ok()?
    };
    Some(Module::new(config, &mut choices).ok()?.to_bytes())
}

/// Returns the bytes derived from a seed (splitmix64).
fn entropy(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..ENTROPY_BYTES / 8).flat_map(|_| next().to_le_bytes()).collect()
}
