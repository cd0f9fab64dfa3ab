//! Every key of the embedded store. One file, so that no two kinds of key can collide and a dump can be read.
//! Independent of the records' content.
//!
//! Numbers are big-endian, so that keys sort by number. Tenants and function names cannot contain a zero byte, which
//! therefore terminates them.
//!
//! Keys that every step writes are close together, beside the newest origins: each page that a group changes is written
//! whole.
//!
//! | space | key | value |
//! |---|---|---|
//! | records | `w` tenant place created task | record of a task that waits or is leased; damaged ones have their own place |
//! | records | `t` tenant created task | record of a task that has ended |
//! | records | `p` task | its origin: what its other keys consist of |
//! | records | `o` tenant job | a job |
//! | records | `u` job | time until which an open job is held, and its tenant |
//! | records | `sb` number | leases of one call; the records of their tasks are as they were before |
//! | records | `sl` task | origin of a task whose lease is in its record, as a renewal writes it |
//! | records | `k` time task | tasks that have ended, by the end of the first one's time to live |
//! | records | `f` function | record of a version, and whether it is deleted |
//! | records | `cd` function | state of a version that is not ready: compiling, or its failure |
//! | records | `cw` function | the holder's end and the number of holders, while a version is compiling |
//! | records | `v` tenant name !version | the function's id; newest first |
//! | records | `h` tenant name | the id of the newest version that is ready; if there is none, of the newest one |
//! | records | `n` tenant name | last version number used; without a name, the highest of former names |
//! | records | `m` digest | number of versions that need the module, and its form |
//! | records | `a` tenant | record of a tenant |
//! | records | `y` key | record of an API key |
//! | records | `y` | exists once an API key was ever made |
//! | records | `z` tenant key | empty: lists a tenant's API keys |
//! | records | `q` tenant | wasm bytes of all its versions, with deleted ones that tasks need |
//! | records | `r` tenant | counters of a tenant |
//! | records | `su` function | number of its unfinished tasks |
//! | records | `d` tenant | exists while the tenant is being deleted |
//! | records | `x` digest | exists once the tenant whose name has this digest is gone |
//! | records | `s` | time of the last step that wrote; the next process starts no earlier |
//! | blobs | `i` `o` `l` task | input, output, log that are too large for the record |
//! | records | `j` tenant name | a namespace: its last revision, number of entries, and bytes |
//! | records | `j` tenant | highest revision of the namespaces that were forgotten |
//! | records | `g` tenant name kind setting | a setting's value |
//! | blobs | `m` digest number | a piece of a module's wasm; older modules are whole, without a number |
//! | blobs | `w` tenant name key | a value of a namespace |
//! | index | `d` `e` time task | delayed tasks; queued ones that expire at another age than the greatest |
//! | index | `b` tenant failed task | dead letters of a tenant |
//! | index | `t` tenant tag created task | tasks of a tenant that have a tag |
//! | index | `w` tenant name time key | values of a namespace that expire |

