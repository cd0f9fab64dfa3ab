//! What a run carries with it: its limits, its log, its stop flag, its deadline. The data of the engine's store.

use std::{
    thread,
    time::{Duration, Instant},
};

use fusebox_core::function::RunLimits;
use wasmtime::{Caller, Result, Trap, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::{CallContext, StopFlag, ending::Ending, epoch::TICK, limiter::Limiter, log::Log};

/// Fuel of a host call: about what it costs in time (4.7 to 7.2 ns a call at 1 ns a unit, measured, and more inside).
const CALL_FUEL: u64 = 100;
/// Bytes that a host call copies for one unit of fuel.
const BYTES_PER_FUEL: u64 = 16;

/// See the module's documentation.
pub(crate) struct Host {
    pub(crate) limits: RunLimits,
    pub(crate) limiter: Limiter,
    pub(crate) log: Log,
    pub(crate) context: CallContext,
    pub(crate) stop: StopFlag,
    pub(crate) deadline: Instant,
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

/// Charges a host call that handles so many bytes.
pub(crate) fn charge(caller: &mut Caller<'_, Host>, bytes: u64) -> Result<()> {
    let left = caller.get_fuel()?;
    match left.checked_sub(CALL_FUEL + bytes / BYTES_PER_FUEL) {
        Some(left) => caller.set_fuel(left),
        None => {
            caller.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}
