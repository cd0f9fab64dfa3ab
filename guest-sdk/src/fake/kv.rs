//! Key-value namespace in memory, with the host's limits and a clock controlled by the test.

use std::{collections::BTreeMap, time::Duration};

use crate::Refusal;

/// Limits of the host.
const KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 64 << 10;
const NAMESPACE_BYTES_MAX: usize = 16 << 20;
const ENTRIES_MAX: usize = 10_000;
const PAGE_ENTRIES: usize = 64;

#[derive(Default)]
pub(super) struct Namespace {
    entries: BTreeMap<Vec<u8>, Entry>,
    revision: i64,
    now: Duration,
}

struct Entry {
    value: Vec<u8>,
    revision: i64,
    ends: Option<Duration>,
}

impl Namespace {
    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.entries.retain(|_, entry| entry.ends.is_none_or(|ends| ends > now));
    }

    /// Returns the bytes of the revision followed by the value.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        check(key, &[])?;
        let answer = |entry: &Entry| [&entry.revision.to_le_bytes(), entry.value.as_slice()].concat();
        Ok(self.entries.get(key).map(answer))
    }

    pub(super) fn set(&mut self, key: &[u8], value: &[u8], ttl_ms: i64, expects: i64) -> Result<i64, Refusal> {
        check(key, value)?;
        self.expect(key, expects)?;
        let ttl_ms = u64::try_from(ttl_ms).map_err(|_| Refusal::Invalid)?;
        let others = self.entries.iter().filter(|(other, _)| other.as_slice() != key);
        let (count, bytes) = others.fold((1, key.len() + value.len()), |(count, bytes), (key, entry)| {
            (count + 1, bytes + key.len() + entry.value.len())
        });
        if count > ENTRIES_MAX || bytes > NAMESPACE_BYTES_MAX {
            return Err(Refusal::Quota);
        }
        self.revision += 1;
        let ends = (ttl_ms > 0).then(|| self.now + Duration::from_millis(ttl_ms));
        self.entries.insert(key.to_vec(), Entry { value: value.to_vec(), revision: self.revision, ends });
        Ok(self.revision)
    }

    pub(super) fn delete(&mut self, key: &[u8], expects: i64) -> Result<bool, Refusal> {
        check(key, &[])?;
        self.expect(key, expects)?;
        Ok(self.entries.remove(key).is_some())
    }

    /// Returns a page of keys in the host's form: the place where it ends, empty at the end, and the keys, each behind
    /// its length.
    pub(super) fn keys(&self, prefix: &[u8], after: &[u8]) -> Result<Vec<u8>, Refusal> {
        if prefix.len().max(after.len()) > KEY_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let found = self.entries.keys().filter(|key| key.starts_with(prefix) && key.as_slice() > after);
        let keys: Vec<&[u8]> = found.map(Vec::as_slice).take(PAGE_ENTRIES).collect();
        let next = keys.get(PAGE_ENTRIES - 1).copied().unwrap_or_default();
        let texts = [next].into_iter().chain(keys);
        Ok(texts
            .flat_map(|text| [&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()[..], text].concat())
            .collect())
    }

    fn expect(&self, key: &[u8], expects: i64) -> Result<(), Refusal> {
        let found = self.entries.get(key).map(|entry| entry.revision);
        match expects {
            -1 => Ok(()),
            0 if found.is_none() => Ok(()),
            revision if revision > 0 && found == Some(revision) => Ok(()),
            0.. => Err(Refusal::Conflict),
            _ => Err(Refusal::Invalid),
        }
    }
}

fn check(key: &[u8], value: &[u8]) -> Result<(), Refusal> {
    match key.len() {
        0 => Err(Refusal::Invalid),
        len if len > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX => Err(Refusal::TooLarge),
        _ => Ok(()),
    }
}
