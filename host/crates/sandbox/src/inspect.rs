//! Checks of a module before compilation: that it is core wasm, stays within the structural limits, is valid, follows
//! an ABI, and imports only functions that are provided. Done in a single pass, in time linear in its size.

use fusebox_core::{
    error::ErrorCode,
    function::Abi,
    limits::{
        BR_TABLE_TARGETS_MAX, DATA_SEGMENTS_MAX, FUNCTION_BLOCKS_MAX, FUNCTION_BODY_BYTES_MAX, FUNCTION_LOCALS_MAX,
        FUNCTION_NESTING_MAX, MODULE_BYTES_MAX, MODULE_FUNCTIONS_MAX, MODULE_ITEMS_MAX,
    },
};
use wasmparser::{
    BinaryReaderError, Encoding, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef, ValidPayload,
    Validator, WasmFeatures,
};

use crate::{Inspected, ModuleError, imports, wasi};

mod abi;
mod constants;
mod shape;

/// Features that the engine is configured for; modules that use others are invalid.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
}

/// Inspects a module. `memory_bytes_max` is the ceiling of a run's memory.
pub(crate) fn inspect(wasm: &[u8], memory_bytes_max: u64) -> Result<Inspected, ModuleError> {
    shape::check(wasm)?;
    let mut module = abi::Surface::default();
    let mut constants = constants::Constants::default();
    let mut validator = Validator::new_with_features(features());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        check_counts(&payload)?;
        constants.count(&payload, memory_bytes_max)?;
        module.note(&payload)?;
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(function, body) => {
                check_body(&body)?;
                function.into_validator(Default::default()).validate(&body).map_err(invalid)?;
            }
            ValidPayload::End(types) => {
                let abi = module.abi(&types)?;
                let digest = crate::digest(wasm);
                return Ok(Inspected { digest, abi, needs: module.needs() });
            }
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
    }
    Err(error(ErrorCode::InvalidModule, "the module is cut off before its end"))
}

/// Counts precede the items, so a module with too many is rejected without reading them.
fn check_counts(payload: &Payload<'_>) -> Result<(), ModuleError> {
    let (what, found, most) = match payload {
        Payload::TypeSection(section) => ("types", section.count(), MODULE_ITEMS_MAX),
        Payload::ImportSection(section) => ("imports", section.count(), MODULE_ITEMS_MAX),
        Payload::FunctionSection(section) => ("functions", section.count(), MODULE_FUNCTIONS_MAX),
        Payload::GlobalSection(section) => ("globals", section.count(), MODULE_ITEMS_MAX),
        Payload::ExportSection(section) => ("exports", section.count(), MODULE_ITEMS_MAX),
        Payload::ElementSection(section) => ("element segments", section.count(), MODULE_ITEMS_MAX),
        Payload::DataSection(section) => ("data segments", section.count(), DATA_SEGMENTS_MAX),
        Payload::DataCountSection { count, .. } => ("data segments", *count, DATA_SEGMENTS_MAX),
        Payload::MemorySection(section) => ("memories", section.count(), 1),
        Payload::TableSection(section) => ("tables", section.count(), 1),
        _ => return Ok(()),
    };
    if found > most { Err(too_complex(&format!("{found} {what}"), most.into())) } else { Ok(()) }
}

fn check_body(body: &FunctionBody<'_>) -> Result<(), ModuleError> {
    let at = body.range().start;
    let bytes = (body.range().end - at) as u64;
    if bytes > FUNCTION_BODY_BYTES_MAX {
        return Err(too_complex(&format!("a function of {bytes} bytes at offset {at:#x}"), FUNCTION_BODY_BYTES_MAX));
    }
    let mut locals = 0_u32;
    for group in body.get_locals_reader().map_err(invalid)? {
        locals = locals.saturating_add(group.map_err(invalid)?.0);
    }
    if locals > FUNCTION_LOCALS_MAX {
        let found = format!("a function with {locals} locals at offset {at:#x}");
        return Err(too_complex(&found, FUNCTION_LOCALS_MAX.into()));
    }
    let (mut blocks, mut depth) = (0_u32, 0_u32);
    let mut operators = body.get_operators_reader().map_err(invalid)?;
    while !operators.eof() {
        match operators.read().map_err(invalid)? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                blocks += 1;
                depth += 1;
            }
            Operator::End => depth = depth.saturating_sub(1),
            Operator::BrTable { targets } if targets.len() > BR_TABLE_TARGETS_MAX => {
                let found = format!("a branch table of {} targets", targets.len());
                return Err(too_complex(&found, BR_TABLE_TARGETS_MAX.into()));
            }
            _ => {}
        }
        if blocks > FUNCTION_BLOCKS_MAX {
            let found = format!("a function with more than {FUNCTION_BLOCKS_MAX} blocks at offset {at:#x}");
            return Err(too_complex(&found, FUNCTION_BLOCKS_MAX.into()));
        }
        if depth > FUNCTION_NESTING_MAX {
            let found = format!("blocks nested deeper than {FUNCTION_NESTING_MAX} at offset {at:#x}");
            return Err(too_complex(&found, FUNCTION_NESTING_MAX.into()));
        }
    }
    Ok(())
}

fn error(code: ErrorCode, message: impl Into<String>) -> ModuleError {
    ModuleError { code, message: message.into() }
}

fn too_complex(found: &str, most: u64) -> ModuleError {
    let message = format!("the module has {found}, and the maximum is {most}: split it, or optimise it for size");
    error(ErrorCode::ModuleTooComplex, message)
}

fn invalid(reason: BinaryReaderError) -> ModuleError {
    let message = format!("the module is not valid: {} at offset {:#x}", reason.message(), reason.offset());
    error(ErrorCode::InvalidModule, message)
}
