//! Modules that a worker has not got: each is fetched from the dispatcher in pieces, checked against its digest, compiled
//! in a child process as always, and then the jobs that wait for it are run. One is fetched at a time, which bounds memory;
//! a few may be compiled meanwhile.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    id::ModuleDigest,
    limits::MODULE_BYTES_MAX,
    wire::{FromWorker, HeldAttempt},
};
use tokio::task::JoinSet;

use super::slots::Job;
use crate::modules::Modules;

/// A piece that does not come is asked for again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Modules that may be compiled while the next is fetched: those that compile at a time, and one that waits.
const COMPILES_MAX: usize = 3;

/// A job that waits for its module.
pub type WaitingJob = (Job, HeldAttempt);

/// A module is there, or cannot be had.
pub struct Ready {
    /// Which module.
    pub module: ModuleDigest,
    /// Why it cannot be had.
    pub result: Result<(), String>,
}

struct Fetch {
    module: ModuleDigest,
    bytes: Vec<u8>,
    asked_at: Instant,
}

/// See the module's documentation.
pub struct MissingWasm {
    modules: Modules,
    waiting: HashMap<ModuleDigest, Vec<WaitingJob>>,
    wanted: VecDeque<ModuleDigest>,
    fetch: Option<Fetch>,
    compiles: JoinSet<Ready>,
}

impl MissingWasm {
    /// Nothing is missing yet.
    #[must_use]
    pub fn new(modules: Modules) -> Self {
        let (waiting, wanted) = (HashMap::new(), VecDeque::new());
        Self { modules, waiting, wanted, fetch: None, compiles: JoinSet::new() }
    }

    /// A job's module is missing; gives what to ask for, if it is its turn.
    pub fn want(&mut self, job: Job, held: HeldAttempt, now: Instant) -> Option<FromWorker> {
        let module = job.module;
        let waiting = self.waiting.entry(module).or_default();
        waiting.push((job, held));
        if waiting.len() == 1 {
            self.wanted.push_back(module);
        }
        self.next(now)
    }

    /// A piece came; gives what to ask for next.
    pub fn piece(
        &mut self,
        module: ModuleDigest,
        offset: u64,
        total: u64,
        bytes: &Bytes,
        now: Instant,
    ) -> Option<FromWorker> {
        let fetch = self.fetch.as_mut().filter(|fetch| fetch.module == module)?;
        if offset != fetch.bytes.len() as u64 {
            return None; // An answer to a question that was asked twice.
        }
        fetch.bytes.extend_from_slice(bytes);
        let have = fetch.bytes.len() as u64;
        let wrong = match total {
            0 => Some("the store does not have its module"),
            total if total > MODULE_BYTES_MAX || have > total => Some("the dispatcher sends a module that is none"),
            _ if bytes.is_empty() => Some("the dispatcher sends a module in part"),
            _ => None,
        };
        if let Some(reason) = wrong {
            self.fetch = None;
            self.compiles.spawn(std::future::ready(Ready { module, result: Err(reason.to_owned()) }));
            return self.next(now);
        }
        if have < total {
            return self.ask_again(now);
        }
        if let Some(fetch) = self.fetch.take() {
            self.compiles.spawn(compile(self.modules.clone(), module, fetch.bytes.into()));
        }
        self.next(now)
    }

    /// Asks again for a piece that does not come, or whose question may be lost with its link.
    pub fn overdue(&mut self, is_new_link: bool, now: Instant) -> Option<FromWorker> {
        let fetch = self.fetch.as_ref()?;
        let is_due = is_new_link || now.saturating_duration_since(fetch.asked_at) >= PATIENCE;
        if is_due { self.ask_again(now) } else { None }
    }

    /// Waits for the next module that is there or cannot be had; for ever where none is on its way.
    pub async fn ready(&mut self) -> Ready {
        loop {
            match self.compiles.join_next().await {
                Some(Ok(ready)) => return ready,
                Some(Err(error)) => tracing::error!(%error, "preparing a module failed"),
                None => std::future::pending().await,
            }
        }
    }

    /// The jobs that waited for a module, and what to ask for next.
    pub fn take(&mut self, module: ModuleDigest, now: Instant) -> (Vec<WaitingJob>, Option<FromWorker>) {
        (self.waiting.remove(&module).unwrap_or_default(), self.next(now))
    }

    fn next(&mut self, now: Instant) -> Option<FromWorker> {
        if self.fetch.is_some() || self.compiles.len() >= COMPILES_MAX {
            return None;
        }
        let module = self.wanted.pop_front()?;
        tracing::info!(%module, "a module is fetched: it has not run here");
        self.fetch = Some(Fetch { module, bytes: Vec::new(), asked_at: now });
        self.ask_again(now)
    }

    fn ask_again(&mut self, now: Instant) -> Option<FromWorker> {
        let fetch = self.fetch.as_mut()?;
        fetch.asked_at = now;
        Some(FromWorker::Fetch { module: fetch.module, offset: fetch.bytes.len() as u64 })
    }
}

async fn compile(modules: Modules, module: ModuleDigest, wasm: Bytes) -> Ready {
    let result = match modules.prepare(wasm).await {
        Ok(prepared) if prepared.inspected.digest == module => Ok(()),
        Ok(_) => Err("the dispatcher sent another module".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Ready { module, result }
}
