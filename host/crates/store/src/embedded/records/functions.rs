//! Encoding of function versions, which have their own layout since grants were added. The layout before is still read.

use fusebox_core::{
    function::{Abi, FunctionVersion, Grants, RunLimits},
    id::{FunctionId, ModuleDigest},
    name::{FunctionName, TenantId},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::{FunctionRecord, LAYOUT, decode, decode_layout};
use crate::{Error, Result};

/// Layout of functions with grants.
const FUNCTION_LAYOUT: u8 = 2;

/// Encodes a function version.
///
/// # Errors
/// As [`super::encode`].
pub(in crate::embedded) fn encode_function(record: &FunctionRecord) -> Result<Vec<u8>> {
    let FunctionRecord { version, deleted } = record;
    let grants = version.grants.clone();
    let on_disk = GrantedRecord { record: PlainRecord::new(version, *deleted), grants };
    let written = postcard::to_extend(&on_disk, vec![FUNCTION_LAYOUT]);
    written.map_err(|error| Error::Corrupt(format!("a function to be written: {error}")))
}

/// Decodes a function version. Versions from before grants were added have none.
///
/// # Errors
/// As [`super::decode`].
pub(in crate::embedded) fn decode_function(bytes: &[u8]) -> Result<FunctionRecord> {
    let what = "a function";
    let (record, grants) = match bytes.first() {
        Some(&LAYOUT) => (decode::<PlainRecord>(what, bytes)?, Grants::default()),
        _ => {
            let GrantedRecord { record, grants } = decode_layout(FUNCTION_LAYOUT, what, bytes)?;
            (record, grants)
        }
    };
    Ok(record.with(grants))
}

/// Record of a version from before grants were added.
#[derive(Serialize, Deserialize)]
struct PlainRecord {
    id: FunctionId,
    tenant: TenantId,
    name: FunctionName,
    version: u32,
    module: ModuleDigest,
    module_bytes: u64,
    abi: Abi,
    limits: RunLimits,
    created_at: Millis,
    deleted: bool,
}

#[derive(Serialize, Deserialize)]
struct GrantedRecord {
    record: PlainRecord,
    grants: Grants,
}

impl PlainRecord {
    fn new(version: &FunctionVersion, deleted: bool) -> Self {
        let FunctionVersion { id, module, module_bytes, abi, limits, created_at, .. } = *version;
        let (tenant, name, version) = (version.tenant.clone(), version.name.clone(), version.version);
        Self { id, tenant, name, version, module, module_bytes, abi, limits, created_at, deleted }
    }

    fn with(self, grants: Grants) -> FunctionRecord {
        let Self { id, tenant, name, version, module, module_bytes, abi, limits, created_at, deleted } = self;
        let version =
            FunctionVersion { id, tenant, name, version, module, module_bytes, abi, limits, grants, created_at };
        FunctionRecord { version, deleted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(grants: Grants) -> FunctionRecord {
        let version = FunctionVersion {
            id: FunctionId::from_bytes([1; 16]),
            tenant: TenantId::default_tenant(),
            name: "f".parse().unwrap(),
            version: 2,
            module: ModuleDigest([3; 32]),
            module_bytes: 4,
            abi: Abi::Command,
            limits: RunLimits { fuel: 1, wall_ms: 2, memory_bytes: 3, output_bytes: 4, log_bytes: 5 },
            grants,
            created_at: Millis(6),
        };
        FunctionRecord { version, deleted: true }
    }

    /// The first is a version from before grants were added.
    #[test]
    fn the_layout_of_functions_is_the_one_on_disk() {
        let (one, three) = ("01".repeat(16), "03".repeat(32));
        let plain = format!("10{one}0764656661756c74016602{three}040101020304050601");
        let older = hex::decode(format!("01{plain}")).unwrap();
        assert_eq!(decode_function(&older).unwrap(), function(Grants::default()));
        let granted = function(Grants::parse_list("kv,http=a.b").unwrap());
        let bytes = encode_function(&granted).unwrap();
        assert_eq!(hex::encode(&bytes), format!("02{plain}0000010103612e62"));
        assert_eq!(decode_function(&bytes).unwrap(), granted);
        for bad in [&[][..], &bytes[..bytes.len() - 1], &[&[3], &bytes[1..]].concat()] {
            assert!(matches!(decode_function(bad), Err(Error::Corrupt(_))), "{bad:?}");
        }
    }
}
