//! The seam between REST and whatever runs a sync invoke: slots of this process, or workers of others.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    outcome::{Failure, Receipt},
};

/// Runs a function now, without storing a task. A dropped future stops the run.
#[async_trait]
pub trait Invoker: Send + Sync + 'static {
    /// Runs `function` on `input`.
    async fn invoke(&self, function: FunctionVersion, input: Bytes) -> Result<Invoked, InvokeError>;
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The output, or the guest's error bytes.
    pub output: Bytes,
    /// What it used.
    pub receipt: Receipt,
    /// The log kept.
    pub log: Bytes,
}

/// Why there was no run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// As many invokes wait as may wait.
    #[error("every slot is busy and the waiting room is full: try again in a moment")]
    Overloaded,
    /// As many invokes of the tenant wait as may wait of one tenant.
    #[error("{max} invokes of this tenant wait for a slot, as many as may wait: try again in a moment")]
    LineFull {
        /// How many.
        max: usize,
    },
    /// Nothing takes tasks from the store.
    #[error("nothing runs tasks: no dispatcher works on this store; start `fusebox dispatcher`")]
    NoDispatcher,
    /// Dispatchers take tasks, and have nobody to run them.
    #[error(
        "nothing runs tasks: no dispatcher of this store has a worker; start `fusebox push-worker` or `pull-worker`"
    )]
    NoWorkers,
    /// As many tasks of the tenant wait as may wait.
    #[error("{max} tasks wait, as many as may wait: try again in a moment")]
    QueueFull {
        /// How many.
        max: u64,
    },
    /// The tenant's runs have reserved as much fuel as they may.
    #[error("runs of this tenant may reserve {per_minute} fuel a minute: try again in {wait_ms} ms")]
    NoFuel {
        /// How much.
        per_minute: u64,
        /// When to try again.
        wait_ms: u64,
    },
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The host ends.
    #[error("the host is shutting down: try again in a moment")]
    ShuttingDown,
    /// The process that ran it is gone.
    #[error("the run was lost with its process: {0}")]
    Lost(String),
    /// The host cannot run the function.
    #[error("the function cannot be run: {0}")]
    Internal(String),
}
