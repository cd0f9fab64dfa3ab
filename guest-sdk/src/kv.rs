//! The function's own key-value store: what lives longer than a run. All versions of a function and all its runs share
//! it, runs at the same moment included, so that a change of what is there is a compare-and-set. Needs the grant `kv`.
//!
//! ```
//! use std::time::Duration;
//! use fusebox_guest::kv::{self, Change, Expects};
//!
//! kv::set("colour", "green")?;
//! let entry = kv::get("colour")?.ok_or("no colour")?;
//! assert_eq!(entry.value, b"green");
//! // Only if nobody has changed it since, and for an hour:
//! Change::of("colour").expects(Expects::Revision(entry.revision)).ttl(Duration::from_secs(3_600)).set("blue")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::Duration;

use crate::{Refusal, host};

/// Which change of a key left a value: it differs after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(i64);

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Which change left it.
    pub revision: Revision,
}

/// What must be there for a change to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects {
    /// Whatever there is.
    #[default]
    Anything,
    /// Nothing.
    Nothing,
    /// The entry of this revision.
    Revision(Revision),
}

/// A change of a key, with what it depends on.
#[derive(Clone, Debug)]
#[must_use = "nothing is changed until `set` or `delete`"]
pub struct Change<'a> {
    key: &'a str,
    ttl_ms: i64,
    expects: Expects,
}

impl<'a> Change<'a> {
    /// A change of this key, whatever is there.
    pub const fn of(key: &'a str) -> Self {
        Self { key, ttl_ms: 0, expects: Expects::Anything }
    }

    /// Happens only where this is there.
    pub const fn expects(mut self, expects: Expects) -> Self {
        self.expects = expects;
        self
    }

    /// The value is gone after this time, which counts in whole milliseconds; without one it stays.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        // What is below a millisecond must not become the 0 that stands for ever.
        self.ttl_ms = i64::try_from(ttl.as_millis().max(1)).unwrap_or(i64::MAX);
        self
    }

    /// Sets the value.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] where something else is there than is expected; else why the host does not.
    pub fn set(self, value: impl AsRef<[u8]>) -> Result<Revision, Refusal> {
        let result = host::kv_set(self.key.as_bytes(), value.as_ref(), self.ttl_ms, self.expects.number());
        // One that is 0 or too large for the contract is none.
        let revision = Refusal::check(result)?.and_then(|revision| i64::try_from(revision).ok());
        revision.map(Revision).ok_or(Refusal::Unavailable)
    }

    /// Deletes the value; whether there was one.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] where something else is there than is expected; else why the host does not.
    pub fn delete(self) -> Result<bool, Refusal> {
        Ok(Refusal::check(host::kv_delete(self.key.as_bytes(), self.expects.number()))? == Some(1))
    }
}

impl Expects {
    const fn number(self) -> i64 {
        match self {
            Self::Anything => -1,
            Self::Nothing => 0,
            Self::Revision(Revision(revision)) => revision,
        }
    }
}

/// What a key has; `None` where it has nothing.
///
/// # Errors
/// Why the host does not say.
pub fn get(key: &str) -> Result<Option<Entry>, Refusal> {
    let Some(mut bytes) = host::bytes(host::kv_get(key.as_bytes()))? else { return Ok(None) };
    let Some(revision) = bytes.first_chunk().map(|number| i64::from_le_bytes(*number)) else {
        return Err(Refusal::Unavailable);
    };
    bytes.drain(..size_of::<i64>());
    Ok(Some(Entry { value: bytes, revision: Revision(revision) }))
}

/// Sets a value, whatever is there.
///
/// # Errors
/// Why the host does not.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<Revision, Refusal> {
    Change::of(key).set(value)
}

/// Deletes a value, whatever it is; whether there was one.
///
/// # Errors
/// Why the host does not.
pub fn delete(key: &str) -> Result<bool, Refusal> {
    Change::of(key).delete()
}

