//! Reserve of the file: blocks of the disk that are allocated behind its last page while the disk has little room left,
//! so that leases, ends and deletions go on after the disk is full, whoever filled it.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    process::{Resource, getrlimit},
};

use super::FILE;
use crate::Room;

/// Largest reserve, in bytes: the largest output and log, and thousands of small steps.
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// Part of a disk that is its reserve if that is less, as a divisor.
const RESERVE_PART: u64 = 16;
/// The reserve is allocated once the disk has no more room than this many reserves: so early that others hardly take it
/// between two looks, so late that the blocks are not missed elsewhere.
const EARLY: u64 = 16;
/// Bytes that the file may grow by for each byte that is stored: for copies of pages on the way to it, and for values
/// that leave a part of their last page empty.
const BYTES_PER_BYTE: u64 = 2;

/// Reserve of one file.
pub(super) struct Reserve {
    file: File,
    /// End of the allocated blocks, as an offset in the file; 0 if none were.
    end: AtomicU64,
}

/// Extent of the file at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Size of the disk, or the largest size of a file if that is less.
    pub(super) size: u64,
    /// Pages in use.
    pub(super) used: u64,
    /// Pages of the file that are in use or were.
    pub(super) file: u64,
    /// Extent behind them, with the reserve.
    pub(super) behind: u64,
    /// Part of that room which only steps use that store nothing new.
    pub(super) reserve: u64,
}

impl Extent {
    /// Returns the room of the disk. What others have there is used as well.
    pub(super) const fn room(self) -> Room {
        Room { total_bytes: self.size, used_bytes: self.size.saturating_sub(self.free()) }
    }

    const fn free(self) -> u64 {
        self.file.saturating_sub(self.used).saturating_add(self.behind)
    }

    /// Returns the bytes that a copy may take beside the file and its reserve.
    pub(super) const fn spare(self) -> u64 {
        self.behind.saturating_sub(self.reserve)
    }

    /// Returns the bytes that steps may store without touching the reserve. The reserve is not made of free pages alone,
    /// since a large value needs pages in a row.
    pub(super) fn growth(self) -> u64 {
        match self.behind < self.reserve / 2 {
            true => 0,
            false => self.free().saturating_sub(self.reserve) / BYTES_PER_BYTE,
        }
    }
}

impl Reserve {
    /// Opens the file of a folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: File::options().write(true).open(folder.join(FILE))?, end: AtomicU64::new(0) })
    }

    /// Returns the extent of a file whose pages end at `file`, and allocates the reserve if the disk has little room left.
    pub(super) fn extent(&self, used: u64, file: u64, map: u64) -> io::Result<Extent> {
        let disk = fstatvfs(&self.file)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        let free = bytes(disk.f_bavail);
        let end = self.end.load(Ordering::Relaxed);
        let most = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX).min(map);
        let behind = free.saturating_add(end.saturating_sub(file)).min(most.saturating_sub(file));
        let size = bytes(disk.f_blocks).min(most);
        let reserve = (size / RESERVE_PART).min(RESERVE_BYTES_MAX);
        let wanted = file.saturating_add(reserve).min(most);
        // Not with each new page, since that takes a call and a change of the file's blocks.
        if free < reserve.saturating_mul(EARLY) && end < wanted.saturating_sub(reserve / 4) {
            let from = file.max(end);
            // A disk that is full or cannot allocate ahead leaves the reserve as large as it is.
            if fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, wanted.saturating_sub(from)).is_ok() {
                self.end.store(wanted, Ordering::Relaxed);
            }
        }
        Ok(Extent { size, used, file, behind, reserve })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_harness::small_disk::SmallDisk;

    const MIB: u64 = 1 << 20;

    #[test]
    fn growth_leaves_the_reserve_free() {
        let growth = |used, file, behind| {
            let (size, reserve) = (200 * MIB, 10 * MIB);
            Extent { size, used: used * MIB, file: file * MIB, behind: behind * MIB, reserve }.growth() / MIB
        };
        assert_eq!(growth(0, 0, 160), 75);
        assert_eq!(growth(100, 120, 40), 25, "pages that are free in the file count");
        assert_eq!(growth(150, 155, 5), 0);
        assert_eq!(growth(0, 156, 4), 0, "large values find no place between others");
    }

    #[test]
    fn the_reserve_stays_when_others_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(dir.path(), 16 * MIB).unwrap();
        std::fs::write(dir.path().join(FILE), vec![1; 4 << 20]).unwrap();
        let reserve = Reserve::open(dir.path()).unwrap();
        let extent = || reserve.extent(4 * MIB, 4 * MIB, u64::MAX).unwrap();
        let before = extent();
        assert_eq!((before.behind, before.reserve), (12 * MIB, MIB));
        assert_eq!(before.room(), Room { total_bytes: 16 * MIB, used_bytes: 4 * MIB });
        assert_eq!(before, extent(), "the reserve is a part of the room");
        disk.fill().unwrap();
        assert_eq!((extent().behind, extent().growth()), (MIB, 0));
        assert_eq!(extent().room().used_bytes, 15 * MIB, "with what others use");
        let mut file = File::options().append(true).open(dir.path().join(FILE)).unwrap();
        io::Write::write_all(&mut file, &vec![2; 1 << 20]).unwrap();
        assert_eq!(reserve.extent(5 * MIB, 5 * MIB, u64::MAX).unwrap().behind, 0);
        disk.free().unwrap();
        assert_eq!(reserve.extent(5 * MIB, 5 * MIB, u64::MAX).unwrap().behind, 11 * MIB);
    }
}
