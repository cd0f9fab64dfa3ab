//! Modules that are not functions are rejected before any of their code runs, with a code and a message that suggests a
//! remedy.

use fusebox_core::{error::ErrorCode, function::Abi};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection,
    MemoryType, Module, TypeSection, ValType,
};

use crate::support::{core, core_with, echo, refused, sandbox, wasm};

#[test]
fn what_is_not_wasm_is_told_what_it_is() {
    for (bytes, code, word) in [
        (b"".as_slice(), ErrorCode::InvalidModule, "empty"),
        (b"(module)", ErrorCode::UnsupportedModule, "text"),
        (b"\n  ;; comment\n(module)", ErrorCode::UnsupportedModule, "text"),
        (b"\x7fELF\x02\x01\x01", ErrorCode::UnsupportedModule, "native program"),
        (b"\x80\x04\x95", ErrorCode::UnsupportedModule, "pickle"),
        (b"PK\x03\x04", ErrorCode::UnsupportedModule, "archive"),
        (b"\0as", ErrorCode::InvalidModule, "cut off"),
        (b"\0asm\x02\0\0\0", ErrorCode::InvalidModule, "unknown version"),
        (b"\0asm\x0d\0\x01\0", ErrorCode::InvalidModule, "the component exports nothing"),
        (b"nonsense", ErrorCode::InvalidModule, "00 61 73 6d"),
    ] {
        let error = refused(bytes);
        assert_eq!(error.code, code, "{bytes:?}: {error}");
        assert!(error.message.contains(word), "{bytes:?}: {error}");
    }
}

#[test]
fn a_module_cut_anywhere_is_refused() {
    let whole = wasm(&echo());
    // The section of function names comes last and does not affect behaviour: the module is complete without it.
    let names = whole.len() - last_custom_section_bytes(&whole);
    for end in (0..whole.len()).filter(|end| *end != names) {
        assert_eq!(refused(&whole[..end]).code, ErrorCode::InvalidModule, "cut at {end}");
    }
}

/// Returns the size of the last section if it is a custom one.
fn last_custom_section_bytes(whole: &[u8]) -> usize {
    let sections = wasmparser::Parser::new(0).parse_all(whole).map(Result::unwrap);
    let last = sections.filter_map(|payload| payload.as_section().map(|(id, range)| (id, range.start))).last();
    match last {
        // Its id and its size, one byte each here, precede its content.
        Some((0, content)) => whole.len() - content + 2,
        _ => 0,
    }
}

#[test]
fn a_module_with_any_byte_changed_never_harms_the_host() {
    let whole = wasm(&echo());
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        // Some modifications result in another valid module; the test requires only that inspection returns.
        let _ = sandbox().inspect(&changed);
    }
}

#[test]
fn native_code_is_never_accepted() {
    let engine = wasmtime::Engine::default();
    let native = engine.precompile_module(&wasm(&echo())).unwrap();
    let error = refused(&native);
    assert_eq!(error.code, ErrorCode::UnsupportedModule, "{error}");
    assert!(error.message.contains("precompiled"), "{error}");
}