/// Makes a value of the one that is there, and sets it unless another run has changed it meanwhile: then once more, with
/// what that run has left. Answers with the value that is set, and without a time to live.
///
/// ```
/// use fusebox_guest::kv;
///
/// let count = || kv::update("count", |old| vec![old.map_or(0, |old| old[0]) + 1]);
/// assert_eq!((count()?, count()?), (vec![1], vec![2]));
/// # Ok::<(), fusebox_guest::Refusal>(())
/// ```
///
/// # Errors
/// Why the host does not; never [`Refusal::Conflict`].
pub fn update(key: &str, mut change: impl FnMut(Option<Vec<u8>>) -> Vec<u8>) -> Result<Vec<u8>, Refusal> {
    // Each conflict is another run's success, and the run's own fuse bounds the rest.
    loop {
        let (old, expects) = match get(key)? {
            Some(Entry { value, revision }) => (Some(value), Expects::Revision(revision)),
            None => (None, Expects::Nothing),
        };
        let new = change(old);
        match Change::of(key).expects(expects).set(&new) {
            Ok(_) => return Ok(new),
            Err(Refusal::Conflict) => {}
            Err(refusal) => return Err(refusal),
        }
    }
}

#[cfg(feature = "json")]
impl Entry {
    /// The value, which is JSON.
    ///
    /// # Errors
    /// Where it is not of this type.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.value)
    }
}

#[cfg(feature = "json")]
impl Change<'_> {
    /// Sets the value as JSON.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] where it cannot be written as JSON; else as [`Change::set`].
    pub fn set_json<T: serde::Serialize + ?Sized>(self, value: &T) -> Result<Revision, Refusal> {
        self.set(serde_json::to_vec(value).map_err(|_| Refusal::Invalid)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn what_is_set_is_there_until_it_is_deleted() {
        fake::reset();
        assert_eq!((get("a"), delete("a")), (Ok(None), Ok(false)));
        let first = set("a", "1").unwrap();
        assert_eq!(get("a"), Ok(Some(Entry { value: b"1".to_vec(), revision: first })));
        assert_ne!(set("a", "").unwrap(), first);
        assert!(get("a").unwrap().unwrap().value.is_empty());
        assert_eq!((delete("a"), get("a")), (Ok(true), Ok(None)));
    }

    #[test]
    fn a_change_happens_only_where_what_is_expected_is_there() {
        fake::reset();
        let create = || Change::of("a").expects(Expects::Nothing).set("new");
        let first = create().unwrap();
        assert_eq!(create(), Err(Refusal::Conflict));
        let expects = Expects::Revision(first);
        assert!(Change::of("a").expects(expects).set("next").is_ok());
        assert_eq!(Change::of("a").expects(expects).set("late"), Err(Refusal::Conflict));
        assert_eq!(Change::of("a").expects(expects).delete(), Err(Refusal::Conflict));
        delete("a").unwrap();
        assert_ne!(create().unwrap(), first, "a revision does not come back with a key");
    }

    #[test]
    fn a_time_to_live_ends_by_the_fakes_clock() {
        fake::reset();
        Change::of("a").ttl(Duration::from_secs(10)).set("short").unwrap();
        Change::of("b").ttl(Duration::from_nanos(1)).set("shorter").unwrap();
        fake::advance(Duration::from_millis(9_999));
        assert!(get("a").unwrap().is_some() && get("b").unwrap().is_none());
        fake::advance(Duration::from_millis(1));
        assert_eq!(get("a"), Ok(None));
        assert!(Change::of("a").expects(Expects::Nothing).set("again").is_ok());
    }

    #[test]
    fn an_update_meets_another_runs_change() {
        fake::reset();
        set("a", "1").unwrap();
        let mut calls = 0;
        let new = update("a", |old| {
            calls += 1;
            if calls == 1 {
                set("a", "other").unwrap();
            }
            [old.unwrap().as_slice(), b"+"].concat()
        });
        assert_eq!((new, calls), (Ok(b"other+".to_vec()), 2));
    }

    #[test]
    fn what_has_no_room_is_refused() {
        fake::reset();
        assert_eq!(set("", "x"), Err(Refusal::Invalid));
        assert_eq!(set(&"k".repeat(513), "x"), Err(Refusal::TooLarge));
        assert_eq!(set("k", vec![0; (64 << 10) + 1]), Err(Refusal::TooLarge));
        let full = (0..).map(|n| set(&format!("{n}"), vec![0; 64 << 10])).find_map(Result::err);
        assert_eq!(full, Some(Refusal::Quota));
    }

    #[cfg(feature = "json")]
    #[test]
    fn values_can_be_json() {
        fake::reset();
        Change::of("a").set_json(&[1, 2]).unwrap();
        let entry = get("a").unwrap().unwrap();
        assert_eq!(entry.json::<Vec<u8>>().unwrap(), [1, 2]);
        assert!(entry.json::<String>().is_err());
    }
}
