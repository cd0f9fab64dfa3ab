//! Arguments that several processes have: limits and their ceilings, attempts, retention, and the key of secrets.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::Args;
use fusebox_api::functions::LimitParams;
use fusebox_core::{
    function::{LimitError, RunLimits},
    keep::Keep,
    limits::{ATTEMPTS_MAX, CODE_BYTES_CEILING, KEEP_S_MAX, KEEP_S_MIN, MODULE_BYTES_CEILING},
};
use fusebox_sandbox::{AbiSet, ModuleLimits};

use crate::secrets::{SecretsKey, SecretsKeyError};

/// Limits of one run. Limits that are left out take the host's defaults.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Limits of each run")]
pub struct LimitArgs {
    /// CPU time, such as 500ms or 10s; the fuel for it is set with it
    #[arg(long, value_parser = wall, value_name = "TIME")]
    pub cpu: Option<u32>,
    /// CPU budget in fuel units, about one per instruction and the same on every machine; 20,000,000,000 last for 1 s of
    /// the tightest loops
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,
    /// Wall time, such as 500ms or 10s
    #[arg(long, value_parser = wall, value_name = "TIME")]
    pub wall: Option<u32>,
    /// Linear memory, such as 16MiB
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub memory: Option<u64>,
    /// Output, such as 2MiB
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub output_size: Option<u64>,
    /// Log, such as 128KiB; the excess is dropped
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub log_size: Option<u64>,
}

impl LimitArgs {
    /// Returns these limits as a request has them.
    #[must_use]
    pub fn params(self) -> LimitParams {
        let Self { cpu, fuel, wall, memory, output_size, log_size } = self;
        LimitParams {
            fuel,
            wall_ms: wall,
            memory_bytes: memory,
            output_bytes: output_size,
            log_bytes: log_size,
            cpu_ms: cpu,
        }
    }
}

/// File of the key that encrypts secrets at rest.
#[derive(Clone, Debug, Default, Args)]
pub struct SecretsArgs {
    /// File of the key that seals secrets, 64 hexadecimal digits; the same for each `serve` and `dispatcher`
    /// of a store. Make one with: (umask 077; openssl rand -hex 32 > secrets.key)
    #[arg(
        long = "secrets-key",
        env = "FUSEBOX_SECRETS_KEY",
        value_name = "FILE",
        help_heading = "Secrets of functions"
    )]
    secrets_key: Option<PathBuf>,
}

impl SecretsArgs {
    /// Returns the file's path, if one is given.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.secrets_key.clone()
    }

    /// Reads the key, if a file is given.
    ///
    /// # Errors
    /// Fails if the file cannot be read or holds no valid key.
    pub fn read(&self) -> Result<Option<SecretsKey>, SecretsKeyError> {
        self.secrets_key.as_deref().map(SecretsKey::read).transpose()
    }
}

/// Limit of attempts per task.
#[derive(Clone, Copy, Debug, Args)]
pub struct AttemptArgs {
    /// Attempts per task; only failures of its worker, not of its function, start another one
    #[arg(long, env = "FUSEBOX_ATTEMPTS_MAX", help_heading = "Attempts", default_value_t = ATTEMPTS_MAX, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub attempts_max: u32,
}

/// Retention of ended tasks; a tenant may have a shorter one.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Retention")]
pub struct KeepArgs {
    /// Time for which completed and cancelled tasks are kept with output and log, from 1m to 90d
    #[arg(long, env = "FUSEBOX_KEEP_RESULTS", value_name = "TIME", default_value = "24h", value_parser = kept)]
    pub keep_results: u64,
    /// Time for which failed tasks are kept as dead letters with input, error and log, from 1m to 90d
    #[arg(long, env = "FUSEBOX_KEEP_FAILED", value_name = "TIME", default_value = "7d", value_parser = kept)]
    pub keep_failed: u64,
}

impl KeepArgs {
    /// Returns the retention.
    #[must_use]
    pub const fn keep(self) -> Keep {
        Keep { results_s: self.keep_results, failed_s: self.keep_failed }
    }
}

/// Ceilings of the limits that a function may request; the host refuses registrations above them.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Ceilings")]
pub struct MaxArgs {
    /// Longest CPU time of a function [default: 5m]
    #[arg(long, value_parser = wall, value_name = "TIME")]
    pub max_cpu: Option<u32>,
    /// Largest fuel limit of a function [default: 6,000,000,000,000]
    #[arg(long, value_name = "UNITS")]
    pub max_fuel: Option<u64>,
    /// Longest wall time of a function [default: 5m]
    #[arg(long, value_parser = wall, value_name = "TIME")]
    pub max_wall: Option<u32>,
    /// Largest memory limit of a function; the host needs this much for each slot [default: 256MiB]
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub max_memory: Option<u64>,
    /// Largest module, up to 256MiB [default: 64MiB]
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub max_module: Option<u64>,
    /// Largest code of a module, up to 64MiB; each MiB takes 2 s of CPU time to compile, or more [default: 12MiB]
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub max_code: Option<u64>,
    /// Kinds of modules.
    #[command(flatten)]
    pub kinds: KindArgs,
}

