//! Reads of the committed state.

use std::ops::Bound;

use bytes::Bytes;
use heed::{RoTxn, WithoutTls};

use super::{
    Entry, Space,
    checksum::checked,
    environment::{Table, failed},
};
use crate::{Result, embedded::keys::Key};

/// Committed state at one moment. Pages that it can see are not reused, so it is held for one call only.
pub(in crate::embedded) struct Snapshot {
    pub(super) read: RoTxn<'static, WithoutTls>,
    pub(super) tables: [Table; 3],
}

impl Snapshot {
    /// Returns the value of a key.
    pub(in crate::embedded) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        let stored = space.table(&self.tables).get(&self.read, key).map_err(failed)?;
        stored.map(|stored| Ok(Bytes::copy_from_slice(checked(space, key, stored)?))).transpose()
    }

    /// Returns the entries from `from` on, before `to`.
    pub(in crate::embedded) fn entries<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<(Key, Bytes)>> + use<'a>> {
        let entries = space.table(&self.tables).range(&self.read, &range(from, to)).map_err(failed)?;
        Ok(entries.map(move |entry| {
            let (key, stored) = entry.map_err(failed)?;
            Ok((key.to_vec(), Bytes::copy_from_slice(checked(space, key, stored)?)))
        }))
    }

    /// Returns the keys from `from` on, before `to`.
    pub(in crate::embedded) fn keys<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Key>> + use<'a>> {
        let entries = space.table(&self.tables).range(&self.read, &range(from, to)).map_err(failed)?;
        Ok(entries.map(|entry| Ok(entry.map_err(failed)?.0.to_vec())))
    }

    /// Returns the keys before `to`, last first, down to `from`.
    pub(in crate::embedded) fn keys_back<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Key>> + use<'a>> {
        let entries = space.table(&self.tables).rev_range(&self.read, &range(from, to)).map_err(failed)?;
        Ok(entries.map(|entry| Ok(entry.map_err(failed)?.0.to_vec())))
    }

    /// Returns the entries from `from` on, before `to`; the value of a damaged one is an error.
    pub(in crate::embedded) fn each_entry<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry>> + use<'a>> {
        let entries = space.table(&self.tables).range(&self.read, &range(from, to)).map_err(failed)?;
        Ok(entries.map(move |entry| {
            let (key, stored) = entry.map_err(failed)?;
            Ok((key.to_vec(), checked(space, key, stored).map(Bytes::copy_from_slice)))
        }))
    }

    /// Returns the entries before `to`, last first, down to `from`; the value of a damaged one is an error.
    pub(in crate::embedded) fn entries_back<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry>> + use<'a>> {
        let entries = space.table(&self.tables).rev_range(&self.read, &range(from, to)).map_err(failed)?;
        Ok(entries.map(move |entry| {
            let (key, stored) = entry.map_err(failed)?;
            Ok((key.to_vec(), checked(space, key, stored).map(Bytes::copy_from_slice)))
        }))
    }
}

type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Returns the range from `from` on, before `to`.
pub(super) fn range<'a>(from: &'a [u8], to: &'a [u8]) -> Range<'a> {
    (Bound::Included(from), Bound::Excluded(to))
}
