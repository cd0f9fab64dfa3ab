//! Every key of the embedded store. One file, so that no two kinds of key can collide and a dump can be read.
//! Independent of the records' content.
//!
//! Numbers are big-endian, so that keys sort by number. Tenants and function names cannot contain a zero byte, which
//! therefore terminates them.
//!
//! | space | key | value |
//! |---|---|---|
//! | records | `t` task | record of a task |
//! | records | `f` function | record of a version, and whether it is deleted |
//! | records | `u` function | number of its unfinished tasks |
//! | records | `v` tenant name !version | the function's id; newest first |
//! | records | `h` tenant name | the id of the newest version |
//! | records | `n` tenant name | last version number used; without a name, the highest of former names |
//! | records | `m` digest | number of versions that need the module |
//! | records | `c` tenant | counters of a tenant |
//! | records | `a` tenant | record of a tenant |
//! | records | `y` key | record of an API key |
//! | records | `z` tenant key | empty: lists a tenant's API keys |
//! | records | `q` tenant | wasm bytes of all its versions, with deleted ones that tasks need |
//! | records | `s` | time of the last step that wrote; the next process starts no earlier |
//! | blobs | `i` `o` `l` task | input, output, log |
//! | records | `j` tenant name | a namespace: its last revision, number of entries, and bytes |
//! | records | `j` tenant | highest revision of the namespaces that were forgotten |
//! | records | `g` tenant name kind setting | a setting's value |
//! | blobs | `m` digest | a module's wasm |
//! | blobs | `w` tenant name key | a value of a namespace |
//! | index | `r` tenant order created task | ready tasks |
//! | index | `d` `l` `e` `x` time task | delayed, leased, queued (by expiry), ended (by the end of the time to live) |
//! | index | `k` tenant created task | every task of a tenant |
//! | index | `b` tenant failed task | dead letters of a tenant |
//! | index | `w` tenant name time key | values of a namespace that expire |

use fusebox_core::{
    id::{FunctionId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    task::{Priority, Task},
    time::Millis,
};

use crate::{
    KeyId,
    kv::{Namespace, SettingKind},
};

/// Encoded key.
pub(super) type Key = Vec<u8>;

/// Length of a time, in bytes.
pub(super) const TIME_BYTES: usize = 8;

/// Length of a time and a task's id, with which every index key of tasks ends, in bytes.
pub(super) const MOMENT_BYTES: usize = 8 + 16;

/// Index ordered by time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timed {
    /// Delayed tasks, by the time they become due.
    Delayed,
    /// Leased tasks, by the end of the lease.
    Leased,
    /// Queued tasks, by their expiry.
    Waiting,
    /// Ended tasks, by the end of their time to live.
    Ended,
}

impl Timed {
    /// Number of timed indexes.
    pub(super) const COUNT: usize = 4;

    const fn prefix(self) -> u8 {
        match self {
            Self::Delayed => b'd',
            Self::Leased => b'l',
            Self::Waiting => b'e',
            Self::Ended => b'x',
        }
    }

    /// Returns the first possible key of this index.
    pub(super) fn start(self) -> Key {
        vec![self.prefix()]
    }

    /// Returns the first possible key later than `time`.
    pub(super) fn after(self, time: Millis) -> Key {
        match time.0.checked_add(1) {
            Some(next) => join(&[&[self.prefix()], &next.to_be_bytes()]),
            None => vec![self.prefix() + 1],
        }
    }

    /// Returns the key of a task's entry.
    pub(super) fn key(self, time: Millis, task: TaskId) -> Key {
        join(&[&[self.prefix()], &time.0.to_be_bytes(), task.as_bytes()])
    }
}

/// `s`: time of the last step that wrote.
pub(super) fn written_at() -> Key {
    vec![b's']
}

/// `t`: a task's record.
pub(super) fn task(task: TaskId) -> Key {
    join(&[b"t", task.as_bytes()])
}

/// `f`: a function version's record.
pub(super) fn function(function: FunctionId) -> Key {
    join(&[b"f", function.as_bytes()])
}

/// `u`: a function version's unfinished tasks.
pub(super) fn unfinished(function: FunctionId) -> Key {
    join(&[b"u", function.as_bytes()])
}

/// `v`: prefix of a name's versions, newest first.
pub(super) fn versions(tenant: &TenantId, name: &FunctionName) -> Key {
    join(&[b"v", tenant.as_str().as_bytes(), &[0], name.as_str().as_bytes(), &[0]])
}

/// `v`: one version of a name.
pub(super) fn version(tenant: &TenantId, name: &FunctionName, version: u32) -> Key {
    join(&[&versions(tenant, name), &(!version).to_be_bytes()])
}

