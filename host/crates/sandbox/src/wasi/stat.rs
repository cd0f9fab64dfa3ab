//! Facts about files, in the layouts of preview 1 and of the draft before.

use wasmtime::{Caller, Result};

use super::{
    errno::{Answer, Fail, INVAL, answer},
    fds::Target,
    guest::{Guest, guest},
};
use crate::{
    files::{
        Kind,
        fs::{Node, Stat},
        scratch::Times,
    },
    host::Host,
    time,
};

/// Layout of the record of a file.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    Preview1,
    /// Draft, whose number of links has 4 bytes.
    Unstable,
}

/// Returns the number of a type.
pub(super) const fn kind(kind: Kind) -> u8 {
    match kind {
        Kind::Directory => 3,
        Kind::File => 4,
        Kind::Link => 7,
    }
}

/// Device of all files; streams have 0.
const DEVICE: u64 = 1;

fn put(guest: &mut Guest<'_>, at: u32, layout: Layout, device: u64, number: u8, stat: &Stat) -> Answer {
    let mut raw = [0; 64];
    let mut set = |at: usize, bytes: &[u8]| {
        if let Some(place) = raw.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    let Times { accessed, modified, changed } = stat.times;
    set(0, &device.to_le_bytes());
    set(8, &stat.inode.to_le_bytes());
    set(16, &[number]);
    let (size_at, len) = match layout {
        Layout::Preview1 => {
            set(24, &stat.names.to_le_bytes());
            (32, 64)
        }
        Layout::Unstable => {
            set(20, &u32::try_from(stat.names).unwrap_or(u32::MAX).to_le_bytes());
            (24, 56)
        }
    };
    for (at, number) in (size_at..).step_by(8).zip([stat.size, accessed, modified, changed]) {
        set(at, &number.to_le_bytes());
    }
    guest.put(at, raw.get(..len).unwrap_or(&raw))
}

/// Writes the record of an open descriptor.
pub(super) fn of_fd(caller: &mut Caller<'_, Host>, fd: u32, at: u32, layout: Layout) -> Result<i32> {
    answer(|| {
        let mut guest = guest(caller)?;
        let descriptor = *guest.wasi.fds.get(fd)?;
        match descriptor.target {
            Target::Stdin | Target::Stdout | Target::Stderr => {
                let (times, size) = (Times::default(), 0);
                let stat = Stat { inode: 0, kind: Kind::File, names: 0, size, times };
                put(&mut guest, at, layout, 0, 0, &stat)
            }
            Target::File(node) | Target::Directory(node) => of(&mut guest, node, at, layout),
        }
    })
}

/// Writes the record of a node.
pub(super) fn of(guest: &mut Guest<'_>, node: Node, at: u32, layout: Layout) -> Answer {
    let stat = guest.wasi.files.stat(node)?;
    put(guest, at, layout, DEVICE, kind(stat.kind), &stat)
}

/// Returns the times that flags and values ask for: of the last access and of the last change.
///
/// # Errors
/// `INVAL` if a time is both given and now.
pub(super) fn times(accessed: i64, modified: i64, flags: u32) -> Answer<(Option<u64>, Option<u64>)> {
    let one = |value: i64, flags: u32| match flags & 3 {
        0 => Ok(None),
        1 => Ok(Some(value.cast_unsigned())),
        2 => Ok(Some(time::unix_ns())),
        _ => Err(Fail::Errno(INVAL)),
    };
    Ok((one(accessed, flags)?, one(modified, flags >> 2)?))
}

/// Sets the times of an open descriptor.
pub(super) fn set_times(
    caller: &mut Caller<'_, Host>,
    fd: u32,
    accessed: i64,
    modified: i64,
    flags: u32,
) -> Result<i32> {
    answer(|| {
        let wasi = caller.data_mut().wasi()?;
        let node = wasi.fds.get(fd)?.node().ok_or(Fail::Errno(INVAL))?;
        let (accessed, modified) = times(accessed, modified, flags)?;
        Ok(wasi.files.set_times(node, accessed, modified, time::unix_ns())?)
    })
}
