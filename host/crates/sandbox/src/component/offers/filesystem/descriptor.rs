//! Open files and directories, each counted until the guest drops it: reads, writes and facts.

use std::sync::MutexGuard;

use wasmtime::Result;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp,
};

use super::{Answer, Fd, Interface, code, kind, new_time, record};
use crate::{
    component::{State, files::RunFiles},
    files::{
        Kind,
        fs::{Files, Node, Stat},
    },
    metered::copied,
    time,
    wasi::{WASI, grown},
};

/// Bytes that one read returns: programs read on.
pub(super) const READ_BYTES_MAX: u64 = 64 << 10;

/// Node that counts as open until this is dropped.
pub(super) struct Held {
    files: RunFiles,
    pub(super) node: Node,
}

impl Held {
    /// Counts a node as open once more.
    pub(super) fn new(files: &RunFiles, node: Node) -> Self {
        files.lock().reopen(node);
        Self::counted(files, node)
    }

    /// Returns a node that was counted when it was opened.
    pub(super) fn counted(files: &RunFiles, node: Node) -> Self {
        Self { files: files.clone(), node }
    }

    /// Returns the files of the run.
    pub(super) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock()
    }

    /// Returns facts about the node.
    pub(super) fn stat(&self) -> Answer<Stat> {
        self.files().stat(self.node).map_err(code)
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(&self.files, self.node)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.files.lock().close(self.node);
    }
}

/// Open file or directory.
pub(super) struct Descriptor {
    pub(super) held: Held,
    /// Access to a file; a directory can be read, and its entries changed as far as they are in the scratch.
    flags: DescriptorFlags,
}

impl Descriptor {
    /// Returns a descriptor of a directory.
    pub(super) fn new(files: &RunFiles, directory: Node) -> Self {
        let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
        Self { held: Held::new(files, directory), flags }
    }

    /// Returns a descriptor of what was opened with these flags.
    pub(super) fn opened(held: Held, flags: DescriptorFlags) -> Answer<Self> {
        let flags = match held.stat()?.kind {
            Kind::Directory => DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
            Kind::File | Kind::Link => flags & !DescriptorFlags::MUTATE_DIRECTORY,
        };
        Ok(Self { held, flags })
    }

    /// Returns the node of a file that may be read.
    ///
    /// # Errors
    /// `IsDirectory` for a directory, `BadDescriptor` for a file that was opened without this access.
    pub(super) fn readable(&self) -> Answer<&Held> {
        match self.held.stat()?.kind {
            Kind::Directory => Err(ErrorCode::IsDirectory),
            _ if self.flags.contains(DescriptorFlags::READ) => Ok(&self.held),
            _ => Err(ErrorCode::BadDescriptor),
        }
    }

    /// Returns the node of a file that may be written.
    ///
    /// # Errors
    /// `BadDescriptor` for a directory, or a file that was opened without this access.
    pub(super) fn writable(&self) -> Answer<&Held> {
        match self.held.stat()?.kind {
            Kind::File if self.flags.contains(DescriptorFlags::WRITE) => Ok(&self.held),
            _ => Err(ErrorCode::BadDescriptor),
        }
    }
}

pub(super) fn add_to(types: &mut Interface<'_>) -> Result<()> {
    types.function("[method]descriptor.read", |(_, len, _): &(Fd, u64, u64)| WASI + bytes(*len), read)?;
    types.charged("[method]descriptor.write", write_cost, write)?;
    types.charged("[method]descriptor.set-size", |state, (fd, size)| WASI + growth(state, fd, *size), set_size)?;
    types.function("[method]descriptor.set-times", |_: &(Fd, NewTimestamp, NewTimestamp)| WASI, set_times)?;
    types.function(
        "[method]descriptor.advise",
        |_: &(Fd, u64, u64, Advice)| WASI,
        |state, (fd, ..)| {
            let is_directory = state.table.get(&fd)?.held.stat().map(|stat| stat.kind == Kind::Directory);
            Ok((is_directory.and_then(|it| if it { Err(ErrorCode::BadDescriptor) } else { Ok(()) }),))
        },
    )?;
    // Files are in memory.
    types.function("[method]descriptor.sync", |_: &(Fd,)| WASI, nothing)?;
    types.function("[method]descriptor.sync-data", |_: &(Fd,)| WASI, nothing)?;
    types.function(
        "[method]descriptor.get-flags",
        |_: &(Fd,)| WASI,
        |state, (fd,)| Ok((Answer::Ok(state.table.get(&fd)?.flags),)),
    )?;
    types.function(
        "[method]descriptor.get-type",
        |_: &(Fd,)| WASI,
        |state, (fd,)| Ok((stat_of(state, &fd)?.map(|stat| -> DescriptorType { kind(stat.kind) }),)),
    )?;
    types.function(
        "[method]descriptor.stat",
        |_: &(Fd,)| WASI,
        |state, (fd,)| Ok((stat_of(state, &fd)?.map(|stat| -> DescriptorStat { record(&stat) }),)),
    )?;
    types.function(
        "[method]descriptor.metadata-hash",
        |_: &(Fd,)| WASI,
        |state, (fd,)| Ok((stat_of(state, &fd)?.map(|stat| hash(&stat)),)),
    )?;
    types.function(
        "[method]descriptor.is-same-object",
        |_: &(Fd, Fd)| WASI,
        |state, (a, b)| Ok((state.table.get(&a)?.held.node == state.table.get(&b)?.held.node,)),
    )
}

