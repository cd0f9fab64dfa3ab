//! Wake-ups for callers that wait for a task's end, ready tasks, cancellations or changes of keys. They are hints:
//! nothing depends on them for correctness. Reads no records.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fusebox_core::{id::TaskId, name::TenantId};
use tokio::sync::{Notify, broadcast, watch};

use super::{Hint, Ready, ReadyHint};

/// Number of waiter maps: more than cores, so that threads seldom contend for the same lock.
const SHARDS: usize = 16;
/// Number of cancellations that a slow receiver may lag behind. A run whose cancellation was dropped is stopped by its
/// next lease renewal.
const CANCELLATIONS: usize = 1_024;
/// Number of tenants whose ready tasks are counted until they are taken; beyond it, only [`Ready::missed`] is set.
const READY_TENANTS_MAX: usize = 1_024;

/// Effect of a committed step that waiters are notified of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The task has started, or was queued again.
    Changed(TaskId),
    /// The task has ended.
    Ended(TaskId),
    /// Number of additional tasks of the tenant that may be leased.
    Ready(TenantId, u64),
    /// The task was cancelled while it ran.
    Cancelled(TaskId),
    /// A tenant or a key has changed.
    Identity,
}

/// Registry of waiters, and the counters that they wait for.
pub(crate) struct Hints {
    shards: [Mutex<HashMap<Awaited, Waiters>>; SHARDS],
    hasher: RandomState,
    news: Arc<News>,
    cancelled: broadcast::Sender<TaskId>,
    identity: watch::Sender<u64>,
}

/// Tasks that became ready since the last [`Ready`] was taken.
#[derive(Default)]
struct News {
    ready: Mutex<(HashMap<TenantId, u64>, bool)>,
    notify: Notify,
}

/// Key of a wake-up: the task and the transition.
type Awaited = (TaskId, Moment);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Moment {
    Change,
    End,
}

struct Waiters {
    notify: Arc<Notify>,
    count: usize,
}

/// Removes a waiter from its map when it is dropped, including before the task has ended.
struct Waiting {
    hints: Arc<Hints>,
    awaited: Awaited,
    notify: Arc<Notify>,
}

