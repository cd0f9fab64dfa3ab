//! Timestamps. This crate cannot read a clock; the host passes the current time in.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A timestamp in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// A timestamp later than any deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns the timestamp `ms` milliseconds later, saturating at [`Self::NEVER`].
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the timestamp `ms` milliseconds earlier, saturating at 0.
    #[must_use]
    pub const fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Returns the milliseconds elapsed since `earlier`; 0 if `earlier` is later than `self`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
