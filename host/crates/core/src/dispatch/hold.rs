//! The attempts that one worker was sent and has not reported on: their tenants, their start, and which of them hold a slot.
//!
//! A worker says when a run ends and not when it begins. It begins what it was sent in that order, as its slots become
//! free, so that is what is assumed; what a run has really taken is known from its report.

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

/// An attempt that its worker holds no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) tenant: TenantId,
    pub(super) sent_at: Millis,
    /// When it got its slot, if it did.
    pub(super) begun_at: Option<Millis>,
    pub(super) is_extra: bool,
    /// The tenant whose attempt begins to hold the slot.
    pub(super) next: Option<TenantId>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    sent: HashMap<Id, Sent, FixedState>,
    /// Those that wait for a slot, in order. Some are over.
    line: VecDeque<Id>,
    slots: u32,
    /// Slots that are held, the extra one apart.
    busy: u32,
    /// Attempts that were sent for the extra slot.
    extras: u32,
}

impl Hold {
    /// Nothing yet, of a worker with so many slots.
    pub(super) fn new(slots: u32, hashes: FixedState) -> Self {
        Self { sent: HashMap::with_hasher(hashes), line: VecDeque::new(), slots, busy: 0, extras: 0 }
    }

    pub(super) const fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
    }

    /// How many attempts it holds beside the extra one.
    pub(super) fn ordinary(&self) -> u32 {
        u32::try_from(self.sent.len()).unwrap_or(u32::MAX).saturating_sub(self.extras)
    }

    /// An attempt is sent. Whether it has a slot at once.
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

    /// An attempt is over: the next one has its slot. `None` where it was not sent, or was over already.
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

    /// Everything that it holds, by attempt.
    pub(super) fn into_all(self) -> Vec<(Id, Over)> {
        let over = |(id, Sent { tenant, sent_at, begun_at, is_extra })| {
            (id, Over { tenant, sent_at, begun_at, is_extra, next: None })
        };
        let mut all: Vec<_> = self.sent.into_iter().map(over).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Keeps the line in proportion to what is sent.
    fn forget_over(&mut self) {
        if self.line.len() > 2 * self.sent.len() + 64 {
            self.line.retain(|id| self.sent.contains_key(id));
        }
    }
}
