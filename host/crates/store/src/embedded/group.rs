//! Uncommitted writes of the steps of one group. Each step sees the writes of those before it. Independent of tasks and
//! functions.

use bytes::Bytes;

use super::{
    engine::{Batch, Engine, Entry, Environment, Space},
    keys::Key,
};
use crate::{Error, Result};

/// Batch of a group's writes.
pub(super) struct Group<'a> {
    environment: &'a Environment,
    /// Error of the first write that failed, after which nothing can be committed.
    batch: Result<Batch<'a>>,
    /// Number of writes.
    writes: u64,
    /// Bytes that the next steps may store.
    growth: Result<u64>,
}

impl<'a> Group<'a> {
    /// Creates an empty group.
    pub(super) fn new(environment: &'a Environment) -> Self {
        let growth = environment.growth();
        Self { environment, batch: environment.batch(), writes: 0, growth }
    }

    /// Takes the room of a step that stores about `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Full`] if only the reserve is left.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<()> {
        match self.growth.as_ref().map_err(Clone::clone)?.checked_sub(bytes) {
            Some(left) => {
                self.growth = Ok(left);
                Ok(())
            }
            None => Err(Error::Full("the rest of its disk is kept for leases, ends and deletions".to_owned())),
        }
    }

    /// Drops all writes.
    pub(super) fn restart(&mut self) {
        // Ends the batch, since there is one at a time.
        self.fail(Error::Unavailable("its steps are performed again".to_owned()));
        *self = Self::new(self.environment);
    }

    /// Lets nothing of the group be committed.
    pub(super) fn fail(&mut self, error: Error) {
        self.batch = Err(error);
    }

    /// Commits all writes or none; they are durable when this returns.
    pub(super) fn commit(self, engine: &Engine) -> Result<()> {
        let batch = self.batch?;
        if self.writes > 0 { engine.commit(batch) } else { Ok(()) }
    }

    /// Returns the number of writes.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Counts a write that follows before the commit.
    pub(super) fn wrote(&mut self) {
        self.writes += 1;
    }

    fn batch(&self) -> Result<&Batch<'a>> {
        self.batch.as_ref().map_err(Clone::clone)
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.read(space, key)?.map(Bytes::copy_from_slice))
    }

    /// Returns the value of a key until the next write.
    pub(super) fn read(&self, space: Space, key: &[u8]) -> Result<Option<&[u8]>> {
        self.batch()?.get(space, key)
    }

    /// Returns true if the key has a value.
    pub(super) fn contains(&self, space: Space, key: &[u8]) -> Result<bool> {
        Ok(self.read(space, key)?.is_some())
    }

    /// Returns the first `limit` keys from `from` on, before `to`.
    pub(super) fn keys(&self, space: Space, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Key>> {
        self.batch()?.keys(space, from, to, limit)
    }

    /// Returns the first `limit` entries from `from` on, before `to`; the value of a damaged one is an error.
    pub(super) fn entries(&self, space: Space, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>> {
        self.batch()?.entries(space, from, to, limit)
    }

    /// Moves a damaged value as it is.
    pub(super) fn set_aside(&mut self, space: Space, key: &[u8], to: &[u8]) {
        self.write(|batch| batch.set_aside(space, key, to));
    }

    /// Writes a value. A failure shows at the latest when the group is committed.
    pub(super) fn put(&mut self, space: Space, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.write(|batch| batch.put(space, key.as_ref(), value.as_ref()));
    }

    /// Removes a value. A failure shows at the latest when the group is committed.
    pub(super) fn remove(&mut self, space: Space, key: impl AsRef<[u8]>) {
        self.write(|batch| batch.remove(space, key.as_ref()));
    }

    fn write(&mut self, write: impl FnOnce(&mut Batch<'a>) -> Result<()>) {
        self.writes += 1;
        if let Ok(batch) = &mut self.batch
            && let Err(error) = write(batch)
        {
            self.batch = Err(error);
        }
    }
}
