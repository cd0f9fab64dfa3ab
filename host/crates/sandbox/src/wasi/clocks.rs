//! Clocks and random numbers.

use wasmtime::{Caller, Result};

use super::{
    errno::{Answer, BADF, INVAL, answer},
    guest::guest,
};
use crate::{host::Host, time};

/// Clock of the date.
pub(super) const REALTIME: u32 = 0;
/// Clock that is never set.
pub(super) const MONOTONIC: u32 = 1;
/// Maximum number of random bytes in one call.
pub(super) const RANDOM_BYTES_MAX: u32 = 1 << 20;

/// Returns the time of a clock in nanoseconds.
///
/// # Errors
/// `BADF` for the clocks of CPU time, which the receipt has.
pub(super) fn now(clock: u32) -> Answer<u64> {
    match clock {
        REALTIME => Ok(time::unix_ns()),
        MONOTONIC => Ok(time::monotonic_ns()),
        2 | 3 => Err(BADF.into()),
        _ => Err(INVAL.into()),
    }
}

pub(super) fn resolution(caller: &mut Caller<'_, Host>, clock: u32, at: u32) -> Result<i32> {
    answer(|| now(clock).and_then(|_| guest(caller)?.put_u64(at, time::RESOLUTION_NS)))
}

pub(super) fn read(caller: &mut Caller<'_, Host>, clock: u32, _precision: i64, at: u32) -> Result<i32> {
    answer(|| now(clock).and_then(|now| guest(caller)?.put_u64(at, now)))
}

pub(super) fn random(caller: &mut Caller<'_, Host>, at: u32, len: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let buffer = guest.bytes(at, len)?;
        if len > RANDOM_BYTES_MAX {
            return Err(INVAL.into());
        }
        getrandom::fill(buffer).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
        Ok(())
    })
}
