//! Streams of a file's bytes: always ready, since the file is in memory. The engine calls them without its fuel, so what
//! they cost is noted and charged at the run's next tick.

use bytes::Bytes;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
    bindings::filesystem::types::ErrorCode,
};

use super::{
    Answer, Fd, Interface, code,
    descriptor::{Held, READ_BYTES_MAX, read_some},
};
use crate::{
    component::{State, http::Desk},
    metered::copied,
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

pub(super) fn add_to(types: &mut Interface<'_>) -> Result<()> {
    types.function(
        "[method]descriptor.read-via-stream",
        |_: &(Fd, u64)| WASI,
        |state, (fd, at)| {
            let held = state.table.get(&fd)?.readable().cloned();
            Ok((match held {
                Ok(held) => {
                    let reader: DynInputStream = Box::new(Reader { held, desk: state.desk.clone(), at });
                    Answer::Ok(state.table.push(reader)?)
                }
                Err(error) => Err(error),
            },))
        },
    )?;
    types.function(
        "[method]descriptor.write-via-stream",
        |_: &(Fd, u64)| WASI,
        |state, (fd, at)| Ok((write(state, &fd, Some(at))?,)),
    )?;
    types.function(
        "[method]descriptor.append-via-stream",
        |_: &(Fd,)| WASI,
        |state, (fd,)| Ok((write(state, &fd, None)?,)),
    )
}

fn write(state: &mut State, fd: &Fd, at: Option<u64>) -> Result<Answer<Resource<DynOutputStream>>> {
    let held = state.table.get(fd)?.writable().cloned();
    Ok(match held {
        Ok(held) => {
            let writer: DynOutputStream = Box::new(Writer { held, desk: state.desk.clone(), at });
            Ok(state.table.push(writer)?)
        }
        Err(error) => Err(error),
    })
}

/// Returns a failure whose code the guest can look up.
fn failed(error: ErrorCode) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}

/// Fuel of bytes that pass through a stream.
fn passed(bytes: usize) -> u64 {
    WASI + copied(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = read_some(&self.held, self.at, size as u64).map_err(failed)?;
        self.desk.owe(passed(bytes.len()));
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
        self.held.files().write(self.held.node, at, &bytes, time::unix_ns()).map_err(code).map_err(failed)?;
        let end = at.saturating_add(bytes.len() as u64);
        self.desk.owe(passed(bytes.len()) + grown(end.saturating_sub(before)));
        self.at = self.at.map(|_| end);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(usize::try_from(READ_BYTES_MAX).unwrap_or(usize::MAX))
    }
}
