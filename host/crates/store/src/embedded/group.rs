//! Uncommitted steps of one group. Their writes overlay the committed state, so each step sees the ones before it. A
//! failed step is undone alone. Independent of tasks and functions.

use bytes::Bytes;

use super::{
    engine::{Engine, Snapshot, Space, Writes},
    keys::Key,
};
use crate::Result;

/// Writes of a group over a snapshot of the committed state.
pub(super) struct Group<'a> {
    engine: &'a Engine,
    committed: Snapshot,
    writes: Writes,
    /// Previous values of the keys that the current step has written, oldest first.
    undo: Vec<(Space, Key, Option<Option<Bytes>>)>,
}

impl<'a> Group<'a> {
    /// Creates an empty group.
    pub(super) fn new(engine: &'a Engine) -> Result<Self> {
        Ok(Self { engine, committed: engine.snapshot()?, writes: Writes::default(), undo: Vec::new() })
    }

    /// Starts a step; earlier writes stay.
    pub(super) fn begin(&mut self) {
        self.undo.clear();
    }

    /// Reverts the writes of the current step.
    pub(super) fn undo(&mut self) {
        while let Some((space, key, before)) = self.undo.pop() {
            let writes = &mut self.writes[space as usize];
            match before {
                Some(value) => writes.insert(key, value),
                None => writes.remove(&key),
            };
        }
    }

    /// Commits all writes of the group or none; they are durable when this returns.
    pub(super) fn commit(self) -> Result<()> {
        if !self.has_writes() {
            return Ok(());
        }
        let Self { engine, committed, writes, .. } = self;
        // Pages that an open snapshot could still read are not reused.
        drop(committed);
        engine.commit(writes)
    }

    /// Returns true if there is anything to write.
    pub(super) fn has_writes(&self) -> bool {
        self.writes.iter().any(|writes| !writes.is_empty())
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        match self.writes[space as usize].get(key) {
            Some(written) => Ok(written.clone()),
            None => self.committed.get(space, key),
        }
    }

    /// Returns true if the key has a value.
    pub(super) fn contains(&self, space: Space, key: &[u8]) -> Result<bool> {
        Ok(self.get(space, key)?.is_some())
    }

    /// Writes a value.
    pub(super) fn put(&mut self, space: Space, key: Key, value: impl Into<Bytes>) {
        self.write(space, key, Some(value.into()));
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, space: Space, key: Key) {
        self.write(space, key, None);
    }

    fn write(&mut self, space: Space, key: Key, value: Option<Bytes>) {
        let before = self.writes[space as usize].insert(key.clone(), value);
        self.undo.push((space, key, before));
    }

    /// Returns the first `limit` keys from `from` on, before `to`.
    pub(super) fn keys(&self, space: Space, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Key>> {
        let mut found = Vec::new();
        if from >= to {
            return Ok(found);
        }
        let mut committed = self.committed.keys(space, from, to)?.peekable();
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(to));
        let mut written = self.writes[space as usize].range::<[u8], _>(range).peekable();
        while found.len() < limit {
            if matches!(committed.peek(), Some(Err(_))) {
                committed.next().transpose()?;
            }
            let next_committed = committed.peek().and_then(|key| key.as_ref().ok());
            match (next_committed, written.peek()) {
                (None, None) => break,
                (Some(key), Some((other, _))) if key < *other => found.extend(committed.next().transpose()?),
                (Some(_), None) => found.extend(committed.next().transpose()?),
                (key, Some((other, value))) => {
                    let replaced = key == Some(*other);
                    if value.is_some() {
                        found.push((*other).clone());
                    }
                    written.next();
                    if replaced {
                        committed.next();
                    }
                }
            }
        }
        Ok(found)
    }
}
