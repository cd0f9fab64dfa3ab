//! Attempts sent to one worker and not yet reported: their tenants, start times, and which of them occupy a slot.
//!
//! Workers report the end of a run but not its start. A worker starts attempts in the order in which they were sent, as
//! its slots become free; this is used as an estimate, and the report provides the actual time.

use alloc::{collections::VecDeque, vec::Vec};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    id::{Attempt, TaskId},
    name::TenantId,
    time::Millis,
};

type Id = (TaskId, Attempt);

/// An attempt that was sent.
#[derive(Clone, Debug)]
struct Sent {
    tenant: TenantId,
    sent_at: Millis,
    begun_at: Option<Millis>,
    is_extra: bool,
}

/// An attempt that has left its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) tenant: TenantId,
    pub(super) sent_at: Millis,
    /// Time at which it got its slot, if it did.
    pub(super) begun_at: Option<Millis>,
    pub(super) is_extra: bool,
    /// Tenant whose attempt gets the freed slot.
    pub(super) next: Option<TenantId>,
}

/// Attempts sent to one worker. See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    sent: HashMap<Id, Sent, FixedState>,
    /// Attempts waiting for a slot, in order; may contain attempts that are over.
    line: VecDeque<Id>,
    slots: u32,
    /// Number of occupied slots, not counting the extra slot.
    busy: u32,
    /// Number of attempts sent for the extra slot.
    extras: u32,
}

impl Hold {
    /// Returns an empty record of a worker with the given number of slots.
    pub(super) fn new(slots: u32, hashes: FixedState) -> Self {
        Self { sent: HashMap::with_hasher(hashes), line: VecDeque::new(), slots, busy: 0, extras: 0 }
    }

    pub(super) const fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
    }

    /// Returns the number of attempts held, not counting those for the extra slot.
    pub(super) fn ordinary(&self) -> u32 {
        u32::try_from(self.sent.len()).unwrap_or(u32::MAX).saturating_sub(self.extras)
    }

    /// Records a sent attempt; returns whether it gets a slot at once.
    pub(super) fn send(&mut self, id: Id, tenant: TenantId, is_extra: bool, now: Millis) -> bool {
        let begins = is_extra || self.busy < self.slots;
        self.busy += u32::from(begins && !is_extra);
        if !begins {
            self.forget_over();
            self.line.push_back(id);
        }
        self.extras += u32::from(is_extra);
        let begun_at = begins.then_some(now);
        self.sent.insert(id, Sent { tenant, sent_at: now, begun_at, is_extra });
        begins
    }

    /// Removes an attempt and gives its slot to the next one; `None` if it was not sent, or was removed before.
    pub(super) fn over(&mut self, id: Id, now: Millis) -> Option<Over> {
        let Sent { tenant, sent_at, begun_at, is_extra } = self.sent.remove(&id)?;
        self.extras -= u32::from(is_extra);
        let mut next = None;
        if begun_at.is_some() && !is_extra {
            self.busy -= 1;
            next = self.begin_next(now);
        }
        Some(Over { tenant, sent_at, begun_at, is_extra, next })
    }

    fn begin_next(&mut self, now: Millis) -> Option<TenantId> {
        while self.busy < self.slots {
            let id = self.line.pop_front()?;
            if let Some(sent) = self.sent.get_mut(&id) {
                sent.begun_at = Some(now);
                self.busy += 1;
                return Some(sent.tenant.clone());
            }
        }
        None
    }

    /// Returns all attempts held, in order of their ids.
    pub(super) fn into_all(self) -> Vec<(Id, Over)> {
        let over = |(id, Sent { tenant, sent_at, begun_at, is_extra })| {
            (id, Over { tenant, sent_at, begun_at, is_extra, next: None })
        };
        let mut all: Vec<_> = self.sent.into_iter().map(over).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Keeps the length of the queue proportional to the number of attempts held.
    fn forget_over(&mut self) {
        if self.line.len() > 2 * self.sent.len() + 64 {
            self.line.retain(|id| self.sent.contains_key(id));
        }
    }
}
