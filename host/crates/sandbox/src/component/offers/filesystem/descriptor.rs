//! Open files and directories, each counted until the guest drops it: access and facts.

use std::sync::MutexGuard;

use wasmtime::Result;
use wasmtime_wasi::p2::bindings::filesystem::types::{Advice, DescriptorFlags, MetadataHashValue};

use super::{Answer, Failure, Fd, Types, Version};
use crate::{
    component::{State, files::RunFiles},
    files::{
        FsError, Kind,
        fs::{Files, Node, Stat},
    },
    metered::copied,
    time,
    wasi::{WASI, grown},
};

/// Bytes that pass at once: programs read and write on.
pub(super) const PIECE_BYTES: u64 = 64 << 10;

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
        Ok(self.files().stat(self.node)?)
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
            Kind::Directory => Err(FsError::IsDirectory.into()),
            _ if self.flags.contains(DescriptorFlags::READ) => Ok(&self.held),
            _ => Err(Failure::BadDescriptor),
        }
    }

    /// Returns the node of a file that may be written.
    ///
    /// # Errors
    /// `BadDescriptor` for a directory, or a file that was opened without this access.
    pub(super) fn writable(&self) -> Answer<&Held> {
        match self.held.stat()?.kind {
            Kind::File if self.flags.contains(DescriptorFlags::WRITE) => Ok(&self.held),
            _ => Err(Failure::BadDescriptor),
        }
    }
}

pub(super) fn add_to<V: Version>(types: &mut Types<'_, V>) -> Result<()> {
    types.method("set-size", |state, (fd, size)| WASI + growth(state, fd, *size), set_size)?;
    types.method(
        "set-times",
        |_, _: &(Fd, V::NewTime, V::NewTime)| WASI,
        |state, (fd, accessed, modified)| {
            let held = &state.table.get(&fd)?.held;
            let set = || {
                let (accessed, modified) = (V::new_time(&accessed)?, V::new_time(&modified)?);
                Ok(held.files().set_times(held.node, accessed, modified, time::unix_ns())?)
            };
            Ok(set())
        },
    )?;
    types.method(
        "advise",
        |_, _: &(Fd, u64, u64, Advice)| WASI,
        |state, (fd, ..)| {
            let is_directory = state.table.get(&fd)?.held.stat().map(|stat| stat.kind == Kind::Directory);
            Ok(is_directory.and_then(|it| if it { Err(Failure::BadDescriptor) } else { Ok(()) }))
        },
    )?;
    // Files are in memory.
    types.method("sync", |_, _| WASI, nothing)?;
    types.method("sync-data", |_, _| WASI, nothing)?;
    types.method("get-flags", |_, _| WASI, |state, (fd,): (Fd,)| Ok(Ok(state.table.get(&fd)?.flags)))?;
    types.method("get-type", |_, _| WASI, |state, (fd,)| Ok(stat_of(state, &fd)?.map(|stat| V::kind(stat.kind))))?;
    types.method("stat", |_, _| WASI, |state, (fd,)| Ok(stat_of(state, &fd)?.map(|stat| V::stat(&stat))))?;
    types.method("metadata-hash", |_, _| WASI, |state, (fd,)| Ok(stat_of(state, &fd)?.map(|stat| hash(&stat))))?;
    types.plain(
        "is-same-object",
        |_, _| WASI,
        |state, (a, b): (Fd, Fd)| Ok((state.table.get(&a)?.held.node == state.table.get(&b)?.held.node,)),
    )
}

/// Returns two numbers of a node that are the same as long as it is: its number, and its content's.
pub(super) fn hash(stat: &Stat) -> MetadataHashValue {
    MetadataHashValue { lower: stat.inode, upper: stat.times.modified ^ stat.size.rotate_left(32) }
}

fn stat_of(state: &State, fd: &Fd) -> Result<Answer<Stat>> {
    Ok(state.table.get(fd)?.held.stat())
}

fn nothing(state: &mut State, (fd,): (Fd,)) -> Result<Answer> {
    state.table.get(&fd)?;
    Ok(Ok(()))
}

fn set_size(state: &mut State, (fd, size): (Fd, u64)) -> Result<Answer> {
    let held = state.table.get(&fd)?.writable();
    Ok(held.and_then(|held| Ok(held.files().set_size(held.node, size, time::unix_ns())?)))
}

/// Fuel of bytes that pass through, at most [`PIECE_BYTES`] in a read.
pub(super) fn passed(bytes: u64) -> u64 {
    WASI + copied(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// Fuel of a file's growth to a size.
pub(super) fn growth(state: &State, fd: &Fd, size: u64) -> u64 {
    let before =
        state.table.get(fd).ok().and_then(|descriptor| descriptor.held.stat().ok()).map_or(0, |stat| stat.size);
    grown(state.run.in_memory(size.saturating_sub(before)))
}
