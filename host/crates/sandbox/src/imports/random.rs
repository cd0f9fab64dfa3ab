//! `random(ptr, len)`: fills a buffer of at most 64 KiB with unpredictable bytes.

use fusebox_core::limits::RANDOM_BYTES_MAX;
use wasmtime::{Caller, Result};

use super::bytes_at;
use crate::{ending::Ending, host::Host};

pub(super) fn random(caller: &mut Caller<'_, Host>, ptr: u32, len: u32) -> Result<()> {
    if len > RANDOM_BYTES_MAX {
        let reason = format!("random: {len} bytes exceed the {RANDOM_BYTES_MAX} of one call");
        return Err(Ending::BadPointer(reason).into());
    }
    let (buffer, _) = bytes_at(caller, "random", ptr, len)?;
    getrandom::fill(buffer).map_err(|error| wasmtime::Error::msg(error.to_string()))
}
