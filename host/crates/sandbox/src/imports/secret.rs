//! `secret(name_ptr, name_len) -> i64`: reads a secret of the function; returns the length of the result, or a refusal.

use fusebox_core::capability::{HostCall, Refusal, SettingName};
use wasmtime::{Caller, Result};

use super::{ask, bytes_at};
use crate::host::Host;

pub(super) fn secret(caller: &mut Caller<'_, Host>, ptr: u32, len: u32) -> Result<i64> {
    let (name, _) = bytes_at(caller, "secret", ptr, len)?;
    let name = str::from_utf8(name).ok().and_then(|name| name.parse::<SettingName>().ok());
    ask(caller, name.map(HostCall::Secret).ok_or(Refusal::Invalid))
}
