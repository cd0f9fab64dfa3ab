//! Checks and compiles modules, gives and takes artifacts, off the async threads. Each compile is a child process of its
//! own; two at a time leave room for everyone else, and a short queue keeps each answer within the compile child's wall
//! limit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use fusebox_core::{error::ErrorCode, id::ModuleDigest, limits::COMPILE_WAITERS_MAX};
use fusebox_sandbox::{ArtifactKey, ModuleError, Prepared, Sandbox};
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
        let prepared = self.aside(move |sandbox| sandbox.prepare(&wasm)).await?;
        self.metrics.compiled(prepared.compile);
        Ok(prepared)
    }

    /// The engine's version and settings, which an artifact must match.
    #[must_use]
    pub fn engine_hash(&self) -> u64 {
        self.sandbox.engine_hash()
    }

    /// A module's compiled artifact for another host, sealed with a key that both know; `None` where there is none.
    ///
    /// # Errors
    /// Where the cache cannot be read.
    pub async fn export(&self, module: ModuleDigest, key: ArtifactKey) -> Result<Option<Vec<u8>>, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.export(&module, &key)?)).await
    }

    /// Keeps an artifact that another host exported.
    ///
    /// # Errors
    /// Where it is not authentic for this key, module and engine, or cannot be kept.
    pub async fn import(&self, module: ModuleDigest, key: ArtifactKey, sealed: Vec<u8>) -> Result<(), ModuleError> {
        self.aside(move |sandbox| sandbox.import(&module, &key, &sealed)).await
    }

    /// Does what blocks where it holds nobody up.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sandbox) -> Result<T, ModuleError> + Send + 'static,
    ) -> Result<T, ModuleError> {
        let sandbox = self.sandbox.clone();
        tokio::task::spawn_blocking(move || work(&sandbox)).await.map_err(|error| {
            tracing::error!(%error, "preparing a module panicked");
            ModuleError { code: ErrorCode::Internal, message: "the host failed to check the module".to_owned() }
        })?
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
