//! Place of a module while it arrives, is decoded and used: memory up to 1 MiB, beyond it a file that has no name, so that
//! it is gone with the process, however that ends. The file is mapped to be read, so that its bytes take no memory that
//! the system cannot take back.

use std::{
    fs::File,
    io::{self, Write},
};

use bytes::{Bytes, BytesMut};
use fusebox_core::{
    error::ErrorCode,
    limits::{MIB, SMALL_BODY_BYTES, UPLOAD_IN_MEMORY_BYTES_MAX},
};

use crate::{
    mapped,
    rest::{Shared, error::Problem, room::Share},
    tenancy::Caller,
};

/// Bytes of memory and disk that a module holds; given back when dropped.
#[derive(Default)]
pub struct Held {
    memory: Option<Share>,
    disk: Option<Share>,
}

/// Module that is being written.
pub(super) struct Spool {
    app: Shared,
    caller: Caller,
    /// The bytes that are not in the file.
    rest: BytesMut,
    file: Option<File>,
    /// Size of the file.
    written: u64,
    held: Held,
    refusal: Option<Problem>,
}

impl Spool {
    pub(super) fn new(app: Shared, caller: Caller) -> Self {
        let (rest, file, held) = (BytesMut::new(), None, Held::default());
        Self { app, caller, rest, file, written: 0, held, refusal: None }
    }

    /// Returns true if [`Self::add`] of so many bytes writes no file.
    pub(super) fn is_instant(&self, bytes: usize) -> bool {
        (self.rest.len() + bytes) as u64 <= UPLOAD_IN_MEMORY_BYTES_MAX
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// `Overloaded` if there is no memory or disk space left for them.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let is_instant = self.is_instant(bytes.len());
        self.rest.extend_from_slice(bytes);
        if !is_instant {
            return self.write_rest();
        }
        let bytes = self.rest.len() as u64;
        if self.held.memory.is_some() || bytes > SMALL_BODY_BYTES {
            let claim = |bytes| self.app.room.body(&self.caller, bytes);
            hold(&mut self.held.memory, bytes.next_multiple_of(SMALL_BODY_BYTES), claim)?;
        }
        Ok(())
    }

    fn write_rest(&mut self) -> Result<(), Problem> {
        self.written = self.written.saturating_add(self.rest.len() as u64);
        let claim = |bytes| self.app.room.upload(&self.caller, bytes);
        hold(&mut self.held.disk, self.written.next_multiple_of(MIB), claim)?;
        let written = match &mut self.file {
            Some(file) => file.write_all(&self.rest),
            // It is gone with the process, however that ends.
            None => tempfile::tempfile_in(&self.app.settings.upload_dir)
                .and_then(|file| self.file.insert(file).write_all(&self.rest)),
        };
        self.rest.clear();
        written.map_err(|error| no_disk(&error))
    }

    /// Returns the refusal that stopped a writer.
    pub(super) fn refusal(&mut self) -> Option<Problem> {
        self.refusal.take()
    }

    /// Returns the module.
    ///
    /// # Errors
    /// `Overloaded` if there is no disk space left, or the file cannot be mapped.
    pub(super) fn end(mut self) -> Result<(Bytes, Held), Problem> {
        if self.file.is_none() {
            return Ok((self.rest.freeze(), self.held));
        }
        self.write_rest()?;
        let bytes = self.file.as_ref().map_or_else(|| Ok(Bytes::new()), mapped::read_only);
        Ok((bytes.map_err(|error| no_disk(&error))?, Held { memory: None, ..self.held }))
    }
}

/// Takes decoded bytes; a refusal is kept for [`Spool::refusal`].
impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes).map_err(|problem| {
            self.refusal = Some(problem);
            io::ErrorKind::StorageFull
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Extends a share to `much` in all.
fn hold(
    share: &mut Option<Share>,
    much: u64,
    claim: impl FnOnce(u64) -> Result<Share, Problem>,
) -> Result<(), Problem> {
    match share {
        Some(share) if share.much() >= much => {}
        Some(share) => share.grow(much - share.much())?,
        None => *share = Some(claim(much)?),
    }
    Ok(())
}

fn no_disk(error: &io::Error) -> Problem {
    tracing::error!(%error, "a module that arrives cannot be kept on disk");
    Problem::new(ErrorCode::Overloaded, "the host has no disk space for this module: try again later")
}
