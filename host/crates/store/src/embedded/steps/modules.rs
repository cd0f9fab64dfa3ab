//! Modules, and archives of files, which are kept like them: counted by the versions that need them, in pieces, and removed with the last version.

use fusebox_core::{
    function::{FunctionVersion, VersionState},
    id::ModuleDigest,
    limits::RECORD_BYTES,
};

use super::Steps;
use crate::{
    Result,
    embedded::{
        engine::Space,
        keys,
        records::{self, ModuleRecord},
    },
    packed::Packed,
};

impl Steps<'_> {
    /// Returns the bytes that count for a version: those of its record, its setup, and its module as stored.
    pub(super) fn bytes_of(&self, version: &FunctionVersion) -> Result<u64> {
        let setup_bytes = version.setup.stored_bytes();
        let module_bytes = match (&version.state, self.module_record(&version.module)?) {
            (VersionState::Failed(_), _) => 0,
            // A runtime is the host's.
            _ if version.setup.runtime.is_some() => 0,
            (_, ModuleRecord { pieces: Some(_), stored_bytes, .. }) => stored_bytes,
            // An older module is stored whole.
            (_, ModuleRecord { pieces: None, .. }) => version.module_bytes,
        };
        Ok(RECORD_BYTES.saturating_add(module_bytes).saturating_add(setup_bytes))
    }

    /// Returns the bytes of a module: as it is stored already, or as it would be.
    pub(super) fn module_bytes(&self, digest: &ModuleDigest, packed: &Packed) -> Result<u64> {
        Ok(match self.module_record(digest)? {
            ModuleRecord { versions: 0, .. } => packed.stored_bytes(),
            ModuleRecord { pieces: Some(_), stored_bytes, .. } => stored_bytes,
            ModuleRecord { pieces: None, .. } => packed.module_bytes,
        })
    }

    /// Returns true if a version needs the module, so that it is here.
    pub(super) fn has_module(&self, digest: &ModuleDigest) -> Result<bool> {
        Ok(self.module_record(digest)?.versions > 0)
    }

    /// Counts a version that needs a module, and stores the module for the first one.
    pub(super) fn hold_module(&mut self, digest: &ModuleDigest, packed: &Packed) -> Result<()> {
        let mut record = self.module_record(digest)?;
        if record.versions == 0 {
            record = ModuleRecord::of(packed);
            for (number, piece) in (0..).zip(&packed.pieces) {
                self.group.put(Space::Blobs, keys::module_piece(digest, number), piece);
            }
        }
        record.versions += 1;
        self.group.put(Space::Records, keys::module(digest), records::encode_module(&record)?);
        Ok(())
    }

    /// Counts a version that no longer needs a module, and removes the module after the last one.
    pub(super) fn release_module(&mut self, digest: &ModuleDigest) -> Result<()> {
        let (key, mut record) = (keys::module(digest), self.module_record(digest)?);
        record.versions = record.versions.saturating_sub(1);
        if record.versions > 0 {
            self.group.put(Space::Records, key, records::encode_module(&record)?);
            return Ok(());
        }
        self.group.remove(Space::Records, key.clone());
        match record.pieces {
            None => self.group.remove(Space::Blobs, key),
            Some(pieces) => (0..pieces).for_each(|number| {
                self.group.remove(Space::Blobs, keys::module_piece(digest, number));
            }),
        }
        Ok(())
    }

    fn module_record(&self, digest: &ModuleDigest) -> Result<ModuleRecord> {
        let bytes = self.group.read(Space::Records, &keys::module(digest))?;
        bytes.map_or_else(|| Ok(ModuleRecord::default()), records::decode_module)
    }

    /// Writes a module in the form of the layout before.
    #[cfg(test)]
    pub(in crate::embedded) fn put_older_module(
        &mut self,
        digest: &ModuleDigest,
        versions: u64,
        wasm: &[u8],
    ) -> Result<()> {
        self.group.remove(Space::Blobs, keys::module_piece(digest, 0));
        self.group.put(Space::Blobs, keys::module(digest), wasm);
        self.group.put(Space::Records, keys::module(digest), records::encode(&versions)?);
        Ok(())
    }
}
