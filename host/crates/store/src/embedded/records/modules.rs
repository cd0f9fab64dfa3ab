//! Encoding of what is known of a module beside its bytes, and of versions that are not ready.

use fusebox_core::{function::VersionState, time::Millis};
use serde::{Deserialize, Serialize};

use super::{LAYOUT, decode, decode_layout, decode_open, encode_open, task::FailureRecord};
use crate::{Error, Result, packed::Packed};

/// Layout of modules in pieces.
const MODULE_LAYOUT: u8 = 2;

/// Form of a module, and the number of versions that need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::embedded) struct ModuleRecord {
    /// Number of versions that need it.
    pub(in crate::embedded) versions: u64,
    /// Number of its pieces; `None` for an older module, which is whole.
    pub(in crate::embedded) pieces: Option<u32>,
    /// Size of its pieces in bytes; 0 for an older one.
    pub(in crate::embedded) stored_bytes: u64,
    /// True if its pieces are compressed.
    pub(in crate::embedded) is_deflated: bool,
}

impl ModuleRecord {
    /// Returns the record of a module that no version needs yet.
    pub(in crate::embedded) fn of(packed: &Packed) -> Self {
        let pieces = u32::try_from(packed.pieces.len()).ok();
        Self { versions: 0, pieces, stored_bytes: packed.stored_bytes(), is_deflated: packed.is_deflated }
    }
}

/// Encodes a module's record.
///
/// # Errors
/// As [`super::encode`].
pub(in crate::embedded) fn encode_module(record: &ModuleRecord) -> Result<Vec<u8>> {
    let written = postcard::to_extend(record, vec![MODULE_LAYOUT]);
    written.map_err(|error| Error::Corrupt(format!("a module's record to be written: {error}")))
}

/// Decodes a module's record. Older ones have the number of versions alone.
///
/// # Errors
/// As [`super::decode`].
pub(in crate::embedded) fn decode_module(bytes: &[u8]) -> Result<ModuleRecord> {
    let what = "a module's record";
    match bytes.first() {
        Some(&LAYOUT) => Ok(ModuleRecord { versions: decode(what, bytes)?, ..ModuleRecord::default() }),
        _ => decode_layout(MODULE_LAYOUT, what, bytes),
    }
}

/// State of a version that is not ready.
#[derive(Serialize, Deserialize)]
struct DraftRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureRecord>,
}

/// Encodes the state of a version; `None` for one that is ready, which has no such record.
///
/// # Errors
/// As [`encode_open`].
pub(in crate::embedded) fn encode_state(state: &VersionState) -> Result<Option<Vec<u8>>> {
    let failure = match state {
        VersionState::Ready => return Ok(None),
        VersionState::Compiling => None,
        VersionState::Failed(failure) => Some(FailureRecord::from(failure.clone())),
    };
    encode_open(&DraftRecord { failure }).map(Some)
}

/// Decodes the state of a version from its record, if it has one.
///
/// # Errors
/// As [`decode_open`].
pub(in crate::embedded) fn decode_state(bytes: Option<&[u8]>) -> Result<VersionState> {
    let Some(bytes) = bytes else { return Ok(VersionState::Ready) };
    let DraftRecord { failure } = decode_open("the state of a version", bytes)?;
    failure.map_or(Ok(VersionState::Compiling), |failure| failure.into_failure().map(VersionState::Failed))
}

/// Compilation under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::embedded) struct CompileRecord {
    /// Time until which it is held.
    pub(in crate::embedded) held_until: Millis,
    /// Number of callers that have held it.
    pub(in crate::embedded) starts: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_the_layout_before_has_the_number_of_its_versions_alone() {
        let older = super::super::encode(&3_u64).unwrap();
        assert_eq!(hex::encode(&older), "0103");
        let older = decode_module(&older).unwrap();
        assert_eq!(older, ModuleRecord { versions: 3, ..ModuleRecord::default() });
        let packed = ModuleRecord { versions: 3, pieces: Some(2), stored_bytes: 300, is_deflated: true };
        let bytes = encode_module(&packed).unwrap();
        assert_eq!((hex::encode(&bytes), decode_module(&bytes).unwrap()), ("02030102ac0201".to_owned(), packed));
    }
}
