//! The key-value namespace of one run, in memory: the host's own bounds, revisions and times to live.

use std::{
    collections::BTreeMap,
    ops::Bound,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, HostAnswer, KvCursor, KvKey, KvPrefix, KvValue, Refusal, Revision, Ttl},
    limits::{KV_NAMESPACE_BYTES_MAX, KV_NAMESPACE_ENTRIES_MAX, KV_PAGE_ENTRIES},
};

/// Entries by key.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: BTreeMap<KvKey, Entry>,
    last: Revision,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    revision: Revision,
    until: Option<Instant>,
}

impl Entries {
    /// Returns entries that exist at the start.
    pub(super) fn of(entries: impl IntoIterator<Item = (KvKey, KvValue)>) -> Self {
        let mut all = Self::default();
        for (key, value) in entries {
            all.put(key, value, None);
        }
        all
    }

    pub(super) fn get(&mut self, key: &KvKey) -> Result<HostAnswer, Refusal> {
        let entry = self.alive(key).ok_or(Refusal::Absent)?;
        Ok(HostAnswer::Value { revision: entry.revision, value: entry.value.clone() })
    }

    pub(super) fn set(
        &mut self,
        key: KvKey,
        value: KvValue,
        ttl: Option<Ttl>,
        expects: Expects,
    ) -> Result<HostAnswer, Refusal> {
        let found = self.alive(&key).map(|entry| (entry.revision, entry.value.len() as u64));
        if !expects.is_met(found.map(|(revision, _)| revision)) {
            return Err(Refusal::Conflict);
        }
        let used: u64 = self.entries.iter().map(|(key, entry)| (key.as_bytes().len() + entry.value.len()) as u64).sum();
        let before = found.map_or(0, |(_, bytes)| bytes + key.as_bytes().len() as u64);
        let bytes = used - before + (key.as_bytes().len() + value.as_bytes().len()) as u64;
        let entries = self.entries.len() as u64 + u64::from(found.is_none());
        if entries > KV_NAMESPACE_ENTRIES_MAX || bytes > KV_NAMESPACE_BYTES_MAX {
            return Err(Refusal::Quota);
        }
        Ok(HostAnswer::Set(self.put(key, value, ttl)))
    }

    pub(super) fn delete(&mut self, key: &KvKey, expects: Expects) -> Result<HostAnswer, Refusal> {
        let found = self.alive(key).map(|entry| entry.revision);
        if !expects.is_met(found) {
            return Err(Refusal::Conflict);
        }
        Ok(HostAnswer::Deleted(self.entries.remove(key).is_some()))
    }

    /// Lists a page of keys; the place where it ends is its last key.
    pub(super) fn keys(&mut self, prefix: &KvPrefix, after: &KvCursor) -> Result<HostAnswer, Refusal> {
        self.expire();
        let from = match after.is_empty() {
            true => Bound::Unbounded,
            false => Bound::Excluded(KvKey::try_from(Bytes::from(after.clone()))?),
        };
        let keys = self.entries.range((from, Bound::Unbounded)).map(|(key, _)| key);
        let mut found = keys.filter(|key| key.as_bytes().starts_with(prefix.as_bytes()));
        let keys: Vec<KvKey> = found.by_ref().take(KV_PAGE_ENTRIES).cloned().collect();
        let next = match (found.next(), keys.last()) {
            (Some(_), Some(last)) => KvCursor::try_from(Bytes::from(last.clone()))?,
            _ => KvCursor::default(),
        };
        Ok(HostAnswer::Keys { keys, next })
    }

    fn put(&mut self, key: KvKey, value: KvValue, ttl: Option<Ttl>) -> Revision {
        self.last += 1;
        let until = ttl.map(|ttl| Instant::now() + Duration::from_millis(ttl.ms()));
        self.entries.insert(key, Entry { value: value.into(), revision: self.last, until });
        self.last
    }

    fn alive(&mut self, key: &KvKey) -> Option<&Entry> {
        self.expire();
        self.entries.get(key)
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.until.is_none_or(|until| until > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> KvKey {
        Bytes::copy_from_slice(text.as_bytes()).try_into().unwrap()
    }

    fn value(bytes: usize) -> KvValue {
        Bytes::from(vec![b'v'; bytes]).try_into().unwrap()
    }

    #[test]
    fn conditions_revisions_and_times_to_live_are_the_hosts() {
        let mut entries = Entries::of([(key("a"), value(1))]);
        assert_eq!(entries.set(key("a"), value(2), None, Expects::Nothing), Err(Refusal::Conflict));
        assert_eq!(entries.set(key("a"), value(2), None, Expects::Revision(1)), Ok(HostAnswer::Set(2)));
        assert_eq!(entries.delete(&key("a"), Expects::Revision(1)), Err(Refusal::Conflict));
        assert_eq!(entries.delete(&key("a"), Expects::Anything), Ok(HostAnswer::Deleted(true)));
        assert_eq!(entries.get(&key("a")), Err(Refusal::Absent));
        let soon = Ttl::try_from(1).unwrap();
        entries.set(key("b"), value(1), Some(soon), Expects::Anything).unwrap();
        while entries.get(&key("b")).is_ok() {}
        assert_eq!(entries.set(key("b"), value(1), None, Expects::Nothing), Ok(HostAnswer::Set(4)));
    }

    #[test]
    fn a_listing_has_pages_and_a_namespace_has_bounds() {
        let mut entries = Entries::of((0..KV_PAGE_ENTRIES + 1).map(|number| (key(&format!("a{number:03}")), value(0))));
        entries.set(key("b"), value(0), None, Expects::Anything).unwrap();
        let prefix = KvPrefix::try_from(Bytes::from_static(b"a")).unwrap();
        let Ok(HostAnswer::Keys { keys, next }) = entries.keys(&prefix, &KvCursor::default()) else { panic!("keys") };
        assert!(keys.len() == KV_PAGE_ENTRIES && !next.is_empty());
        let Ok(HostAnswer::Keys { keys, next }) = entries.keys(&prefix, &next) else { panic!("keys") };
        assert_eq!((keys, next.is_empty()), (vec![key("a064")], true));
        let full = usize::try_from(KV_NAMESPACE_BYTES_MAX / KvValue::BYTES_MAX as u64).unwrap();
        let filled = (0..full)
            .map(|number| entries.set(key(&format!("c{number}")), value(KvValue::BYTES_MAX), None, Expects::Anything));
        assert_eq!(filled.last(), Some(Err(Refusal::Quota)));
    }
}
