//! Writes that are committed as a whole, and reads that see them before.

use std::io::Write as _;

use bytes::Bytes;
use heed::RwTxn;

use super::{
    Space,
    checksum::{self, CHECKSUM_BYTES, checked},
    environment::{Table, failed},
    snapshot::range,
};
use crate::{Result, embedded::keys::Key};

/// Key with its value, or the error of a damaged one.
pub(in crate::embedded) type Entry = (Key, Result<Bytes>);

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

    /// Returns the first `limit` entries from `from` on, before `to`; the value of a damaged one is an error.
    pub(in crate::embedded) fn entries(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let entries = space.table(&self.tables).range(&self.write, &range(from, to)).map_err(failed)?;
        let read = |entry: heed::Result<(&[u8], &[u8])>| {
            let (key, stored) = entry.map_err(failed)?;
            Ok((key.to_vec(), checked(space, key, stored).map(Bytes::copy_from_slice)))
        };
        entries.take(limit).map(read).collect()
    }

    /// Moves a damaged value as it is, so that it can be looked at. After an error nothing of the batch can be committed.
    pub(in crate::embedded) fn set_aside(&mut self, space: Space, key: &[u8], to: &[u8]) -> Result<()> {
        let table = space.table(&self.tables);
        let Some(stored) = table.get(&self.write, key).map_err(failed)?.map(<[u8]>::to_vec) else { return Ok(()) };
        table.put(&mut self.write, to, &stored).map_err(failed)?;
        self.remove(space, key)
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
