//! The Lua functions that Redis performs for the store, and their library's name. Opens no connection.
//!
//! The name contains a hash of the library's content, so a library in Redis is never changed: different versions of the
//! host use their own side by side.

use fusebox_core::{
    function::RunLimits,
    id::{FunctionId, LeaseToken, TaskId, WorkerId},
    keep::Keep,
    limits::{RECORD_BYTES, RELEASES_MAX, VALUE_BYTES},
    name::TenantId,
    outcome::Failure,
    setup::Start,
    tags::Tags,
    task::{Lease, PAST_ATTEMPTS_MAX, Priority, Status, Task, TaskState},
    time::Millis,
};

use super::{access::Prefix, keys, records, versions};
use crate::layout::REDIS;

/// Lua sources of the functions, in groups. All know the names of the first one; each of the others has its names to itself,
/// since Lua allows 200 at a time.
pub(super) const SOURCES: [&[&str]; 12] = [
    &[
        include_str!("library/common.lua"),
        include_str!("library/kinds.lua"),
        include_str!("library/leases.lua"),
        include_str!("library/flush.lua"),
        include_str!("library/tasks.lua"),
        include_str!("library/lines.lua"),
    ],
    &[include_str!("library/accept.lua")],
    &[include_str!("library/lease.lua")],
    &[include_str!("library/report.lua")],
    &[include_str!("library/forget.lua"), include_str!("library/tick.lua")],
    &[include_str!("library/purge.lua")],
    &[include_str!("library/reads.lua")],
    &[include_str!("library/audit.lua")],
    &[
        include_str!("library/functions.lua"),
        include_str!("library/jobs.lua"),
        include_str!("library/kv.lua"),
        include_str!("library/identity.lua"),
        include_str!("library/tenants.lua"),
    ],
    &[include_str!("library/fuel.lua")],
    &[include_str!("library/workers.lua")],
    &[include_str!("library/format.lua")],
];

/// Library of this version of the host.
pub(super) struct Library {
    prefix: String,
    code: String,
}

impl Library {
    /// Creates the library for a store with a prefix. Names of libraries cannot contain colons and dashes; the hash
    /// covers the prefix, so prefixes that then look alike still differ.
    pub(super) fn new(store: Prefix) -> Self {
        let groups = SOURCES.iter().map(|group| group.concat());
        let own: String = groups.skip(1).map(|group| format!("do\n{group}end\n")).collect();
        let body = format!("{}{}{own}", constants(store), SOURCES[0].concat());
        let words = store.as_str().replace([':', '-'], "_");
        let name = format!("{words}fusebox_{}_{:08x}", REDIS.own, hash(body.as_bytes()));
        let prefix = format!("{name}_");
        let code = format!("#!lua name={name}\nlocal PREFIX = '{prefix}'\n{body}");
        Self { prefix, code }
    }