/// Returns two numbers of a node that are the same as long as it is: its number, and its content's.
pub(super) fn hash(stat: &Stat) -> MetadataHashValue {
    MetadataHashValue { lower: stat.inode, upper: stat.times.modified ^ stat.size.rotate_left(32) }
}

fn stat_of(state: &State, fd: &Fd) -> Result<Answer<Stat>> {
    Ok(state.table.get(fd)?.held.stat())
}

fn nothing(state: &mut State, (fd,): (Fd,)) -> Result<(Answer,)> {
    state.table.get(&fd)?;
    Ok((Ok(()),))
}

/// Fuel of bytes that a read may return.
fn bytes(len: u64) -> u64 {
    copied(u32::try_from(len.min(READ_BYTES_MAX)).unwrap_or(u32::MAX))
}

/// Fuel of a file's growth to a size.
fn growth(state: &State, fd: &Fd, size: u64) -> u64 {
    let before =
        state.table.get(fd).ok().and_then(|descriptor| descriptor.held.stat().ok()).map_or(0, |stat| stat.size);
    grown(state.run.in_memory(size.saturating_sub(before)))
}

/// Bytes of a file, and whether they are its last ones.
type Piece = (Vec<u8>, bool);

fn read(state: &mut State, (fd, len, at): (Fd, u64, u64)) -> Result<(Answer<Piece>,)> {
    let descriptor = state.table.get(&fd)?;
    Ok((descriptor.readable().and_then(|held| {
        let bytes = read_some(held, at, len)?;
        let end = at.saturating_add(bytes.len() as u64);
        Ok((bytes, end >= held.stat()?.size))
    }),))
}

/// Reads bytes at a position, at most [`READ_BYTES_MAX`].
pub(super) fn read_some(held: &Held, at: u64, len: u64) -> Answer<Vec<u8>> {
    let left = held.stat()?.size.saturating_sub(at);
    let mut buffer = vec![0; usize::try_from(len.min(left).min(READ_BYTES_MAX)).unwrap_or_default()];
    let many = held.files().read(held.node, at, &mut buffer).map_err(code)?;
    buffer.truncate(many);
    Ok(buffer)
}

fn write_cost(state: &State, (fd, bytes, at): &(Fd, Vec<u8>, u64)) -> u64 {
    let len = bytes.len() as u64;
    WASI + copied(u32::try_from(len).unwrap_or(u32::MAX)) + growth(state, fd, at.saturating_add(len))
}

fn write(state: &mut State, (fd, bytes, at): (Fd, Vec<u8>, u64)) -> Result<(Answer<u64>,)> {
    let descriptor = state.table.get(&fd)?;
    Ok((descriptor.writable().and_then(|held| {
        held.files().write(held.node, at, &bytes, time::unix_ns()).map_err(code)?;
        Ok(bytes.len() as u64)
    }),))
}

fn set_size(state: &mut State, (fd, size): (Fd, u64)) -> Result<(Answer,)> {
    let descriptor = state.table.get(&fd)?;
    Ok((descriptor.writable().and_then(|held| held.files().set_size(held.node, size, time::unix_ns()).map_err(code)),))
}

fn set_times(state: &mut State, (fd, accessed, modified): (Fd, NewTimestamp, NewTimestamp)) -> Result<(Answer,)> {
    let held = &state.table.get(&fd)?.held;
    let set = || {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        held.files().set_times(held.node, accessed, modified, time::unix_ns()).map_err(code)
    };
    Ok((set(),))
}
