//! Encoding of records: a byte for the layout, then postcard. Where a domain type is encoded by position, the layout is
//! declared here instead, so that a new error code or field cannot change the meaning of data on disk. Independent of
//! the keys.

use bytes::Bytes;
use fusebox_core::{function::FunctionVersion, name::TenantId, time::Millis};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Backlog, Error, Result};

mod functions;
mod leases;
mod modules;
mod more;
mod task;

pub(super) use self::{
    functions::{decode_function, encode_function},
    leases::{LeaseEntry, Running, decode_leases},
    modules::{CompileRecord, ModuleRecord, decode_module, decode_state, encode_module, encode_state},
    task::{Carried, INLINE_BYTES_MAX, Named, Piece, decode_task, encode_task, is_queued, may_be},
};

/// Layout of every record except functions, modules and tasks, which have their own. A change of any layout increments the number, and
/// `decode` must still read the old one.
const LAYOUT: u8 = 1;

/// Counters of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Number of ready tasks, by the order of their priority.
    pub(super) ready: [u64; 3],
    /// Number of delayed tasks.
    pub(super) delayed: u64,
    /// Number of leased attempts.
    pub(super) running: u64,
    /// Number of function versions.
    pub(super) versions: u64,
    /// Bytes stored.
    pub(super) stored_bytes: u64,
    /// True if the tenant is being deleted, so that nothing new is accepted.
    pub(super) is_closed: bool,
}

impl Counters {
    /// Returns the number of queued tasks.
    pub(super) fn waiting(&self) -> u64 {
        self.ready.iter().sum::<u64>() + self.delayed
    }

    /// Returns the tenant's backlog, or `None` if it has no unfinished tasks.
    pub(super) fn backlog(&self, tenant: TenantId) -> Option<Backlog> {
        let ready = self.ready.iter().sum();
        let any = ready + self.delayed + self.running > 0;
        any.then_some(Backlog { tenant, ready, delayed: self.delayed, running: self.running })
    }
}

/// Function version. A deleted one is kept until its last task has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionRecord {
    /// The version.
    pub(super) version: FunctionVersion,
    /// True if the version is deleted and must look absent.
    pub(super) deleted: bool,
}

/// Counters of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamespaceRecord {
    /// Last revision used.
    pub(super) revision: u64,
    /// Number of values, including expired ones.
    pub(super) entries: u64,
    /// Size of the keys and values, in bytes.
    pub(super) bytes: u64,
}

/// Value of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ValueRecord {
    /// Revision of the value.
    pub(super) revision: u64,
    /// Time of expiry, if any.
    pub(super) expires_at: Option<Millis>,
    /// Bytes of the value.
    pub(super) value: Bytes,
}

/// Encodes a record.
///
/// # Errors
/// [`Error::Corrupt`] if postcard refuses the value, as it refuses none of this store's types.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_extend(value, vec![LAYOUT]).map_err(|error| Error::Corrupt(format!("a record to be written: {error}")))
}

/// Decodes a record.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are invalid or of a layout unknown to this version.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    decode_layout(LAYOUT, what, bytes)
}

fn decode_layout<T: DeserializeOwned>(layout: u8, what: &str, bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&found, bytes)) if found == layout => match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Error::Corrupt(format!("{what}: bytes are left over"))),
            Err(error) => Err(Error::Corrupt(format!("{what}: {error}"))),
        },
        Some((layout, _)) => Err(Error::Corrupt(format!("{what}: layout {layout} is not known to this version"))),
        None => Err(Error::Corrupt(format!("{what}: empty"))),
    }
}

/// Encodes a record that may get more fields as JSON. Such records are few and small.
///
/// # Errors
/// [`Error::Corrupt`] if the value cannot be encoded, as every value of this store's types can.
pub(super) fn encode_open<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Corrupt(format!("a record to be written: {error}")))
}

/// Decodes a record of [`encode_open`], possibly written by another version.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are invalid.
pub(super) fn decode_open<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Corrupt(format!("{what}: {error}")))
}

/// Takes the first bytes of a value of fixed columns; `None` if it is too short.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (column, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*column)
}

/// Returns the error of an input, output or log that its record names.
pub(super) fn missing_piece() -> Error {
    Error::Corrupt("the bytes of a task are missing".to_owned())
}
