//! Memory and table limits of a run. Set before instantiation, so that a module's initial memory counts as well.

use fusebox_core::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use wasmtime::{ResourceLimiter, Result};

/// Refuses growth above the limit and records the refusal: a trap after it means out of memory. All memories of a run
/// count together, and so do the heap of its exceptions and, separately, all its tables.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    pub(crate) memory_bytes_peak: usize,
    pub(crate) refused: bool,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        let memory_bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        Self { memory_bytes_max, memory_bytes: 0, table_elements: 0, memory_bytes_peak: 0, refused: false }
    }

    fn allow(&mut self, allowed: bool) -> bool {
        self.refused |= !allowed;
        allowed
    }
}

/// Returns a sum after one of its parts grew.
fn grown(sum: usize, current: usize, desired: usize) -> usize {
    sum.saturating_add(desired.saturating_sub(current))
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // Growth beyond the module's own maximum fails anyway and does not count as a refusal.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = grown(self.memory_bytes, current, desired);
        let allowed = self.allow(bytes <= self.memory_bytes_max);
        if allowed {
            self.memory_bytes = bytes;
            self.memory_bytes_peak = self.memory_bytes_peak.max(bytes);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let elements = grown(self.table_elements, current, desired);
        let is_within = u32::try_from(elements).is_ok_and(|elements| elements <= TABLE_ELEMENTS_MAX);
        let allowed = self.allow(is_within) && maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.table_elements = elements;
        }
        Ok(allowed)
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
    fn all_memories_and_all_tables_of_a_run_share_its_limits() {
        let mut limiter = Limiter::new(100);
        for (current, desired, allowed) in [(0, 60, true), (0, 30, true), (30, 41, false), (60, 70, true)] {
            assert_eq!(limiter.memory_growing(current, desired, None).unwrap(), allowed, "{current} to {desired}");
        }
        assert!(limiter.refused && limiter.memory_bytes_peak == 100);

        let mut limiter = Limiter::new(100);
        let most = usize::try_from(TABLE_ELEMENTS_MAX).unwrap();
        assert!(limiter.table_growing(0, most - 1, None).unwrap());
        assert!(!limiter.table_growing(0, 5, Some(4)).unwrap() && limiter.table_growing(0, 1, None).unwrap());
        assert!(!limiter.table_growing(1, 2, None).unwrap() && limiter.refused);
    }
}
