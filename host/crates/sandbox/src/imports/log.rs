//! `log(level, ptr, len)`: appends a line to the run's log. Levels: 1 error, 2 warn, 3 info, 4 debug, 5 trace.

use wasmtime::{Caller, Result};

use super::bytes_at;
use crate::host::Host;

pub(super) fn log(caller: &mut Caller<'_, Host>, level: u32, ptr: u32, len: u32) -> Result<()> {
    let (text, host) = bytes_at(caller, "log", ptr, len)?;
    let level = match level {
        1 => "ERROR",
        2 => "WARN",
        3 => "INFO",
        4 => "DEBUG",
        _ => "TRACE",
    };
    Ok(host.log.line(level, text)?)
}
