//! `fail(ptr, len)`: ends the run as a guest error with these bytes. Used by guests without unwinding to report a
//! panic.

use bytes::Bytes;
use wasmtime::{Caller, Result};

use super::bytes_at;
use crate::{ending::Ending, host::Host};

pub(super) fn fail(caller: &mut Caller<'_, Host>, ptr: u32, len: u32) -> Result<()> {
    let (error, host) = bytes_at(caller, "fail", ptr, len)?;
    // An error counts as output, so the same limit applies; the excess is truncated, since the run is over anyway.
    let kept = usize::try_from(host.limits.output_bytes).unwrap_or(usize::MAX).min(error.len());
    Err(Ending::Failed(Bytes::copy_from_slice(&error[..kept])).into())
}
