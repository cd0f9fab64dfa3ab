//! Short path of synchronous invocations: straight to a slot, without the store. Limits and receipt are those of a
//! task.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::ModuleDigest,
    invocation::Invocation,
    outcome::{Ended, StopReason},
    setup::Start,
};
use fusebox_sandbox::StopFlag;
use tokio::sync::oneshot;

use super::missing::MissingModules;
use crate::{
    invoke::{Exchange, InvokeError, Invoker},
    tenancy::{FuelMeter, NoFuel},
    worker::{
        queues::Full,
        runner::NotRun,
        slots::{Done, Job, Lane, Slots},
    },
};

/// Runs invocations in slots of this process.
pub struct SlotInvoker {
    /// The slots.
    pub slots: Arc<Slots>,
    /// Compiles a module whose artifact is missing.
    pub missing: MissingModules,
    /// Fuel that runs reserve.
    pub fuel: FuelMeter,
}

#[async_trait]
impl Invoker for SlotInvoker {
    async fn streams(&self, module: ModuleDigest) -> bool {
        self.missing.modules.streams(module).await
    }

    async fn invoke(
        &self,
        function: FunctionVersion,
        start: Start,
        input: Bytes,
        exchange: Option<Exchange>,
    ) -> Result<Ended, InvokeError> {
        let (tenant, limit) = (function.tenant.clone(), function.limits.fuel);
        self.fuel.reserve(&tenant, limit).await.map_err(|refusal| match refusal {
            NoFuel::Spent { per_minute, wait_ms } => InvokeError::NoFuel { per_minute, wait_ms },
            NoFuel::Store(error) => InvokeError::Unavailable(error.to_string()),
        })?;
        let ended = self.invoke_fuelled(Invocation::new(function, start, input), exchange).await;
        // A run that did not end normally has no fuel count; one that never began has used none.
        let left = match &ended {
            Ok(ended) => ended.receipt.fuel.map_or(0, |used| limit.saturating_sub(used)),
            Err(InvokeError::Overloaded | InvokeError::LineFull { .. } | InvokeError::ShuttingDown) => limit,
            Err(_) => 0,
        };
        self.fuel.refund(&tenant, left).await;
        ended
    }
}

impl SlotInvoker {
    async fn invoke_fuelled(&self, invocation: Invocation, exchange: Option<Exchange>) -> Result<Ended, InvokeError> {
        let stop = StopFlag::default();
        // If the client goes away, this future is dropped and the run is stopped.
        let _stop_when_dropped = StopWhenDropped(stop.clone());
        // Held to the end here, so that whoever receives the pieces is not woken by the end of the exchange before that of
        // the run.
        let held = exchange.clone();
        let ran = match self.run(Job::invoke(invocation, stop, exchange)).await? {
            Err(NotRun::ModuleMissing(job)) => {
                self.missing.provide(&job.invocation).await.map_err(InvokeError::Internal)?;
                self.run(*job).await?
            }
            ran => ran,
        };
        drop(held);
        ran.map_err(|error| match error {
            NotRun::ModuleMissing(_) => InvokeError::Internal("its compiled module or its files are missing".into()),
            NotRun::Lost(reason) => InvokeError::Lost(reason),
            NotRun::Broken(reason) => InvokeError::Internal(reason),
        })
    }

    async fn run(&self, job: Job) -> Result<Done, InvokeError> {
        let (answer, answered) = oneshot::channel();
        let done = Box::new(move |done: Done| drop(answer.send(done)));
        self.slots.submit(Lane::Invokes, job, done).map_err(|full| match full {
            Full::Room => InvokeError::Overloaded,
            Full::Line { max } => InvokeError::LineFull { max },
        })?;
        answered.await.map_err(|_| InvokeError::ShuttingDown)
    }
}

struct StopWhenDropped(StopFlag);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.raise(StopReason::Cancelled);
    }
}
