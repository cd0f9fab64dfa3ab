//! `clock() -> i64`: Unix time in milliseconds. Coarse, so that it cannot be used to time other guests.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::{Caller, Result};

use crate::host::Host;

pub(super) fn clock(_: &mut Caller<'_, Host>) -> Result<i64> {
    Ok(unix_ms())
}

#[expect(clippy::disallowed_methods, reason = "a guest's clock is the machine's; tests check its bounds only")]
fn unix_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
