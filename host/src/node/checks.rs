//! Slot of a REST node in which scripts are checked. A node without slots of its own runs nothing else, and the check, which
//! is a stranger's code, in a jailed process of its tenant.

use std::sync::Arc;

use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::RunLimits,
};
use fusebox_sandbox::{Guest, HostCalls, Sandbox, WaitLimit};
use fusebox_store::Store;
use fusebox_system::{clock::Clock, random};

use crate::{
    dispatch::{missing::MissingModules, short::SlotInvoker},
    invoke::Invoker,
    modules::Modules,
    node::slot::{IsolateArg, IsolateArgs},
    scripts::Runtimes,
    telemetry::metrics::Metrics,
    tenancy::{FuelMeter, QuotaBook},
    worker::slots::Slots,
};

/// Checks that run at a time; they take milliseconds, and an extra slot is there for a tenant that has none running.
const SLOTS: u32 = 1;

/// Host calls of checks: none is granted.
struct NoCalls;

impl HostCalls for NoCalls {
    fn call(&self, _: Guest<'_>, _: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        Err(Refusal::Refused)
    }
}

/// Starts the slot if there are runtimes; `None`, after a line in the log, also if that fails.
pub(super) fn start(
    runtimes: &Runtimes,
    sandbox: Sandbox,
    ceiling: RunLimits,
    store: &Arc<dyn Store>,
    modules: &Modules,
    quotas: &Arc<QuotaBook>,
    metrics: &Arc<Metrics>,
) -> Option<Arc<dyn Invoker>> {
    if runtimes.is_empty() {
        return None;
    }
    let isolation = IsolateArgs { isolate: IsolateArg::Process, ..IsolateArgs::default() };
    let slots = isolation.runner(&sandbox, SLOTS, ceiling).and_then(|runner| {
        let worker = random::worker_id(Clock::System.now());
        Ok(Slots::start(SLOTS, runner, Arc::new(NoCalls), worker, &Clock::System, metrics)?)
    });
    match slots {
        Ok(slots) => {
            let missing = MissingModules { store: store.clone(), modules: modules.clone() };
            let fuel = FuelMeter::new(store.clone(), quotas.clone());
            Some(Arc::new(SlotInvoker { slots: Arc::new(slots), missing, fuel }))
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "scripts cannot be checked here, and are not taken");
            None
        }
    }
}
