//! Memory, input, output, configuration, variables and log of a plug-in.

use bytes::Bytes;
use fusebox_core::capability::{Capability, Expects, HostAnswer, HostCall, KvKey, KvValue, Refusal, SettingName};
use wasmtime::{Caller, Result};

use super::{new_block, word};
use crate::{
    ending::Ending,
    host::Host,
    metered::{charge, copied},
};

/// Most bytes of names and values of a run's own variables, as Extism's default.
const VARIABLES_BYTES_MAX: usize = 1 << 20;
/// Bytes counted for each variable beside its name and value.
const VARIABLE_BYTES: usize = 128;
/// Level from which on plug-ins shall log: information. Extism's numbers go from 0, trace, to 4, error.
const LOG_LEVEL: u32 = 2;

pub(super) fn alloc(caller: &mut Caller<'_, Host>, len: u64) -> Result<u64> {
    let Host { limiter, plugin, .. } = caller.data_mut();
    let budget = limiter.budget();
    Ok(plugin.memory.alloc(len, |more| budget.take(more)))
}

pub(super) fn free(caller: &mut Caller<'_, Host>, at: u64) -> Result<()> {
    let plugin = &mut caller.data_mut().plugin;
    plugin.memory.free(at);
    if at == plugin.input.0 {
        plugin.input.1 = 0;
    }
    Ok(())
}

pub(super) fn length(caller: &mut Caller<'_, Host>, at: u64) -> Result<u64> {
    Ok(caller.data().plugin.memory.len(at))
}

pub(super) fn load_u8(caller: &mut Caller<'_, Host>, at: u64) -> Result<u32> {
    Ok(u32::from(read::<1>(caller, "load_u8", at)?[0]))
}

pub(super) fn load_u64(caller: &mut Caller<'_, Host>, at: u64) -> Result<u64> {
    Ok(u64::from_le_bytes(read(caller, "load_u64", at)?))
}

pub(super) fn store_u8(caller: &mut Caller<'_, Host>, at: u64, value: u32) -> Result<()> {
    write(caller, "store_u8", at, &value.to_le_bytes()[..1])
}

pub(super) fn store_u64(caller: &mut Caller<'_, Host>, at: u64, value: u64) -> Result<()> {
    write(caller, "store_u64", at, &value.to_le_bytes())
}

pub(super) fn input_length(caller: &mut Caller<'_, Host>) -> Result<u64> {
    Ok(caller.data().plugin.input.1)
}

pub(super) fn input_offset(caller: &mut Caller<'_, Host>) -> Result<u64> {
    Ok(caller.data().plugin.input.0)
}

pub(super) fn input_load_u8(caller: &mut Caller<'_, Host>, at: u64) -> Result<u32> {
    let at = of_input(caller, "input_load_u8", at, 1)?;
    load_u8(caller, at)
}

pub(super) fn input_load_u64(caller: &mut Caller<'_, Host>, at: u64) -> Result<u64> {
    let at = of_input(caller, "input_load_u64", at, 8)?;
    load_u64(caller, at)
}

pub(super) fn output_set(caller: &mut Caller<'_, Host>, at: u64, len: u64) -> Result<()> {
    let plugin = &mut caller.data_mut().plugin;
    if len != 0 && plugin.memory.range(at, len).is_none() {
        return Err(outside("output_set", at, len, plugin.memory.size()).into());
    }
    plugin.output = (at, len);
    Ok(())
}

pub(super) fn error_set(caller: &mut Caller<'_, Host>, at: u64) -> Result<()> {
    let plugin = &mut caller.data_mut().plugin;
    if at != 0 && plugin.memory.block(at).is_none() {
        return Err(no_block("error_set", at).into());
    }
    plugin.error = at;
    Ok(())
}

pub(super) fn error_get(caller: &mut Caller<'_, Host>) -> Result<u64> {
    Ok(caller.data().plugin.error)
}

/// Returns a configuration value; 0 if there is none, or the function is not granted its configuration.
pub(super) fn config_get(caller: &mut Caller<'_, Host>, name: u64) -> Result<u64> {
    let name = taken(caller, "config_get", name)?;
    let name = str::from_utf8(&name).ok().and_then(|name| name.parse::<SettingName>().ok());
    let (Some(name), true) = (name, has(caller, Capability::Config)) else { return Ok(0) };
    match caller.data().ask(HostCall::Config(name))? {
        Ok(HostAnswer::Config(value)) => answered(caller, &value),
        Err(Refusal::Absent) | Ok(_) => Ok(0),
        Err(refusal) => Err(refused("config_get", refusal)),
    }
}

/// Returns a variable: an entry of the function's key-value namespace if it is granted, else one of this run.
pub(super) fn var_get(caller: &mut Caller<'_, Host>, name: u64) -> Result<u64> {
    let name = taken(caller, "var_get", name)?;
    if !has(caller, Capability::Kv) {
        return match caller.data().plugin.variables.get(&name[..]).cloned() {
            Some(value) => answered(caller, &value),
            None => Ok(0),
        };
    }
    let key = KvKey::try_from(name).map_err(|refusal| refused("var_get", refusal))?;
    match caller.data().ask(HostCall::KvGet(key))? {
        Ok(HostAnswer::Value { value, .. }) => answered(caller, &value),
        Err(Refusal::Absent) | Ok(_) => Ok(0),
        Err(refusal) => Err(refused("var_get", refusal)),
    }
}

