//! `fail(ptr, len)`: ends the run as a guest error with these bytes. How a guest that cannot unwind reports a panic.

use bytes::Bytes;
use wasmtime::{Caller, Linker, Result};

use super::bytes_at;
use crate::{
    ending::Ending,
    host::{Host, charge},
};

pub(super) const NAME: &str = "fail";

pub(super) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(super::MODULE, NAME, |mut caller: Caller<'_, Host>, ptr: u32, len: u32| -> Result<()> {
        charge(&mut caller, len.into())?;
        let (error, host) = bytes_at(&mut caller, NAME, ptr, len)?;
        // An error is output: the same limit holds, and what is above it is cut, since the run is over anyway.
        let kept = usize::try_from(host.limits.output_bytes).unwrap_or(usize::MAX).min(error.len());
        Err(Ending::Failed(Bytes::copy_from_slice(&error[..kept])).into())
    })?;
    Ok(())
}
