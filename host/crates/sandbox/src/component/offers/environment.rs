//! `wasi:cli/environment` of 0.2 and 0.3: the environment with the function's configuration, in place of the engine's,
//! which knows the former alone.

use fusebox_core::capability::Capability;
use wasmtime::{Result, component::Linker};

use super::{Interface, size};
use crate::{
    component::State,
    metered::{CALL, OUTSIDE},
};

pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    linker.allow_shadowing(true);
    for version in ["0.2.12", "0.3.0"] {
        let mut environment = Interface(linker.instance(&format!("wasi:cli/environment@{version}"))?);
        environment.charged("get-environment", cost, |state, ()| Ok((get(state)?,)))?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Fuel of the environment, which is copied, and of reading the configuration.
fn cost(state: &State, (): &()) -> u64 {
    let invocation = &state.run.call.invocation;
    let bytes = invocation.env.iter().map(|(name, value)| 40 + name.len() + value.len()).sum();
    let reads = !state.has_configuration && invocation.grants.has(Capability::Config);
    2 * CALL + size(bytes) + if reads { OUTSIDE } else { 0 }
}

/// Returns the environment; the first call reads the configuration.
fn get(state: &mut State) -> Result<Vec<(String, String)>> {
    if !state.has_configuration {
        let env = &state.run.call.invocation.env;
        let read = state.run.configuration(|name| env.iter().any(|(own, _)| own == name))?;
        state.owed += size(read.iter().map(|(name, value)| name.len() + value.len()).sum());
        state.run.call.invocation.env.extend(read);
        state.has_configuration = true;
    }
    Ok(state.run.call.invocation.env.clone())
}
