//! Keys of tasks, and the indexes that lead to them.

use fusebox_core::{
    id::TaskId,
    name::TenantId,
    task::{Priority, Task},
    time::Millis,
};

use super::{Key, join};

/// Length of a time and a task's id, with which every index key of tasks ends, in bytes.
pub(in crate::embedded) const MOMENT_BYTES: usize = 8 + 16;

/// Index ordered by time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Timed {
    /// Delayed tasks, by the time they become due.
    Delayed,
    /// Queued tasks, by their expiry; those that expire at the greatest age are found by it.
    Waiting,
}

impl Timed {
    const fn prefix(self) -> u8 {
        match self {
            Self::Delayed => b'd',
            Self::Waiting => b'e',
        }
    }

    /// Returns the first possible key of this index.
    pub(in crate::embedded) fn start(self) -> Key {
        vec![self.prefix()]
    }

    /// Returns the first possible key later than `time`.
    pub(in crate::embedded) fn after(self, time: Millis) -> Key {
        after(self.prefix(), time)
    }

    /// Returns the key of a task's entry.
    pub(in crate::embedded) fn key(self, time: Millis, task: TaskId) -> Key {
        join(&[&[self.prefix()], &moment(time, task)])
    }
}

/// Place of a task's record among those of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Place {
    /// Tasks of a priority that are ready or leased.
    Queue(Priority),
    /// Tasks that are not yet due.
    Delayed,
    /// Damaged records that were taken out of a queue.
    Damaged,
    /// Tasks that have ended.
    Ended,
}

impl Place {
    /// Places of tasks that can be read.
    pub(in crate::embedded) const READABLE: [Self; 5] = [
        Self::Ended,
        Self::Queue(Priority::High),
        Self::Queue(Priority::Normal),
        Self::Queue(Priority::Low),
        Self::Delayed,
    ];
    /// Places of tasks that have not ended.
    pub(in crate::embedded) const UNFINISHED: [Self; 4] =
        [Self::Queue(Priority::High), Self::Queue(Priority::Normal), Self::Queue(Priority::Low), Self::Delayed];
}

/// Parts of a task's keys besides its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct Origin {
    /// Tenant of the task.
    pub(in crate::embedded) tenant: TenantId,
    /// Priority of the task.
    pub(in crate::embedded) priority: Priority,
    /// Time of acceptance.
    pub(in crate::embedded) created_at: Millis,
}

impl Origin {
    /// Returns the origin of a task.
    pub(in crate::embedded) fn of(task: &Task) -> Self {
        Self { tenant: task.tenant.clone(), priority: task.priority, created_at: task.created_at }
    }

    /// Encodes the origin.
    pub(in crate::embedded) fn encode(&self) -> Vec<u8> {
        join(&[&self.created_at.0.to_be_bytes(), &[order(self.priority)], self.tenant.as_str().as_bytes()])
    }

    /// Decodes an origin; `None` if it is none.
    pub(in crate::embedded) fn decode(bytes: &[u8]) -> Option<Self> {
        let (created_at, rest) = bytes.split_first_chunk()?;
        let (order, tenant) = rest.split_first()?;
        Some(Self {
            tenant: std::str::from_utf8(tenant).ok()?.parse().ok()?,
            priority: *Priority::HIGHEST_FIRST.get(usize::from(*order))?,
            created_at: Millis(u64::from_be_bytes(*created_at)),
        })
    }

    /// Returns the key of the task's record in a place.
    pub(in crate::embedded) fn record(&self, place: Place, task: TaskId) -> Key {
        let mut key = tasks_of(&self.tenant, place);
        key.extend(moment(self.created_at, task));
        key
    }
}

/// `w`, `t`: prefix of a tenant's tasks in a place.
pub(in crate::embedded) fn tasks_of(tenant: &TenantId, place: Place) -> Key {
    let (kind, place) = match place {
        Place::Queue(priority) => (b'w', Some(order(priority))),
        Place::Delayed => (b'w', Some(3)),
        Place::Damaged => (b'w', Some(4)),
        Place::Ended => (b't', None),
    };
    // Room for a moment.
    let mut key = Key::with_capacity(tenant.as_str().len() + 3 + MOMENT_BYTES);
    key.push(kind);
    key.extend_from_slice(tenant.as_str().as_bytes());
    key.push(0);
    key.extend(place);
    key
}

