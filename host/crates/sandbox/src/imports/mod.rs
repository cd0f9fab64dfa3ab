//! Imports of guests from module `fusebox`: one file for each capability, and one table row for each function with its
//! cost in fuel. Pointers and lengths are checked against the guest's memory before use.
//!
//! Grants of a module's imports are checked once, before its instance is created: see `run`.

use bytes::Bytes;
use fusebox_core::capability::{Capability, HostAnswer, HostCall, Refusal};
use wasmtime::{Caller, Extern, Memory, Result};

use crate::{
    ending::Ending,
    host::Host,
    metered::{CALL, OUTSIDE, charge, copied, drawn, logged, metered},
};

mod answer;
mod clock;
mod config;
mod context;
mod fail;
mod http;
mod kv;
mod log;
mod random;
mod secret;
#[cfg(test)]
mod tests;

/// Module name that guests import from.
pub(crate) const MODULE: &str = "fusebox";

metered! {
    MODULE;
    "answer"(ptr: u32, cap: u32) -> u32, costs CALL + copied(cap), does answer::answer;
    "clock"() -> i64, costs CALL, does clock::clock;
    "config" needs Config (ptr: u32, len: u32) -> i64, costs OUTSIDE + copied(len), does config::config;
    // It formats five lines each time.
    "context"(ptr: u32, cap: u32) -> u32, costs 3 * CALL + copied(cap), does context::context;
    "fail"(ptr: u32, len: u32) -> (), costs CALL + copied(len), does fail::fail;
    "http" needs Http (ptr: u32, len: u32) -> i64, costs OUTSIDE + copied(len), does http::http;
    "kv_get" needs Kv (ptr: u32, len: u32) -> i64, costs OUTSIDE + copied(len), does kv::get;
    "kv_set" needs Kv (ptr: u32, len: u32, value_ptr: u32, value_len: u32, ttl_ms: i64, expects: i64) -> i64,
        costs OUTSIDE + copied(len) + copied(value_len),
        does kv::set;
    "kv_delete" needs Kv (ptr: u32, len: u32, expects: i64) -> i64, costs OUTSIDE + copied(len), does kv::delete;
    "kv_keys" needs Kv (ptr: u32, len: u32, after_ptr: u32, after_len: u32) -> i64,
        costs OUTSIDE + copied(len) + copied(after_len),
        does kv::keys;
    "log"(level: u32, ptr: u32, len: u32) -> (), costs 2 * CALL + logged(len), does log::log;
    // It makes a system call.
    "random"(ptr: u32, len: u32) -> (), costs 4 * CALL + drawn(len), does random::random;
    "secret" needs Secrets (ptr: u32, len: u32) -> i64, costs OUTSIDE + copied(len), does secret::secret;
}

/// Returns the names of the functions provided.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OFFERED.iter().map(|(name, _)| *name)
}

/// Returns the capability that an import requires.
pub(crate) fn needs(name: &str) -> Option<Capability> {
    OFFERED.iter().find(|(offered, _)| *offered == name).and_then(|(_, needs)| needs.first().copied())
}

/// Makes a host call. A result with content is kept for `answer`, and its length is returned; a revision, a boolean or
/// a refusal is returned directly, and nothing is kept.
fn ask(caller: &mut Caller<'_, Host>, call: Result<HostCall, Refusal>) -> Result<i64> {
    caller.data_mut().answer = Bytes::new();
    let answer = match call {
        Ok(call) => caller.data().ask(call)?,
        Err(refusal) => Err(refusal),
    };
    let kept = match answer {
        Err(refusal) => return Ok(refusal.code()),
        Ok(HostAnswer::Set(revision)) => return Ok(i64::try_from(revision).unwrap_or(i64::MAX)),
        Ok(HostAnswer::Deleted(there)) => return Ok(there.into()),
        Ok(HostAnswer::Config(value) | HostAnswer::Http(value)) => value,
        Ok(HostAnswer::Secret(secret)) => secret.0,
        Ok(HostAnswer::Value { revision, value }) => [&revision.to_le_bytes(), &value[..]].concat().into(),
        Ok(HostAnswer::Keys { keys, next }) => kv::listed(&keys, &next),
        // No import asks for them.
        Ok(HostAnswer::Configs(_)) => return Ok(Refusal::Unavailable.code()),
    };
    charge(caller, copied(u32::try_from(kept.len()).unwrap_or(u32::MAX)))?;
    let len = i64::try_from(kept.len())?;
    caller.data_mut().answer = kept;
    Ok(len)
}

/// Copies the bytes a guest points at. The run ends if they are outside its memory; the call is refused before copying
/// if `check` rejects the length.
fn bounded<T: TryFrom<Bytes, Error = Refusal>>(
    caller: &mut Caller<'_, Host>,
    call: &str,
    ptr: u32,
    len: u32,
    check: fn(usize) -> Result<(), Refusal>,
) -> Result<Result<T, Refusal>> {
    let (bytes, _) = bytes_at(caller, call, ptr, len)?;
    Ok(check(bytes.len()).and_then(|()| Bytes::copy_from_slice(bytes).try_into()))
}

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(Ending::BadPointer("the module exports no memory named \"memory\"".to_owned()).into()),
    }
}

/// Returns the bytes a guest points at.
fn bytes_at<'a>(
    caller: &'a mut Caller<'_, Host>,
    call: &str,
    ptr: u32,
    len: u32,
) -> Result<(&'a mut [u8], &'a mut Host)> {
    let memory = memory(caller)?;
    let (data, host) = memory.data_and_store_mut(caller);
    Ok((checked(data, call, ptr, len)?, host))
}

/// Returns a range of a memory if it is inside.
pub(crate) fn checked<'a>(memory: &'a mut [u8], call: &str, ptr: u32, len: u32) -> Result<&'a mut [u8], Ending> {
    let size = memory.len();
    let range = usize::try_from(ptr).ok().and_then(|start| Some(start..start.checked_add(usize::try_from(len).ok()?)?));
    range.and_then(|range| memory.get_mut(range)).ok_or_else(|| {
        Ending::BadPointer(format!("{call}: {len} bytes at {ptr:#x} are outside the memory of {size} bytes"))
    })
}
