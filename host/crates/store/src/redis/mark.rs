//! Detects a store that lost its data. The first process that opens a store writes a random id into each place; every
//! process remembers these ids and compares them at each reconnection and check. On a Cluster each partition has its
//! own id, since each master can lose its data alone. No id is written after the start: a store without its data must
//! not look healthy.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::{Error, Result};
use fusebox_system::random;

/// The ids of a store, and whether the last comparison found a difference.
pub(super) struct Mark {
    shown: String,
    /// Ids of the places at the start of this process.
    known: OnceLock<Vec<String>>,
    is_lost: AtomicBool,
}

impl Mark {
    /// Creates a mark without ids, for a store at this address.
    pub(super) fn new(shown: String) -> Self {
        Self { shown, known: OnceLock::new(), is_lost: AtomicBool::new(false) }
    }

    /// Returns a new random id of 32 hexadecimal digits.
    pub(super) fn fresh() -> String {
        hex::encode(random::bytes::<16>())
    }

    /// Remembers the ids of the places. Later calls have no effect.
    pub(super) fn remember(&self, ids: Vec<String>) {
        let _ = self.known.set(ids);
    }

    /// Returns true once the ids are known.
    pub(super) fn is_known(&self) -> bool {
        self.known.get().is_some()
    }

    /// Returns true if the last comparison found a loss.
    #[cfg(test)]
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Compares the ids of the first places, or of all places, with those of the start. Logs each change of the result.
    ///
    /// # Errors
    /// Returns [`Error::Emptied`] if an id differs or is missing.
    pub(super) fn compare(&self, found: &[String]) -> Result<()> {
        let Some(known) = self.known.get() else { return Ok(()) };
        let is_lost = !known.starts_with(found);
        let emptied = Error::Emptied { address: self.shown.clone() };
        match (self.is_lost.swap(is_lost, Ordering::Relaxed), is_lost) {
            (false, true) => tracing::error!("{emptied}"),
            (true, false) => tracing::info!(redis = self.shown, "the store's data is back"),
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
