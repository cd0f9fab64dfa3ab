//! Leases of one call in one value, since a key for each would cost as much as a record.
//!
//! | at | bytes | column |
//! |---|---|---|
//! | 0 | 1 | layout |
//! | 1 | 16 | worker |
//! | 17 | 8 each | time of the lease, time of its end |
//! | 33 | 1 | length of the tenant, which follows |
//! | | 45 each | tasks: order of the priority, time of acceptance, id, attempt, token |

use fusebox_core::{
    id::{Attempt, LeaseToken, TaskId, WorkerId},
    name::TenantId,
    task::{Lease, Priority, Task, TaskState},
    time::Millis,
};

use super::take;
use crate::{
    Error, Result,
    embedded::keys::{Origin, order},
};

/// Layout of the value; `decode` must still read older ones.
const LAYOUT: u8 = 1;

/// Attempt that is leased, of a task whose record is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct Running {
    /// Time of the task's acceptance: after its deletion, another one may have its id.
    pub(in crate::embedded) created_at: Millis,
    /// Number of the attempt.
    pub(in crate::embedded) attempt: Attempt,
    /// Lease of the attempt.
    pub(in crate::embedded) lease: Lease,
}

impl Running {
    /// Returns the attempt of a task that was just leased.
    pub(in crate::embedded) const fn of(task: &Task, lease: Lease) -> Self {
        Self { created_at: task.created_at, attempt: task.attempt, lease }
    }

    /// Lets a task run that was read from its record, unless the record is a later one.
    pub(in crate::embedded) fn apply(self, task: &mut Task) {
        let is_same = task.created_at == self.created_at && task.attempt.checked_add(1) == Some(self.attempt);
        if is_same && matches!(task.state, TaskState::Queued { .. }) {
            task.attempt = self.attempt;
            task.state = TaskState::Running(self.lease);
        }
    }
}

/// Value that is being made.
pub(in crate::embedded) struct LeaseEntry {
    bytes: Vec<u8>,
    /// Length without tasks.
    empty: usize,
}

impl LeaseEntry {
    /// Creates a value without tasks, for leases that differ in their tokens alone.
    pub(in crate::embedded) fn new(
        tenant: &TenantId,
        worker: WorkerId,
        started_at: Millis,
        expires_at: Millis,
    ) -> Self {
        let mut bytes = vec![LAYOUT];
        bytes.extend_from_slice(worker.as_bytes());
        bytes.extend_from_slice(&started_at.0.to_be_bytes());
        bytes.extend_from_slice(&expires_at.0.to_be_bytes());
        let tenant = tenant.as_str().as_bytes();
        // Bounded by TENANT_NAME_BYTES_MAX.
        bytes.push(u8::try_from(tenant.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(tenant);
        Self { empty: bytes.len(), bytes }
    }

    /// Adds a task.
    pub(in crate::embedded) fn push(&mut self, task: TaskId, origin: &Origin, attempt: Attempt, token: LeaseToken) {
        self.bytes.push(order(origin.priority));
        self.bytes.extend_from_slice(&origin.created_at.0.to_be_bytes());
        self.bytes.extend_from_slice(task.as_bytes());
        self.bytes.extend_from_slice(&attempt.to_be_bytes());
        self.bytes.extend_from_slice(&token.0);
    }

    /// Returns the value; `None` if it has no task.
    pub(in crate::embedded) fn encode(self) -> Option<Vec<u8>> {
        (self.bytes.len() > self.empty).then_some(self.bytes)
    }
}

/// Decodes leases.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are invalid or of a layout unknown to this version.
pub(in crate::embedded) fn decode_leases(bytes: &[u8]) -> Result<Vec<(TaskId, Origin, Running)>> {
    decode(bytes).ok_or_else(|| Error::Corrupt("leases: their value is invalid".to_owned()))
}

fn decode(mut bytes: &[u8]) -> Option<Vec<(TaskId, Origin, Running)>> {
    let rest = &mut bytes;
    let [layout] = take(rest)?;
    if layout != LAYOUT {
        return None;
    }
    let worker = WorkerId::from_bytes(take(rest)?);
    let [started_at, expires_at] = [take(rest)?, take(rest)?].map(|time| Millis(u64::from_be_bytes(time)));
    let [length] = take(rest)?;
    let (tenant, tasks) = rest.split_at_checked(length.into())?;
    let tenant: TenantId = std::str::from_utf8(tenant).ok()?.parse().ok()?;
    *rest = tasks;
    let mut leases = Vec::new();
    while !rest.is_empty() {
        let [order] = take(rest)?;
        let created_at = Millis(u64::from_be_bytes(take(rest)?));
        let (id, attempt) = (TaskId::from_bytes(take(rest)?), Attempt::from_be_bytes(take(rest)?));
        let lease =
            Lease { worker, dispatcher: None, token: LeaseToken(take(rest)?), started_at, expires_at, renewed: false };
        let priority = *Priority::HIGHEST_FIRST.get(usize::from(order))?;
        let origin = Origin { tenant: tenant.clone(), priority, created_at };
        leases.push((id, origin, Running { created_at, attempt, lease }));
    }
    Some(leases)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, leases written by older versions can no longer be read: keep the old layout readable, and give the
    /// new one the next number.
    #[test]
    fn the_layout_is_the_one_on_disk() {
        let (tenant, worker) = ("acme".parse().unwrap(), WorkerId::from_bytes([1; 16]));
        let mut entry = LeaseEntry::new(&tenant, worker, Millis(2), Millis(3));
        let (id, token) = (TaskId::from_bytes([4; 16]), LeaseToken([5; 16]));
        let origin = Origin { tenant: tenant.clone(), priority: Priority::Low, created_at: Millis(6) };
        entry.push(id, &origin, 7, token);
        let bytes = entry.encode().unwrap();
        let (long, row) = (|number: u64| format!("{number:016x}"), "02".to_owned());
        let row = row + &long(6) + &"04".repeat(16) + "00000007" + &"05".repeat(16);
        let head = "01".to_owned() + &"01".repeat(16) + &long(2) + &long(3) + "04" + &hex::encode("acme");
        assert_eq!(hex::encode(&bytes), head + &row);
        let lease =
            Lease { worker, dispatcher: None, token, started_at: Millis(2), expires_at: Millis(3), renewed: false };
        assert_eq!(
            decode_leases(&bytes).unwrap(),
            [(id, origin, Running { created_at: Millis(6), attempt: 7, lease })]
        );
        let bad = [&[9], &bytes[1..]].concat();
        for bad in (0..bytes.len())
            .filter(|length| *length != bytes.len() - 45)
            .map(|length| &bytes[..length])
            .chain([&bad[..]])
        {
            assert!(matches!(decode_leases(bad), Err(Error::Corrupt(_))), "{bad:?}");
        }
        assert_eq!(LeaseEntry::new(&tenant, worker, Millis(2), Millis(3)).encode(), None);
    }
}