/// `h`: prefix of a tenant's names.
pub(super) fn newest_of_all(tenant: &TenantId) -> Key {
    join(&[b"h", tenant.as_str().as_bytes(), &[0]])
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
    join(&[b"n", tenant.as_str().as_bytes(), &[0]])
}

/// `m`: number of versions that need a module, and in the blobs the module.
pub(super) fn module(digest: &ModuleDigest) -> Key {
    join(&[b"m", &digest.0])
}

/// `c`: prefix of all tenants' counters.
pub(super) fn counters_of_all() -> Key {
    b"c".to_vec()
}

/// `c`: a tenant's counters.
pub(super) fn counters(tenant: &TenantId) -> Key {
    join(&[b"c", tenant.as_str().as_bytes()])
}

/// Returns the tenant of a counters key.
pub(super) fn tenant_of_counters(key: &[u8]) -> Option<TenantId> {
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

/// `y`: prefix of all API keys.
pub(super) fn api_keys() -> Key {
    b"y".to_vec()
}

/// `y`: an API key.
pub(super) fn api_key(key: KeyId) -> Key {
    join(&[b"y", &key.0])
}

/// `z`: prefix of a tenant's API keys.
pub(super) fn api_keys_of(tenant: &TenantId) -> Key {
    join(&[b"z", tenant.as_str().as_bytes(), &[0]])
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

/// `r`: prefix of a tenant's ready tasks of one priority.
pub(super) fn ready_of(tenant: &TenantId, priority: Priority) -> Key {
    join(&[b"r", tenant.as_str().as_bytes(), &[0, order(priority)]])
}

/// `r`: one ready task.
pub(super) fn ready(task: &Task) -> Key {
    join(&[&ready_of(&task.tenant, task.priority), &moment(task.created_at, task.id)])
}

/// `k`: prefix of a tenant's tasks.
pub(super) fn listed_of(tenant: &TenantId) -> Key {
    join(&[b"k", tenant.as_str().as_bytes(), &[0]])
}

/// `k`: one task in its tenant's listing.
pub(super) fn listed(task: &Task) -> Key {
    join(&[&listed_of(&task.tenant), &moment(task.created_at, task.id)])
}

/// `b`: prefix of a tenant's dead letters.
pub(super) fn dead_letters_of(tenant: &TenantId) -> Key {
    join(&[b"b", tenant.as_str().as_bytes(), &[0]])
}

/// `b`: one dead letter of its tenant.
pub(super) fn dead_letter(task: &Task, failed_at: Millis) -> Key {
    join(&[&dead_letters_of(&task.tenant), &moment(failed_at, task.id)])
}

/// Encodes a time and a task id, the order of a queue.
pub(super) fn moment(time: Millis, task: TaskId) -> [u8; MOMENT_BYTES] {
    let mut bytes = [0; MOMENT_BYTES];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&time.0.to_be_bytes());
    tail.copy_from_slice(task.as_bytes());
    bytes
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
    join(&[b"j", tenant.as_str().as_bytes(), &[0]])
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

/// Returns the time and task that an index key ends with.
pub(super) fn last_moment(key: &[u8]) -> Option<[u8; MOMENT_BYTES]> {
    key.last_chunk().copied()
}

/// Returns the task that an index key ends with.
pub(super) fn last_task(key: &[u8]) -> Option<TaskId> {
    key.last_chunk().copied().map(TaskId::from_bytes)
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

/// Returns the position of a priority in the queue; 0 is leased first.
pub(super) const fn order(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn join(parts: &[&[u8]]) -> Key {
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_keys_sort_by_time_and_end_with_the_task() {
        let (early, late) = (TaskId::from_bytes([9; 16]), TaskId::from_bytes([1; 16]));
        let (first, second) = (Timed::Delayed.key(Millis(255), early), Timed::Delayed.key(Millis(256), late));
        assert!(Timed::Delayed.start() < first && first < second);
        assert!(first < Timed::Delayed.after(Millis(255)) && Timed::Delayed.after(Millis(255)) < second);
        assert!(Timed::Delayed.key(Millis::NEVER, early) < Timed::Delayed.after(Millis::NEVER));
        assert_eq!(last_task(&second), Some(late));
        assert_eq!(last_moment(&second), Some(moment(Millis(256), late)));
    }

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

    #[test]
    fn a_tenants_keys_do_not_start_with_another_tenants() {
        let (short, long): (TenantId, TenantId) = ("a".parse().unwrap(), "ab".parse().unwrap());
        assert!(!listed_of(&long).starts_with(&listed_of(&short)));
        assert!(!ready_of(&long, Priority::Low).starts_with(&ready_of(&short, Priority::Low)));
    }
}
