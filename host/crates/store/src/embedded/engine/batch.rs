//! Writes that are committed as a whole, and reads that see them before.

use std::io::Write as _;

use heed::RwTxn;

use super::{
    Space,
    checksum::{self, CHECKSUM_BYTES, checked},
    environment::{Table, failed},
    snapshot::range,
};
use crate::{Result, embedded::keys::Key};

/// Uncommitted writes over the committed state. Without a commit they leave nothing.
pub(in crate::embedded) struct Batch<'a> {
    pub(super) write: RwTxn<'a>,
    pub(super) tables: [Table; 3],
}

impl Batch<'_> {
    /// Returns the value of a key.
    pub(in crate::embedded) fn get(&self, space: Space, key: &[u8]) -> Result<Option<&[u8]>> {
        let stored = space.table(&self.tables).get(&self.write, key).map_err(failed)?;
        stored.map(|stored| checked(space, key, stored)).transpose()
    }

    /// Returns the first `limit` keys from `from` on, before `to`.
    pub(in crate::embedded) fn keys(&self, space: Space, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Key>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let entries = space.table(&self.tables).range(&self.write, &range(from, to)).map_err(failed)?;
        entries.take(limit).map(|entry| Ok(entry.map_err(failed)?.0.to_vec())).collect()
    }

    /// Writes a value. After an error nothing of the batch can be committed.
    pub(in crate::embedded) fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<()> {
        let table = space.table(&self.tables);
        if space == Space::Index {
            return table.put(&mut self.write, key, value).map_err(failed);
        }
        let checksum = checksum::of(key, value);
        let written = table.put_reserved(&mut self.write, key, value.len() + CHECKSUM_BYTES, |room| {
            room.write_all(value)?;
            room.write_all(&checksum)
        });
        written.map_err(failed)
    }

    /// Removes a value. After an error nothing of the batch can be committed.
    pub(in crate::embedded) fn remove(&mut self, space: Space, key: &[u8]) -> Result<()> {
        space.table(&self.tables).delete(&mut self.write, key).map(drop).map_err(failed)
    }

    /// Commits the batch; it is durable when this returns.
    pub(super) fn commit(self) -> heed::Result<()> {
        self.write.commit()
    }
}
