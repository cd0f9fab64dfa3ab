//! Memory and table limits of a run. Set before instantiation, so that a module's initial memory counts as well.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use fusebox_core::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use wasmtime::{ResourceLimiter, Result};

/// Memory of a run: its linear memories and the files of its scratch, within one limit. Cheap to clone; a run uses its
/// budget on one thread.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Used>);

struct Used {
    max: u64,
    now: AtomicU64,
    peak: AtomicU64,
    /// True once a request was refused: a trap after it means out of memory.
    refused: AtomicBool,
}

impl Budget {
    pub(crate) fn new(max: u64) -> Self {
        Self(Arc::new(Used { max, now: AtomicU64::new(0), peak: AtomicU64::new(0), refused: AtomicBool::new(false) }))
    }

    /// Takes bytes; returns false if too few are left.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let Used { max, now, peak, refused } = &*self.0;
        match now.load(Relaxed).checked_add(bytes).filter(|used| used <= max) {
            Some(used) => {
                now.store(used, Relaxed);
                peak.fetch_max(used, Relaxed);
                true
            }
            None => {
                refused.store(true, Relaxed);
                false
            }
        }
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, bytes: u64) {
        let now = &self.0.now;
        now.store(now.load(Relaxed).saturating_sub(bytes), Relaxed);
    }

    /// Returns the bytes in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.0.now.load(Relaxed)
    }
}

/// Refuses growth above the limit and records the refusal. All memories of a run count together, and so do the heap of
/// its exceptions, the files of its scratch and, separately, all its tables.
pub(crate) struct Limiter {
    budget: Budget,
    table_elements: usize,
    /// Bytes taken for the growth under way, which may still fail.
    growing: u64,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        Self { budget: Budget::new(memory_bytes_max), table_elements: 0, growing: 0 }
    }

    /// Returns the memory of the run.
    pub(crate) fn budget(&self) -> Budget {
        self.budget.clone()
    }

    /// Returns the largest number of bytes in use at a time.
    pub(crate) fn memory_bytes_peak(&self) -> u64 {
        self.budget.0.peak.load(Relaxed)
    }

    /// Returns true if a growth was refused: a trap after it means out of memory.
    pub(crate) fn refused(&self) -> bool {
        self.budget.0.refused.load(Relaxed)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // Growth beyond the module's own maximum fails anyway and does not count as a refusal.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.growing = desired.saturating_sub(current) as u64;
        let is_allowed = self.budget.take(self.growing);
        self.growing *= u64::from(is_allowed);
        Ok(is_allowed)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.budget.give(std::mem::take(&mut self.growing));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        let is_within = u32::try_from(elements).is_ok_and(|elements| elements <= TABLE_ELEMENTS_MAX);
        self.budget.0.refused.fetch_or(!is_within, Relaxed);
        let is_allowed = is_within && maximum.is_none_or(|maximum| desired <= maximum);
        if is_allowed {
            self.table_elements = elements;
        }
        Ok(is_allowed)
    }

    fn instances(&self) -> usize {
        usize::try_from(CORE_INSTANCES_MAX).unwrap_or(usize::MAX)
    }

    fn memories(&self) -> usize {
        usize::try_from(MEMORIES_MAX).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        usize::try_from(TABLES_MAX).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_files_share_one_limit() {
        let mut limiter = Limiter::new(100);
        let files = limiter.budget();
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(files.take(30));
        assert!(!limiter.memory_growing(60, 61, Some(60)).unwrap() && !limiter.refused(), "its own maximum");
        assert!(!limiter.memory_growing(60, 80, None).unwrap() && limiter.refused());
        files.give(20);
        assert!(limiter.memory_growing(60, 80, None).unwrap());
        assert_eq!((files.used(), limiter.memory_bytes_peak()), (90, 90));
        limiter.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap();
        assert_eq!((files.used(), limiter.memory_bytes_peak()), (70, 90));
    }

    #[test]
    fn all_memories_and_all_tables_of_a_run_share_its_limits() {
        let mut limiter = Limiter::new(100);
        for (current, desired, allowed) in [(0, 60, true), (0, 30, true), (30, 41, false), (60, 70, true)] {
            assert_eq!(limiter.memory_growing(current, desired, None).unwrap(), allowed, "{current} to {desired}");
        }
        assert!(limiter.refused() && limiter.memory_bytes_peak() == 100);

        let mut limiter = Limiter::new(100);
        let most = usize::try_from(TABLE_ELEMENTS_MAX).unwrap();
        assert!(limiter.table_growing(0, most - 1, None).unwrap());
        assert!(!limiter.table_growing(0, 5, Some(4)).unwrap() && limiter.table_growing(0, 1, None).unwrap());
        assert!(!limiter.table_growing(1, 2, None).unwrap() && limiter.refused());
    }
}
