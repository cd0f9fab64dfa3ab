//! Memory of the writer from one group to the next, so that it reads and writes a tenant's records once a group instead
//! of once a task. All of it is on disk as well: it can be forgotten at any time.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use fusebox_core::{
    id::{FunctionId, TaskId},
    name::TenantId,
    time::Millis,
};

use super::{
    aging::Aging,
    leases::Leases,
    records::{Counters, FunctionRecord},
    retention::Retention,
    running::Committed,
    starts::Starts,
};

/// Largest number of tenants, and of functions, that are remembered after a group.
const REMEMBERED_MAX: usize = 10_000;

/// See the module's documentation.
pub(super) struct Memory {
    /// Start positions of the queues.
    pub(super) starts: Starts,
    /// Leases in force.
    pub(super) leases: Leases,
    /// Leases of the committed state, for reads.
    pub(super) running: Arc<Committed>,
    /// Tasks whose leases the group has changed.
    pub(super) leases_changed: Vec<TaskId>,
    /// Queues by the age of their first task.
    pub(super) aging: Aging,
    /// Ended tasks that are yet to be written.
    pub(super) retention: Retention,
    /// True once `leases` and `aging` hold what is on disk.
    pub(super) is_loaded: bool,
    /// Counters of tenants.
    pub(super) counters: Remembered<TenantId, Counters>,
    /// Numbers of unfinished tasks of functions.
    pub(super) unfinished: Remembered<FunctionId, u64>,
    /// Records of functions.
    pub(super) functions: HashMap<FunctionId, Arc<FunctionRecord>>,
    /// Time of the last step that wrote.
    pub(super) written_at: Millis,
}

impl Memory {
    /// Creates a memory without content.
    pub(super) fn new(written_at: Millis, running: Arc<Committed>) -> Self {
        Self {
            starts: Starts::default(),
            leases: Leases::default(),
            running,
            leases_changed: Vec::new(),
            aging: Aging::default(),
            retention: Retention::default(),
            is_loaded: false,
            counters: Remembered::default(),
            unfinished: Remembered::default(),
            functions: HashMap::new(),
            written_at,
        }
    }

    /// Forgets everything, after writes that did not take effect.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.written_at, self.running.clone());
    }

    /// Shows reads what was committed, and forgets some if there is much.
    pub(super) fn committed(&mut self) {
        if !self.leases_changed.is_empty() {
            let leases = &self.leases;
            self.running.change(self.leases_changed.drain(..).map(|task| (task, leases.shared(task))));
        }
        self.counters.bound();
        self.unfinished.bound();
        if self.functions.len() > REMEMBERED_MAX {
            self.functions.clear();
        }
    }
}

/// Values that are on disk as well, but for those that the current group has changed.
pub(super) struct Remembered<K, V> {
    values: HashMap<K, (V, IsChanged)>,
    changed: Vec<K>,
}

type IsChanged = bool;

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), changed: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Remembered<K, V> {
    /// Returns a value.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(value, _)| value)
    }

    /// Remembers a value as it is on disk.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.values.insert(key, (value, false));
    }

    /// Changes a remembered value, which is then to be written. Returns false if it is not remembered.
    pub(super) fn change(&mut self, key: &K, change: impl FnOnce(&mut V)) -> bool {
        let Some((value, is_changed)) = self.values.get_mut(key) else { return false };
        change(value);
        if !std::mem::replace(is_changed, true) {
            self.changed.push(key.clone());
        }
        true
    }

    /// Returns the values to be written, each once.
    pub(super) fn take_changed(&mut self) -> Vec<(K, V)> {
        let values = &mut self.values;
        let taken = self.changed.drain(..).filter_map(|key| {
            let (value, is_changed) = values.get_mut(&key)?;
            *is_changed = false;
            Some((key, value.clone()))
        });
        taken.collect()
    }

    fn bound(&mut self) {
        if self.values.len() > REMEMBERED_MAX {
            self.values.clear();
        }
    }
}
