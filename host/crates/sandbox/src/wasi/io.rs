//! Reads and writes. Each handles the first vector that is not empty, as WASI allows.

use wasmtime::{Caller, Result};

use super::{
    errno::{Answer, BADF, Fail, INVAL, answer},
    fds::{APPEND, Descriptor, Target},
    guest::guest,
};
use crate::{
    host::Host,
    metered::{charge, copied, logged, vectors},
    time,
};

/// Returns the fuel of a write: what goes to the log is scanned.
pub(super) fn write_cost(caller: &mut Caller<'_, Host>, fd: u32, vectors_at: u32, count: u32) -> u64 {
    let is_log = caller.data().wasi.as_ref().is_some_and(|wasi| wasi.fds.is_log(fd, wasi.output.is_none()));
    vectors(if is_log { logged } else { copied }, caller, vectors_at, count)
}

/// Fuel of bytes by which a file grows: pages are made and cleared.
pub(crate) const fn grown(bytes: u64) -> u64 {
    bytes / 4
}

/// Reads at a position, or at the descriptor's, which then moves.
pub(super) fn read(
    caller: &mut Caller<'_, Host>,
    fd: u32,
    (vectors, count): (u32, u32),
    at: Option<i64>,
    read_at: u32,
) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let descriptor = *guest.wasi.fds.get(fd)?;
        let position = place(&descriptor, at)?;
        if !descriptor.can_read {
            return Err(BADF.into());
        }
        let (start, len) = guest.vector(vectors, count)?;
        let (buffer, wasi) = guest.split(start, len)?;
        let many = match descriptor.target {
            Target::Stdin => wasi.read_stdin(buffer)?,
            Target::Stdout | Target::Stderr => return Err(BADF.into()),
            Target::File(node) | Target::Directory(node) => wasi.files.read(node, position, buffer)?,
        };
        if at.is_none() {
            guest.wasi.fds.get_mut(fd)?.position = position.saturating_add(many as u64);
        }
        guest.put_u32(read_at, u32::try_from(many).unwrap_or(u32::MAX))
    })
}

/// Writes at a position, or at the descriptor's, which then moves.
pub(super) fn write(
    caller: &mut Caller<'_, Host>,
    fd: u32,
    (vectors, count): (u32, u32),
    at: Option<i64>,
    written_at: u32,
) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let descriptor = *guest.wasi.fds.get(fd)?;
        let mut position = place(&descriptor, at)?;
        if !descriptor.can_write {
            return Err(BADF.into());
        }
        let (start, len) = guest.vector(vectors, count)?;
        if let Target::File(node) = descriptor.target {
            let size = guest.wasi.files.stat(node)?.size;
            if descriptor.flags & APPEND != 0 && at.is_none() {
                position = size;
            }
            let end = position.saturating_add(len.into());
            charge(caller, grown(caller.data().in_memory(end.saturating_sub(size))))?;
        }
        let mut guest = self::guest(caller)?;
        let (bytes, wasi) = guest.split(start, len)?;
        match descriptor.target {
            Target::Stdin => return Err(BADF.into()),
            Target::Stdout => wasi.write_stdout(bytes)?,
            Target::Stderr => wasi.log.stderr(bytes)?,
            Target::File(node) | Target::Directory(node) => {
                wasi.files.write(node, position, bytes, time::unix_ns())?;
            }
        }
        if at.is_none() {
            guest.wasi.fds.get_mut(fd)?.position = position.saturating_add(len.into());
        }
        guest.put_u32(written_at, len)
    })
}

/// Returns the position of an access.
///
/// # Errors
/// `SPIPE` and `ISDIR` for a position in what has none.
fn place(descriptor: &Descriptor, at: Option<i64>) -> Answer<u64> {
    match at {
        None => Ok(descriptor.position),
        Some(at) => {
            descriptor.file()?;
            u64::try_from(at).map_err(|_| Fail::Errno(INVAL))
        }
    }
}

/// Changes the size of a file; `least` only extends it.
pub(super) fn set_size(caller: &mut Caller<'_, Host>, fd: u32, size: i64, only_extends: bool) -> Result<i32> {
    answer(|| {
        let wasi = caller.data_mut().wasi()?;
        let descriptor = *wasi.fds.get(fd)?;
        let node = descriptor.file()?;
        if !descriptor.can_write {
            return Err(BADF.into());
        }
        let size = u64::try_from(size).map_err(|_| Fail::Errno(INVAL))?;
        let before = wasi.files.stat(node)?.size;
        if only_extends && size <= before {
            return Ok(());
        }
        charge(caller, grown(caller.data().in_memory(size.saturating_sub(before))))?;
        Ok(caller.data_mut().wasi()?.files.set_size(node, size, time::unix_ns())?)
    })
}
