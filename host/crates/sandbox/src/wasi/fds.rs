//! Descriptors of a run: the three streams, and open files and directories. The root directory is open from the start,
//! by two names.

use wasmtime::{Caller, Result};

use super::{
    errno::{Answer, BADF, Fail, INVAL, ISDIR, MFILE, NAMETOOLONG, NOTDIR, NOTSOCK, NOTSUP, SPIPE, answer},
    guest::guest,
};
use crate::{
    files::{
        Kind,
        fs::{Files, Node},
    },
    host::Host,
};

/// Number of descriptors that a run can have open, as many systems allow by default.
pub(super) const FDS_MAX: usize = 1_024;

/// Flag of a descriptor that writes at the end.
pub(super) const APPEND: u16 = 1;
/// Rights to read and to write, with which a path is opened.
pub(super) const FD_READ: u64 = 1 << 1;
pub(super) const FD_WRITE: u64 = 1 << 6;
/// Rights to seek, to tell, and to change the size.
const FD_SEEK: u64 = 1 << 2;
const FD_TELL: u64 = 1 << 5;
/// All rights of preview 1, except those of sockets.
const ALL: u64 = (1 << 28) - 1;
/// Rights that only make sense for directories: making, linking, opening, listing, renaming and removing.
const OF_DIRECTORIES: u64 = 0x071f_fe00;

/// Paths of the directories that are open from the start, both the root: programs look for one that begins a path, and
/// older ones of relative paths for none but the second.
pub(crate) const PREOPENS: [&str; 2] = ["/", "."];

/// Target of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdin,
    Stdout,
    Stderr,
    File(Node),
    Directory(Node),
}

/// Open descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) target: Target,
    /// Position of the next read or write.
    pub(super) position: u64,
    pub(super) flags: u16,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    /// Path, if it is open from the start.
    pub(super) preopen: Option<&'static str>,
}

/// Descriptors by their numbers.
pub(super) struct Fds(Vec<Option<Descriptor>>);

impl Descriptor {
    pub(super) const fn new(target: Target, can_read: bool, can_write: bool) -> Self {
        Self { target, position: 0, flags: 0, can_read, can_write, preopen: None }
    }

    /// Returns the node; streams have none.
    pub(super) const fn node(&self) -> Option<Node> {
        match self.target {
            Target::File(node) | Target::Directory(node) => Some(node),
            Target::Stdin | Target::Stdout | Target::Stderr => None,
        }
    }

    /// Returns the node of a file.
    ///
    /// # Errors
    /// `SPIPE` for a stream, `ISDIR` for a directory.
    pub(super) fn file(&self) -> Answer<Node> {
        match self.target {
            Target::File(node) => Ok(node),
            Target::Directory(_) => Err(ISDIR.into()),
            Target::Stdin | Target::Stdout | Target::Stderr => Err(SPIPE.into()),
        }
    }
}

impl Fds {
    pub(super) fn new() -> Self {
        let stream = |target, can_read| Some(Descriptor::new(target, can_read, !can_read));
        let root =
            |path| Descriptor { preopen: Some(path), ..Descriptor::new(Target::Directory(Files::ROOT), true, true) };
        let streams = [stream(Target::Stdin, true), stream(Target::Stdout, false), stream(Target::Stderr, false)];
        Self(streams.into_iter().chain(PREOPENS.map(root).map(Some)).collect())
    }

    /// Returns a descriptor.
    ///
    /// # Errors
    /// `BADF` if it is not open.
    pub(super) fn get(&self, fd: u32) -> Answer<&Descriptor> {
        self.0.get(place(fd)).and_then(Option::as_ref).ok_or(Fail::Errno(BADF))
    }

    /// Returns a descriptor, to be changed.
    ///
    /// # Errors
    /// `BADF` if it is not open.
    pub(super) fn get_mut(&mut self, fd: u32) -> Answer<&mut Descriptor> {
        self.0.get_mut(place(fd)).and_then(Option::as_mut).ok_or(Fail::Errno(BADF))
    }

