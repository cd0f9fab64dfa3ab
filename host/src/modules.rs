//! Checks and compiles modules, gives and takes artifacts, off the async threads. Each compile is a child process of its
//! own; two at a time, and one of a tenant, leave room for everyone else, and a short queue that tenants share in turn keeps
//! each answer within the compile child's wall limit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    id::ModuleDigest,
    limits::{COMPILE_WAITERS_MAX, COMPILE_WAITERS_PER_TENANT_MAX, COMPILES_MAX},
    name::TenantId,
};
use fusebox_sandbox::{ArtifactKey, ModuleError, Prepared, Sandbox};
use quick_cache::sync::Cache;
use tokio::sync::oneshot;

use crate::telemetry::metrics::Metrics;

mod turns;

use turns::{Room, Ticket, Turns};

const ROOM: Room = Room { at_once: COMPILES_MAX, all: COMPILE_WAITERS_MAX, of_one: COMPILE_WAITERS_PER_TENANT_MAX };

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Modules {
    sandbox: Sandbox,
    metrics: Arc<Metrics>,
    queue: Arc<Mutex<Queue>>,
    /// The latest [`UPLOADED_MAX`] tenants and modules that they uploaded. A pair that is forgotten waits once more.
    uploaded: Arc<Cache<(TenantId, ModuleDigest), ()>>,
}

/// Uploads that are remembered, of some 100 bytes each.
const UPLOADED_MAX: usize = 16_384;

impl Modules {
    /// Prepares modules for `sandbox`.
    #[must_use]
    pub fn new(sandbox: Sandbox, metrics: Arc<Metrics>) -> Self {
        let queue = Queue { turns: Turns::new(ROOM), waiting: HashMap::new() };
        let uploaded = Arc::new(Cache::new(UPLOADED_MAX));
        Self { sandbox, metrics, queue: Arc::new(Mutex::new(queue)), uploaded }
    }

    /// Makes sure that a module's compiled artifact is in the cache. `tenant` is who waits for it; `None` where it is for
    /// other hosts, which do not say for whom.
    ///
    /// # Errors
    /// Why the module is no function of this host; [`ErrorCode::Overloaded`] where too many wait already.
    pub async fn prepare(&self, tenant: Option<TenantId>, wasm: Bytes) -> Result<Prepared, ModuleError> {
        let turn = Turn::wait(&self.queue, tenant).await?;
        let prepared = self.aside(move |sandbox| {
            // Held by the one who compiles: whoever asked may be gone before it is done.
            let _turn = turn;
            sandbox.prepare(&wasm)
        });
        let prepared = prepared.await?;
        self.metrics.compiled(prepared.compile);
        Ok(prepared)
    }

    /// Does as [`Modules::prepare`] for a tenant that uploads a module. One that has not uploaded it before is not shown, by
    /// what it is told or by how long that takes, whether another tenant has: it waits in its turn for the time that the
    /// compilation took. `newest` is what the function's newest version runs.
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
            // Held over a wait as over a compilation, which else would differ in what others may do meanwhile.
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

/// The line of those who wait, and how each is told that it is its turn.
struct Queue {
    turns: Turns,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Queue {
    /// Tells everyone whose turn it is now.
    fn advance(&mut self) {
        while let Some(ticket) = self.turns.start() {
            // Who is gone by now leaves by itself: its ticket is dropped, and the next one told then.
            if let Some(tell) = self.waiting.remove(&ticket) {
                let _ = tell.send(());
            }
        }
    }
}

/// A place in the line, then a turn; given up when it is dropped, also where its client goes away.
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
    // It is sound at every moment a holder could panic, so a poisoned lock is still a good one.
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
