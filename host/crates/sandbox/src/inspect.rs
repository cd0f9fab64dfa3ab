//! Checks of a module before compilation: that it is wasm, stays within the limits, is valid, follows an ABI, and
//! imports only functions that are provided. Done in a single pass, in time linear in its size. The limits bound what a
//! module costs to compile, store and instantiate, after what [`crate::trim`] removes.

use fusebox_core::{
    error::ErrorCode,
    function::Abi,
    limits::{MODULE_ITEMS_MAX, TABLES_MAX},
};
use wasmparser::{Error, ExternalKind, Parser, Payload, TypeRef, ValidPayload, Validator};

use crate::{Inspected, ModuleError, ModuleLimits, component, extism, imports, named, wasi};

mod abi;
pub(crate) mod constants;
pub(crate) mod cost;
pub(crate) mod proposals;
mod shape;
mod toolchain;

/// Page about toolchains, to which refusals refer.
const DOCS: &str = "https://github.com/fusebox/fusebox/blob/main/docs/toolchains.md";

/// Inspects a module. `memory_bytes_max` is the ceiling of a run's memory.
pub(crate) fn inspect(wasm: &[u8], limits: ModuleLimits, memory_bytes_max: u64) -> Result<Inspected, ModuleError> {
    shape::check(wasm, limits.bytes)?;
    if Parser::is_component(wasm) {
        return component::inspect(wasm, limits, memory_bytes_max);
    }
    examined(wasm, limits, memory_bytes_max).map_err(|error| toolchain::refusal(wasm).unwrap_or(error))
}

fn examined(wasm: &[u8], limits: ModuleLimits, memory_bytes_max: u64) -> Result<Inspected, ModuleError> {
    let mut module = abi::Surface::default();
    let mut constants = constants::Constants::default();
    let mut cost = cost::Cost::new(limits);
    let mut validator = Validator::new_with_features(proposals::ON);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        check_counts(&payload)?;
        cost.count(&payload)?;
        constants.count(&payload, memory_bytes_max)?;
        module.note(&payload)?;
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(function, body) => {
                cost.add(&body)?;
                function.into_validator(Default::default()).validate(&body).map_err(invalid)?;
            }
            ValidPayload::End(types) => {
                let abi = module.abi(&types)?;
                let digest = crate::digest(wasm);
                return Ok(Inspected { digest, abi, needs: module.needs(), code_bytes: cost.code_bytes() });
            }
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
    }
    Err(error(ErrorCode::InvalidModule, "the module is cut off before its end"))
}

/// Returns whether the bytes are those of a component.
pub(crate) fn is_component(wasm: &[u8]) -> bool {
    Parser::is_component(wasm)
}

/// Counts precede the items, so a module with too many is rejected without reading them.
pub(crate) fn check_counts(payload: &Payload<'_>) -> Result<(), ModuleError> {
    let (what, found, most) = match payload {
        Payload::TypeSection(section) => ("types", section.count(), MODULE_ITEMS_MAX),
        Payload::ImportSection(section) => ("imports", section.count(), MODULE_ITEMS_MAX),
        Payload::GlobalSection(section) => ("globals", section.count(), MODULE_ITEMS_MAX),
        Payload::TagSection(section) => ("tags", section.count(), MODULE_ITEMS_MAX),
        Payload::ExportSection(section) => ("exports", section.count(), MODULE_ITEMS_MAX),
        Payload::ElementSection(section) => ("element segments", section.count(), MODULE_ITEMS_MAX),
        Payload::MemorySection(section) => ("memories", section.count(), 1),
        Payload::TableSection(section) => ("tables", section.count(), TABLES_MAX),
        _ => return Ok(()),
    };
    if found > most { Err(too_complex(&format!("{found} {what}"), most.into())) } else { Ok(()) }
}

pub(crate) fn error(code: ErrorCode, message: impl Into<String>) -> ModuleError {
    ModuleError { code, message: message.into() }
}

pub(crate) fn too_complex(found: &str, most: u64) -> ModuleError {
    let message = format!("the module has {found}, and the maximum is {most}: split it, or optimise it for size");
    error(ErrorCode::ModuleTooComplex, message)
}

pub(crate) fn invalid(reason: Error) -> ModuleError {
    proposals::refusal(&reason)
}
