//! `clock() -> i64`: Unix time in milliseconds. Coarse, so that it cannot be used to time other guests.

use wasmtime::{Caller, Result};

use crate::{host::Host, time};

pub(super) fn clock(_: &mut Caller<'_, Host>) -> Result<i64> {
    Ok(i64::try_from(time::unix_ms()).unwrap_or(i64::MAX))
}
