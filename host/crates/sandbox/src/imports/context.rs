//! `context(ptr, cap) -> len`: the guest-visible properties of the call as five lines of text: task id (empty for a
//! sync invoke), attempt, deadline in Unix milliseconds, tenant, function name. Writes at most `cap` bytes and returns
//! the full length.

use wasmtime::{Caller, Result};

use super::bytes_at;
use crate::{Call, host::Host};

pub(super) fn context(caller: &mut Caller<'_, Host>, ptr: u32, cap: u32) -> Result<u32> {
    let text = text(caller.data());
    let (buffer, _) = bytes_at(caller, "context", ptr, cap)?;
    buffer.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    Ok(u32::try_from(text.len()).unwrap_or(u32::MAX))
}

fn text(host: &Host) -> String {
    let Call { task, attempt, deadline, invocation, .. } = &host.call;
    let task = task.map(|task| task.to_string()).unwrap_or_default();
    format!("{task}\n{attempt}\n{}\n{}\n{}\n", deadline.0, invocation.tenant, invocation.function)
}
