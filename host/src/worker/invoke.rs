//! The short path of a sync invoke: straight to a slot, nothing stored. The fuse and the receipt are those of a task.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    limits::INVOKE_WAITERS_MAX,
    outcome::StopReason,
};
use fusebox_sandbox::StopFlag;
use tokio::sync::oneshot;

use super::slots::{Done, Job, Lane, Ran, Slots};
use crate::{
    clock::Clock,
    invoke::{InvokeError, Invoked, Invoker},
};

/// Runs sync invokes on the slots of this process.
pub struct SlotInvoker {
    /// Where they run.
    pub slots: Arc<Slots>,
    /// What time it is.
    pub clock: Clock,
}

#[async_trait]
impl Invoker for SlotInvoker {
    async fn invoke(&self, function: FunctionVersion, input: Bytes) -> Result<Invoked, InvokeError> {
        let stop = StopFlag::default();
        // Where the client goes away, this future is dropped, and nobody wants the answer any more.
        let _stop_when_dropped = StopWhenDropped(stop.clone());
        let (answer, answered) = oneshot::channel();
        let job = Job {
            module: function.module,
            task: None,
            attempt: 1,
            tenant: function.tenant,
            function: function.name,
            limits: function.limits,
            input,
            stop,
            accepted_at: self.clock.now(),
        };
        let done = Box::new(move |done: Done| drop(answer.send(done)));
        if !self.slots.submit(Lane::Invokes, INVOKE_WAITERS_MAX, job, done) {
            return Err(InvokeError::Overloaded { retry_after_s: 1 });
        }
        match answered.await {
            Ok(Done::Ran(Ran { outcome, receipt, log })) => Ok(Invoked { outcome, receipt, log }),
            Ok(Done::ModuleMissing(_)) => Err(InvokeError::ModuleMissing),
            Ok(Done::Broken(reason)) => Err(InvokeError::Internal(reason)),
            Err(_) => Err(InvokeError::ShuttingDown),
        }
    }
}

struct StopWhenDropped(StopFlag);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.raise(StopReason::Cancelled);
    }
}