impl Hints {
    /// Creates a registry without waiters.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            news: Arc::default(),
            cancelled: broadcast::Sender::new(CANCELLATIONS),
            identity: watch::Sender::new(0),
        })
    }

    /// Wakes the waiters of these events.
    pub(crate) fn tell(&self, events: &[Event]) {
        self.news.add(events);
        for event in events {
            match *event {
                Event::Ready(..) => {}
                Event::Changed(task) => self.wake((task, Moment::Change)),
                Event::Ended(task) => {
                    self.wake((task, Moment::Change));
                    self.wake((task, Moment::End));
                }
                // Without a receiver, no run could be stopped.
                Event::Cancelled(task) => drop(self.cancelled.send(task)),
                Event::Identity => self.identity_changed(),
            }
        }
    }

    /// Wakes all waiters, because events may have been missed.
    pub(crate) fn wake_all(&self) {
        for shard in &self.shards {
            let waiters = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            waiters.values().for_each(|waiters| waiters.notify.notify_waiters());
        }
        self.news.missed();
        self.identity_changed();
    }

    fn identity_changed(&self) {
        self.identity.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    fn wake(&self, awaited: Awaited) {
        if let Some(waiters) = self.shard(awaited).remove(&awaited) {
            waiters.notify.notify_waiters();
        }
    }

    /// Returns a future that completes when the task ends after this call.
    pub(crate) fn ended(self: &Arc<Self>, task: TaskId) -> Hint {
        self.hint((task, Moment::End))
    }

    /// Returns a future that completes when the task changes after this call.
    pub(crate) fn changed(self: &Arc<Self>, task: TaskId) -> Hint {
        self.hint((task, Moment::Change))
    }

    fn hint(self: &Arc<Self>, awaited: Awaited) -> Hint {
        let notify = {
            let mut shard = self.shard(awaited);
            let waiters = shard.entry(awaited).or_insert_with(|| Waiters { notify: Arc::default(), count: 0 });
            waiters.count += 1;
            waiters.notify.clone()
        };
        // Created here rather than on the first poll, so that no wake-up from now on is missed.
        let notified = notify.clone().notified_owned();
        let waiting = Waiting { hints: self.clone(), awaited, notify };
        Box::pin(async move {
            let _waiting = waiting;
            notified.await;
        })
    }

    /// Returns a future that completes when tasks have become ready since the last such hint completed.
    pub(crate) fn ready(&self) -> ReadyHint {
        let news = self.news.clone();
        Box::pin(async move {
            news.notify.notified().await;
            news.take()
        })
    }

    /// Returns the counter of changes of tenants and keys.
    pub(crate) fn identity(&self) -> watch::Receiver<u64> {
        self.identity.subscribe()
    }

    /// Subscribes to cancellations from now on.
    pub(crate) fn cancellations(&self) -> broadcast::Receiver<TaskId> {
        self.cancelled.subscribe()
    }

    fn shard(&self, awaited: Awaited) -> MutexGuard<'_, HashMap<Awaited, Waiters>> {
        let at = self.hasher.hash_one(awaited) % (SHARDS as u64);
        let shard = &self.shards[usize::try_from(at).unwrap_or(0)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    fn add(&self, events: &[Event]) {
        let more = events.iter().filter_map(|event| match event {
            Event::Ready(tenant, more) => Some((tenant, *more)),
            _ => None,
        });
        let mut any = false;
        {
            let (ready, missed) = &mut *self.lock();
            for (tenant, more) in more {
                any = true;
                let has_room = ready.len() < READY_TENANTS_MAX;
                match ready.get_mut(tenant) {
                    Some(known) => *known += more,
                    None if has_room => drop(ready.insert(tenant.clone(), more)),
                    None => *missed = true,
                }
            }
        }
        if any {
            self.notify.notify_one();
        }
    }

    fn missed(&self) {
        self.lock().1 = true;
        self.notify.notify_one();
    }

    fn take(&self) -> Ready {
        let (more, missed) = std::mem::take(&mut *self.lock());
        Ready { more: more.into_iter().collect(), missed }
    }

    fn lock(&self) -> MutexGuard<'_, (HashMap<TenantId, u64>, bool)> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut shard = self.hints.shard(self.awaited);
        let Some(waiters) = shard.get_mut(&self.awaited) else { return };
        // After the end, another hint may have been registered for the same task.
        if Arc::ptr_eq(&waiters.notify, &self.notify) {
            waiters.count -= 1;
            if waiters.count == 0 {
                shard.remove(&self.awaited);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hint_that_is_not_polled_yet_is_woken() {
        let (hints, task) = (Hints::new(), TaskId::from_bytes([1; 16]));
        let (ended, ready, changed) = (hints.ended(task), hints.ready(), hints.changed(task));
        hints.tell(&[Event::Changed(task)]);
        changed.await;
        let changed = hints.changed(task);
        let tenant = TenantId::default_tenant();
        hints.tell(&[Event::Ended(task), Event::Ready(tenant.clone(), 2), Event::Ready(tenant.clone(), 1)]);
        ended.await;
        assert_eq!(ready.await, Ready { more: vec![(tenant, 3)], missed: false });
        changed.await;
        let (ended, ready) = (hints.ended(task), hints.ready());
        hints.wake_all();
        ended.await;
        assert_eq!(ready.await, Ready { more: Vec::new(), missed: true });
    }

    #[tokio::test]
    async fn what_nobody_asks_for_takes_bounded_memory() {
        let hints = Hints::new();
        for number in 0..READY_TENANTS_MAX + 1 {
            hints.tell(&[Event::Ready(format!("t{number}").parse().unwrap(), 1)]);
        }
        let ready = hints.ready().await;
        assert_eq!((ready.more.len(), ready.missed), (READY_TENANTS_MAX, true));
    }

    #[test]
    fn changes_of_keys_are_counted_and_what_was_missed_is_one() {
        let hints = Hints::new();
        let changes = hints.identity();
        hints.tell(&[Event::Identity]);
        hints.wake_all();
        assert_eq!(*changes.borrow(), 2);
    }

    #[test]
    fn a_hint_that_is_dropped_leaves_nothing_behind() {
        let (hints, task) = (Hints::new(), TaskId::from_bytes([1; 16]));
        let (first, second) = (hints.ended(task), hints.ended(task));
        drop(first);
        assert_eq!(hints.shard((task, Moment::End)).len(), 1);
        drop(second);
        assert_eq!(hints.shard((task, Moment::End)).len(), 0);
        let early = hints.ended(task);
        hints.tell(&[Event::Ended(task)]);
        let late = hints.ended(task);
        drop(early);
        assert_eq!(hints.shard((task, Moment::End)).len(), 1);
        drop(late);
    }
}
