//! Allocator: an arena in the module's own memory for small runs, and the default allocator beyond it.
//!
//! The default allocator requests more memory from the host at a run's first allocation. The host then changes page
//! protections once for the run and once after it, which costs more than the whole run of a small function (measured:
//! 13 % of a host's time with `hello`). Without the feature `arena`, the default allocator or a custom one is used.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, UnsafeCell},
    ptr,
};

/// Enough for an input and an output of a few kilobytes; small, since it is part of every instance.
const ARENA_BYTES: usize = 32 << 10;

#[repr(align(16))]
struct Bytes(UnsafeCell<[u8; ARENA_BYTES]>);

/// Bump allocator. A freed block is reused only if it is the last one: an instance has a single run, and allocations
/// that do not fit use the default allocator.
pub(crate) struct Arena {
    bytes: Bytes,
    used: Cell<usize>,
}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ARENA: Arena = Arena::new();

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "a static must be Sync")]
// SAFETY: the module is built without threads, which the host does not provide.
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self { bytes: Bytes(UnsafeCell::new([0; ARENA_BYTES])), used: Cell::new(0) }
    }

    /// Returns the offset of a block if it belongs to the arena.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let start = self.bytes.0.get().addr();
        block.addr().checked_sub(start).filter(|offset| *offset < ARENA_BYTES)
    }

    /// Takes `size` bytes starting at `from`, rounded up to `align`.
    fn take(&self, from: usize, size: usize, align: usize) -> Option<*mut u8> {
        let start = self.bytes.0.get();
        let begin = start.addr().checked_add(from)?.checked_next_multiple_of(align)? - start.addr();
        let end = begin.checked_add(size).filter(|end| *end <= ARENA_BYTES)?;
        self.used.set(end);
        Some(start.cast::<u8>().wrapping_add(begin))
    }

    fn is_last(&self, offset: usize, layout: Layout) -> bool {
        offset + layout.size() == self.used.get()
    }
}

#[expect(unsafe_code, reason = "an allocator hands out memory")]
// SAFETY: blocks of the arena do not overlap, since each begins where the previous ones end and only the last one is
// taken back; they are inside it and aligned as `take` computes. All other blocks come from the system allocator and
// are returned to it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(self.used.get(), layout.size(), layout.align()) {
            Some(block) => block,
            // SAFETY: the caller's guarantees about `layout` are passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(self.used.get(), layout.size(), layout.align()) {
            Some(block) => {
                // SAFETY: the arena's block has this size. It may have been used before.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            // SAFETY: the caller's guarantees about `layout` are passed on.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if self.is_last(offset, layout) => self.used.set(offset),
            Some(_) => {}
            // SAFETY: the block is not the arena's, so the system allocator made it with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: as in `dealloc`; the caller's guarantees about `size` are passed on.
            return unsafe { System.realloc(block, layout, size) };
        };
        if self.is_last(offset, layout) && self.take(offset, size, 1).is_some() {
            return block;
        }
        // SAFETY: the caller guarantees that `size`, rounded up to this alignment, does not overflow.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks have at least this size and are distinct.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(size)) };
        }
        moved
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "an allocator is called with promises")]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn blocks_are_aligned_apart_and_used_again_when_the_last_is_freed() {
        let arena = Arena::new();
        // SAFETY: each block is used within its layout and freed once with it.
        unsafe {
            let first = arena.alloc(layout(3, 1));
            let second = arena.alloc(layout(8, 8));
            assert!(second.addr().is_multiple_of(8) && second.addr() >= first.addr() + 3);
            first.write_bytes(0xa5, 3);
            second.write_bytes(0x5a, 8);
            assert_eq!(first.read(), 0xa5);
            arena.dealloc(second, layout(8, 8));
            assert_eq!(arena.alloc(layout(1, 1)), second, "its room is free again");
        }
    }

    #[test]
    fn the_last_block_grows_in_place_and_others_move_with_their_bytes() {
        let arena = Arena::new();
        // SAFETY: as above.
        unsafe {
            let first = arena.alloc(layout(4, 4));
            first.cast::<u32>().write(7);
            assert_eq!(arena.realloc(first, layout(4, 4), 64), first);
            let _second = arena.alloc(layout(1, 1));
            let moved = arena.realloc(first, layout(64, 4), 128);
            assert_ne!(moved, first);
            assert_eq!(moved.cast::<u32>().read(), 7);
        }
    }

    #[test]
    fn what_the_arena_has_no_room_for_comes_from_the_system() {
        let arena = Arena::new();
        // SAFETY: as above.
        unsafe {
            let whole = arena.alloc(layout(ARENA_BYTES, 1));
            assert_eq!(arena.offset(whole), Some(0));
            let more = arena.alloc(layout(100, 16));
            assert_eq!(arena.offset(more), None);
            let more = arena.realloc(more, layout(100, 16), 1_000);
            arena.dealloc(more, layout(1_000, 16));
            let moved = arena.realloc(whole, layout(ARENA_BYTES, 1), ARENA_BYTES + 1);
            assert_eq!(arena.offset(moved), None);
            arena.dealloc(moved, layout(ARENA_BYTES + 1, 1));
        }
    }
}
