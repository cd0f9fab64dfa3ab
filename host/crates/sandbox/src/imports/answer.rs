//! `answer(ptr, cap) -> len`: the answer to the last call that had one. Writes at most `cap` bytes and gives the whole
//! length, 0 where there is none.

use wasmtime::{Caller, Linker, Result};

use super::bytes_at;
use crate::host::{Host, charge};

pub(super) const NAME: &str = "answer";

pub(super) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(super::MODULE, NAME, |mut caller: Caller<'_, Host>, ptr: u32, cap: u32| -> Result<u32> {
        charge(&mut caller, cap.into())?;
        let (buffer, host) = bytes_at(&mut caller, NAME, ptr, cap)?;
        buffer.iter_mut().zip(host.answer.iter()).for_each(|(to, from)| *to = *from);
        Ok(u32::try_from(host.answer.len()).unwrap_or(u32::MAX))
    })?;
    Ok(())
}
