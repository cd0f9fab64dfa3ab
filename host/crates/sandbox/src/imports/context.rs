//! `context(ptr, cap) -> len`: what the guest may know of its own call, as five lines of text: task id (empty for a sync
//! invoke), attempt, deadline in Unix milliseconds, tenant, function name. Writes at most `cap` bytes and answers the
//! whole length.

use wasmtime::{Caller, Linker, Result};

use super::bytes_at;
use crate::host::{Host, charge};

pub(super) const NAME: &str = "context";

pub(super) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(super::MODULE, NAME, |mut caller: Caller<'_, Host>, ptr: u32, cap: u32| -> Result<u32> {
        charge(&mut caller, cap.into())?;
        let text = text(caller.data());
        let (buffer, _) = bytes_at(&mut caller, NAME, ptr, cap)?;
        buffer.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Ok(u32::try_from(text.len()).unwrap_or(u32::MAX))
    })?;
    Ok(())
}

fn text(host: &Host) -> String {
    let context = &host.context;
    let task = context.task.map(|task| task.to_string()).unwrap_or_default();
    format!("{task}\n{}\n{}\n{}\n{}\n", context.attempt, context.deadline.0, context.tenant, context.function)
}
