//! Data of a run in the engine's store: limits, log, stop flag, deadline and host calls.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Capability, HostAnswer, HostCall, Refusal, SettingName},
    function::RunLimits,
    outcome::StopReason,
};
use wasmtime::{Result, UpdateDeadline};

use crate::{
    Call, cpu, ending::Ending, epoch::TICK, extism::Plugin, host_calls::WaitLimit, limiter::Limiter, log::Log,
    wasi::Wasi,
};

/// State of one run, accessible to its host functions.
pub(crate) struct Host {
    pub(crate) limits: RunLimits,
    pub(crate) limiter: Limiter,
    pub(crate) log: Log,
    /// The call; its input is taken by the run.
    pub(crate) call: Call,
    pub(crate) deadline: Instant,
    /// Result of the last host call, to be fetched by the guest.
    pub(crate) answer: Bytes,
    /// Memory and state of a plug-in.
    pub(crate) plugin: Plugin,
    /// Set for modules that import WASI, and for commands.
    pub(crate) wasi: Option<Wasi>,
}

impl Host {
    /// Ends the run if it was stopped or its deadline has passed.
    pub(crate) fn check(&self) -> Result<(), Ending> {
        if let Some(reason) = self.call.stop.reason() {
            return Err(Ending::Stopped(reason));
        }
        if Instant::now() >= self.deadline {
            return Err(Ending::Deadline);
        }
        Ok(())
    }

    /// Returns the WASI state.
    pub(crate) fn wasi(&mut self) -> Result<&mut Wasi> {
        self.wasi.as_mut().ok_or_else(|| Ending::BadModule("the run has no WASI state").into())
    }

    /// Caps a number of bytes at the run's memory limit; more are refused later.
    pub(crate) fn in_memory(&self, bytes: u64) -> u64 {
        bytes.min(self.limits.memory_bytes)
    }

    /// Called at each tick while the guest runs.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline> {
        self.check()?;
        if let Some(wasi) = &mut self.wasi {
            wasi.tick()?;
        }
        if cpu::used() >= Duration::from_millis(self.limits.cpu_ms.into()) {
            return Err(Ending::Cpu.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }

    /// Makes a host call, which may block until the run's deadline. One without its grant is refused.
    pub(crate) fn ask(&self, call: HostCall) -> Result<Result<HostAnswer, Refusal>, Ending> {
        self.check()?;
        if !self.call.invocation.grants.allow(&call) {
            self.log.denied(call.capability())?;
            return Ok(Err(Refusal::Refused));
        }
        let Some(host_calls) = &self.call.host_calls else { return Ok(Err(Refusal::Unavailable)) };
        let limit = WaitLimit::new(self.deadline, self.call.stop.clone());
        let answer = host_calls.call(self.call.guest(), call, &limit);
        self.check()?;
        Ok(answer)
    }

    /// Reads the function's configuration as variables for the run's environment: values that are text, of names that
    /// `has` does not find there. None without the grant.
    ///
    /// # Errors
    /// Ends the run if the configuration cannot be read, so that it may be retried.
    pub(crate) fn configuration(&self, has: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>, Ending> {
        if !self.call.invocation.grants.has(Capability::Config) {
            return Ok(Vec::new());
        }
        let Ok(HostAnswer::Configs(settings)) = self.ask(HostCall::Configs)? else {
            return Err(Ending::Stopped(StopReason::Interrupted));
        };
        let variable = |(name, value): (SettingName, Bytes)| {
            let value = String::from_utf8(value.into()).ok().filter(|value| !value.contains('\0'))?;
            Some((name.into(), value))
        };
        Ok(settings.into_iter().filter(|(name, _)| !has(name.as_str())).filter_map(variable).collect())
    }

    /// Waits until `until`; ends the run at its deadline or when it is stopped.
    pub(crate) fn wait(&self, until: Instant) -> Result<(), Ending> {
        loop {
            self.check()?;
            let now = Instant::now();
            let left = until.min(self.deadline).saturating_duration_since(now);
            if until <= now {
                return Ok(());
            }
            thread::park_timeout(left.min(TICK).max(Duration::from_micros(50)));
        }
    }
}
