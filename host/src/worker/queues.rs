//! Fair queues in front of the slots: one per tenant and lane, served in turn, so that one tenant's burst does not
//! delay others. Also counts each tenant's running jobs, which decides what the extra slot may take. Pure: its owner
//! locks it and wakes the slots.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use fusebox_core::{
    limits::{INVOKE_WAITERS_MAX, INVOKE_WAITERS_PER_TENANT_MAX},
    name::TenantId,
};

use super::slots::Lane;

/// Number of idle tenants that are remembered, so that their next job allocates nothing.
const IDLE_TENANTS_MAX: usize = 256;
/// Capacity that an empty queue keeps, in jobs.
const KEPT_JOBS: usize = 16;

/// Reason why a job was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The lane is full, or has too few free places for another job of this tenant.
    #[error("the queue is full")]
    Room,
    /// The tenant's limit of waiting jobs is reached.
    #[error("{max} of this tenant wait, its limit")]
    Line {
        /// The limit.
        max: usize,
    },
}

/// Queues of all tenants. `T` is a job.
pub(super) struct Queues<T> {
    tenants: HashMap<TenantId, Tenant<T>, RandomState>,
    /// Tenants with waiting jobs, by lane; the front one is served next.
    turns: [VecDeque<TenantId>; 2],
    /// Number of waiting jobs, by lane.
    waiting: [usize; 2],
    /// Lane that is served first next time, so that they alternate.
    first: Lane,
    /// Number of tenants that have a job waiting and none running.
    strangers: usize,
}

struct Tenant<T> {
    lines: [VecDeque<T>; 2],
    running: u32,
}

impl<T> Default for Tenant<T> {
    fn default() -> Self {
        Self { lines: [VecDeque::new(), VecDeque::new()], running: 0 }
    }
}

impl<T> Tenant<T> {
    fn waits(&self) -> bool {
        self.lines.iter().any(|line| !line.is_empty())
    }

    fn is_stranger(&self) -> bool {
        self.running == 0 && self.waits()
    }
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            tenants: HashMap::default(),
            turns: Default::default(),
            waiting: [0; 2],
            first: Lane::Attempts,
            strangers: 0,
        }
    }
}

impl<T> Queues<T> {
    /// Adds a job to the end of its tenant's queue.
    ///
    /// # Errors
    /// Fails if the lane's bounds are reached. A tenant may use a quarter of the places for invocations, and no more
    /// than are still free, so that the next tenant finds some.
    pub(super) fn push(&mut self, lane: Lane, tenant: &TenantId, job: T) -> Result<(), Full> {
        let waiting = self.waiting(lane);
        let known = match self.tenants.get_mut(tenant) {
            Some(known) => known,
            None => {
                self.forget_idle();
                self.tenants.entry(tenant.clone()).or_default()
            }
        };
        let waited = known.waits();
        let line = lane.of(&mut known.lines);
        may_wait(lane, line.len(), waiting)?;
        if line.is_empty() {
            lane.of(&mut self.turns).push_back(tenant.clone());
        }
        line.push_back(job);
        self.strangers += usize::from(!waited && known.running == 0);
        *lane.of(&mut self.waiting) += 1;
        Ok(())
    }

    /// Removes the next job, with its tenant: lanes alternate, and tenants alternate within a lane.
    pub(super) fn next(&mut self) -> Option<(TenantId, T)> {
        let lanes = [self.first, self.first.other()];
        self.first = self.first.other();
        lanes.into_iter().find_map(|lane| self.take(lane, 0))
    }

    /// Removes the next job of a tenant that has none running.
    pub(super) fn next_of_stranger(&mut self) -> Option<(TenantId, T)> {
        if self.strangers == 0 {
            return None;
        }
        // Each tenant before it has a job in one of the slots, so the search is short.
        let runs_nothing = |tenant: &TenantId| self.tenants.get(tenant).is_some_and(|known| known.running == 0);
        let at = |lane: Lane| Some((lane, self.turns.get(lane.index())?.iter().position(runs_nothing)?));
        let (lane, at) = at(self.first).or_else(|| at(self.first.other()))?;
        self.take(lane, at)
    }

    /// Records the end of a tenant's running job.
    pub(super) fn ended(&mut self, tenant: &TenantId) {
        self.change(tenant, |known| known.running = known.running.saturating_sub(1));
    }

    /// Removes every job of a lane, unstarted.
    pub(super) fn take_all(&mut self, lane: Lane) -> Vec<T> {
        let mut all = Vec::with_capacity(self.waiting(lane));
        while let Some((tenant, job)) = self.take(lane, 0) {
            self.ended(&tenant);
            all.push(job);
        }
        all
    }