use fusebox_core::{
    id::{FunctionId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    time::Millis,
};

use crate::{
    KeyId, identity,
    kv::{Namespace, SettingKind},
};

mod jobs;
mod tasks;

pub(super) use self::{jobs::*, tasks::*};

/// Encoded key.
pub(super) type Key = Vec<u8>;

/// Length of a time, in bytes.
pub(super) const TIME_BYTES: usize = 8;

/// `s`: time of the last step that wrote.
pub(super) fn written_at() -> Key {
    vec![b's']
}

/// `f`: a function version's record.
pub(super) fn function(function: FunctionId) -> Key {
    join(&[b"f", function.as_bytes()])
}

/// `su`: a function version's unfinished tasks.
pub(super) fn unfinished(function: FunctionId) -> Key {
    join(&[b"su", function.as_bytes()])
}

/// `cd`: state of a version that is not ready.
pub(super) fn draft(function: FunctionId) -> Key {
    join(&[b"cd", function.as_bytes()])
}

/// `cw`: prefix of the compilations.
pub(super) fn compiles() -> Key {
    b"cw".to_vec()
}

/// `cw`: the compilation of a version.
pub(super) fn compile(function: FunctionId) -> Key {
    join(&[b"cw", function.as_bytes()])
}

/// Returns the function version that a `cw` key ends with.
pub(super) fn last_function(key: &[u8]) -> Option<FunctionId> {
    key.last_chunk().copied().map(FunctionId::from_bytes)
}

/// `v`: prefix of a name's versions, newest first.
pub(super) fn versions(tenant: &TenantId, name: &FunctionName) -> Key {
    join(&[b"v", tenant.as_str().as_bytes(), &[0], name.as_str().as_bytes(), &[0]])
}

/// `v`: prefix of the versions of all names of a tenant.
pub(super) fn versions_of_all(tenant: &TenantId) -> Key {
    of_tenant(b'v', tenant)
}

/// `v`: one version of a name.
pub(super) fn version(tenant: &TenantId, name: &FunctionName, version: u32) -> Key {
    join(&[&versions(tenant, name), &(!version).to_be_bytes()])
}

/// `h`: prefix of a tenant's names.
pub(super) fn newest_of_all(tenant: &TenantId) -> Key {
    of_tenant(b'h', tenant)
}

/// `h`: the newest version of a name.
pub(super) fn newest(tenant: &TenantId, name: &FunctionName) -> Key {
    join(&[&newest_of_all(tenant), name.as_str().as_bytes()])
}

/// `n`: last version number used for a name.
pub(super) fn last_version(tenant: &TenantId, name: &FunctionName) -> Key {
    join(&[b"n", tenant.as_str().as_bytes(), &[0], name.as_str().as_bytes()])
}

/// `n`: highest version number of the names that a tenant no longer has.
pub(super) fn former_version(tenant: &TenantId) -> Key {
    of_tenant(b'n', tenant)
}

/// `m`: number of versions that need a module, and in the blobs an older module.
pub(super) fn module(digest: &ModuleDigest) -> Key {
    join(&[b"m", &digest.0])
}

/// `m`: a piece of a module.
pub(super) fn module_piece(digest: &ModuleDigest, number: u32) -> Key {
    join(&[&module(digest), &number.to_be_bytes()])
}

/// `r`: prefix of all tenants' counters.
pub(super) fn counters_of_all() -> Key {
    b"r".to_vec()
}

/// `r`: a tenant's counters.
pub(super) fn counters(tenant: &TenantId) -> Key {
    join(&[b"r", tenant.as_str().as_bytes()])
}

/// Returns the tenant of a key that consists of its name behind a letter.
pub(super) fn named_tenant(key: &[u8]) -> Option<TenantId> {
    std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

/// `a`: prefix of all tenants.
pub(super) fn tenants() -> Key {
    b"a".to_vec()
}

/// `a`: a tenant.
pub(super) fn tenant(tenant: &TenantId) -> Key {
    join(&[b"a", tenant.as_str().as_bytes()])
}

/// `d`: prefix of the tenants that are being deleted.
pub(super) fn closed_tenants() -> Key {
    b"d".to_vec()
}

/// `d`: exists while a tenant is being deleted.
pub(super) fn closed_tenant(tenant: &TenantId) -> Key {
    join(&[b"d", tenant.as_str().as_bytes()])
}

/// `x`: exists once a tenant is gone.
pub(super) fn tombstone(tenant: &TenantId) -> Key {
    join(&[b"x", &identity::tombstone(tenant)])
}

/// `y`: exists once an API key was ever made.
pub(super) fn keyed() -> Key {
    b"y".to_vec()
}

/// `y`: an API key.
pub(super) fn api_key(key: KeyId) -> Key {
    join(&[b"y", &key.0])
}

/// `z`: prefix of a tenant's API keys.
pub(super) fn api_keys_of(tenant: &TenantId) -> Key {
    of_tenant(b'z', tenant)
}

/// `z`: one of a tenant's API keys.
pub(super) fn api_key_of(tenant: &TenantId, key: KeyId) -> Key {
    join(&[&api_keys_of(tenant), &key.0])
}

/// Returns the API key that a `z` key ends with.
pub(super) fn last_api_key(key: &[u8]) -> Option<KeyId> {
    key.last_chunk().copied().map(KeyId)
}

/// `i`: a task's input.
pub(super) fn input(task: TaskId) -> Key {
    join(&[b"i", task.as_bytes()])
}

/// `o`: a task's output.
pub(super) fn output(task: TaskId) -> Key {
    join(&[b"o", task.as_bytes()])
}

/// `l`: a task's log.
pub(super) fn log(task: TaskId) -> Key {
    join(&[b"l", task.as_bytes()])
}

/// Returns the prefix of a tenant's keys of a kind.
fn of_tenant(kind: u8, tenant: &TenantId) -> Key {
    join(&[&[kind], tenant.as_str().as_bytes(), &[0]])
}

fn of_function(kind: u8, of: &Namespace) -> Key {
    join(&[&[kind], of.tenant.as_str().as_bytes(), &[0], of.function.as_str().as_bytes(), &[0]])
}

/// `j`: a namespace's record.
pub(super) fn namespace(of: &Namespace) -> Key {
    of_function(b'j', of)
}

/// `j`: highest revision of a tenant's former namespaces.
pub(super) fn former_revision(tenant: &TenantId) -> Key {
    of_tenant(b'j', tenant)
}

/// `j`: prefix of a tenant's namespaces.
pub(super) fn namespaces_of_all(tenant: &TenantId) -> Key {
    of_tenant(b'j', tenant)
}

/// `w`: prefix of all values of a tenant, and in the index of their expiry entries.
pub(super) fn values_of_all(tenant: &TenantId) -> Key {
    of_tenant(b'w', tenant)
}

/// `g`: prefix of all settings of a tenant.
pub(super) fn settings_of_all(tenant: &TenantId) -> Key {
    of_tenant(b'g', tenant)
}

/// `w`: prefix of the values of a namespace.
pub(super) fn values(of: &Namespace) -> Key {
    of_function(b'w', of)
}

/// `w`: one value of a namespace.
pub(super) fn value(of: &Namespace, key: &[u8]) -> Key {
    join(&[&values(of), key])
}

/// `w`: prefix of the expiry entries of a namespace.
pub(super) fn expiries(of: &Namespace) -> Key {
    of_function(b'w', of)
}

/// `w`: expiry entry of one value.
pub(super) fn expiry(of: &Namespace, at: Millis, key: &[u8]) -> Key {
    join(&[&expiries(of), &at.0.to_be_bytes(), key])
}

/// Returns the first key after the entries that expire by `until`.
pub(super) fn expiries_until(of: &Namespace, until: Millis) -> Key {
    expiry(of, until.plus(1), &[])
}

/// `g`: prefix of a function's settings of a kind.
pub(super) fn settings(of: &Namespace, kind: SettingKind) -> Key {
    let kind = match kind {
        SettingKind::Config => b'c',
        SettingKind::Secret => b's',
    };
    join(&[&of_function(b'g', of), &[kind]])
}

/// `g`: one setting.
pub(super) fn setting(of: &Namespace, kind: SettingKind, name: &str) -> Key {
    join(&[&settings(of, kind), name.as_bytes()])
}

/// Returns the first key after every key that starts with `prefix`. No prefix here consists only of 255s.
pub(super) fn past(prefix: &[u8]) -> Key {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            break;
        }
    }
    key
}

/// Returns the first key after `key`.
pub(super) fn next(key: &[u8]) -> Key {
    join(&[key, &[0]])
}

fn join(parts: &[&[u8]]) -> Key {
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_newest_first() {
        let (tenant, name) = (TenantId::default_tenant(), "hello".parse().unwrap());
        assert!(version(&tenant, &name, 2) < version(&tenant, &name, 1));
        assert!(version(&tenant, &name, 1) < past(&versions(&tenant, &name)));
    }

    #[test]
    fn past_is_after_every_key_with_the_prefix() {
        assert_eq!(past(b"ab"), b"ac");
        assert_eq!(past(&[b'a', 255]), b"b");
    }
}
