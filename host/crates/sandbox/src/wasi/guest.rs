//! Access of WASI calls to the guest's memory. A pointer outside it ends the run.

use wasmtime::{Caller, Extern, Memory, Result};

use super::{
    Wasi,
    errno::{Answer, Fail, ILSEQ},
};
use crate::{ending::Ending, host::Host, imports::checked};

/// Memory of the guest, beside the WASI state of its run.
pub(super) struct Guest<'a> {
    memory: &'a mut [u8],
    pub(super) wasi: &'a mut Wasi,
}

/// Returns the guest's memory and its WASI state.
///
/// # Errors
/// Ends the run if the module exports no memory.
pub(super) fn guest<'a>(caller: &'a mut Caller<'_, Host>) -> Result<Guest<'a>> {
    let memory = memory(caller)?;
    let (memory, host) = memory.data_and_store_mut(caller);
    Ok(Guest { memory, wasi: host.wasi()? })
}

/// Returns the memory that the guest exports.
pub(super) fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(Ending::BadPointer("the module exports no memory named \"memory\"".to_owned()).into()),
    }
}

impl Guest<'_> {
    /// Returns bytes of the memory.
    pub(super) fn bytes(&mut self, at: u32, len: u32) -> Answer<&mut [u8]> {
        Ok(checked(self.memory, "a WASI call", at, len)?)
    }

    /// Returns bytes of the memory beside the WASI state.
    pub(super) fn split(&mut self, at: u32, len: u32) -> Answer<(&mut [u8], &mut Wasi)> {
        Ok((checked(self.memory, "a WASI call", at, len)?, self.wasi))
    }

    /// Writes bytes.
    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Answer {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a word.
    pub(super) fn put_u32(&mut self, at: u32, word: u32) -> Answer {
        self.put(at, &word.to_le_bytes())
    }

    /// Writes a long word.
    pub(super) fn put_u64(&mut self, at: u32, word: u64) -> Answer {
        self.put(at, &word.to_le_bytes())
    }

    /// Returns a copy of a path or another text.
    ///
    /// # Errors
    /// `ILSEQ` if it is not UTF-8.
    pub(super) fn text(&mut self, at: u32, len: u32) -> Answer<String> {
        match str::from_utf8(self.bytes(at, len)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Fail::Errno(ILSEQ)),
        }
    }

    /// Returns the first vector that is not empty, as pointer and length; WASI allows a call to handle no more.
    pub(super) fn vector(&mut self, at: u32, count: u32) -> Answer<(u32, u32)> {
        for number in 0..count {
            let at = u64::from(at) + u64::from(number) * 8;
            // An address beyond the memory is refused as a pointer outside.
            let raw = self.bytes(u32::try_from(at).unwrap_or(u32::MAX), 8)?;
            let word =
                |at: usize| raw.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
            let (start, len) = (word(0), word(4));
            if len > 0 {
                return Ok((start, len));
            }
        }
        Ok((0, 0))
    }
}
