//! Whether anybody runs tasks, as a REST node sees it: dispatchers announce themselves and their workers in the store, and
//! the node looks there now and then, never while an invoke that could run waits for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{invoke::InvokeError, store::Store};

/// How often a node looks.
const LOOK: Duration = Duration::from_secs(2);
/// While nobody is there, an invoke makes the node look again, at most this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Nobody must have been there for so long: a dispatcher that is replaced is away for a shorter time.
const ABSENT: Duration = Duration::from_secs(10);

/// The part that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No dispatcher works on the store.
    Dispatcher,
    /// No dispatcher has a worker that takes tasks.
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

/// See the module's documentation.
pub struct Crew {
    store: Arc<dyn Store>,
    patience: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    looked_at: Option<Instant>,
    /// Since when nobody is there, and what was missing the last time.
    absent: Option<(Instant, Missing)>,
}

impl Crew {
    /// The crew of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Self::with_patience(store, ABSENT)
    }

    pub(super) fn with_patience(store: Arc<dyn Store>, patience: Duration) -> Arc<Self> {
        Arc::new(Self { store, patience, seen: Mutex::new(Seen { looked_at: None, absent: None }) })
    }

    /// Looks now and then until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.look().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The part that has been missing for long, `None` where somebody runs tasks or did a moment ago.
    #[must_use]
    pub fn missing(&self) -> Option<Missing> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.absent.filter(|(since, _)| since.elapsed() >= self.patience).map(|(_, missing)| missing)
    }

    /// The same, but what is found missing was looked for a moment ago: whoever has come back is not refused for long.
    pub async fn missing_now(&self) -> Option<Missing> {
        self.missing()?;
        let looked_at = self.seen.lock().unwrap_or_else(PoisonError::into_inner).looked_at;
        if looked_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.look().await;
        }
        self.missing()
    }

    /// Asks the store. Where it does not answer, nothing is known, and what was known stays.
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
    use crate::{
        clock::Clock,
        random,
        store::{Mode, WorkerInfo, embedded::EmbeddedStore},
    };

    #[tokio::test]
    async fn what_is_missing_is_told_after_a_while_and_whoever_comes_back_is_seen_at_once() {
        let home = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(home.path(), Clock::System).unwrap());
        let patient = Crew::with_patience(store.clone(), Duration::from_secs(3_600));
        patient.look().await;
        assert_eq!(patient.missing(), None, "nobody is there, but not for long");
        let crew = Crew::with_patience(store.clone(), Duration::ZERO);
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
