//! Encoding of function versions. Their layout counts on its own since grants were added; the layouts before are still
//! read. A version without a setup and a limit of CPU time is written as before these were added.

use fusebox_core::{
    function::{Abi, FunctionVersion, Grants, RunLimits, VersionState},
    id::{FunctionId, ModuleDigest},
    limits::CPU_MS_MAX,
    name::{FunctionName, TenantId},
    setup::Setup,
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::{FunctionRecord, LAYOUT, decode, decode_layout, decode_open};
use crate::{Error, Result};

/// Layout of functions with grants.
const GRANTED_LAYOUT: u8 = 2;
/// Layout of functions with grants and later parts, which are JSON, so that there can be more.
const OPEN_LAYOUT: u8 = 3;

/// Encodes a function version.
///
/// # Errors
/// As [`super::encode`].
pub(in crate::embedded) fn encode_function(record: &FunctionRecord) -> Result<Vec<u8>> {
    let FunctionRecord { version, deleted } = record;
    let grants = version.grants.clone();
    let granted = GrantedRecord { record: PlainRecord::new(version, *deleted), grants };
    let later = LaterParts { setup: version.setup.clone(), cpu_ms: version.limits.cpu_ms };
    let written = match later == LaterParts::default() {
        true => postcard::to_extend(&granted, vec![GRANTED_LAYOUT]),
        false => {
            let later = super::encode_open(&later)?;
            postcard::to_extend(&OpenRecord { granted, later }, vec![OPEN_LAYOUT])
        }
    };
    written.map_err(|error| Error::Corrupt(format!("a function to be written: {error}")))
}

/// Decodes a function version, except for its state, which has a record of its own. Versions from before a part was added
/// have none of it.
///
/// # Errors
/// As [`super::decode`].
pub(in crate::embedded) fn decode_function(bytes: &[u8]) -> Result<FunctionRecord> {
    let what = "a function";
    let (GrantedRecord { record, grants }, later) = match bytes.first() {
        Some(&LAYOUT) => {
            let (record, grants) = (decode(what, bytes)?, Grants::default());
            (GrantedRecord { record, grants }, LaterParts::default())
        }
        Some(&GRANTED_LAYOUT) => (decode_layout(GRANTED_LAYOUT, what, bytes)?, LaterParts::default()),
        _ => {
            let OpenRecord { granted, later } = decode_layout(OPEN_LAYOUT, what, bytes)?;
            (granted, decode_open("a function's later parts", &later)?)
        }
    };
    Ok(record.with(grants, later))
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
    limits: PlainLimits,
    created_at: Millis,
    deleted: bool,
}

#[derive(Serialize, Deserialize)]
struct GrantedRecord {
    record: PlainRecord,
    grants: Grants,
}

#[derive(Serialize, Deserialize)]
struct OpenRecord {
    granted: GrantedRecord,
    later: Vec<u8>,
}

/// Parts that were added since.
#[derive(PartialEq, Serialize, Deserialize)]
struct LaterParts {
    #[serde(flatten)]
    setup: Setup,
    #[serde(default = "unlimited", skip_serializing_if = "is_unlimited")]
    cpu_ms: u32,
}

impl Default for LaterParts {
    fn default() -> Self {
        Self { setup: Setup::default(), cpu_ms: unlimited() }
    }
}

const fn unlimited() -> u32 {
    CPU_MS_MAX
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_unlimited(cpu_ms: &u32) -> bool {
    *cpu_ms == CPU_MS_MAX
}

/// Limits of the first layout.
#[derive(Serialize, Deserialize)]
struct PlainLimits {
    fuel: u64,
    wall_ms: u32,
    memory_bytes: u64,
    output_bytes: u64,
    log_bytes: u64,
}

impl PlainRecord {
    fn new(version: &FunctionVersion, deleted: bool) -> Self {
        let FunctionVersion { id, module, module_bytes, abi, limits, created_at, .. } = *version;
        let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, .. } = limits;
        let limits = PlainLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes };
        let (tenant, name, version) = (version.tenant.clone(), version.name.clone(), version.version);
        Self { id, tenant, name, version, module, module_bytes, abi, limits, created_at, deleted }
    }

    fn with(self, grants: Grants, LaterParts { setup, cpu_ms }: LaterParts) -> FunctionRecord {
        let Self { id, tenant, name, version, module, module_bytes, abi, limits, created_at, deleted } = self;
        let PlainLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = limits;
        let limits = RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms };
        let state = VersionState::Ready;
        let version = FunctionVersion {
            id,
            tenant,
            name,
            version,
            module,
            module_bytes,
            abi,
            limits,
            grants,
            setup,
            created_at,
            state,
        };
        FunctionRecord { version, deleted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(grants: Grants, setup: Setup) -> FunctionRecord {
        let version = FunctionVersion {
            id: FunctionId::from_bytes([1; 16]),
            tenant: TenantId::default_tenant(),
            name: "f".parse().unwrap(),
            version: 2,
            module: ModuleDigest([3; 32]),
            module_bytes: 4,
            abi: Abi::Command,
            limits: RunLimits {
                fuel: 1,
                wall_ms: 2,
                memory_bytes: 3,
                output_bytes: 4,
                log_bytes: 5,
                cpu_ms: CPU_MS_MAX,
            },
            grants,
            setup,
            created_at: Millis(6),
            state: VersionState::Ready,
        };
        FunctionRecord { version, deleted: true }
    }

    /// The first is a version from before grants were added, the second one from before setups were.
    #[test]
    fn the_layout_of_functions_is_the_one_on_disk() {
        let (one, three) = ("01".repeat(16), "03".repeat(32));
        let plain = format!("10{one}0764656661756c74016602{three}040101020304050601");
        let older = hex::decode(format!("01{plain}")).unwrap();
        assert_eq!(decode_function(&older).unwrap(), function(Grants::default(), Setup::default()));
        let grants = Grants::parse_list("kv,http=a.b").unwrap();
        let granted = function(grants.clone(), Setup::default());
        let bytes = encode_function(&granted).unwrap();
        assert_eq!(hex::encode(&bytes), format!("02{plain}0000010103612e62"));
        assert_eq!(decode_function(&bytes).unwrap(), granted);
        let setup = Setup { args: vec!["-v".to_owned()], ..Setup::default() };
        let started = function(grants, setup);
        let json = hex::encode(r#"{"args":["-v"]}"#);
        let with_setup = encode_function(&started).unwrap();
        assert_eq!(hex::encode(&with_setup), format!("03{plain}0000010103612e620f{json}"));
        assert_eq!(decode_function(&with_setup).unwrap(), started);
        let mut limited = granted;
        limited.version.limits.cpu_ms = 1_000;
        let (json, with_cpu) = (hex::encode(r#"{"cpu_ms":1000}"#), encode_function(&limited).unwrap());
        assert_eq!(hex::encode(&with_cpu), format!("03{plain}0000010103612e620f{json}"));
        assert_eq!(decode_function(&with_cpu).unwrap(), limited);
        for bad in [&[][..], &bytes[..bytes.len() - 1], &[&[3], &bytes[1..]].concat(), &[&[4], &bytes[1..]].concat()] {
            assert!(matches!(decode_function(bad), Err(Error::Corrupt(_))), "{bad:?}");
        }
    }
}
