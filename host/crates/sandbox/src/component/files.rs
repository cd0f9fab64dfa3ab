//! Files of a component's run, which its descriptors and streams share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    files::{fs::Files, tree::Tree},
    limiter::Budget,
    time,
};

/// Files of a run. Cheap to clone; a run uses them on one thread.
#[derive(Clone)]
pub(super) struct RunFiles(Arc<Mutex<Files>>);

impl RunFiles {
    /// Mounts a tree and an empty scratch, whose bytes count against `budget`.
    pub(super) fn new(tree: Arc<Tree>, budget: Budget) -> Self {
        Self(Arc::new(Mutex::new(Files::new(tree, budget, time::unix_ns()))))
    }

    /// Returns the files, which nothing else uses meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
