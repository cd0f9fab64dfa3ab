//! Memory and table limits of a run. Set before instantiation, so that a module's initial memory counts as well.

use fusebox_core::limits::TABLE_ELEMENTS_MAX;
use wasmtime::{ResourceLimiter, Result};

/// Refuses growth above the limit and records the refusal: a trap after it means out of memory.
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    pub(crate) memory_bytes_peak: usize,
    pub(crate) refused: bool,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        let memory_bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        Self { memory_bytes_max, memory_bytes_peak: 0, refused: false }
    }

    fn allow(&mut self, allowed: bool) -> bool {
        self.refused |= !allowed;
        allowed
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // Growth beyond the module's own maximum fails anyway and does not count as a refusal.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let allowed = self.allow(desired <= self.memory_bytes_max);
        if allowed {
            self.memory_bytes_peak = self.memory_bytes_peak.max(desired);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(self.allow(u32::try_from(desired).is_ok_and(|desired| desired <= TABLE_ELEMENTS_MAX)))
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }
}