/// `w`: prefix of all of a tenant's tasks that have not ended, damaged ones included.
pub(in crate::embedded) fn unfinished_of(tenant: &TenantId) -> Key {
    super::of_tenant(b'w', tenant)
}

/// `p`: origin of a task.
pub(in crate::embedded) fn origin(task: TaskId) -> Key {
    join(&[b"p", task.as_bytes()])
}

/// `sb`: prefix of the leases that share values.
pub(in crate::embedded) fn lease_entries() -> Key {
    b"sb".to_vec()
}

/// `sb`: leases of one call.
pub(in crate::embedded) fn lease_entry(number: u64) -> Key {
    join(&[b"sb", &number.to_be_bytes()])
}

/// Returns the number of an `sb` key.
pub(in crate::embedded) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk().copied().map(u64::from_be_bytes)
}

/// `sl`: prefix of the tasks with leases in their records.
pub(in crate::embedded) fn leased_of_all() -> Key {
    b"sl".to_vec()
}

/// `sl`: a task with its lease in its record.
pub(in crate::embedded) fn leased(task: TaskId) -> Key {
    join(&[b"sl", task.as_bytes()])
}

/// `k`: first possible key of ended tasks.
pub(in crate::embedded) fn kept_of_all() -> Key {
    b"k".to_vec()
}

/// `k`: first possible key of ended tasks of which none is due by `time`.
pub(in crate::embedded) fn kept_after(time: Millis) -> Key {
    after(b'k', time)
}

/// `k`: ended tasks, of which the first is due at a time.
pub(in crate::embedded) fn kept(due: Millis, first: TaskId) -> Key {
    join(&[b"k", &moment(due, first)])
}

fn after(prefix: u8, time: Millis) -> Key {
    match time.0.checked_add(1) {
        Some(next) => join(&[&[prefix], &next.to_be_bytes()]),
        None => vec![prefix + 1],
    }
}

/// `b`: prefix of a tenant's dead letters.
pub(in crate::embedded) fn dead_letters_of(tenant: &TenantId) -> Key {
    join(&[b"b", tenant.as_str().as_bytes(), &[0]])
}

/// `b`: one dead letter of its tenant.
pub(in crate::embedded) fn dead_letter(task: &Task, failed_at: Millis) -> Key {
    join(&[&dead_letters_of(&task.tenant), &moment(failed_at, task.id)])
}

/// `t`: prefix of the tags of a tenant's tasks.
pub(in crate::embedded) fn tags_of_all(tenant: &TenantId) -> Key {
    super::of_tenant(b't', tenant)
}

/// `t`: prefix of a tenant's tasks with a tag.
pub(in crate::embedded) fn tagged(tenant: &TenantId, key: &str, value: &str) -> Key {
    join(&[&tags_of_all(tenant), key.as_bytes(), b"=", value.as_bytes(), &[0]])
}

/// Encodes a time and a task id, the order of a queue.
pub(in crate::embedded) fn moment(time: Millis, task: TaskId) -> [u8; MOMENT_BYTES] {
    let mut bytes = [0; MOMENT_BYTES];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&time.0.to_be_bytes());
    tail.copy_from_slice(task.as_bytes());
    bytes
}

/// Returns the time and task that a key ends with.
pub(in crate::embedded) fn last_moment(key: &[u8]) -> Option<[u8; MOMENT_BYTES]> {
    key.last_chunk().copied()
}

/// Splits a time and a task.
pub(in crate::embedded) fn split_moment(moment: &[u8; MOMENT_BYTES]) -> Option<(Millis, TaskId)> {
    let (time, task) = moment.split_first_chunk()?;
    Some((Millis(u64::from_be_bytes(*time)), TaskId::from_bytes(task.try_into().ok()?)))
}

/// Returns the task that an index key ends with.
pub(in crate::embedded) fn last_task(key: &[u8]) -> Option<TaskId> {
    key.last_chunk().copied().map(TaskId::from_bytes)
}

/// Returns the position of a priority in the queue; 0 is leased first.
pub(in crate::embedded) const fn order(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
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
    fn a_tenants_keys_do_not_start_with_another_tenants() {
        let (short, long): (TenantId, TenantId) = ("a".parse().unwrap(), "ab".parse().unwrap());
        for place in Place::READABLE {
            assert!(!tasks_of(&long, place).starts_with(&tasks_of(&short, place)));
        }
    }
}