    /// Returns the argument of `FUNCTION LOAD`.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Returns the name of a function in Redis.
    pub(super) fn function(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Returns the constants that the functions share with other parts of the host, as Lua.
fn constants(store: Prefix) -> String {
    let mut lines = String::new();
    let mut add = |name: &str, value: String| lines.push_str(&format!("local {name} = {value}\n"));
    for (name, value) in keys::CONSTANTS {
        add(name, text(&format!("{}{value}", store.as_str())));
    }
    add("DEFAULT_TENANT", text(TenantId::default_tenant().as_str()));
    for status in [Status::Queued, Status::Running, Status::Completed, Status::Failed] {
        add(status.as_str(), text(status.as_str()));
    }
    add("PRIORITIES", list(&Priority::HIGHEST_FIRST.map(records::priority)));
    add("RECORD", list(&records::FIELDS));
    add("FUNCTION_RECORD", list(&versions::FIELDS));
    add("STATE_COMPILING", text(versions::COMPILING));
    add("RELEASES_MAX", RELEASES_MAX.to_string());
    add("RECORD_BYTES", RECORD_BYTES.to_string());
    add("PAST_ATTEMPTS_MAX", PAST_ATTEMPTS_MAX.to_string());
    add("VALUE_BYTES", VALUE_BYTES.to_string());
    for (name, task) in ends_by_host() {
        let json = task.failure().map(records::failure).unwrap_or_default();
        let (dead, bytes) = (task.is_dead_letter(), task.failure().map_or(0, Failure::text_bytes));
        add(name, format!("{{ json = {}, dead = {dead}, bytes = {bytes} }}", text(&json)));
    }
    lines
}

/// Returns tasks that the host ended in each of its ways, so that codes and messages are those of the lifecycle.
fn ends_by_host() -> [(&'static str, Task); 3] {
    let now = Millis(1);
    let waiting = Task {
        id: TaskId::from_bytes([0; 16]),
        tenant: TenantId::default_tenant(),
        function: FunctionId::from_bytes([0; 16]),
        limits: RunLimits::default(),
        priority: Priority::Normal,
        created_at: now,
        expires_at: now,
        attempt: 0,
        attempts_max: 1,
        releases: 0,
        fingerprint: None,
        retry_of: None,
        input_bytes: 0,
        start: Start::default(),
        keep: Keep::DEFAULT,
        tags: Tags::default(),
        past: Vec::new(),
        state: TaskState::Queued { not_before: now },
    };
    let (mut expired, mut cancelled, mut exhausted) = (waiting.clone(), waiting.clone(), waiting);
    let (worker, token) = (WorkerId::from_bytes([0; 16]), LeaseToken([0; 16]));
    // None of these can be refused; a test checks that.
    let _ = expired.expire(now);
    let _ = cancelled.cancel(now);
    let _ = exhausted.lease(Lease { worker, dispatcher: None, token, started_at: now, expires_at: now, renewed: true });
    let _ = exhausted.lapse(now, now);
    [("EXPIRED", expired), ("CANCELLED", cancelled), ("EXHAUSTED", exhausted)]
}

fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | '\n') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

fn list(texts: &[&str]) -> String {
    let texts: Vec<_> = texts.iter().map(|item| text(item)).collect();
    format!("{{ {} }}", texts.join(", "))
}

/// FNV-1a, folded to 32 bits: distinguishes versions, and does not depend on the compiler that built the host.
pub(super) fn hash(bytes: &[u8]) -> u32 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) ^ u32::from_be_bytes([e, f, g, h])
}

#[cfg(test)]
mod tests {
    use fusebox_core::error::ErrorCode;

    use super::*;

    #[test]
    fn the_host_ends_tasks_as_the_lifecycle_does() {
        let codes = ends_by_host().map(|(_, task)| (task.failure().unwrap().code, task.is_dead_letter()));
        let expected =
            [(ErrorCode::Expired, true), (ErrorCode::Cancelled, false), (ErrorCode::AttemptsExhausted, true)];
        assert_eq!(codes, expected);
    }

    #[test]
    fn another_content_has_another_name() {
        assert_ne!(hash(b"a"), hash(b"b"));
        let library = Library::new(Prefix::default());
        let name = library.function("ping");
        assert!(name.starts_with(&format!("fusebox_{}_", REDIS.own)) && name.ends_with("_ping"), "{name}");
        assert!(library.code().starts_with(&format!("#!lua name={}\n", name.strip_suffix("_ping").unwrap())));
    }

    #[test]
    fn another_prefix_has_another_library() {
        let names = ["a-b", "a_b"].map(|prefix| Library::new(prefix.parse().unwrap()).function("ping"));
        let start = format!("a_b_fusebox_{}_", REDIS.own);
        assert!(names.iter().all(|name| name.starts_with(&start)) && names[0] != names[1], "{names:?}");
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(text("a\"b\\c\nd"), "\"a\\\"b\\\\c\\\nd\"");
    }
}
