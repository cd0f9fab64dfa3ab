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

    /// Returns whether the answer to an HTTP request is the output alone, to which the host adds status and content type.
    #[must_use]
    pub const fn answers_bytes(self) -> bool {
        match self {
            Self::Core | Self::Component | Self::Extism | Self::Reactor => true,
            Self::Command | Self::Http => false,
        }
    }

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
    /// CPU budget in fuel units, the same on every machine.
    pub fuel: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u32,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Output size in bytes; above [`limits::OUTPUT_BYTES_MAX`] only for a response that is passed on as it is written.
    pub output_bytes: u64,
    /// Size of the retained log in bytes.
    pub log_bytes: u64,
    /// CPU time in milliseconds, read at each tick of 10 ms.
    #[serde(default = "unlimited_cpu")]
    pub cpu_ms: u32,
}

/// Returns the CPU time of records from before it was limited.
const fn unlimited_cpu() -> u32 {
    limits::CPU_MS_MAX
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            fuel: limits::FUEL_DEFAULT,
            wall_ms: limits::WALL_MS_DEFAULT,
            memory_bytes: limits::MEMORY_BYTES_DEFAULT,
            output_bytes: limits::OUTPUT_BYTES_DEFAULT,
            log_bytes: limits::LOG_BYTES_DEFAULT,
            cpu_ms: limits::CPU_MS_DEFAULT,
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
        output_bytes: limits::STREAMED_BYTES_MAX,
        log_bytes: limits::LOG_BYTES_MAX,
        cpu_ms: limits::CPU_MS_MAX,
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
            ("cpu_ms", self.cpu_ms.into(), ceiling.cpu_ms.into()),
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
            cpu_ms: self.cpu_ms.min(ceiling.cpu_ms),
        }
    }

    /// Returns these limits for a run whose output is kept whole.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { output_bytes: self.output_bytes.min(limits::OUTPUT_BYTES_MAX), ..self }
    }

    /// Returns these limits with the fuel and the CPU time that are chosen. Both bound the same resource, so a choice of
    /// one alone sets the other such that it does not end a run first: CPU time brings the fuel that the tightest loops
    /// use in it, and fuel as much CPU time as the ceiling allows.
    #[must_use]
    pub fn with_cpu(self, fuel: Option<u64>, cpu_ms: Option<u32>, ceiling: &Self) -> Self {
        let (fuel, cpu_ms) = match (fuel, cpu_ms) {
            (None, None) => (self.fuel, self.cpu_ms),
            (Some(fuel), Some(cpu_ms)) => (fuel, cpu_ms),
            (Some(fuel), None) => (fuel, ceiling.cpu_ms),
            (None, Some(cpu_ms)) => ((u64::from(cpu_ms) * limits::FUEL_PER_CPU_MS).min(ceiling.fuel), cpu_ms),
        };
        Self { fuel, cpu_ms, ..self }
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
    /// Returns the bytes that count against its tenant's quota of stored bytes: those of the module unless it is a
    /// runtime, of the setup with its files, and [`limits::RECORD_BYTES`]. A store that keeps the module compressed counts less.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let module_bytes = if self.setup.runtime.is_some() { 0 } else { self.module_bytes };
        limits::RECORD_BYTES.saturating_add(module_bytes).saturating_add(self.setup.stored_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_brings_its_fuel_and_fuel_its_cpu_time() {
        let (own, ceiling) = (RunLimits::default(), RunLimits { cpu_ms: 60_000, ..RunLimits::CEILING });
        let chosen = |fuel, cpu_ms| {
            let RunLimits { fuel, cpu_ms, .. } = own.with_cpu(fuel, cpu_ms, &ceiling);
            (fuel, cpu_ms)
        };
        assert_eq!(chosen(None, None), (own.fuel, own.cpu_ms));
        assert_eq!(chosen(Some(7), None), (7, 60_000));
        assert_eq!(chosen(None, Some(2_000)), (2 * own.fuel, 2_000));
        assert_eq!(chosen(None, Some(u32::MAX)), (ceiling.fuel, u32::MAX));
        assert_eq!(chosen(Some(7), Some(8)), (7, 8));
    }

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
