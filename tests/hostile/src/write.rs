//! Modules written as text, in the shapes that a host accepts.

/// A module of this text. Text that is wrong is a mistake in the corpus.
pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| {
        let start: String = text.chars().take(2_000).collect();
        panic!("{error}\n{start}")
    })
}

/// A core function with 2 pages of memory whose `fusebox_handle` does `handle`, then answers the record at address 0,
/// which says: returned nothing. `more` is what else the module has, imports first.
pub(crate) fn core(more: &str, handle: &str) -> Vec<u8> {
    core_of("(memory (export \"memory\") 2)", more, handle)
}

/// As [`core`], with this memory.
pub(crate) fn core_of(memory: &str, more: &str, handle: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module {more} {memory}
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func $handle (export "fusebox_handle") (param i32 i32) (result i32) (local i32 i32 i64 f64)
                {handle} (i32.const 0)))"#
    ))
}

/// A command that does `start`.
pub(crate) fn command(more: &str, start: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module {more} (memory (export "memory") 2)
            (func $start (export "_start") (local i32 i32 i64 f64) {start}))"#
    ))
}

/// The import of a function of WASI, called `$name` here. Parameters are written as one letter each: i for i32, I for
/// i64.
pub(crate) fn wasi(name: &str, params: &str) -> String {
    let result = if name == "proc_exit" { "" } else { "(result i32)" };
    import("wasi_snapshot_preview1", name, params, result)
}

/// The import of a function of module `fusebox`.
pub(crate) fn fusebox(name: &str, params: &str, result: &str) -> String {
    import("fusebox", name, params, result)
}

fn import(module: &str, name: &str, params: &str, result: &str) -> String {
    let params: String = params.chars().map(|letter| if letter == 'I' { " i64" } else { " i32" }).collect();
    format!(r#"(import "{module}" "{name}" (func ${name} (param{params}) {result}))"#)
}
