//! What a run carries with it: its limits, its log, its stop flag, its deadline, its way outside. The data of the
//! engine's store.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Answer, Call, Refusal},
    function::RunLimits,
};
use wasmtime::{Result, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::{
    CallContext, StopFlag,
    ending::Ending,
    epoch::TICK,
    host_calls::{HostCalls, Patience},
    limiter::Limiter,
    log::Log,
};

/// See the module's documentation.
pub(crate) struct Host {
    pub(crate) limits: RunLimits,
    pub(crate) limiter: Limiter,
    pub(crate) log: Log,
    pub(crate) context: CallContext,
    pub(crate) stop: StopFlag,
    pub(crate) deadline: Instant,
    pub(crate) host_calls: Option<Arc<dyn HostCalls>>,
    /// What the last call to the outside gave, for the guest to fetch.
    pub(crate) answer: Bytes,
    /// Of the command ABI only.
    pub(crate) wasi: Option<WasiP1Ctx>,
}

impl Host {
    /// Whether the run may go on.
    pub(crate) fn check(&self) -> Result<(), Ending> {
        if let Some(reason) = self.stop.reason() {
            return Err(Ending::Stopped(reason));
        }
        if Instant::now() >= self.deadline {
            return Err(Ending::Deadline);
        }
        Ok(())
    }

    /// Called at each tick while the guest runs.
    pub(crate) fn tick(&self) -> Result<UpdateDeadline> {
        self.check()?;
        Ok(UpdateDeadline::Continue(1))
    }

    /// Asks the outside, which may wait as long as the run may.
    pub(crate) fn ask(&self, call: Call) -> Result<Result<Answer, Refusal>, Ending> {
        self.check()?;
        let Some(host_calls) = &self.host_calls else { return Ok(Err(Refusal::Unavailable)) };
        let patience = Patience::new(self.deadline, self.stop.clone());
        let answer = host_calls.call(&self.context, call, &patience);
        self.check()?;
        Ok(answer)
    }

    /// Waits until `until`, or ends the run at its deadline or when it is stopped.
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
