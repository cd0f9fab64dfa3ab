//! Compiled modules received from another host or found in the cache directory: native code, which would run with all
//! rights of the host. None may be loaded unless its authentication code is correct.

use std::{fs, sync::LazyLock};

use fusebox_core::id::ModuleDigest;
use fusebox_sandbox::ArtifactKey;

use crate::{cache, sandbox};

const KEY: ArtifactKey = ArtifactKey([5; 32]);
/// Digest of a module that was never compiled here.
const ABSENT: ModuleDigest = ModuleDigest([9; 32]);

/// A compiled module as sent to another host, with its digest.
static GENUINE: LazyLock<(ModuleDigest, Vec<u8>)> = LazyLock::new(|| {
    let wasm = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap_or_default();
    let prepared = sandbox().prepare(&wasm).unwrap_or_else(|error| panic!("a module: {error}"));
    let digest = prepared.inspected.digest;
    let sealed = sandbox().export(&digest, &KEY).unwrap_or_else(|error| panic!("its artifact: {error}"));
    (digest, sealed.unwrap_or_default())
});

/// Runs the target. See the crate's documentation.
pub fn run(data: &[u8]) {
    let (digest, genuine) = &*GENUINE;
    let taken = sandbox().import(digest, &KEY, data).is_ok();
    assert_eq!(taken, data == genuine, "an artifact is taken where, and only where, it is the genuine one");
    // The same bytes as a file planted in the cache directory.
    let file = cache().join(format!("{ABSENT}-{:016x}-m.cwasm", sandbox().engine_hash()));
    fs::write(&file, data).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let loaded = sandbox().load(&ABSENT).unwrap_or_else(|error| panic!("the cache: {error}"));
    assert!(loaded.is_none(), "a file that nobody sealed was loaded");
}

/// Returns the seeds. See the crate's documentation.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let genuine = GENUINE.1.clone();
    let mut seeds =
        vec![genuine.clone(), genuine[..genuine.len() / 2].to_vec(), genuine[..48.min(genuine.len())].to_vec()];
    for at in [0, 8, 20, 40, genuine.len() - 1] {
        let mut changed = genuine.clone();
        changed[at] ^= 1;
        seeds.push(changed);
    }
    seeds
}
