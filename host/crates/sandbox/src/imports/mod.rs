//! What a guest may import from module `fusebox`: one capability a file. Each call is charged in fuel, by the call and
//! by the byte; each pointer and length is checked against the guest's memory before it is used.

use wasmtime::{Caller, Extern, Linker, Memory, Result};

use crate::{ending::Ending, host::Host};

mod clock;
mod context;
mod fail;
mod log;
mod random;

/// The module that guests import from.
pub(crate) const MODULE: &str = "fusebox";
/// What it offers, granted to every function.
pub(crate) const NAMES: [&str; 5] = [clock::NAME, context::NAME, fail::NAME, log::NAME, random::NAME];

/// Adds every capability.
pub(crate) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    clock::add_to(linker)?;
    context::add_to(linker)?;
    fail::add_to(linker)?;
    log::add_to(linker)?;
    random::add_to(linker)
}

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(Ending::BadPointer("the module exports no memory named \"memory\"".to_owned()).into()),
    }
}

/// The bytes a guest points at.
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

/// The part of a memory that a guest names, if it is inside.
pub(crate) fn checked<'a>(memory: &'a mut [u8], call: &str, ptr: u32, len: u32) -> Result<&'a mut [u8], Ending> {
    let size = memory.len();
    let range = usize::try_from(ptr).ok().and_then(|start| Some(start..start.checked_add(usize::try_from(len).ok()?)?));
    range.and_then(|range| memory.get_mut(range)).ok_or_else(|| {
        Ending::BadPointer(format!("{call}: {len} bytes at {ptr:#x} are outside the memory of {size} bytes"))
    })
}
