//! `random(ptr, len)`: fills with unpredictable bytes, at most 64 KiB a call.

use fusebox_core::limits::RANDOM_BYTES_MAX;
use wasmtime::{Caller, Linker, Result};

use super::bytes_at;
use crate::{
    ending::Ending,
    host::{Host, charge},
};

pub(super) const NAME: &str = "random";

pub(super) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(super::MODULE, NAME, |mut caller: Caller<'_, Host>, ptr: u32, len: u32| -> Result<()> {
        // The system makes about a byte in 3 ns: dearer than a copy.
        charge(&mut caller, u64::from(len) * 32)?;
        if len > RANDOM_BYTES_MAX {
            let reason = format!("random: {len} bytes are above the {RANDOM_BYTES_MAX} of one call");
            return Err(Ending::BadPointer(reason).into());
        }
        let (buffer, _) = bytes_at(&mut caller, NAME, ptr, len)?;
        getrandom::fill(buffer).map_err(|error| wasmtime::Error::msg(error.to_string()))
    })?;
    Ok(())
}
