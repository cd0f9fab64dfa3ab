//! Modules written as text, in the forms that a host accepts.

/// Assembles a module from text. Invalid text is an error in the corpus.
pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| {
        let start: String = text.chars().take(2_000).collect();
        panic!("{error}\n{start}")
    })
}

/// Returns a core function with 2 pages of memory whose `fusebox_handle` executes `handle` and then returns the record
/// at address 0, by default an empty output. `more` holds further parts of the module, imports first.
pub(crate) fn core(more: &str, handle: &str) -> Vec<u8> {
    core_of("(memory (export \"memory\") 2)", more, handle)
}

/// Same as [`core`], with this memory.
pub(crate) fn core_of(memory: &str, more: &str, handle: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module {more} {memory}
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func $handle (export "fusebox_handle") (param i32 i32) (result i32) (local i32 i32 i64 f64)
                {handle} (i32.const 0)))"#
    ))
}

/// Returns a command that executes `start`.
pub(crate) fn command(more: &str, start: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module {more} (memory (export "memory") 2)
            (func $start (export "_start") (local i32 i32 i64 f64) {start}))"#
    ))
}

/// Returns the import of a WASI function, named `$name` in the module. Each parameter is one letter: i for i32, I for
/// i64.
pub(crate) fn wasi(name: &str, params: &str) -> String {
    let result = if name == "proc_exit" { "" } else { "(result i32)" };
    import("wasi_snapshot_preview1", name, params, result)
}

/// Returns the import of a function of module `fusebox`.
pub(crate) fn fusebox(name: &str, params: &str, result: &str) -> String {
    import("fusebox", name, params, result)
}

/// Returns the import of a function.
pub(crate) fn import(module: &str, name: &str, params: &str, result: &str) -> String {
    let params: String = params.chars().map(|letter| if letter == 'I' { " i64" } else { " i32" }).collect();
    format!(r#"(import "{module}" "{name}" (func ${name} (param{params}) {result}))"#)
}
