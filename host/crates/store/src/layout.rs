//! Marker of a store's layout: the text that names the layouts of its records, and the decision whether a process may
//! use the store. Independent of any store.
//!
//! A change of a layout only adds, for one release: processes of a layout and of the one before share a store, and each
//! ignores fields that it does not know. `fusebox store migrate` then rewrites the records that have only the old form,
//! and from its start on the store takes no process of the old layout. So a store has records of two layouts at most.

use std::{fmt, str::FromStr};

pub(crate) mod migrate;

/// Layouts of a kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layouts {
    /// Number of the layout that this version writes. A change of the layout increments it.
    pub(crate) own: u32,
    /// First layout that later ones read: those before are refused, not migrated.
    pub(crate) first: u32,
}

/// Layout that this version writes in a directory.
pub(crate) const LAYOUT: u32 = 6;
/// Layouts of a directory.
pub(crate) const DIRECTORY: Layouts = Layouts { own: LAYOUT, first: 5 };
/// Layouts of a Redis.
pub(crate) const REDIS: Layouts = Layouts { own: 7, first: 7 };

/// Layouts of the records of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Newest layout whose processes have used the store.
    pub(crate) newest: u32,
    /// Oldest layout that records may have: `newest`, or the one before.
    pub(crate) oldest: u32,
    /// Number of finished steps of the migration from the oldest to the newest, once it has started.
    pub(crate) migrating: Option<usize>,
}

impl Marker {
    /// Returns the marker of a store with records of one layout.
    pub(crate) const fn of(layout: u32) -> Self {
        Self { newest: layout, oldest: layout, migrating: None }
    }

    /// Parses the marker of a store.
    ///
    /// # Errors
    /// Returns the end of a sentence that starts with the store's address.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        text.trim_end().parse().map_err(|()| {
            let text: String = text.trim_end().chars().take(TEXT_MAX).collect();
            format!(
                "its layout is {text:?}, which this version of Fusebox does not know: use the version that made it, or \
                 another store"
            )
        })
    }

    /// Returns the marker to be written before a process of layout `own` uses the store, if that differs. Layouts before
    /// `first` are refused.
    ///
    /// # Errors
    /// Returns the end of a sentence that starts with the store's address, and says what to do.
    pub(crate) fn join(&self, first: u32, own: u32) -> Result<Option<Self>, String> {
        let Self { newest, oldest, migrating } = self;
        if own < *oldest || (own < *newest && migrating.is_some()) {
            return Err(format!(
                "its layout is {newest}, and this version of Fusebox reads {own}: use the version that made it, or a newer one"
            ));
        }
        if migrating.is_some() {
            return Err(format!(
                "its migration from layout {oldest} to {newest} is not finished: run `fusebox store migrate` of the version \
                 that began it, which continues"
            ));
        }
        let before = own.saturating_sub(1).max(first.min(own));
        if *oldest < before && before == own {
            return Err(format!(
                "its layout is {oldest}, and this version of Fusebox reads {own}: use the version that made it, or another \
                 store"
            ));
        }
        if *oldest < before {
            return Err(format!(
                "its layout is {oldest}, and this version of Fusebox reads {before} and {own}: run `fusebox store migrate` \
                 of each version in between first"
            ));
        }
        Ok((own > *newest).then_some(Self { newest: own, oldest: *oldest, migrating: None }))
    }
}

/// Number of characters of an unknown marker that are shown.
const TEXT_MAX: usize = 60;
/// Start of every marker.
const NAME: &str = "fusebox layout ";
/// Text before the number of finished steps.
const MIGRATING: &str = ", migrating, steps done: ";

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { newest, oldest, migrating } = self;
        write!(f, "{NAME}{newest}")?;
        if oldest != newest {
            write!(f, " and {oldest}")?;
        }
        match migrating {
            Some(done) => write!(f, "{MIGRATING}{done}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Marker {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse().map_err(|_| ());
        let text = text.strip_prefix(NAME).ok_or(())?;
        let (layouts, migrating) = match text.split_once(MIGRATING) {
            None => (text, None),
            Some((layouts, done)) => (layouts, Some(done.parse().map_err(|_| ())?)),
        };
        let (newest, oldest) = layouts.split_once(" and ").unwrap_or((layouts, layouts));
        let marker = Self { newest: number(newest)?, oldest: number(oldest)?, migrating };
        // Another spelling is another program's, or of a layout of the future.
        if marker.to_string() == [NAME, text].concat() { Ok(marker) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(marker: &str, own: u32) -> String {
        Marker::read(marker).and_then(|marker| marker.join(3, own)).unwrap_err()
    }

    fn joined(marker: &str, own: u32) -> Option<String> {
        Marker::read(marker).unwrap().join(3, own).unwrap().map(|marker| marker.to_string())
    }

    #[test]
    fn a_layout_and_the_next_share_a_store() {
        assert_eq!(Marker::of(3).to_string(), "fusebox layout 3");
        assert_eq!(joined("fusebox layout 3\n", 3), None);
        assert_eq!(joined("fusebox layout 3", 4).as_deref(), Some("fusebox layout 4 and 3"));
        assert_eq!((joined("fusebox layout 4 and 3", 3), joined("fusebox layout 4 and 3", 4)), (None, None));
    }

    #[test]
    fn each_other_layout_is_refused_with_what_to_do() {
        for (marker, own, words) in [
            ("fusebox layout 4", 3, "use the version that made it, or a newer one"),
            ("fusebox layout 4 and 3, migrating, steps done: 1", 3, "or a newer one"),
            ("fusebox layout 4 and 3, migrating, steps done: 1", 4, "which continues"),
            ("fusebox layout 4 and 3, migrating, steps done: 0", 5, "which continues"),
            ("fusebox layout 4 and 3", 5, "run `fusebox store migrate` of each version in between first"),
            ("fusebox layout 3", 5, "its layout is 3, and this version of Fusebox reads 4 and 5"),
            ("fusebox layout 4 & 3", 4, "does not know"),
            ("fusebox layout 04", 4, "does not know"),
            ("fusebox layout 4, sorted by name", 4, "does not know"),
            ("fusebox store 2\n", 3, "its layout is \"fusebox store 2\", which this version"),
            ("", 3, "does not know"),
            (
                "fusebox layout 2",
                3,
                "and this version of Fusebox reads 3: use the version that made it, or another store",
            ),
        ] {
            let told = refusal(marker, own);
            assert!(told.contains(words) && !told.contains('\n'), "{marker}: {told}");
        }
        assert!(refusal(&"x".repeat(1_000), 3).len() < 200);
    }
}
