//! Checks and compiles modules, and exports and imports artifacts, off the async threads. Each compilation is a child
//! process. Two run at a time, one per tenant, and a short queue in which tenants take turns keeps each response within
//! the wall limit of a compilation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    id::{FilesDigest, ModuleDigest},
    limits::{COMPILE_WAITERS_MAX, COMPILE_WAITERS_PER_TENANT_MAX, COMPILES_MAX},
    name::TenantId,
};
use fusebox_sandbox::{ArtifactKey, FilesArchive, ModuleError, Prepared, Sandbox};
use quick_cache::sync::Cache;
use tokio::sync::oneshot;

use crate::telemetry::metrics::Metrics;

mod turns;

use turns::{Bounds, Ticket, Turns};

const ROOM: Bounds = Bounds { at_once: COMPILES_MAX, all: COMPILE_WAITERS_MAX, of_one: COMPILE_WAITERS_PER_TENANT_MAX };

/// Compiler of modules. Cheap to clone.
#[derive(Clone)]
pub struct Modules {
    sandbox: Sandbox,
    metrics: Arc<Metrics>,
    queue: Arc<Mutex<Queue>>,
    /// Uploads of the latest [`UPLOADED_MAX`] pairs of tenant and module. A forgotten pair waits once more.
    uploaded: Arc<Cache<(TenantId, ModuleDigest), ()>>,
}

/// Number of remembered uploads, of about 100 bytes each.
const UPLOADED_MAX: usize = 16_384;

impl Modules {
    /// Compiles modules for `sandbox`.
    #[must_use]
    pub fn new(sandbox: Sandbox, metrics: Arc<Metrics>) -> Self {
        let queue = Queue { turns: Turns::new(ROOM), waiting: HashMap::new() };
        let uploaded = Arc::new(Cache::new(UPLOADED_MAX));
        Self { sandbox, metrics, queue: Arc::new(Mutex::new(queue)), uploaded }
    }

    /// Ensures that a module's compiled artifact is in the cache. `tenant` is the one that waits for it; `None` for
    /// other hosts, which do not name one.
    ///
    /// # Errors
    /// Fails if the module is not a valid function of this host, or with [`ErrorCode::Overloaded`] if too many wait.
    pub async fn prepare(&self, tenant: Option<TenantId>, wasm: Bytes) -> Result<Prepared, ModuleError> {
        let turn = Turn::wait(&self.queue, tenant).await?;
        let prepared = self.aside(move |sandbox| {
            // Held by the compilation itself, since the caller may go away before it ends.
            let _turn = turn;
            sandbox.prepare(&wasm)
        });
        let prepared = prepared.await?;
        self.metrics.compiled(prepared.compile);
        Ok(prepared)
    }

    /// Like [`Modules::prepare`], for a tenant's upload. Neither the result nor its timing reveals whether another
    /// tenant has uploaded the module before: on a tenant's first upload it waits in its turn for as long as the
    /// compilation took. `newest` is the module of the function's newest version.
    ///
    /// # Errors
    /// As [`Modules::prepare`].
    pub async fn upload(
        &self,
        tenant: TenantId,
        newest: Option<ModuleDigest>,
        wasm: Bytes,
    ) -> Result<Prepared, ModuleError> {
        let turn = Turn::wait(&self.queue, Some(tenant.clone())).await?;
        let uploaded = self.uploaded.clone();
        let prepared = self.aside(move |sandbox| {
            // Held during the wait as during a compilation, since other requests would otherwise reveal the difference.
            let _turn = turn;
            let key = (tenant, fusebox_sandbox::digest(&wasm));
            if newest == Some(key.1) || uploaded.get(&key).is_some() {
                return sandbox.prepare(&wasm);
            }
            let prepared = sandbox.prepare_as_new(&wasm)?;
            uploaded.insert(key, ());
            Ok(prepared)
        });
        let prepared = prepared.await?;
        if prepared.is_compiled {
            self.metrics.compiled(prepared.compile);
        }
        Ok(prepared)
    }

    /// Returns the hash of the engine's version and settings, which an artifact must match.
    #[must_use]
    pub fn engine_hash(&self) -> u64 {
        self.sandbox.engine_hash()
    }

