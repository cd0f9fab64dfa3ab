//! `secret(name_ptr, name_len) -> i64`: a secret of the function; the length of the answer, or a refusal.

use fusebox_core::capability::{Call, Refusal, SettingName};
use wasmtime::{Caller, Linker, Result};

use super::{ask, bytes_at};
use crate::host::{Host, charge_outside};

pub(super) const NAME: &str = "secret";

pub(super) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(super::MODULE, NAME, |mut caller: Caller<'_, Host>, ptr: u32, len: u32| -> Result<i64> {
        charge_outside(&mut caller, len.into())?;
        let (name, _) = bytes_at(&mut caller, NAME, ptr, len)?;
        let name = str::from_utf8(name).ok().and_then(|name| name.parse::<SettingName>().ok());
        ask(&mut caller, name.map(Call::Secret).ok_or(Refusal::Invalid))
    })?;
    Ok(())
}
