//! Memory that a plug-in shares with its host: blocks of bytes in one range of addresses, outside the plug-in's own
//! memory and charged to the run's in steps of 64 KiB, as that is.

use std::collections::{BTreeMap, BTreeSet};

/// Address of the first byte; 0 stands for no block.
const BASE: u64 = 1 << 10;
/// Bytes charged for a block besides its content: its entries in the tables below.
const ENTRY_BYTES: u64 = 96;
/// Blocks have sizes of a multiple of this, and addresses too.
const ALIGN: u64 = 8;
/// Least rest of a freed block that becomes a block of its own.
const REST_BYTES_MIN: u64 = 128;
/// Step in which memory is charged.
const STEP: u64 = 64 << 10;

/// Blocks of one run.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    bytes: Vec<u8>,
    /// Blocks in use by their address.
    used: BTreeMap<u64, Block>,
    /// Freed blocks: size and address.
    free: BTreeSet<(u64, u64)>,
    /// Bytes charged to the run.
    charged: u64,
}

/// A block in use.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Bytes that it occupies.
    size: u64,
    /// Bytes that were requested.
    len: u64,
}

impl Memory {
    /// Allocates a block of zeros, or of what a freed block held, and returns its address: 0 if `len` is 0, or if
    /// `charge` refuses the bytes that it is then asked for.
    pub(crate) fn alloc(&mut self, len: u64, charge: impl FnMut(u64) -> bool) -> u64 {
        if len == 0 {
            return 0;
        }
        let size = len.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
        let reused = self.free.range((size, 0)..).next().copied();
        let Some((found, at)) = reused else { return self.append(size, len, charge) };
        self.free.remove(&(found, at));
        let rest = found - size;
        if rest >= REST_BYTES_MIN && self.charge(0, 1, charge) {
            self.free.insert((rest, at + size));
            self.used.insert(at, Block { size, len });
        } else {
            self.used.insert(at, Block { size: found, len });
        }
        at
    }

    fn append(&mut self, size: u64, len: u64, charge: impl FnMut(u64) -> bool) -> u64 {
        if !self.charge(size, 1, charge) {
            return 0;
        }
        let (at, end) = (BASE + self.bytes.len() as u64, self.bytes.len().saturating_add(to_usize(size)));
        if end > self.bytes.capacity() {
            // A quarter more, rather than twice as much, which would not be charged.
            let more = to_usize(size).max(self.bytes.len() / 4);
            if self.bytes.try_reserve_exact(more).is_err() {
                return 0;
            }
        }
        self.bytes.resize(end, 0);
        self.used.insert(at, Block { size, len });
        at
    }

    /// Charges bytes and entries that are added.
    fn charge(&mut self, bytes: u64, entries: u64, mut charge: impl FnMut(u64) -> bool) -> bool {
        let entries = self.used.len() as u64 + self.free.len() as u64 + entries;
        let needed = (self.bytes.len() as u64).saturating_add(bytes).saturating_add(entries * ENTRY_BYTES);
        let more = needed.checked_next_multiple_of(STEP).unwrap_or(u64::MAX).saturating_sub(self.charged);
        let is_allowed = more == 0 || charge(more);
        self.charged += if is_allowed { more } else { 0 };
        is_allowed
    }

    /// Frees the block at this address; does nothing if there is none.
    pub(crate) fn free(&mut self, at: u64) {
        if let Some(block) = self.used.remove(&at) {
            self.free.insert((block.size, at));
        }
    }

    /// Returns the length of the block at this address; 0 if there is none.
    pub(crate) fn len(&self, at: u64) -> u64 {
        self.used.get(&at).map_or(0, |block| block.len)
    }

    /// Returns the content of the block at this address.
    pub(crate) fn block(&self, at: u64) -> Option<&[u8]> {
        self.range(at, self.used.get(&at)?.len)
    }

    /// Returns a range of the memory, which may span blocks; `None` if it is outside.
    pub(crate) fn range(&self, at: u64, len: u64) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(BASE)?).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
    }

    /// Returns a range of the memory to write to; `None` if it is outside.
    pub(crate) fn range_mut(&mut self, at: u64, len: u64) -> Option<&mut [u8]> {
        let from = usize::try_from(at.checked_sub(BASE)?).ok()?;
        self.bytes.get_mut(from..from.checked_add(usize::try_from(len).ok()?)?)
    }

    /// Returns the size of the memory in bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    /// Returns a charge that allows this many bytes in total.
    fn within(limit: usize) -> impl FnMut(u64) -> bool {
        let mut left = limit as u64;
        move |more| {
            left.checked_sub(more).is_some_and(|rest| {
                left = rest;
                true
            })
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_freed_ones_are_used_again() {
        let (mut memory, mut charge) = (Memory::default(), within(LIMIT));
        let [a, b, c] = [100, 300, 7].map(|len| memory.alloc(len, &mut charge));
        assert_eq!([a, b, c].map(|at| memory.len(at)), [100, 300, 7]);
        for (at, byte) in [(a, 1), (b, 2), (c, 3)] {
            let len = memory.len(at);
            memory.range_mut(at, len).unwrap().fill(byte);
        }
        for (at, byte) in [(a, 1), (b, 2), (c, 3)] {
            assert!(memory.block(at).unwrap().iter().all(|found| *found == byte));
        }
        let size = memory.size();
        memory.free(b);
        assert_eq!((memory.len(b), memory.block(b)), (0, None));
        let [small, other] = [50, 200].map(|len| memory.alloc(len, &mut charge));
        assert!((b..b + 300).contains(&small) && (b..b + 300).contains(&other) && small != other);
        assert_eq!(memory.size(), size, "both fit into the freed block");
    }

    #[test]
    fn addresses_that_are_no_block_are_outside_or_empty() {
        let mut memory = Memory::default();
        let at = memory.alloc(16, within(LIMIT));
        for foreign in [0, 1, at - 1, at + 1, at + 8, at + 16, u64::MAX] {
            memory.free(foreign);
            assert_eq!((memory.len(foreign), memory.block(foreign)), (0, None), "{foreign}");
        }
        assert!(memory.range(at, 16).is_some() && memory.range(at + 8, 8).is_some());
        for (from, len) in [(at, 17), (at + 16, 1), (at - 1, 1), (0, 1), (u64::MAX, 1), (at, u64::MAX)] {
            assert!(memory.range(from, len).is_none() && memory.range_mut(from, len).is_none(), "{from} {len}");
        }
    }

    #[test]
    fn the_bytes_and_the_number_of_blocks_are_charged() {
        let mut memory = Memory::default();
        for len in [LIMIT as u64, u64::MAX, u64::MAX - 7, 1 << 40] {
            assert_eq!(memory.alloc(len, within(LIMIT)), 0, "{len}");
        }
        assert_eq!(memory.alloc(0, within(LIMIT)), 0);
        let mut charge = within(LIMIT);
        let made = (0..LIMIT).take_while(|_| memory.alloc(1, &mut charge) != 0).count();
        assert!((LIMIT / 120..LIMIT / 100).contains(&made), "{made} blocks of one byte");
        // Blocks that are split add entries too.
        let mut memory = Memory::default();
        let mut charge = within(LIMIT);
        let large = memory.alloc(LIMIT as u64 / 2, &mut charge);
        memory.free(large);
        let made = (0..LIMIT).take_while(|_| memory.alloc(1, &mut charge) != 0).count();
        assert!(made <= LIMIT / 100 + LIMIT / 8, "{made} blocks of one byte");
    }
}