/// Sets a variable, or removes it if the value's address is 0.
pub(super) fn var_set(caller: &mut Caller<'_, Host>, name: u64, value: u64) -> Result<()> {
    let name = taken(caller, "var_set", name)?;
    let value = if value == 0 { None } else { Some(taken(caller, "var_set", value)?) };
    if !has(caller, Capability::Kv) {
        return set_own(caller.data_mut(), &name, value);
    }
    let failed = |refusal| refused("var_set", refusal);
    let key = KvKey::try_from(name).map_err(failed)?;
    let call = match value {
        None => HostCall::KvDelete { key, expects: Expects::Anything },
        Some(value) => {
            let value = KvValue::try_from(value).map_err(failed)?;
            HostCall::KvSet { key, value, ttl: None, expects: Expects::Anything }
        }
    };
    caller.data().ask(call)?.map(drop).map_err(failed)
}

/// Sets a variable of this run, whose bytes count towards its memory.
fn set_own(host: &mut Host, name: &[u8], value: Option<Bytes>) -> Result<()> {
    let Host { limiter, plugin, .. } = host;
    let budget = limiter.budget();
    let size = |value: &Bytes| name.len() + value.len() + VARIABLE_BYTES;
    let before = plugin.variables.get(name).map_or(0, size);
    let after = plugin.variable_bytes - before + value.as_ref().map_or(0, size);
    if after > VARIABLES_BYTES_MAX {
        let message = format!("var_set: the variables of a run have at most {VARIABLES_BYTES_MAX} bytes: grant kv");
        return Err(wasmtime::Error::msg(message));
    }
    if after > plugin.variable_bytes && !budget.take((after - plugin.variable_bytes) as u64) {
        return Err(wasmtime::Error::msg("var_set: the run has no memory for another variable"));
    }
    budget.give(plugin.variable_bytes.saturating_sub(after) as u64);
    plugin.variable_bytes = after;
    match value {
        Some(value) => plugin.variables.insert(name.to_vec(), value),
        None => plugin.variables.remove(name),
    };
    Ok(())
}

pub(super) fn log_error(caller: &mut Caller<'_, Host>, text: u64) -> Result<()> {
    log(caller, "ERROR", text)
}

pub(super) fn log_warn(caller: &mut Caller<'_, Host>, text: u64) -> Result<()> {
    log(caller, "WARN", text)
}

pub(super) fn log_info(caller: &mut Caller<'_, Host>, text: u64) -> Result<()> {
    log(caller, "INFO", text)
}

pub(super) fn log_debug(caller: &mut Caller<'_, Host>, text: u64) -> Result<()> {
    log(caller, "DEBUG", text)
}

pub(super) fn log_trace(caller: &mut Caller<'_, Host>, text: u64) -> Result<()> {
    log(caller, "TRACE", text)
}

fn log(caller: &mut Caller<'_, Host>, level: &str, at: u64) -> Result<()> {
    let Host { log, plugin, .. } = caller.data_mut();
    log.line(level, plugin.memory.block(at).ok_or_else(|| no_block("log", at))?)?;
    plugin.memory.free(at);
    Ok(())
}

pub(super) fn get_log_level(_: &mut Caller<'_, Host>) -> Result<u32> {
    Ok(LOG_LEVEL)
}

/// Copies a block's content and frees it.
pub(super) fn taken(caller: &mut Caller<'_, Host>, call: &str, at: u64) -> Result<Bytes> {
    let memory = &mut caller.data_mut().plugin.memory;
    let bytes = Bytes::copy_from_slice(memory.block(at).ok_or_else(|| no_block(call, at))?);
    memory.free(at);
    Ok(bytes)
}

/// Returns the address of a new block with a result, whose bytes are charged.
pub(super) fn answered(caller: &mut Caller<'_, Host>, bytes: &[u8]) -> Result<u64> {
    charge(caller, copied(word(bytes.len() as u64)))?;
    new_block(caller.data_mut(), bytes)
}

pub(super) fn has(caller: &Caller<'_, Host>, capability: Capability) -> bool {
    caller.data().call.invocation.grants.has(capability)
}

/// Returns the error of a call that the host refused, which ends the run as a trap with this text.
pub(super) fn refused(call: &str, refusal: Refusal) -> wasmtime::Error {
    wasmtime::Error::msg(format!("{call}: {refusal}"))
}

fn read<const N: usize>(caller: &Caller<'_, Host>, call: &str, at: u64) -> Result<[u8; N], Ending> {
    let memory = &caller.data().plugin.memory;
    let found = memory.range(at, N as u64).and_then(|bytes| bytes.first_chunk());
    found.copied().ok_or_else(|| outside(call, at, N as u64, memory.size()))
}

fn write(caller: &mut Caller<'_, Host>, call: &str, at: u64, bytes: &[u8]) -> Result<()> {
    let memory = &mut caller.data_mut().plugin.memory;
    let size = memory.size();
    let place = memory.range_mut(at, bytes.len() as u64);
    place.ok_or_else(|| outside(call, at, bytes.len() as u64, size))?.copy_from_slice(bytes);
    Ok(())
}

/// Returns the address of a part of the input.
fn of_input(caller: &Caller<'_, Host>, call: &str, at: u64, len: u64) -> Result<u64, Ending> {
    let (start, total) = caller.data().plugin.input;
    match at.checked_add(len) {
        Some(end) if end <= total => Ok(start + at),
        _ => Err(Ending::BadPointer(format!("{call}: {len} bytes at {at} are outside the input of {total} bytes"))),
    }
}

fn outside(call: &str, at: u64, len: u64, size: usize) -> Ending {
    Ending::BadPointer(format!("{call}: {len} bytes at {at:#x} are outside the shared memory of {size} bytes"))
}

fn no_block(call: &str, at: u64) -> Ending {
    Ending::BadPointer(format!("{call}: there is no block at {at:#x}"))
}
