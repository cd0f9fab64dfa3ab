//! Bytes of a file and entries of a directory in 0.3: streams, each beside a future with its result. The file is in
//! memory, so that none of them waits; each piece is charged before it passes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_channel::oneshot;
use wasmtime::{
    Result, StoreContextMut,
    component::{
        Destination, FutureReader, Lift, Lower, Source, StreamConsumer, StreamProducer, StreamReader, StreamResult,
        VecBuffer,
    },
};
use wasmtime_wasi::p3::bindings::filesystem::types::{DirectoryEntry, ErrorCode};

use super::{
    Answer, Fd, Types, V3, Version,
    descriptor::{Held, PIECE_BYTES, passed},
    listing::Listing,
};
use crate::{
    component::{State, offers::charge},
    time,
    wasi::{NAME, WASI, grown},
};

/// Entries that pass at once.
const ENTRIES: usize = 32;

/// Result of a stream.
type Ended = Result<(), ErrorCode>;

pub(super) fn add_to(types: &mut Types<'_, V3>) -> Result<()> {
    let interface = &mut types.interface;
    interface.streaming("[method]descriptor.read-via-stream", WASI, |mut store, (fd, at): (Fd, u64)| {
        let held = store.data_mut().table.get(&fd)?.readable().cloned();
        produced(store, held, |held| Bytes { held, at })
    })?;
    interface.streaming("[method]descriptor.read-directory", WASI, |mut store, (fd,): (Fd,)| {
        let listing = Listing::new(store.data_mut().table.get(&fd)?.held.clone());
        produced(store, listing, Entries)
    })?;
    interface.streaming("[method]descriptor.write-via-stream", WASI, |store, (fd, data, at)| {
        consumed(store, &fd, data, Some(at))
    })?;
    interface
        .streaming("[method]descriptor.append-via-stream", WASI, |store, (fd, data)| consumed(store, &fd, data, None))
}

/// Future result of a stream: success, unless its end says otherwise.
struct Promise(Option<oneshot::Sender<Ended>>);