    /// Returns true if no job waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == [0; 2]
    }

    /// Returns true if a tenant waits that has no job running.
    pub(super) fn has_stranger(&self) -> bool {
        self.strangers > 0
    }

    fn waiting(&mut self, lane: Lane) -> usize {
        *lane.of(&mut self.waiting)
    }

    /// Removes the first job of the tenant at this index of the lane's turns.
    fn take(&mut self, lane: Lane, at: usize) -> Option<(TenantId, T)> {
        let tenant = lane.of(&mut self.turns).remove(at)?;
        let mut job = None;
        let mut has_more = false;
        self.change(&tenant, |known| {
            let line = lane.of(&mut known.lines);
            job = line.pop_front();
            has_more = !line.is_empty();
            if !has_more {
                line.shrink_to(KEPT_JOBS);
            }
            known.running += 1;
        });
        if has_more {
            lane.of(&mut self.turns).push_back(tenant.clone());
        }
        *lane.of(&mut self.waiting) -= 1;
        job.map(|job| (tenant, job))
    }

    fn change(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Tenant<T>)) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        let before = known.is_stranger();
        change(known);
        match (before, known.is_stranger()) {
            (false, true) => self.strangers += 1,
            (true, false) => self.strangers -= 1,
            _ => {}
        }
    }

    fn forget_idle(&mut self) {
        if self.tenants.len() >= IDLE_TENANTS_MAX {
            self.tenants.retain(|_, known| known.running > 0 || known.waits());
        }
    }
}

fn may_wait(lane: Lane, of_tenant: usize, of_all: usize) -> Result<(), Full> {
    let (max, free) = match lane {
        // A worker receives only attempts that it requested.
        Lane::Attempts => return Ok(()),
        Lane::Invokes => (INVOKE_WAITERS_PER_TENANT_MAX, INVOKE_WAITERS_MAX.saturating_sub(of_all)),
    };
    if of_tenant >= max {
        return Err(Full::Line { max });
    }
    if of_tenant >= free { Err(Full::Room) } else { Ok(()) }
}

impl Lane {
    const fn index(self) -> usize {
        match self {
            Self::Attempts => 0,
            Self::Invokes => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Attempts => Self::Invokes,
            Self::Invokes => Self::Attempts,
        }
    }

    fn of<T>(self, [attempts, invokes]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Attempts => attempts,
            Self::Invokes => invokes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn push(queues: &mut Queues<u32>, lane: Lane, name: &str, jobs: &[u32]) {
        jobs.iter().for_each(|job| queues.push(lane, &tenant(name), *job).unwrap());
    }

    #[test]
    fn tenants_take_turns_in_a_lane_and_lanes_take_turns() {
        let mut queues = Queues::default();
        push(&mut queues, Lane::Attempts, "a", &[1, 2, 3]);
        push(&mut queues, Lane::Attempts, "b", &[4, 5]);
        push(&mut queues, Lane::Invokes, "a", &[6]);
        let order: Vec<u32> = std::iter::from_fn(|| queues.next()).map(|(_, job)| job).collect();
        assert_eq!(order, [1, 6, 4, 2, 5, 3]);
        assert!(queues.is_empty());
    }

    #[test]
    fn a_stranger_is_who_waits_and_runs_nothing() {
        let mut queues = Queues::default();
        push(&mut queues, Lane::Attempts, "a", &[1, 2, 3]);
        assert_eq!(queues.next().unwrap().1, 1);
        assert!(!queues.has_stranger(), "the only tenant runs one already");
        assert_eq!(queues.next_of_stranger(), None);
        push(&mut queues, Lane::Invokes, "b", &[4, 5]);
        assert_eq!(queues.next_of_stranger(), Some((tenant("b"), 4)));
        assert_eq!(queues.next_of_stranger(), None);
        queues.ended(&tenant("b"));
        assert_eq!(queues.next_of_stranger(), Some((tenant("b"), 5)));
        queues.ended(&tenant("b"));
        queues.ended(&tenant("a"));
        assert_eq!(queues.next_of_stranger(), Some((tenant("a"), 2)));
        assert_eq!(queues.take_all(Lane::Attempts), [3]);
        assert!(!queues.has_stranger() && queues.is_empty());
    }

    #[test]
    fn a_tenant_has_a_quarter_of_the_places_and_no_more_than_are_free() {
        let mut queues = Queues::default();
        let mut fill = |name: &str| {
            let tenant = tenant(name);
            let mut jobs = 0;
            loop {
                match queues.push(Lane::Invokes, &tenant, jobs) {
                    Ok(()) => jobs += 1,
                    Err(full) => return (jobs, full),
                }
            }
        };
        let max = INVOKE_WAITERS_PER_TENANT_MAX;
        for name in ["a", "b", "c"] {
            assert_eq!(fill(name), (256, Full::Line { max }));
        }
        // However many tenants arrive, the next one finds places.
        assert_eq!(["d", "e", "f"].map(&mut fill), [128, 64, 32].map(|jobs| (jobs, Full::Room)));
    }

    #[test]
    fn idle_tenants_are_forgotten() {
        let mut queues = Queues::default();
        push(&mut queues, Lane::Attempts, "waits", &[0]);
        for number in 0..10 * IDLE_TENANTS_MAX {
            let name = format!("t-{number}");
            push(&mut queues, Lane::Invokes, &name, &[1]);
            let (tenant, _) = queues.take(Lane::Invokes, 0).unwrap();
            queues.ended(&tenant);
        }
        assert!(queues.tenants.len() <= IDLE_TENANTS_MAX);
        assert_eq!(queues.next().unwrap().0, tenant("waits"));
    }
}
