//! A function version, and the limits of its runs.

use serde::{Deserialize, Serialize};

use crate::{
    id::{FunctionId, ModuleDigest},
    limits,
    name::{FunctionName, TenantId},
    time::Millis,
};

pub use crate::capability::Grants;

/// How the host calls a module; found out from the module itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Abi {
    /// Exports `memory`, `fusebox_alloc` and `fusebox_handle`: bytes in, bytes or an error out.
    Core,
    /// Exports `_start`: input on stdin, output on stdout, log on stderr.
    Command,
}

impl Abi {
    /// The word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Command => "command",
        }
    }
}

/// What one run may use. The fuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// CPU budget in fuel units.
    pub fuel: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u32,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Output in bytes.
    pub output_bytes: u64,
    /// Log kept, in bytes.
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

/// A limit that is above its ceiling, or zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be between 1 and {max}, and is {asked}")]
pub struct LimitError {
    /// The limit's field name.
    pub name: &'static str,
    /// What was asked for.
    pub asked: u64,
    /// The ceiling.
    pub max: u64,
}

impl RunLimits {
    /// The ceilings where the operator sets none.
    pub const CEILING: Self = Self {
        fuel: limits::FUEL_MAX,
        wall_ms: limits::WALL_MS_MAX,
        memory_bytes: limits::MEMORY_BYTES_MAX,
        output_bytes: limits::OUTPUT_BYTES_MAX,
        log_bytes: limits::LOG_BYTES_MAX,
    };

    /// Whether each limit is at least 1 and at most its ceiling.
    ///
    /// # Errors
    /// The first limit that is not.
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

    /// These limits, none above its ceiling.
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
    /// This version's id.
    pub id: FunctionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The name it was registered under.
    pub name: FunctionName,
    /// 1 for the first version of a name, then 2, …; never reused.
    pub version: u32,
    /// The module it runs.
    pub module: ModuleDigest,
    /// Size of the module's wasm in bytes.
    pub module_bytes: u64,
    /// How the module is called.
    pub abi: Abi,
    /// What a run may use.
    pub limits: RunLimits,
    /// What it may ask the host for.
    pub grants: Grants,
    /// When it was registered.
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
