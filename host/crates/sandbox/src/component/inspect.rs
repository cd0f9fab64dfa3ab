//! Checks of a component before compilation: within the structural limits, valid, of a world that this host runs, and
//! with imports that it provides.

use fusebox_core::error::ErrorCode;
use wasmparser::{Parser, ValidPayload, Validator, WasmFeatures};

use super::{shape::Shape, surface::Surface};
use crate::{
    Inspected, ModuleError, ModuleLimits,
    inspect::{self, constants::Constants, cost::Cost, error, invalid, proposals},
};

/// Inspects a component. `memory_bytes_max` is the ceiling of a run's memory.
pub(crate) fn inspect(wasm: &[u8], limits: ModuleLimits, memory_bytes_max: u64) -> Result<Inspected, ModuleError> {
    let (mut shape, mut surface, mut constants) = (Shape::default(), Surface::default(), Constants::default());
    // The engine's own adapters use several memories; modules of an upload may not.
    let features = proposals::ON | WasmFeatures::COMPONENT_MODEL | WasmFeatures::CM_ASYNC | WasmFeatures::TAIL_CALL;
    let mut validator = Validator::new_with_features(features);
    let mut cost = Cost::new(limits);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        shape.count(&payload)?;
        if shape.is_module() {
            inspect::check_counts(&payload)?;
            cost.count(&payload)?;
            constants.count(&payload, memory_bytes_max)?;
        } else if shape.is_outermost() {
            surface.note(&payload)?;
        }
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(function, body) => {
                cost.add(&body)?;
                function.into_validator(Default::default()).validate(&body).map_err(invalid)?;
            }
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
        }
    }
    if !shape.is_closed() {
        return Err(error(ErrorCode::InvalidModule, "the component is cut off before its end"));
    }
    let (abi, needs) = surface.verdict()?;
    Ok(Inspected { digest: crate::digest(wasm), abi, needs, code_bytes: cost.code_bytes() })
}