    /// Returns the directory of a descriptor.
    ///
    /// # Errors
    /// `BADF` if it is not open, `NOTDIR` if it is no directory.
    pub(super) fn directory(&self, fd: u32) -> Answer<Node> {
        match self.get(fd)?.target {
            Target::Directory(node) => Ok(node),
            _ => Err(NOTDIR.into()),
        }
    }

    /// Returns true if a write to the descriptor goes to the log.
    pub(super) fn is_log(&self, fd: u32, is_stdout_log: bool) -> bool {
        let target = self.0.get(place(fd)).and_then(Option::as_ref).map(|descriptor| descriptor.target);
        target == Some(Target::Stderr) || (is_stdout_log && target == Some(Target::Stdout))
    }

    /// Returns the lowest number that is free.
    ///
    /// # Errors
    /// `MFILE` if there are too many.
    pub(super) fn free(&mut self) -> Answer<u32> {
        let at = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if at >= FDS_MAX {
            return Err(MFILE.into());
        }
        if at == self.0.len() {
            self.0.push(None);
        }
        u32::try_from(at).map_err(|_| Fail::Errno(MFILE))
    }

    /// Opens a descriptor under a number from [`Fds::free`].
    pub(super) fn set(&mut self, fd: u32, descriptor: Descriptor) {
        if let Some(place) = self.0.get_mut(place(fd)) {
            *place = Some(descriptor);
        }
    }

    fn take(&mut self, fd: u32) -> Answer<Descriptor> {
        self.0.get_mut(place(fd)).and_then(Option::take).ok_or(Fail::Errno(BADF))
    }
}

fn place(fd: u32) -> usize {
    usize::try_from(fd).unwrap_or(usize::MAX)
}

pub(super) fn close(caller: &mut Caller<'_, Host>, fd: u32) -> Result<i32> {
    answer(|| {
        let wasi = caller.data_mut().wasi()?;
        if let Some(node) = wasi.fds.take(fd)?.node() {
            wasi.files.close(node);
        }
        Ok(())
    })
}

/// Moves a descriptor to another number, whose own one is closed.
pub(super) fn renumber(caller: &mut Caller<'_, Host>, from: u32, to: u32) -> Result<i32> {
    answer(|| {
        let wasi = caller.data_mut().wasi()?;
        wasi.fds.get(from)?;
        let replaced = *wasi.fds.get(to)?;
        if from != to {
            let moved = wasi.fds.take(from)?;
            wasi.fds.set(to, moved);
            if let Some(node) = replaced.node() {
                wasi.files.close(node);
            }
        }
        Ok(())
    })
}

/// Answers a call that has nothing to do for an open descriptor: files are in memory.
pub(super) fn nothing(caller: &mut Caller<'_, Host>, fd: u32) -> Result<i32> {
    answer(|| caller.data_mut().wasi()?.fds.get(fd).map(drop))
}

/// Answers advice on how a file will be read.
pub(super) fn advise(caller: &mut Caller<'_, Host>, fd: u32, advice: u32) -> Result<i32> {
    match advice {
        0..6 => answer(|| caller.data_mut().wasi()?.fds.get(fd)?.file().map(drop)),
        _ => Ok(INVAL.into()),
    }
}

