//! Index of workers by free credit; the worker with the most is leased for next. All operations take the same few steps
//! for ten workers and for thousands.

use alloc::vec::Vec;

use crate::{id::WorkerId, limits::LEASE_BATCH_MAX};

/// Position of a worker in the index; rank 0 means not in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rank: usize,
    at: usize,
}

/// Buckets of workers, one for each amount of free credit.
#[derive(Clone, Debug, Default)]
pub(super) struct Free {
    /// Workers by rank; index 0 is unused.
    ranks: Vec<Vec<WorkerId>>,
    /// Highest non-empty rank.
    top: usize,
    count: usize,
}

impl Free {
    /// Returns the rank of an amount of free credit. A lease step takes at most [`LEASE_BATCH_MAX`], so larger amounts
    /// are equivalent.
    pub(super) fn rank(slots: u32) -> usize {
        slots.min(LEASE_BATCH_MAX) as usize
    }

    /// Returns the number of workers.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Returns a worker of the highest rank.
    pub(super) fn most(&self) -> Option<WorkerId> {
        self.ranks.get(self.top)?.last().copied()
    }

    /// Adds a worker to a rank.
    pub(super) fn insert(&mut self, id: WorkerId, rank: usize) -> Place {
        if rank == 0 {
            return Place::default();
        }
        if self.ranks.len() <= rank {
            self.ranks.resize_with(rank + 1, Vec::new);
        }
        self.top = self.top.max(rank);
        self.count += 1;
        match self.ranks.get_mut(rank) {
            Some(of_rank) => {
                of_rank.push(id);
                Place { rank, at: of_rank.len() - 1 }
            }
            None => Place::default(),
        }
    }

    /// Removes the worker at `place`; returns the worker that was moved there, if any.
    pub(super) fn remove(&mut self, place: Place) -> Option<WorkerId> {
        let of_rank = self.ranks.get_mut(place.rank).filter(|_| place.rank > 0)?;
        of_rank.swap_remove(place.at);
        self.count -= 1;
        let moved = of_rank.get(place.at).copied();
        while self.top > 0 && self.ranks.get(self.top).is_none_or(Vec::is_empty) {
            self.top -= 1;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: u8) -> WorkerId {
        WorkerId::from_bytes([number; 16])
    }

    #[test]
    fn the_most_free_is_found_and_places_stay_true() {
        let mut free = Free::default();
        assert_eq!(free.most(), None);
        let places = [1_u8, 4, 4, 4].map(|rank| free.insert(worker(rank), rank.into()));
        assert_eq!((free.count(), free.most()), (4, Some(worker(4))));
        assert_eq!(free.remove(places[1]), Some(worker(4)), "the last one of the rank has moved up");
        assert_eq!(free.remove(places[1]), Some(worker(4)));
        assert_eq!(free.remove(places[1]), None);
        assert_eq!((free.count(), free.most()), (1, Some(worker(1))));
        assert_eq!(free.remove(places[0]), None);
        assert_eq!((free.count(), free.most()), (0, None));
        assert_eq!(free.insert(worker(9), 0), Place::default(), "nothing free is no rank");
        assert_eq!(free.count(), 0);
    }

    #[test]
    fn more_than_a_lease_step_takes_is_one_rank() {
        assert_eq!(Free::rank(LEASE_BATCH_MAX), Free::rank(u32::MAX));
    }
}
