//! Arguments and environment.

use wasmtime::{Caller, Result};

use super::{errno::answer, guest::guest};
use crate::{host::Host, metered::CALL};

/// Lists of texts that a run starts with.
#[derive(Clone, Copy)]
pub(super) enum List {
    /// The program's name, the version's arguments, and the request's.
    Args,
    /// `NAME=VALUE`.
    Env,
}

/// Fuel of a call on texts, which are copied.
pub(super) fn cost(caller: &mut Caller<'_, Host>, list: List) -> u64 {
    let texts = caller.data().wasi.as_ref().map(|wasi| wasi.texts(list)).unwrap_or_default();
    2 * CALL + texts.iter().map(|text| 20 + text.len() as u64 / 4).sum::<u64>()
}

/// Writes the number of texts, and their size with a zero byte each.
pub(super) fn sizes(caller: &mut Caller<'_, Host>, list: List, count_at: u32, size_at: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let texts = guest.wasi.texts(list);
        let size: usize = texts.iter().map(|text| text.len() + 1).sum();
        let (count, size) = (u32::try_from(texts.len()), u32::try_from(size));
        guest.put_u32(count_at, count.unwrap_or(u32::MAX))?;
        guest.put_u32(size_at, size.unwrap_or(u32::MAX))
    })
}

/// Writes the texts, each with a zero byte, and their addresses.
pub(super) fn get(caller: &mut Caller<'_, Host>, list: List, pointers: u32, buffer: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let texts = guest.wasi.texts(list).to_vec();
        let (mut pointer, mut at) = (pointers, buffer);
        for text in texts {
            guest.put_u32(pointer, at)?;
            guest.put(at, text.as_bytes())?;
            let end = at.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
            guest.put(end, &[0])?;
            (pointer, at) = (pointer.saturating_add(4), end.saturating_add(1));
        }
        Ok(())
    })
}
