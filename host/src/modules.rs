//! Checks and compiles modules, off the async threads. Each compile is a child process of its own; two at a time leave
//! room for everyone else, and a short queue keeps each answer within the compile child's wall limit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use fusebox_core::{error::ErrorCode, limits::COMPILE_WAITERS_MAX};
use fusebox_sandbox::{ModuleError, Prepared, Sandbox};
use tokio::sync::Semaphore;

use crate::telemetry::metrics::Metrics;

/// Modules that may be checked and compiled at a time.
const COMPILES_MAX: usize = 2;

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Modules {
    sandbox: Sandbox,
    metrics: Arc<Metrics>,
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Modules {
    /// Prepares modules for `sandbox`.
    #[must_use]
    pub fn new(sandbox: Sandbox, metrics: Arc<Metrics>) -> Self {
        Self { sandbox, metrics, turn: Arc::new(Semaphore::new(COMPILES_MAX)), waiting: Arc::default() }
    }

    /// Makes sure that a module's compiled artifact is in the cache.
    ///
    /// # Errors
    /// Why the module is no function of this host; [`ErrorCode::Overloaded`] where too many wait already.
    pub async fn prepare(&self, wasm: Bytes) -> Result<Prepared, ModuleError> {
        let busy = |message: &str| ModuleError { code: ErrorCode::Overloaded, message: message.to_owned() };
        let waiting = Waiting::enter(&self.waiting);
        if waiting.ahead >= COMPILE_WAITERS_MAX {
            return Err(busy("too many modules wait to be compiled: try again in a moment"));
        }
        let Ok(_turn) = self.turn.acquire().await else { return Err(busy("the host is shutting down")) };
        let sandbox = self.sandbox.clone();
        let prepared = tokio::task::spawn_blocking(move || sandbox.prepare(&wasm)).await;
        let prepared = prepared.map_err(|error| {
            tracing::error!(%error, "preparing a module panicked");
            ModuleError { code: ErrorCode::Internal, message: "the host failed to check the module".to_owned() }
        })??;
        self.metrics.compiled(prepared.compile);
        Ok(prepared)
    }
}

/// Counts one who waits, until it is dropped: also where its client goes away.
struct Waiting {
    count: Arc<AtomicUsize>,
    ahead: usize,
}

impl Waiting {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        Self { ahead: count.fetch_add(1, Ordering::AcqRel), count: count.clone() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}
