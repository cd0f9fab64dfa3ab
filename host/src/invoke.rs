//! Seam between REST and the execution of synchronous invocations: slots of this process, or workers of others.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{function::FunctionVersion, id::ModuleDigest, outcome::Ended, setup::Start};
pub use fusebox_sandbox::Exchange;

/// Executes synchronous invocations. Dropping the future stops the run.
#[async_trait]
pub trait Invoker: Send + Sync + 'static {
    /// Returns whether runs of a module read the body of an HTTP request as it arrives.
    async fn streams(&self, _: ModuleDigest) -> bool {
        false
    }

    /// Runs `function` on `input`. A function that fails is an `Ok` with a `failure`. A run may pass its response on in
    /// pieces through the exchange with its client; its output is then empty.
    ///
    /// # Errors
    /// Fails if there was no run, or its result was lost.
    async fn invoke(
        &self,
        function: FunctionVersion,
        start: Start,
        input: Bytes,
        exchange: Option<Exchange>,
    ) -> Result<Ended, InvokeError>;
}

/// Reason why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The limit of waiting invocations is reached.
    #[error("every slot is busy and the queue is full: try again in a moment")]
    Overloaded,
    /// The tenant's limit of waiting invocations is reached.
    #[error("{max} invocations of this tenant wait for a slot, its limit: try again in a moment")]
    LineFull {
        /// The limit.
        max: usize,
    },
    /// No dispatcher uses the store.
    #[error("no dispatcher uses this store, so no task can run: start `fusebox dispatcher`")]
    NoDispatcher,
    /// Dispatchers use the store, but have no worker.
    #[error(
        "nothing runs tasks: no dispatcher of this store has a worker; start `fusebox push-worker` or `pull-worker`"
    )]
    NoWorkers,
    /// The tenant's limit of queued tasks is reached.
    #[error("{max} tasks are queued, the tenant's limit: try again in a moment")]
    QueueFull {
        /// The limit.
        max: u64,
    },
    /// The tenant's limit of stored bytes would be exceeded.
    #[error("the tenant would store more than {max} bytes, its limit: delete what it no longer needs")]
    BytesReached {
        /// The limit, in bytes.
        max: u64,
    },
    /// The tenant's fuel for the minute is reserved.
    #[error("runs of this tenant may reserve {per_minute} fuel a minute: try again in {wait_ms} ms")]
    NoFuel {
        /// Fuel that the tenant may reserve per minute.
        per_minute: u64,
        /// Time after which to retry, in milliseconds.
        wait_ms: u64,
    },
    /// The store has no room for the invocation.
    #[error("the store is full: {0}")]
    StoreFull(String),
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The host is shutting down.
    #[error("the host is shutting down: try again in a moment")]
    ShuttingDown,
    /// The process that ran the function is gone.
    #[error("the run was lost with its process: {0}")]
    Lost(String),
    /// The host failed to run the function.
    #[error("the function cannot be run: {0}")]
    Internal(String),
}
