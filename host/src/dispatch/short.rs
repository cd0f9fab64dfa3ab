//! Short path of synchronous invocations: straight to a slot, without the store. Limits and receipt are those of a
//! task.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{function::FunctionVersion, outcome::StopReason};
use fusebox_sandbox::StopFlag;
use tokio::sync::oneshot;

use super::missing::MissingModules;
use crate::{
    invoke::{InvokeError, Invoked, Invoker},
    tenancy::{FuelMeter, NoFuel},
    worker::{
        queues::Full,
        slots::{Done, Job, Lane, Ran, Slots},
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
    async fn invoke(&self, function: FunctionVersion, input: Bytes) -> Result<Invoked, InvokeError> {
        let (tenant, limit) = (function.tenant.clone(), function.limits.fuel);
        self.fuel.reserve(&tenant, limit).await.map_err(|refusal| match refusal {
            NoFuel::Spent { per_minute, wait_ms } => InvokeError::NoFuel { per_minute, wait_ms },
            NoFuel::Store(error) => InvokeError::Unavailable(error.to_string()),
        })?;
        let invoked = self.invoke_fuelled(function, input).await;
        // A run that did not end normally has no fuel count; one that never began has used none.
        let left = match &invoked {
            Ok(invoked) => invoked.receipt.fuel.map_or(0, |used| limit.saturating_sub(used)),
            Err(InvokeError::Overloaded | InvokeError::LineFull { .. } | InvokeError::ShuttingDown) => limit,
            Err(_) => 0,
        };
        self.fuel.refund(&tenant, left).await;
        invoked
    }
}

impl SlotInvoker {
    async fn invoke_fuelled(&self, function: FunctionVersion, input: Bytes) -> Result<Invoked, InvokeError> {
        let stop = StopFlag::default();
        // If the client goes away, this future is dropped and the run is stopped.
        let _stop_when_dropped = StopWhenDropped(stop.clone());
        let job = Job {
            module: function.module,
            task: None,
            attempt: 1,
            tenant: function.tenant,
            function: function.name,
            limits: function.limits,
            grants: function.grants,
            input,
            stop,
            waited_ms: 0,
            came_at: Instant::now(),
        };
        match self.run(job).await? {
            Done::Ran(ran) => Ok(invoked(ran)),
            Done::ModuleMissing(job) => {
                self.missing.prepare(Some(job.tenant.clone()), &job.module).await.map_err(InvokeError::Internal)?;
                match self.run(job).await? {
                    Done::Ran(ran) => Ok(invoked(ran)),
                    Done::Lost(reason) => Err(InvokeError::Lost(reason)),
                    Done::ModuleMissing(_) => Err(InvokeError::Internal("its compiled module vanished".into())),
                    Done::Broken(reason) => Err(InvokeError::Internal(reason)),
                }
            }
            Done::Lost(reason) => Err(InvokeError::Lost(reason)),
            Done::Broken(reason) => Err(InvokeError::Internal(reason)),
        }
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

fn invoked(ran: Ran) -> Invoked {
    let (failure, output) = ran.outcome.into_parts();
    Invoked { failure, output, receipt: ran.receipt, log: ran.log }
}

struct StopWhenDropped(StopFlag);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.raise(StopReason::Cancelled);
    }
}
