//! The function's own key-value store, which outlives runs. All versions of a function and all its runs share it,
//! including concurrent ones, so updates use compare-and-set. Requires the grant `kv`.
//!
//! ```
//! use std::time::Duration;
//! use fusebox_guest::kv::{self, Change, Expects};
//!
//! kv::set("colour", "green")?;
//! let entry = kv::get("colour")?.ok_or("no colour")?;
//! assert_eq!(entry.value, b"green");
//! // Only if it has not changed since, and for an hour:
//! Change::of("colour").expects(Expects::Revision(entry.revision)).ttl(Duration::from_secs(3_600)).set("blue")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::Duration;

use crate::{Refusal, host};

/// Revision of an entry; it differs after each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(i64);

/// Entry of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Value.
    pub value: Vec<u8>,
    /// Revision that the last change left.
    pub revision: Revision,
}

/// Page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Keys that are text, perhaps none though others follow.
    pub keys: Vec<String>,
    /// Place of the next page; `None` if this is the last one.
    pub next: Option<Cursor>,
}

/// Place in a listing of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// Condition on the current entry for a change to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects {
    /// No condition.
    #[default]
    Anything,
    /// The key has no entry.
    Nothing,
    /// The entry has this revision.
    Revision(Revision),
}

/// A change of an entry, with its condition.
#[derive(Clone, Debug)]
#[must_use = "nothing is changed until `set` or `delete`"]
pub struct Change<'a> {
    key: &'a str,
    ttl_ms: i64,
    expects: Expects,
}

impl<'a> Change<'a> {
    /// Returns an unconditional change of this key.
    pub const fn of(key: &'a str) -> Self {
        Self { key, ttl_ms: 0, expects: Expects::Anything }
    }

    /// Sets the condition.
    pub const fn expects(mut self, expects: Expects) -> Self {
        self.expects = expects;
        self
    }

    /// Sets the time to live, in whole milliseconds; without one the entry is kept.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        // Less than a millisecond must not become 0, which means no limit.
        self.ttl_ms = i64::try_from(ttl.as_millis().max(1)).unwrap_or(i64::MAX);
        self
    }

    /// Sets the value and returns its revision.
    ///
    /// # Errors
    /// Returns [`Refusal::Conflict`] if the condition is not met, or another refusal of the host.
    pub fn set(self, value: impl AsRef<[u8]>) -> Result<Revision, Refusal> {
        let result = host::kv_set(self.key.as_bytes(), value.as_ref(), self.ttl_ms, self.expects.number());
        // The contract excludes revisions that are 0 or out of range.
        let revision = Refusal::check(result)?.and_then(|revision| i64::try_from(revision).ok());
        revision.map(Revision).ok_or(Refusal::Unavailable)
    }

    /// Deletes the entry; returns whether there was one.
    ///
    /// # Errors
    /// Returns [`Refusal::Conflict`] if the condition is not met, or another refusal of the host.
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

/// Returns the entry of a key, or `None` if there is none.
///
/// # Errors
/// Returns the host's refusal.
pub fn get(key: &str) -> Result<Option<Entry>, Refusal> {
    let Some(mut bytes) = host::bytes(host::kv_get(key.as_bytes()))? else { return Ok(None) };
    let Some(revision) = bytes.first_chunk().map(|number| i64::from_le_bytes(*number)) else {
        return Err(Refusal::Unavailable);
    };
    bytes.drain(..size_of::<i64>());
    Ok(Some(Entry { value: bytes, revision: Revision(revision) }))
}

/// Returns a page of the keys that start with a prefix, in no order. A key that has an entry during the whole listing is
/// in at least one page; it may be in two.
///
/// ```
/// use fusebox_guest::kv;
///
/// kv::set("user/ada", "1815")?;
/// let (mut users, mut place) = (Vec::new(), None);
/// loop {
///     let page = kv::keys("user/", place.as_ref())?;
///     users.extend(page.keys);
///     place = page.next;
///     if place.is_none() {
///         break;
///     }
/// }
/// assert_eq!(users, ["user/ada"]);
/// # Ok::<(), fusebox_guest::Refusal>(())
/// ```
///
/// # Errors
/// Returns the host's refusal; a host that does not list keys answers [`Refusal::Unavailable`].
pub fn keys(prefix: &str, cursor: Option<&Cursor>) -> Result<Page, Refusal> {
    let after = cursor.map(|cursor| cursor.0.as_slice()).unwrap_or_default();
    let bytes = host::bytes(host::kv_keys(prefix.as_bytes(), after))?.ok_or(Refusal::Unavailable)?;
    let mut texts = texts(&bytes);
    let next = texts.next().ok_or(Refusal::Unavailable)?;
    let next = (!next.is_empty()).then(|| Cursor(next.to_vec()));
    let keys = texts.filter_map(|key| String::from_utf8(key.to_vec()).ok()).collect();
    Ok(Page { keys, next })
}

/// Returns texts, each of which is behind its length in 4 bytes.
fn texts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        bytes = rest;
        Some(text)
    })
}

/// Sets a value unconditionally and returns its revision.
///
/// # Errors
/// Returns the host's refusal.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<Revision, Refusal> {
    Change::of(key).set(value)
}

/// Deletes an entry unconditionally; returns whether there was one.
///
/// # Errors
/// Returns the host's refusal.
pub fn delete(key: &str) -> Result<bool, Refusal> {
    Change::of(key).delete()
}

/// Computes a new value from the current one and sets it, unless another run has changed the entry meanwhile, in which
/// case both steps are repeated. Returns the value set; it has no time to live.
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
/// Returns the host's refusal, but never [`Refusal::Conflict`].
pub fn update(key: &str, mut change: impl FnMut(Option<Vec<u8>>) -> Vec<u8>) -> Result<Vec<u8>, Refusal> {
    // Each conflict is the success of another run, and the run's own limits bound the repetitions.
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
    /// Parses the value as JSON.
    ///
    /// # Errors
    /// Returns an error if the value is not JSON of this type.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.value)
    }
}

#[cfg(feature = "json")]
impl Change<'_> {
    /// Sets the value as JSON.
    ///
    /// # Errors
    /// Returns [`Refusal::Invalid`] if the value cannot be serialized, or as [`Change::set`].
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
    fn keys_are_listed_in_pages() {
        fake::reset();
        assert_eq!(keys("", None), Ok(Page::default()));
        for n in 0..100 {
            set(&format!("a/{n}"), "").unwrap();
        }
        set("b", "").unwrap();
        let first = keys("a/", None).unwrap();
        let second = keys("a/", first.next.as_ref()).unwrap();
        assert_eq!((first.keys.len(), second.keys.len(), second.next), (64, 36, None));
        assert!(first.keys.iter().chain(&second.keys).all(|key| key.starts_with("a/")));
        assert_eq!(keys("b", None).unwrap().keys, ["b"]);
        assert_eq!(keys(&"k".repeat(513), None), Err(Refusal::TooLarge));
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
