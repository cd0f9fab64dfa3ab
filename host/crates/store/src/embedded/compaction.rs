//! Gives disk space back: a file never shrinks, so when most of it is free and nobody writes, its content is copied into
//! a new file that takes its place. The copy is made on a thread of its own. If anything is written meanwhile, the copy
//! is dropped and made again later.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::engine::Engine;
use crate::Result;

/// Time without a write after which the store is idle.
const IDLE: Duration = Duration::from_secs(1);
/// Shortest time from the end of an attempt to the next, so that a store with rare writes does not copy all the time.
const PAUSE: Duration = Duration::from_secs(60);

/// State between the writer's groups.
pub(super) struct Compaction {
    /// Number of commits, and when it was first seen.
    quiet: (u64, Instant),
    /// Number of commits for which the file was found to be dense or was copied.
    settled: Option<u64>,
    next: Instant,
    /// Copy in progress, with the number of commits that it contains.
    copying: Option<(u64, JoinHandle<Result<()>>)>,
}

impl Compaction {
    /// Creates the state of a store that was just opened.
    pub(super) fn new(engine: &Engine, now: Instant) -> Self {
        Self { quiet: (engine.commits(), now), settled: None, next: now, copying: None }
    }

    /// Starts a copy if it pays, or puts a finished one in the file's place. Called by the writer after each group, so
    /// nothing is written meanwhile.
    ///
    /// # Errors
    /// Fails if the copy could not be made or opened; the store then goes on with the old file.
    pub(super) fn advance(&mut self, engine: &Arc<Engine>, now: Instant) -> Result<()> {
        let commits = engine.commits();
        if self.quiet.0 != commits {
            self.quiet = (commits, now);
        }
        if self.copying.as_ref().is_some_and(|(_, copy)| copy.is_finished())
            && let Some((copied, copy)) = self.copying.take()
        {
            self.next = now + PAUSE;
            let made = copy.join().unwrap_or_else(|_| Err(crate::Error::Unavailable("the copy panicked".to_owned())));
            return made.and_then(|()| engine.replace(copied));
        }
        let due = self.settled != Some(commits) && now >= self.next && now - self.quiet.1 >= IDLE;
        if self.copying.is_none() && due {
            self.settled = Some(commits);
            if engine.is_sparse()? {
                let copied = engine.clone();
                let copy = thread::Builder::new().name("compaction".to_owned()).spawn(move || copied.copy());
                self.copying = Some((commits, copy.map_err(|error| crate::Error::Unavailable(error.to_string()))?));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::engine::Space;

    #[test]
    fn an_idle_store_is_copied_once() {
        let dir = tempfile::tempdir().unwrap();
        Engine::make(dir.path()).unwrap();
        let lock = tempfile::tempfile().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), lock).unwrap());
        for size in [32 << 20, 1] {
            let environment = engine.writable().unwrap();
            let mut batch = environment.batch().unwrap();
            batch.put(Space::Blobs, b"key", &vec![1; size]).unwrap();
            engine.commit(batch).unwrap();
        }
        let start = Instant::now();
        let mut compaction = Compaction::new(&engine, start);
        compaction.advance(&engine, start).unwrap();
        assert!(compaction.copying.is_none(), "it was written to just now");
        compaction.advance(&engine, start + IDLE).unwrap();
        while compaction.copying.is_some() {
            compaction.advance(&engine, start + IDLE).unwrap();
            thread::yield_now();
        }
        assert!(engine.disk_bytes().unwrap() < 1 << 20);
        compaction.advance(&engine, start + IDLE + PAUSE).unwrap();
        assert!(compaction.copying.is_none(), "nothing was written since");
    }
}
