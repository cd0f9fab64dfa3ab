//! Function versions and the limits of their runs.

use serde::{Deserialize, Serialize};

use crate::{
    id::{FunctionId, ModuleDigest},
    limits,
    name::{FunctionName, TenantId},
    time::Millis,
};

pub use crate::capability::Grants;

/// Calling convention between host and module, detected from the module's exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Abi {
    /// Exports `memory`, `fusebox_alloc` and `fusebox_handle`: input bytes in, output or error bytes out.
    Core,
    /// Exports `_start`: input on stdin, output on stdout, log on stderr.
    Command,
}

impl Abi {
    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Command => "command",
        }
    }
}

/// Resource limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// CPU budget in fuel units.
    pub fuel: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u32,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Output size in bytes.
    pub output_bytes: u64,
    /// Size of the retained log in bytes.
    pub log_bytes: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            fuel: limits::FUEL_DEFAULT,
            wall_ms: limits::WALL_MS_DEFAULT,
            memory_bytes: limits::MEMORY_BYTES_DEFAULT,
            output_bytes: limits::OUTPUT_BYTES_DEFAULT,
            log_bytes: limits::LOG_BYTES_DEFAULT,
        }
    }
}

/// Error of a limit that is zero or above its ceiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be between 1 and {max}, and is {asked}")]
pub struct LimitError {
    /// Field name of the limit.
    pub name: &'static str,
    /// Requested value.
    pub asked: u64,
    /// Ceiling.
    pub max: u64,
}

impl RunLimits {
    /// Default ceilings, used unless the operator configures others.
    pub const CEILING: Self = Self {
        fuel: limits::FUEL_MAX,
        wall_ms: limits::WALL_MS_MAX,
        memory_bytes: limits::MEMORY_BYTES_MAX,
        output_bytes: limits::OUTPUT_BYTES_MAX,
        log_bytes: limits::LOG_BYTES_MAX,
    };

    /// Checks that each limit is at least 1 and at most its ceiling.
    ///
    /// # Errors
    /// Returns the first limit out of range.
    pub fn check(&self, ceiling: &Self) -> Result<(), LimitError> {
        let pairs = [
            ("fuel", self.fuel, ceiling.fuel),
            ("wall_ms", self.wall_ms.into(), ceiling.wall_ms.into()),
            ("memory_bytes", self.memory_bytes, ceiling.memory_bytes),
            ("output_bytes", self.output_bytes, ceiling.output_bytes),
            ("log_bytes", self.log_bytes, ceiling.log_bytes),
        ];
        match pairs.into_iter().find(|(_, asked, max)| *asked == 0 || asked > max) {
            Some((name, asked, max)) => Err(LimitError { name, asked, max }),
            None => Ok(()),
        }
    }

    /// Returns these limits, each reduced to its ceiling if above it.
    #[must_use]
    pub fn capped(&self, ceiling: &Self) -> Self {
        Self {
            fuel: self.fuel.min(ceiling.fuel),
            wall_ms: self.wall_ms.min(ceiling.wall_ms),
            memory_bytes: self.memory_bytes.min(ceiling.memory_bytes),
            output_bytes: self.output_bytes.min(ceiling.output_bytes),
            log_bytes: self.log_bytes.min(ceiling.log_bytes),
        }
    }
}

/// One immutable version of a tenant's function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionVersion {
    /// Unique id of the version.
    pub id: FunctionId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// Name of the function.
    pub name: FunctionName,
    /// Version number, starting at 1 for each name; never reused.
    pub version: u32,
    /// Digest of the module's wasm.
    pub module: ModuleDigest,
    /// Size of the module's wasm in bytes.
    pub module_bytes: u64,
    /// Calling convention of the module.
    pub abi: Abi,
    /// Limits of each run.
    pub limits: RunLimits,
    /// Capabilities granted to the version.
    pub grants: Grants,
    /// Time of registration.
    pub created_at: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_out_of_bounds_is_named() {
        let ceiling = RunLimits::CEILING;
        assert_eq!(RunLimits::default().check(&ceiling), Ok(()));
        let wall = RunLimits { wall_ms: 0, ..RunLimits::default() };
        assert_eq!(wall.check(&ceiling).unwrap_err().name, "wall_ms");
        let memory = RunLimits { memory_bytes: ceiling.memory_bytes + 1, ..RunLimits::default() };
        assert_eq!(memory.check(&ceiling).unwrap_err().name, "memory_bytes");
        assert_eq!(memory.capped(&ceiling).check(&ceiling), Ok(()));
    }
}