impl Promise {
    fn new() -> (Self, oneshot::Receiver<Ended>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// Ends the stream with a result.
    fn end(&mut self, result: Answer) -> StreamResult {
        if let Some(sender) = self.0.take() {
            // The guest may have dropped the future.
            let _ = sender.send(result.map_err(V3::code));
        }
        StreamResult::Dropped
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

/// Items of a file or directory.
trait Items: Send + Unpin + 'static {
    type Item: Lift + Lower + Send + Sync + 'static;

    /// Passes some items on, after charging for them; returns their number, 0 at the end.
    fn pass(&mut self, store: &mut StoreContextMut<'_, State>, room: usize) -> Result<Answer<Vec<Self::Item>>>;
}

/// Bytes of a file from a position on.
struct Bytes {
    held: Held,
    at: u64,
}

impl Items for Bytes {
    type Item = u8;

    fn pass(&mut self, store: &mut StoreContextMut<'_, State>, room: usize) -> Result<Answer<Vec<u8>>> {
        let left = match self.held.stat() {
            Ok(stat) => stat.size.saturating_sub(self.at),
            Err(failure) => return Ok(Err(failure)),
        };
        let many = left.min(room as u64).min(PIECE_BYTES);
        charge(store, passed(many))?;
        let mut bytes = vec![0; usize::try_from(many).unwrap_or_default()];
        let read = self.held.files().read(self.held.node, self.at, &mut bytes);
        Ok(read.map_err(Into::into).map(|many| {
            bytes.truncate(many);
            self.at = self.at.saturating_add(many as u64);
            bytes
        }))
    }
}

/// Entries of a directory.
struct Entries(Listing);

impl Items for Entries {
    type Item = DirectoryEntry;

    fn pass(&mut self, store: &mut StoreContextMut<'_, State>, room: usize) -> Result<Answer<Vec<DirectoryEntry>>> {
        let mut entries = Vec::new();
        while entries.len() < room.min(ENTRIES) {
            charge(store, WASI + NAME)?;
            match self.0.next() {
                Ok(Some((kind, name))) => entries.push(DirectoryEntry { type_: V3::kind(kind), name }),
                Ok(None) => break,
                Err(failure) => return Ok(Err(failure)),
            }
        }
        Ok(Ok(entries))
    }
}

/// Stream to the guest.
struct Producer<I> {
    /// `None` if it fails at once, and after its end.
    items: Option<I>,
    end: Promise,
}

impl<I: Items> StreamProducer<State> for Producer<I> {
    type Item = I::Item;
    type Buffer = VecBuffer<I::Item>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        _: bool,
    ) -> Poll<Result<StreamResult>> {
        // A host that reads, such as stdout, does not say how much it takes.
        let room = to.remaining(&mut store).unwrap_or(usize::MAX);
        if room == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let Self { items, end } = &mut *self;
        let Some(left) = items else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        Poll::Ready(left.pass(&mut store, room).map(|passed| match passed {
            Ok(passed) if !passed.is_empty() => {
                to.set_buffer(passed.into());
                StreamResult::Completed
            }
            ended => {
                *items = None;
                end.end(ended.map(drop))
            }
        }))
    }
}

/// Stream to the guest, and the future with its result.
type Produced<T> = (StreamReader<T>, FutureReader<Ended>);

/// Returns a stream to the guest and the future with its result.
fn produced<T, I: Items>(
    mut store: StoreContextMut<'_, State>,
    from: Answer<T>,
    items: impl FnOnce(T) -> I,
) -> Result<(Produced<I::Item>,)> {
    let (mut end, ended) = Promise::new();
    let items = match from {
        Ok(from) => Some(items(from)),
        Err(failure) => {
            end.end(Err(failure));
            None
        }
    };
    let stream = StreamReader::new(&mut store, Producer { items, end })?;
    Ok(((stream, FutureReader::new(&mut store, ended)?),))
}

/// Stream from the guest into a file, at a position, or each piece at the end.
struct Consumer {
    held: Held,
    at: Option<u64>,
    end: Promise,
}

impl StreamConsumer<State> for Consumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        from: Source<'_, u8>,
        _: bool,
    ) -> Poll<Result<StreamResult>> {
        let many = from.remaining(&mut store).min(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX));
        let before = match self.held.stat() {
            Ok(stat) => stat.size,
            Err(failure) => return Poll::Ready(Ok(self.end.end(Err(failure)))),
        };
        let at = self.at.unwrap_or(before);
        let end = at.saturating_add(many as u64);
        let growth = store.data().run.in_memory(end.saturating_sub(before));
        if let Err(error) = charge(&mut store, passed(many as u64) + grown(growth)) {
            return Poll::Ready(Err(error));
        }
        let mut from = from.as_direct(store);
        let bytes = from.remaining().get(..many).unwrap_or_default();
        let written = self.held.files().write(self.held.node, at, bytes, time::unix_ns());
        Poll::Ready(Ok(match written {
            Ok(()) => {
                from.mark_read(many);
                self.at = self.at.map(|_| end);
                StreamResult::Completed
            }
            Err(error) => self.end.end(Err(error.into())),
        }))
    }
}

/// Passes a stream of the guest into a file; returns the future with its result.
fn consumed(
    mut store: StoreContextMut<'_, State>,
    fd: &Fd,
    mut data: StreamReader<u8>,
    at: Option<u64>,
) -> Result<(FutureReader<Ended>,)> {
    let (mut end, ended) = Promise::new();
    let held = store.data_mut().table.get(fd)?.writable().cloned();
    match held {
        Ok(held) => data.pipe(&mut store, Consumer { held, at, end })?,
        Err(failure) => {
            data.close(&mut store)?;
            end.end(Err(failure));
        }
    }
    Ok((FutureReader::new(&mut store, ended)?,))
}
