//! Function versions and the limits of their runs.

use serde::{Deserialize, Serialize};

use crate::{
    id::{FunctionId, ModuleDigest},
    limits,
    name::{FunctionName, TenantId},
    outcome::Failure,
    setup::Setup,
    time::Millis,
};

pub use crate::capability::Grants;

/// Calling convention between host and module, detected from the module's imports and exports. Records and messages
/// encode one as its index: a new one goes at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Abi {
    /// Exports `memory`, `fusebox_alloc` and `fusebox_handle`: input bytes in, output or error bytes out.
    Core,
    /// Exports `_start`, or as a component `wasi:cli/run`: input on stdin, output on stdout, log on stderr.
    Command,
    /// Component with a handler of `fusebox:function`: input bytes in, output or error bytes out.
    Component,
    /// Component with a handler of `wasi:http`.
    Http,
    /// Imports `extism:host/env`: a plug-in whose exported function is chosen by name.
    Extism,
    /// Imports WASI alone and exports functions of which one is chosen by name.
    Reactor,
}

impl Abi {
    /// All calling conventions.
    pub const ALL: [Self; 6] = [Self::Core, Self::Command, Self::Component, Self::Http, Self::Extism, Self::Reactor];

    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Command => "command",
            Self::Component => "component",
            Self::Http => "http",
            Self::Extism => "extism",
            Self::Reactor => "reactor",
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
    /// Way to start the module.
    pub setup: Setup,
    /// Time of registration.
    pub created_at: Millis,
    /// State of its compilation.
    pub state: VersionState,
}

/// State of a version's compilation. A name resolves to its newest ready version; only if it has none, to the newest
/// other one, which cannot run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionState {
    /// Compiled: tasks are accepted.
    #[default]
    Ready,
    /// Stored, and waiting for its compilation or being compiled.
    Compiling,
    /// Refused by the compiler. The version stays until it is deleted, without its module.
    Failed(Failure),
}

impl VersionState {
    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Compiling => "compiling",
            Self::Failed(_) => "failed",
        }
    }
}

impl FunctionVersion {
    /// Returns the bytes that count against its tenant's quota of stored bytes: those of the module, of the setup with its
    /// files, and [`limits::RECORD_BYTES`]. A store that keeps the module compressed counts less.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        limits::RECORD_BYTES.saturating_add(self.module_bytes).saturating_add(self.setup.stored_bytes())
    }
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
