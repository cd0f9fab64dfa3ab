//! Proposals of WebAssembly that a module may use, and remedies for those that it may not. `SECURITY.md` gives the
//! reason for each.

use wasmparser::{Error, WasmFeatures};

use super::{DOCS, error};
use crate::ModuleError;
use fusebox_core::error::ErrorCode;

/// Features that a module may use. The engine is configured for more, which the modules of a component need among
/// themselves.
pub(crate) const ON: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXCEPTIONS)
    // References to objects of the host; objects of the guest's own need `GC`.
    .union(WasmFeatures::GC_TYPES);

/// Proposals that a module may not use, each with the options of toolchains that avoid it.
const OFF: &[(WasmFeatures, &str, &str)] = &[
    (
        WasmFeatures::THREADS,
        "threads or shared memory",
        "build it without -pthread and without the target feature atomics",
    ),
    (WasmFeatures::MEMORY64, "memory of 64 bits", "build it for wasm32, without -sMEMORY64"),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "exceptions in their old form",
        "build it with -mllvm -wasm-use-legacy-eh=false, or convert it with wasm-opt --translate-to-exnref",
    ),
    (
        WasmFeatures::GC,
        "objects for a garbage collector",
        "use a toolchain that keeps its objects in linear memory, and wasm-opt without --enable-gc",
    ),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "typed references to functions",
        "build it without -mgc, and wasm-opt without --enable-gc",
    ),
    (WasmFeatures::MULTI_MEMORY, "several memories", "link it with one, and wasm-opt without --enable-multimemory"),
    (WasmFeatures::WIDE_ARITHMETIC, "numbers of 128 bits", "build it without the target feature wide-arithmetic"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "memory pages of another size", "build it without the option --page-size"),
    (WasmFeatures::STACK_SWITCHING, "stack switching", "build it without that proposal"),
];

/// Returns the refusal of a module that is not valid.
pub(super) fn refusal(reason: &Error) -> ModuleError {
    let (text, at) = (reason.message(), reason.offset());
    let missing = reason.missing_wasm_feature();
    match missing.and_then(|missing| OFF.iter().find(|(feature, ..)| missing.intersects(*feature))) {
        Some((_, uses, remedy)) => {
            let message = format!("the module uses {uses} at offset {at:#x}: {remedy}, see {DOCS}#proposals");
            error(ErrorCode::InvalidModule, message)
        }
        None => error(ErrorCode::InvalidModule, format!("the module is not valid: {text} at offset {at:#x}")),
    }
}
