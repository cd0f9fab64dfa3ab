//! Presence of dispatchers and workers, as a REST node sees it. Dispatchers announce themselves and their workers in
//! the store; the node reads the announcements at intervals, so that an invocation that can run never waits for the
//! read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::invoke::InvokeError;
use fusebox_store::Store;

/// Interval of reads.
const LOOK: Duration = Duration::from_secs(2);
/// While nobody is present, an invocation causes a read, at most at this interval.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Time without a dispatcher or worker before invocations are refused. Longer than the restart of a dispatcher takes.
const ABSENT: Duration = Duration::from_secs(10);

/// Missing part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No dispatcher uses the store.
    Dispatcher,
    /// No dispatcher has a worker that accepts tasks.
    Workers,
}

impl From<Missing> for InvokeError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Dispatcher => Self::NoDispatcher,
            Missing::Workers => Self::NoWorkers,
        }
    }
}

/// Cache of the announcements.
pub struct CrewWatch {
    store: Arc<dyn Store>,
    patience: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    looked_at: Option<Instant>,
    /// Time since which nobody is present, and the part that was missing at the last read.
    absent: Option<(Instant, Missing)>,
}

impl CrewWatch {
    /// Creates a cache for this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Self::with_patience(store, ABSENT)
    }

    pub(super) fn with_patience(store: Arc<dyn Store>, patience: Duration) -> Arc<Self> {
        Arc::new(Self { store, patience, seen: Mutex::new(Seen { looked_at: None, absent: None }) })
    }

    /// Reads the announcements at intervals until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.look().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Returns the part that has been missing for long, `None` if tasks are run or were until recently.
    #[must_use]
    pub fn missing(&self) -> Option<Missing> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.absent.filter(|(since, _)| since.elapsed() >= self.patience).map(|(_, missing)| missing)
    }

    /// Like [`Self::missing`], but confirms an absence with a recent read, so that invocations are accepted soon after
    /// a return.
    pub async fn missing_now(&self) -> Option<Missing> {
        self.missing()?;
        let looked_at = self.seen.lock().unwrap_or_else(PoisonError::into_inner).looked_at;
        if looked_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.look().await;
        }
        self.missing()
    }

    /// Reads the announcements. If the store does not answer, the last result stays.
    pub(super) async fn look(&self) {
        let now = Instant::now();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).looked_at = Some(now);
        let Ok(crew) = self.store.workers().await else { return };
        let missing = match crew.workers.iter().any(|worker| worker.slots > 0 && !worker.draining) {
            true => None,
            false if crew.dispatchers == 0 => Some(Missing::Dispatcher),
            false => Some(Missing::Workers),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = seen.absent.map_or(now, |(since, _)| since);
        seen.absent = missing.map(|missing| (since, missing));
    }
}

#[cfg(test)]
mod tests {
    use fusebox_core::id::DispatcherId;

    use super::*;
    use fusebox_store::{Mode, WorkerInfo, embedded::EmbeddedStore};
    use fusebox_system::{clock::Clock, random};

    #[tokio::test]
    async fn what_is_missing_is_told_after_a_while_and_whoever_comes_back_is_seen_at_once() {
        let home = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(home.path(), Clock::System).unwrap());
        let patient = CrewWatch::with_patience(store.clone(), Duration::from_secs(3_600));
        patient.look().await;
        assert_eq!(patient.missing(), None, "nobody is there, but not for long");
        let crew = CrewWatch::with_patience(store.clone(), Duration::ZERO);
        assert_eq!(crew.missing_now().await, None, "nobody has looked yet");
        crew.look().await;
        assert_eq!(crew.missing(), Some(Missing::Dispatcher));
        let dispatcher = DispatcherId::new(Clock::System.now(), random::bytes());
        let worker = WorkerInfo {
            id: random::worker_id(Clock::System.now()),
            mode: Mode::Push,
            name: "host-7".to_owned(),
            version: "0.1.0".to_owned(),
            slots: 1,
            running: 0,
            ended: 0,
            joined_at: Clock::System.now(),
            seen_at: Clock::System.now(),
            draining: false,
        };
        let draining = WorkerInfo { draining: true, ..worker.clone() };
        for (workers, missing) in
            [(vec![], Some(Missing::Workers)), (vec![draining], Some(Missing::Workers)), (vec![worker], None)]
        {
            store.announce(dispatcher, workers, 60_000).await.unwrap();
            crew.seen.lock().unwrap().looked_at = None;
            assert_eq!(crew.missing_now().await, missing);
        }
        store.announce(dispatcher, vec![], 0).await.unwrap();
        crew.look().await;
        assert_eq!(crew.missing(), Some(Missing::Dispatcher));
    }
}
