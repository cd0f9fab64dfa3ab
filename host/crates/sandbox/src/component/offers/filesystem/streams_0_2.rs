//! Bytes of a file in 0.2: calls with an offset, and streams that are always ready, since the file is in memory. The
//! engine calls streams without its fuel, so what they cost is noted and charged at the run's next tick.

use bytes::Bytes;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, IoError, OutputStream, Pollable, StreamError, StreamResult,
    bindings::filesystem::types::ErrorCode,
};

use super::{
    Answer, Failure, Fd, Types, V2, Version,
    descriptor::{Held, PIECE_BYTES, growth, passed},
};
use crate::{
    component::{State, http::Desk},
    time,
    wasi::{WASI, grown},
};

/// Stream of a file's bytes from a position on.
struct Reader {
    held: Held,
    desk: Desk,
    at: u64,
}

/// Stream into a file, at a position, or each write at the end.
struct Writer {
    held: Held,
    desk: Desk,
    at: Option<u64>,
}

pub(super) fn add_to(types: &mut Types<'_, V2>) -> Result<()> {
    types.method("read", |_, (_, len, _): &(Fd, u64, u64)| passed((*len).min(PIECE_BYTES)), read)?;
    types.method("write", write_cost, write)?;
    types.method(
        "read-via-stream",
        |_, _| WASI,
        |state, (fd, at): (Fd, u64)| {
            let held = state.table.get(&fd)?.readable().cloned();
            Ok(match held {
                Ok(held) => {
                    let reader: DynInputStream = Box::new(Reader { held, desk: state.desk.clone(), at });
                    Ok(state.table.push(reader)?)
                }
                Err(failure) => Err(failure),
            })
        },
    )?;
    types.method("write-via-stream", |_, _| WASI, |state, (fd, at): (Fd, u64)| writer(state, &fd, Some(at)))?;
    types.method("append-via-stream", |_, _| WASI, |state, (fd,): (Fd,)| writer(state, &fd, None))?;
    types.interface.function(
        "filesystem-error-code",
        |_: &(Resource<IoError>,)| WASI,
        |state, (error,)| Ok((state.table.get(&error)?.downcast_ref::<ErrorCode>().copied(),)),
    )
}

/// Bytes of a file, and whether they are its last ones.
type Piece = (Vec<u8>, bool);

fn read(state: &mut State, (fd, len, at): (Fd, u64, u64)) -> Result<Answer<Piece>> {
    let descriptor = state.table.get(&fd)?;
    Ok(descriptor.readable().and_then(|held| {
        let bytes = read_some(held, at, len)?;
        let end = at.saturating_add(bytes.len() as u64);
        Ok((bytes, end >= held.stat()?.size))
    }))
}

/// Reads bytes at a position, at most [`PIECE_BYTES`].
fn read_some(held: &Held, at: u64, len: u64) -> Answer<Vec<u8>> {
    let left = held.stat()?.size.saturating_sub(at);
    let mut buffer = vec![0; usize::try_from(len.min(left).min(PIECE_BYTES)).unwrap_or_default()];
    let many = held.files().read(held.node, at, &mut buffer)?;
    buffer.truncate(many);
    Ok(buffer)
}

fn write_cost(state: &State, (fd, bytes, at): &(Fd, Vec<u8>, u64)) -> u64 {
    let len = bytes.len() as u64;
    passed(len) + growth(state, fd, at.saturating_add(len))
}

fn write(state: &mut State, (fd, bytes, at): (Fd, Vec<u8>, u64)) -> Result<Answer<u64>> {
    let descriptor = state.table.get(&fd)?;
    Ok(descriptor.writable().and_then(|held| {
        held.files().write(held.node, at, &bytes, time::unix_ns())?;
        Ok(bytes.len() as u64)
    }))
}

fn writer(state: &mut State, fd: &Fd, at: Option<u64>) -> Result<Answer<Resource<DynOutputStream>>> {
    let held = state.table.get(fd)?.writable().cloned();
    Ok(match held {
        Ok(held) => {
            let writer: DynOutputStream = Box::new(Writer { held, desk: state.desk.clone(), at });
            Ok(state.table.push(writer)?)
        }
        Err(failure) => Err(failure),
    })
}

/// Returns a failure whose code the guest can look up.
fn failed(failure: impl Into<Failure>) -> StreamError {
    StreamError::LastOperationFailed(V2::code(failure.into()).into())
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = read_some(&self.held, self.at, size as u64).map_err(failed)?;
        self.desk.owe(passed(bytes.len() as u64));
        if bytes.is_empty() && size > 0 {
            return Err(StreamError::Closed);
        }
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes.into())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let before = self.held.stat().map_err(failed)?.size;
        let at = self.at.unwrap_or(before);
        self.held.files().write(self.held.node, at, &bytes, time::unix_ns()).map_err(failed)?;
        let end = at.saturating_add(bytes.len() as u64);
        self.desk.owe(passed(bytes.len() as u64) + grown(end.saturating_sub(before)));
        self.at = self.at.map(|_| end);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX))
    }
}
