//! Reading of the columns of a task's record, one after another.

use bytes::Bytes;
use fusebox_core::{limits::CPU_MS_MAX, setup::Start};

use super::{
    super::{decode_open, more::More},
    OUTSIDE, Piece,
};
use crate::{Error, Result};

/// Rest of a record that is being read.
pub(super) struct Columns<'a> {
    pub(super) record: &'a Bytes,
    pub(super) rest: &'a [u8],
}

impl<'a> Columns<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (column, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
        self.rest = rest;
        Ok(*column)
    }

    pub(super) fn slice(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (column, rest) = self.rest.split_at_checked(bytes).ok_or_else(short)?;
        self.rest = rest;
        Ok(column)
    }

    pub(super) fn long<const N: usize>(&mut self) -> Result<[u64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u64::from_be_bytes(self.take()?);
        }
        Ok(numbers)
    }

    pub(super) fn short<const N: usize>(&mut self) -> Result<[u32; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u32::from_be_bytes(self.take()?);
        }
        Ok(numbers)
    }

    /// Returns the limit of CPU time; the largest at the end of a record.
    pub(super) fn cpu_ms(&mut self) -> Result<u32> {
        if self.rest.is_empty() { Ok(CPU_MS_MAX) } else { self.take().map(u32::from_be_bytes) }
    }

    /// Returns the start; an empty one at the end of a record.
    pub(super) fn start(&mut self) -> Result<Start> {
        if self.rest.is_empty() {
            return Ok(Start::default());
        }
        let size = u32::from_be_bytes(self.take()?);
        match self.slice(size as usize)? {
            [] => Ok(Start::default()),
            start => decode_open("a task's start", start),
        }
    }

    /// Returns what few tasks have; nothing at the end of a record.
    pub(super) fn more(&mut self) -> Result<More> {
        if self.rest.is_empty() {
            return Ok(More::default());
        }
        let size = u32::from_be_bytes(self.take()?);
        More::decode(self.slice(size as usize)?)
    }

    pub(super) fn piece(&mut self, size: u32) -> Result<Piece> {
        match size & OUTSIDE {
            0 => Ok(Piece::Inline(self.record.slice_ref(self.slice(size as usize)?))),
            _ => Ok(Piece::Outside(size & !OUTSIDE)),
        }
    }
}

fn short() -> Error {
    Error::Corrupt("a task: its record is too short".to_owned())
}
