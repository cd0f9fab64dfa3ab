//! Detects the format of an upload by its first bytes, and suggests a remedy for anything but wasm.

use super::*;
use wasmtime::Engine;

/// Rejects everything but a core module or a component of acceptable size.
pub(super) fn check(wasm: &[u8], bytes_max: u64) -> Result<(), ModuleError> {
    if wasm.len() as u64 > bytes_max {
        return Err(error(
            ErrorCode::PayloadTooLarge,
            format!("the module has {} bytes, and the maximum is {bytes_max}", wasm.len()),
        ));
    }
    if wasm.is_empty() {
        return Err(error(ErrorCode::InvalidModule, "the module is empty: send the bytes of a .wasm file"));
    }
    if Engine::detect_precompiled(wasm).is_some() {
        let message = "the module is precompiled native code, which is never accepted: send the .wasm file";
        return Err(error(ErrorCode::UnsupportedModule, message));
    }
    if Parser::is_core_wasm(wasm) || Parser::is_component(wasm) {
        return Ok(());
    }
    Err(not_wasm(wasm))
}

fn not_wasm(bytes: &[u8]) -> ModuleError {
    let text = bytes.trim_ascii_start();
    let (code, what) = if text.starts_with(b"(") || text.starts_with(b";;") {
        (ErrorCode::UnsupportedModule, "WebAssembly text: turn it into a .wasm file first, for example with wat2wasm")
    } else if bytes.starts_with(b"\x7fELF") {
        (ErrorCode::UnsupportedModule, "a native program: compile it to WebAssembly, for example for wasm32-wasip1")
    } else if bytes.starts_with(b"\x80") {
        (ErrorCode::UnsupportedModule, "a Python pickle: compile the function to WebAssembly instead")
    } else if bytes.starts_with(b"PK") || bytes.starts_with(b"\x1f\x8b") {
        (ErrorCode::UnsupportedModule, "an archive: send the .wasm file itself, not compressed")
    } else if b"\0asm".starts_with(&bytes[..bytes.len().min(4)]) || bytes.starts_with(b"\0asm") {
        (ErrorCode::InvalidModule, "WebAssembly of an unknown version, or cut off within its first eight bytes")
    } else {
        (ErrorCode::InvalidModule, "not WebAssembly: a .wasm file starts with the bytes 00 61 73 6d 01 00 00 00")
    };
    error(code, format!("the payload is {what}"))
}