/// Kinds of modules that a process runs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct KindArgs {
    /// Kinds of modules that are run, of core, command, component, http, extism and reactor; a component needs its own
    /// kind and `component`. Tasks of others fail [default: all]
    #[arg(long, env = "FUSEBOX_ABI", help_heading = "Ceilings", value_name = "KINDS")]
    pub abi: Option<AbiSet>,
}

impl KindArgs {
    /// Returns the limits of modules in a process that takes no uploads.
    #[must_use]
    pub fn modules(self) -> ModuleLimits {
        ModuleLimits { abis: self.abi.unwrap_or(AbiSet::ALL), ..ModuleLimits::CEILING }
    }
}

impl MaxArgs {
    /// Returns these ceilings, with the host's own where none is given.
    ///
    /// # Errors
    /// Fails if a ceiling is zero or above the host's own.
    pub fn ceiling(self) -> Result<RunLimits, LimitError> {
        let most = RunLimits::CEILING;
        let asked = RunLimits {
            fuel: self.max_fuel.unwrap_or(most.fuel),
            wall_ms: self.max_wall.unwrap_or(most.wall_ms),
            cpu_ms: self.max_cpu.unwrap_or(most.cpu_ms),
            memory_bytes: self.max_memory.unwrap_or(most.memory_bytes),
            ..most
        };
        asked.check(&most).map(|()| asked)
    }

    /// Returns the limits of modules, with the defaults where none is given.
    ///
    /// # Errors
    /// Fails if a limit is zero or above its ceiling.
    pub fn modules(self) -> Result<ModuleLimits, LimitError> {
        let default = ModuleLimits::default();
        let modules = ModuleLimits {
            bytes: self.max_module.unwrap_or(default.bytes),
            code_bytes: self.max_code.unwrap_or(default.code_bytes),
            abis: self.kinds.abi.unwrap_or(default.abis),
        };
        let limits =
            [("max_module", modules.bytes, MODULE_BYTES_CEILING), ("max_code", modules.code_bytes, CODE_BYTES_CEILING)];
        match limits.into_iter().find(|(_, asked, max)| *asked == 0 || asked > max) {
            Some((name, asked, max)) => Err(LimitError { name, asked, max }),
            None => Ok(modules),
        }
    }
}

/// Parses a size such as `16MiB` or `4096` into bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| "expected a size such as 16MiB".to_owned())
}

/// Parses a time such as `500ms` into milliseconds.
pub(crate) fn wall(text: &str) -> Result<u32, String> {
    let time: Duration = humantime::parse_duration(text).map_err(|_| "expected a time such as 500ms".to_owned())?;
    u32::try_from(time.as_millis()).map_err(|_| "the time exceeds the maximum".to_owned())
}

/// Parses a retention such as `24h` into seconds.
pub(crate) fn kept(text: &str) -> Result<u64, String> {
    let time = humantime::parse_duration(text).map_err(|_| "expected a time such as 24h or 7d".to_owned())?;
    match time.as_secs() {
        kept_s if time.subsec_nanos() == 0 && (KEEP_S_MIN..=KEEP_S_MAX).contains(&kept_s) => Ok(kept_s),
        _ => Err("expected whole seconds from 1m to 90d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_read_with_its_unit_and_has_bounds() {
        assert_eq!([kept("1m"), kept("24h"), kept("90d")], [Ok(60), Ok(86_400), Ok(KEEP_S_MAX)]);
        for refused in ["59s", "90d 1s", "1m 1ms", "1", "", "-1h", "for ever"] {
            assert!(kept(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_ceiling_that_the_host_cannot_keep_is_refused_and_not_lowered() {
        let asked = MaxArgs { max_memory: Some(RunLimits::CEILING.memory_bytes), ..MaxArgs::default() };
        assert_eq!(asked.ceiling(), Ok(RunLimits::CEILING));
        let above = MaxArgs { max_memory: Some(RunLimits::CEILING.memory_bytes + 1), ..asked };
        assert_eq!(above.ceiling().unwrap_err().max, RunLimits::CEILING.memory_bytes);
        assert!(MaxArgs { max_fuel: Some(u64::MAX), ..MaxArgs::default() }.ceiling().is_err());
        assert!(MaxArgs { max_wall: Some(0), ..MaxArgs::default() }.ceiling().is_err());
        assert_eq!(MaxArgs::default().modules(), Ok(ModuleLimits::default()));
        let above = MaxArgs { max_code: Some(CODE_BYTES_CEILING + 1), ..MaxArgs::default() };
        assert_eq!(above.modules().unwrap_err().name, "max_code");
    }

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("4096"), Ok(4_096));
        assert!(size("much").is_err());
        assert_eq!(wall("500ms"), Ok(500));
        assert_eq!(wall("2m"), Ok(120_000));
        assert!(wall("5").is_err() && wall("10years").is_err());
    }
}