/// Writes the type, flags and rights of a descriptor.
pub(super) fn status(caller: &mut Caller<'_, Host>, fd: u32, at: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let descriptor = *guest.wasi.fds.get(fd)?;
        let access = |rights: u64| {
            let without = |denied: bool, right: u64| if denied { right } else { 0 };
            rights & !(without(!descriptor.can_read, FD_READ) | without(!descriptor.can_write, FD_WRITE))
        };
        let (kind, base, inherited) = match descriptor.target {
            // Without these rights and of no type, a stream is not taken for a terminal.
            Target::Stdin | Target::Stdout | Target::Stderr => (0, access(ALL & !(FD_SEEK | FD_TELL)), 0),
            Target::File(_) => (super::stat::kind(Kind::File), access(ALL & !OF_DIRECTORIES), 0),
            Target::Directory(_) => {
                (super::stat::kind(Kind::Directory), ALL & !(FD_SEEK | FD_TELL | FD_READ | FD_WRITE), ALL)
            }
        };
        let mut raw = [0; 24];
        raw[0] = kind;
        raw[2..4].copy_from_slice(&descriptor.flags.to_le_bytes());
        raw[8..16].copy_from_slice(&base.to_le_bytes());
        raw[16..24].copy_from_slice(&inherited.to_le_bytes());
        guest.put(at, &raw)
    })
}

pub(super) fn set_flags(caller: &mut Caller<'_, Host>, fd: u32, flags: u32) -> Result<i32> {
    answer(|| {
        let descriptor = caller.data_mut().wasi()?.fds.get_mut(fd)?;
        descriptor.flags = u16::try_from(flags).ok().filter(|flags| *flags < 1 << 5).ok_or(Fail::Errno(INVAL))?;
        Ok(())
    })
}

/// Refuses a change of rights, which preview 1 has given up.
pub(super) fn set_rights(caller: &mut Caller<'_, Host>, fd: u32) -> Result<i32> {
    answer(|| {
        caller.data_mut().wasi()?.fds.get(fd)?;
        Err(NOTSUP.into())
    })
}

/// Answers a call on sockets, of which there are none.
pub(super) fn no_socket(caller: &mut Caller<'_, Host>, fd: u32) -> Result<i32> {
    answer(|| {
        caller.data_mut().wasi()?.fds.get(fd)?;
        Err(NOTSOCK.into())
    })
}

/// Writes the size of the path of a directory that is open from the start.
pub(super) fn preopen(caller: &mut Caller<'_, Host>, fd: u32, at: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let path = guest.wasi.fds.get(fd)?.preopen.ok_or(Fail::Errno(BADF))?;
        guest.put_u32(at, 0)?;
        guest.put_u32(at.saturating_add(4), u32::try_from(path.len()).unwrap_or(0))
    })
}

/// Writes the path of a directory that is open from the start.
pub(super) fn preopen_path(caller: &mut Caller<'_, Host>, fd: u32, at: u32, len: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let path = guest.wasi.fds.get(fd)?.preopen.ok_or(Fail::Errno(BADF))?;
        match place(len) < path.len() {
            true => Err(NAMETOOLONG.into()),
            false => guest.put(at, path.as_bytes()),
        }
    })
}

/// Returns the position of a file's descriptor after moving it.
pub(super) fn seek(caller: &mut Caller<'_, Host>, fd: u32, offset: i64, from: Option<From>, at: u32) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let descriptor = *guest.wasi.fds.get(fd)?;
        let node = descriptor.file()?;
        let start = match from.ok_or(Fail::Errno(INVAL))? {
            From::Start => 0,
            From::Here => descriptor.position,
            From::End => guest.wasi.files.stat(node)?.size,
        };
        let position = start.checked_add_signed(offset).filter(|position| i64::try_from(*position).is_ok());
        let position = position.ok_or(Fail::Errno(INVAL))?;
        guest.wasi.fds.get_mut(fd)?.position = position;
        guest.put_u64(at, position)
    })
}

/// Place from which a descriptor is moved.
#[derive(Clone, Copy)]
pub(super) enum From {
    Start,
    Here,
    End,
}

/// Returns the place that a number of preview 1 stands for.
pub(super) const fn whence(number: u32) -> Option<From> {
    match number {
        0 => Some(From::Start),
        1 => Some(From::Here),
        2 => Some(From::End),
        _ => None,
    }
}

pub(super) fn tell(caller: &mut Caller<'_, Host>, fd: u32, at: u32) -> Result<i32> {
    seek(caller, fd, 0, Some(From::Here), at)
}
