//! Calls with paths. Each path starts at an open directory; the names that it follows cost fuel after the call, beside
//! what its length costs before.

use wasmtime::{Caller, Result};

use super::{
    errno::{Answer, Fail, INVAL, NOTDIR, told},
    fds::{Descriptor, FD_READ, FD_WRITE, Target},
    guest::{Guest, guest},
    stat::{self, Layout},
};
use crate::{
    files::{
        Kind,
        fs::{Node, OpenOptions},
    },
    host::Host,
    metered::charge,
    time,
};

/// Fuel of a name that a path follows: it is looked up in a directory.
pub(crate) const NAME: u64 = 3_000;

/// Path of the guest: an open directory, and a text in its memory.
#[derive(Clone, Copy)]
pub(super) struct Path {
    pub(super) fd: u32,
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Path {
    fn read(self, guest: &mut Guest<'_>) -> Answer<(Node, String)> {
        Ok((guest.wasi.fds.directory(self.fd)?, guest.text(self.at, self.len)?))
    }
}

/// Makes a call, and charges for the names that it followed.
fn call(caller: &mut Caller<'_, Host>, call: impl FnOnce(&mut Guest<'_>) -> Answer) -> Result<i32> {
    let answer = match guest(caller) {
        Ok(mut guest) => call(&mut guest),
        Err(error) => Err(error.into()),
    };
    let steps = caller.data_mut().wasi()?.files.take_steps();
    charge(caller, steps * NAME)?;
    told(answer)
}

/// Returns true if flags ask to follow a link at the end of a path.
const fn follows(flags: u32) -> bool {
    flags & 1 != 0
}

/// Flags and rights with which a path is opened.
pub(super) struct Opening {
    pub(super) lookup: u32,
    pub(super) how: u32,
    pub(super) rights: u64,
    pub(super) flags: u32,
}

pub(super) fn open(caller: &mut Caller<'_, Host>, path: Path, opening: &Opening, fd_at: u32) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        let Opening { lookup, how, rights, flags } = *opening;
        let flags = u16::try_from(flags).ok().filter(|flags| *flags < 1 << 5).ok_or(Fail::Errno(INVAL))?;
        let (can_read, can_write) = (rights & FD_READ != 0, rights & FD_WRITE != 0);
        let (create, directory, exclusive, truncate) = (how & 1 != 0, how & 2 != 0, how & 4 != 0, how & 8 != 0);
        if create && directory {
            return Err(INVAL.into());
        }
        let write = can_write && !directory;
        let options = OpenOptions { follow: follows(lookup), create, exclusive, truncate, directory, write };
        let wasi = &mut *guest.wasi;
        let fd = wasi.fds.free()?;
        let node = wasi.files.open(from, &text, options, time::unix_ns())?;
        let target = match wasi.files.stat(node)?.kind {
            Kind::Directory => Target::Directory(node),
            Kind::File | Kind::Link => Target::File(node),
        };
        wasi.fds.set(fd, Descriptor { flags, ..Descriptor::new(target, can_read, can_write) });
        guest.put_u32(fd_at, fd)
    })
}

pub(super) fn create_directory(caller: &mut Caller<'_, Host>, path: Path) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        Ok(guest.wasi.files.create_directory(from, &text, time::unix_ns())?)
    })
}

pub(super) fn remove_directory(caller: &mut Caller<'_, Host>, path: Path) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        Ok(guest.wasi.files.remove_directory(from, &text, time::unix_ns())?)
    })
}

pub(super) fn unlink(caller: &mut Caller<'_, Host>, path: Path) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        Ok(guest.wasi.files.unlink(from, &text, time::unix_ns())?)
    })
}

pub(super) fn stat(caller: &mut Caller<'_, Host>, path: Path, lookup: u32, at: u32, layout: Layout) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        let node = guest.wasi.files.look_up(from, &text, follows(lookup))?;
        stat::of(guest, node, at, layout)
    })
}

pub(super) fn set_times(
    caller: &mut Caller<'_, Host>,
    path: Path,
    lookup: u32,
    (accessed, modified, flags): (i64, i64, u32),
) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        let (accessed, modified) = stat::times(accessed, modified, flags)?;
        let node = guest.wasi.files.look_up(from, &text, follows(lookup))?;
        Ok(guest.wasi.files.set_times(node, accessed, modified, time::unix_ns())?)
    })
}

pub(super) fn link(caller: &mut Caller<'_, Host>, path: Path, lookup: u32, new: Path) -> Result<i32> {
    call(caller, |guest| {
        let ((from, text), (to, new)) = (path.read(guest)?, new.read(guest)?);
        Ok(guest.wasi.files.link((from, &text), (to, &new), follows(lookup), time::unix_ns())?)
    })
}

pub(super) fn symlink(caller: &mut Caller<'_, Host>, target: (u32, u32), path: Path) -> Result<i32> {
    call(caller, |guest| {
        let target = guest.text(target.0, target.1)?;
        let (from, text) = path.read(guest)?;
        Ok(guest.wasi.files.symlink(&target, from, &text, time::unix_ns())?)
    })
}

/// Writes the target of a link, as far as it fits.
pub(super) fn read_link(caller: &mut Caller<'_, Host>, path: Path, buffer: (u32, u32), used_at: u32) -> Result<i32> {
    call(caller, |guest| {
        let (from, text) = path.read(guest)?;
        let target = guest.wasi.files.read_link(from, &text)?.to_owned();
        let (at, len) = buffer;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(target.len());
        guest.put(at, target.as_bytes().get(..len).unwrap_or_default())?;
        guest.put_u32(used_at, u32::try_from(len).unwrap_or(u32::MAX))
    })
}

pub(super) fn rename(caller: &mut Caller<'_, Host>, path: Path, new: Path) -> Result<i32> {
    call(caller, |guest| {
        let ((from, text), (to, new)) = (path.read(guest)?, new.read(guest)?);
        Ok(guest.wasi.files.rename((from, &text), (to, &new), time::unix_ns())?)
    })
}

/// Size of the record before each name of a listing.
const ENTRY_BYTES: usize = 24;

/// Writes entries of a directory from a place on, until the buffer is full; the last one may be cut.
pub(super) fn list(caller: &mut Caller<'_, Host>, fd: u32, buffer: (u32, u32), from: i64, used_at: u32) -> Result<i32> {
    call(caller, |guest| {
        let Target::Directory(node) = guest.wasi.fds.get(fd)?.target else { return Err(NOTDIR.into()) };
        let (buffer, wasi) = guest.split(buffer.0, buffer.1)?;
        let (mut used, mut listed) = (0, 0);
        for entry in wasi.files.entries(node, from.cast_unsigned())? {
            let stat = wasi.files.stat(entry.node)?;
            let mut raw = [0; ENTRY_BYTES];
            raw[..8].copy_from_slice(&entry.next.to_le_bytes());
            raw[8..16].copy_from_slice(&stat.inode.to_le_bytes());
            raw[16..20].copy_from_slice(&u32::try_from(entry.name.len()).unwrap_or(u32::MAX).to_le_bytes());
            raw[20] = stat::kind(stat.kind);
            for byte in raw.iter().chain(entry.name.as_bytes()) {
                let Some(to) = buffer.get_mut(used) else { break };
                *to = *byte;
                used += 1;
            }
            listed += 1;
            if used == buffer.len() {
                break;
            }
        }
        wasi.files.add_steps(listed);
        guest.put_u32(used_at, u32::try_from(used).unwrap_or(u32::MAX))
    })
}
