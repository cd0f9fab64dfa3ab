//! Room of a store: how much of it is used, the mark above which it is nearly full, and what a tenant may store then.
//! Pure: what is stored is an argument.

use crate::limits::MIB;

/// Part of the room that is free at the mark, as a divisor.
const FREE_PART: u64 = 5;
/// Largest room that is free at the mark, in bytes: a large disk need not leave a fifth of it unused.
const FREE_BYTES_MAX: u64 = 4_096 * MIB;

/// Room of one place that keeps data, a disk or a server of Redis, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Size of the place.
    pub total_bytes: u64,
    /// Bytes in use, also by others.
    pub used_bytes: u64,
}

impl Room {
    /// Returns the use at which the place is nearly full.
    #[must_use]
    pub fn mark(self) -> u64 {
        self.total_bytes - (self.total_bytes / FREE_PART).min(FREE_BYTES_MAX)
    }

    /// Returns true if the place is nearly full.
    #[must_use]
    pub fn is_above_mark(self) -> bool {
        self.used_bytes >= self.mark()
    }
}

/// Returns the size of all places together, in bytes.
#[must_use]
pub fn total_bytes(places: &[Room]) -> u64 {
    places.iter().fold(0, |sum, place| sum.saturating_add(place.total_bytes))
}

/// Returns what is used of all places together, in bytes.
#[must_use]
pub fn used_bytes(places: &[Room]) -> u64 {
    places.iter().fold(0, |sum, place| sum.saturating_add(place.used_bytes))
}

/// Totals of what all tenants store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Number of tenants that store anything.
    pub tenants: u64,
    /// Bytes that they store.
    pub bytes: u64,
}

impl Holdings {
    /// Adds what one tenant stores.
    pub const fn add(&mut self, bytes: u64) {
        self.tenants = self.tenants.saturating_add((bytes > 0) as u64);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Bound of the bytes that a tenant may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Its quota.
    Quota(u64),
    /// Its fair share, since the store is nearly full.
    Share(u64),
}

impl Bound {
    /// Returns the bound in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Quota(bytes) | Self::Share(bytes) => bytes,
        }
    }
}

/// Returns true if any place is nearly full.
#[must_use]
pub fn is_nearly_full(places: &[Room]) -> bool {
    places.iter().any(|place| place.is_above_mark())
}

/// Returns the bound of a tenant with a quota. While any place is nearly full, it is no more than a fair share: what all
/// tenants store, divided by their number and one more, so that a tenant that stores nothing finds room as well, and a
/// single one cannot take the last. If tenants store little, since others fill the place, the room above the mark is
/// divided instead.
#[must_use]
pub fn bound(places: &[Room], all: Holdings, quota: u64) -> Bound {
    let above = places.iter().fold(0_u64, |sum, place| sum.saturating_add(place.total_bytes - place.mark()));
    let share = all.bytes.max(above) / all.tenants.saturating_add(1);
    match is_nearly_full(places) && share < quota {
        true => Bound::Share(share),
        false => Bound::Quota(quota),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Room = Room { total_bytes: 100 * MIB, used_bytes: 0 };
    const NEARLY_FULL: Room = Room { total_bytes: 100 * MIB, used_bytes: 80 * MIB };

    #[test]
    fn the_mark_leaves_a_fifth_free_but_not_of_a_large_disk() {
        assert!(NEARLY_FULL.is_above_mark() && !Room { used_bytes: 80 * MIB - 1, ..NEARLY_FULL }.is_above_mark());
        let large = Room { total_bytes: 1 << 40, used_bytes: 0 };
        assert_eq!(large.total_bytes - large.mark(), FREE_BYTES_MAX);
        assert!(Room::default().is_above_mark(), "no room at all");
    }

    #[test]
    fn below_the_mark_a_tenants_quota_is_its_bound() {
        let all = Holdings { tenants: 9, bytes: 9 * MIB };
        assert_eq!(bound(&[EMPTY, EMPTY], all, MIB), Bound::Quota(MIB));
        assert_eq!(bound(&[], all, u64::MAX), Bound::Quota(u64::MAX), "a store without a bound is never full");
    }

    #[test]
    fn above_the_mark_who_stores_most_is_stopped_and_others_go_on() {
        let share = |tenants, bytes| bound(&[EMPTY, NEARLY_FULL], Holdings { tenants, bytes }, 50 * MIB);
        assert_eq!(share(1, 80 * MIB), Bound::Share(40 * MIB), "one that has it all");
        assert_eq!(share(2, 80 * MIB), Bound::Share(80 * MIB / 3), "one that has nearly all, and a small one");
        assert_eq!(share(7, 80 * MIB), Bound::Share(10 * MIB), "seven with equal parts");
        assert_eq!(bound(&[NEARLY_FULL], Holdings { tenants: 1, bytes: 80 * MIB }, 9), Bound::Quota(9));
    }

    #[test]
    fn where_others_fill_the_place_tenants_share_what_is_left() {
        let share = |tenants, bytes| bound(&[NEARLY_FULL], Holdings { tenants, bytes }, 50 * MIB);
        assert_eq!((share(0, 0), share(1, MIB)), (Bound::Share(20 * MIB), Bound::Share(10 * MIB)));
    }
}
