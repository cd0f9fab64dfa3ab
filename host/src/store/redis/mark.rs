//! A random id that a store keeps from the first process that opens it on. By it a process notices that the store has lost
//! everything, or is another one, after its Redis was away. On a Cluster each partition has its own, since each master can
//! be lost by itself. Nothing is made again here while a process runs: a store without its data must not look well.

use std::{
    fmt::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    random,
    store::{Error, Result},
};

/// See the module's documentation.
pub(super) struct Mark {
    shown: String,
    /// The id at each place, as this process met it at its start.
    known: OnceLock<Vec<String>>,
    is_lost: AtomicBool,
}

impl Mark {
    /// Nothing is known yet of the store at an address, as that is shown to people.
    pub(super) fn new(shown: String) -> Self {
        Self { shown, known: OnceLock::new(), is_lost: AtomicBool::new(false) }
    }

    /// An id for a store that has none.
    pub(super) fn fresh() -> String {
        random::bytes::<16>().iter().fold(String::new(), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        })
    }

    /// Remembers the ids of the places, the first time.
    pub(super) fn remember(&self, ids: Vec<String>) {
        let _ = self.known.set(ids);
    }

    /// Whether there is something to compare with.
    pub(super) fn is_known(&self) -> bool {
        self.known.get().is_some()
    }

    /// Whether the last comparison found a loss.
    #[cfg(test)]
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Compares the ids of the first places, or of all, with those of the start. Says it in the log when that changes.
    ///
    /// # Errors
    /// [`Error::Emptied`] where they are others, or none.
    pub(super) fn compare(&self, found: &[String]) -> Result<()> {
        let Some(known) = self.known.get() else { return Ok(()) };
        let is_lost = !known.starts_with(found);
        let emptied = Error::Emptied { address: self.shown.clone() };
        match (self.is_lost.swap(is_lost, Ordering::Relaxed), is_lost) {
            (false, true) => tracing::error!("{emptied}"),
            (true, false) => tracing::info!(redis = self.shown, "the store has its data again"),
            _ => {}
        }
        if is_lost { Err(emptied) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_differ_or_are_missing_are_a_loss_until_they_are_back() {
        let mark = Mark::new("cache:6379".to_owned());
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert!(mark.compare(&ids(&["", ""])).is_ok(), "nothing is known yet");
        mark.remember(ids(&["a", "b"]));
        assert!(mark.compare(&ids(&["a", "b"])).is_ok() && mark.compare(&ids(&["a"])).is_ok());
        for other in [&["a", ""][..], &["a", "c"], &[""]] {
            let told = mark.compare(&ids(other)).unwrap_err().to_string();
            assert!(told.contains("cache:6379") && told.contains("restart"), "{told}");
        }
        assert!(mark.compare(&ids(&["a", "b"])).is_ok(), "it was restored");
        assert_ne!(Mark::fresh(), Mark::fresh());
        assert_eq!(Mark::fresh().len(), 32);
    }
}