    /// Returns a module's compiled artifact, sealed with a key shared with another host; `None` if there is none.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn export(&self, module: ModuleDigest, key: ArtifactKey) -> Result<Option<Vec<u8>>, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.export(&module, &key)?)).await
    }

    /// Stores an artifact that another host exported.
    ///
    /// # Errors
    /// Fails if it is not authentic for this key, module and engine, or cannot be stored.
    pub async fn import(&self, module: ModuleDigest, key: ArtifactKey, sealed: Vec<u8>) -> Result<(), ModuleError> {
        self.aside(move |sandbox| sandbox.import(&module, &key, &sealed)).await
    }

    /// Returns true if a module's artifact is in the cache.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn has(&self, module: ModuleDigest) -> Result<bool, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.load(&module)?.is_some())).await
    }

    /// Returns true if an archive of files is in the cache.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn has_files(&self, files: FilesDigest) -> Result<bool, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.has_files(Some(&files))?)).await
    }

    /// Adds an archive of files to the cache.
    ///
    /// # Errors
    /// Fails if it is not the archive of this digest, or cannot be stored.
    pub async fn add_files(&self, files: FilesDigest, archive: Bytes) -> Result<(), ModuleError> {
        self.aside(move |sandbox| {
            let added = sandbox.add_files(&files, &archive);
            added.map_err(|error| ModuleError { code: ErrorCode::Internal, message: error.to_string() })
        })
        .await
    }

    /// Checks a tar of files and brings it into the form in which it is kept.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidSetup`] with what to change if they cannot be deployed.
    pub async fn archive(&self, tar: Bytes) -> Result<FilesArchive, ModuleError> {
        self.aside(move |_| {
            let archive = FilesArchive::of(&tar);
            archive.map_err(|error| ModuleError { code: ErrorCode::InvalidSetup, message: error.to_string() })
        })
        .await
    }

    /// Returns true if a run's files are here, or it has none; a failure to read the cache counts as absent.
    #[must_use]
    pub fn holds_files(&self, files: Option<&FilesDigest>) -> bool {
        self.sandbox.has_files(files).unwrap_or_default()
    }

    /// Runs blocking work on a thread for it.
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

/// Queue of waiting callers, with the channels that notify them of their turn.
struct Queue {
    turns: Turns,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Queue {
    /// Notifies all callers whose turn has come.
    fn advance(&mut self) {
        while let Some(ticket) = self.turns.start() {
            // A caller that is gone drops its ticket, which notifies the next one.
            if let Some(tell) = self.waiting.remove(&ticket) {
                let _ = tell.send(());
            }
        }
    }
}

/// Place in the queue, then a turn; given up when dropped, also when its client goes away.
struct Turn {
    queue: Arc<Mutex<Queue>>,
    ticket: Ticket,
}

impl Turn {
    async fn wait(queue: &Arc<Mutex<Queue>>, tenant: Option<TenantId>) -> Result<Self, ModuleError> {
        let busy = |message: &str| ModuleError { code: ErrorCode::Overloaded, message: message.to_owned() };
        let (tell, told) = oneshot::channel();
        let turn = {
            let mut locked = lock(queue);
            let ticket = locked.turns.enter(tenant);
            let ticket = ticket.ok_or_else(|| busy("too many modules wait to be compiled: try again in a moment"))?;
            locked.waiting.insert(ticket, tell);
            locked.advance();
            Self { queue: queue.clone(), ticket }
        };
        told.await.map_err(|_| busy("the host is shutting down"))?;
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.waiting.remove(&self.ticket);
        queue.turns.leave(self.ticket);
        queue.advance();
    }
}

fn lock(queue: &Mutex<Queue>) -> std::sync::MutexGuard<'_, Queue> {
    // The queue is consistent wherever a holder could panic, so poisoning can be ignored.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    fn queue() -> Arc<Mutex<Queue>> {
        Arc::new(Mutex::new(Queue { turns: Turns::new(ROOM), waiting: HashMap::new() }))
    }

    fn tenant(name: &str) -> Option<TenantId> {
        Some(name.parse().unwrap())
    }

    async fn is_ready<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut future = Some(future);
        std::future::poll_fn(|context| match future.take().map(|future| future.poll(context)) {
            Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
            _ => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn who_waits_is_told_when_it_is_its_turn() {
        let queue = queue();
        let first = Turn::wait(&queue, tenant("a")).await.unwrap();
        let mut second = pin!(Turn::wait(&queue, tenant("a")));
        assert!(is_ready(second.as_mut()).await.is_none());
        let other = Turn::wait(&queue, tenant("b")).await.unwrap();
        drop(first);
        let second = is_ready(second.as_mut()).await.unwrap().unwrap();
        drop((second, other));
        assert!(lock(&queue).waiting.is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_holds_nobody_up() {
        let queue = queue();
        let running = [Turn::wait(&queue, tenant("a")).await.unwrap(), Turn::wait(&queue, tenant("b")).await.unwrap()];
        let mut last = pin!(Turn::wait(&queue, tenant("d")));
        {
            let mut gone = pin!(Turn::wait(&queue, tenant("c")));
            assert!(is_ready(gone.as_mut()).await.is_none());
            assert!(is_ready(last.as_mut()).await.is_none());
        }
        drop(running);
        assert!(is_ready(last.as_mut()).await.unwrap().is_ok());
        let _running = Turn::wait(&queue, tenant("e")).await.unwrap();
        let mut full: Vec<_> =
            (0..COMPILE_WAITERS_PER_TENANT_MAX).map(|_| Box::pin(Turn::wait(&queue, tenant("e")))).collect();
        for waiting in &mut full {
            is_ready(waiting.as_mut()).await;
        }
        let refused = Turn::wait(&queue, tenant("e")).await.err().unwrap();
        assert_eq!(refused.code, ErrorCode::Overloaded);
    }
}