#[test]
fn the_abi_is_found_out_from_the_exports() {
    let abi = |text: &str| sandbox().inspect(&wasm(text)).unwrap().abi;
    assert_eq!(abi(&echo()), Abi::Core);
    assert_eq!(abi(r#"(module (func (export "_start")))"#), Abi::Command);
}

#[test]
fn a_missing_or_misshapen_export_is_named() {
    for (text, word) in [
        ("(module)", "neither ABI"),
        (r#"(module (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))"#, "memory"),
        (
            r#"(module (memory (export "memory") 1)
                (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))"#,
            "fusebox_alloc",
        ),
        (
            r#"(module (memory (export "memory") 1) (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 0))
                (func (export "fusebox_handle") (param i64) (result i32) (i32.const 0)))"#,
            "fusebox_handle",
        ),
        (r#"(module (func (export "_start") (param i32)))"#, "_start"),
        (r#"(module (global (export "_start") i32 (i32.const 0)))"#, "_start"),
    ] {
        let error = refused(&wasm(text));
        assert_eq!(error.code, ErrorCode::InvalidModule, "{error}");
        assert!(error.message.contains(word), "{word}: {error}");
    }
}

#[test]
fn an_import_that_is_not_offered_is_named_with_what_is() {
    for (import, word) in [
        (r#"(import "env" "system" (func))"#, "env.system"),
        (r#"(import "fusebox" "exec" (func))"#, "fusebox.exec"),
        (r#"(import "fusebox" "log" (memory 1))"#, "fusebox.log"),
        (r#"(import "wasi_snapshot_preview1" "fd_teleport" (func))"#, "fd_teleport"),
    ] {
        let error = refused(&wasm(&core_with("", import)));
        assert_eq!(error.code, ErrorCode::UnknownImport, "{error}");
        assert!(error.message.contains(word), "{word}: {error}");
    }
}

#[test]
fn an_import_of_a_wrong_type_or_an_unknown_wasi_function_is_refused_at_registration() {
    for text in [
        core_with("", r#"(import "fusebox" "log" (func (param i64)))"#),
        r#"(module (import "wasi_snapshot_preview1" "fd_teleport" (func)) (memory (export "memory") 1)
            (func (export "_start")))"#
            .to_owned(),
    ] {
        let error = refused(&wasm(&text));
        assert_eq!(error.code, ErrorCode::UnknownImport, "{error}");
    }
}

#[test]
fn proposals_that_are_off_are_invalid() {
    for text in [
        r#"(module (memory i64 1) (func (export "_start")))"#,
        r#"(module (memory 1 2 shared) (func (export "_start")))"#,
        r#"(module (type (struct)) (func (export "_start")))"#,
        r#"(module (memory 1) (memory 1) (func (export "_start")))"#,
    ] {
        let error = refused(&wasm(text));
        let expected = matches!(error.code, ErrorCode::InvalidModule | ErrorCode::ModuleTooComplex);
        assert!(expected, "{text}: {error:?}");
    }
}

#[test]
fn bombs_are_refused_by_their_structure() {
    let add = "(local.set 0 (i32.add (i32.const 1) (local.get 0)))";
    let blocks = core(&format!("(block {add})").repeat(20_000));
    let nested = core(&format!("{}{}", "(block ".repeat(15_166), ")".repeat(15_166)));
    let table = core(&format!("(block (br_table {} (i32.const 0)))", "0 ".repeat(20_000)));
    let locals =
        core("(call $l)").replacen("(memory", &format!("(func $l (local {})) (memory", "i64 ".repeat(6_000)), 1);
    let body = core(&add.repeat(200_000));
    for text in [blocks, nested, table, locals, body] {
        let error = refused(&wasm(&text));
        assert_eq!(error.code, ErrorCode::ModuleTooComplex, "{error}");
    }
    for module in [many_functions(50_000), many_segments(25_000), many_exports(6_000)] {
        let error = refused(&module);
        assert_eq!(error.code, ErrorCode::ModuleTooComplex, "{error}");
    }
}

#[test]
fn data_far_apart_in_a_large_memory_is_refused_or_cheap() {
    let (answer, took) = crate::support::timed(|| sandbox().prepare(&many_segments(4_000)));
    assert!(took.as_secs() < 15, "{took:?}");
    if let Err(error) = answer {
        assert!(matches!(error.code, ErrorCode::CompileLimit | ErrorCode::ModuleTooComplex), "{error:?}");
    }
}

/// Returns a command with `count` empty functions.
fn many_functions(count: u32) -> Vec<u8> {
    start_with(count, |_, _| {})
}

/// Returns a command with one-byte data segments spread over 64 MiB.
fn many_segments(count: u32) -> Vec<u8> {
    start_with(1, |module, last| {
        if last {
            let mut data = DataSection::new();
            for n in 0..count {
                let at = (n * 2_677) % (64 << 20);
                data.active(0, &ConstExpr::i32_const(at.try_into().unwrap()), [1]);
            }
            module.section(&data);
        }
    })
}

/// Returns a command that exports one function under `count` names.
fn many_exports(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    types_and_functions(&mut module, 1);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    for n in 0..count {
        exports.export(&format!("e{n}"), ExportKind::Func, 0);
    }
    module.section(&exports);
    bodies(&mut module, 1);
    module.finish()
}

fn start_with(functions: u32, more: impl Fn(&mut Module, bool)) -> Vec<u8> {
    let mut module = Module::new();
    types_and_functions(&mut module, functions);
    let mut memories = MemorySection::new();
    let memory = MemoryType { minimum: 1_024, maximum: None, memory64: false, shared: false, page_size_log2: None };
    memories.memory(memory);
    module.section(&memories);
    more(&mut module, false);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    exports.export("memory", ExportKind::Memory, 0);
    module.section(&exports);
    bodies(&mut module, functions);
    more(&mut module, true);
    module.finish()
}

fn types_and_functions(module: &mut Module, count: u32) {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types);
    let mut functions = FunctionSection::new();
    for _ in 0..count {
        functions.function(0);
    }
    module.section(&functions);
}

fn bodies(module: &mut Module, count: u32) {
    let mut code = CodeSection::new();
    for _ in 0..count {
        let mut body = Function::new([(0, ValType::I32)]);
        body.instructions().end();
        code.function(&body);
    }
    module.section(&code);
}
