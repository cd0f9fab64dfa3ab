//! Leases of the first due tasks of a tenant.

use std::collections::HashMap;

use fusebox_core::{
    function::{FunctionVersion, Grants},
    id::{DispatcherId, FunctionId, LeaseToken, ModuleDigest, WorkerId},
    invocation::Invocation,
    limits::LEASE_BATCH_MAX,
    name::{FunctionName, TenantId},
    setup::Setup,
    task::{Lease, Priority, Task},
    time::Millis,
};

use super::{Found, Steps};
use crate::{
    Error, LeaseRequest, LeasedTask, Result,
    embedded::{
        engine::{Entry, Space},
        keys::{self, Origin, Place},
        leases::{Held, Kept},
        records::{Carried, LeaseEntry, Running, is_queued},
    },
};

/// Largest number of tasks examined in one step: expired ones are ended on the way.
const LOOKED_AT_MAX: usize = 1_024;

/// Smallest and largest number of a queue's records that one step reads: leased ones are passed on the way.
const READ_MIN: usize = 16;
const READ_MAX: usize = 16_384;

/// Leases of one request.
struct Leasing {
    /// Number of their entry.
    number: u64,
    worker: WorkerId,
    dispatcher: DispatcherId,
    expires_at: Millis,
    leases: LeaseEntry,
}

/// Data of a function that a lease needs.
type Leased = (ModuleDigest, FunctionName, Grants, Setup);
/// Data of each function that a lease needs.
type Functions = HashMap<FunctionId, Leased>;

impl Steps<'_> {
    /// Leases the first due tasks of a tenant: highest priority first, then oldest first. A repeated request first gets
    /// the attempts that its tokens hold.
    pub(in crate::embedded) fn lease(&mut self, request: &LeaseRequest) -> Result<Vec<LeasedTask>> {
        let mut functions = Functions::new();
        let mut leased = if request.again { self.held(request, &mut functions)? } else { Vec::new() };
        let held: Vec<LeaseToken> = leased.iter().filter_map(|leased| leased.task.token()).collect();
        let asked = request.tokens.iter().take(LEASE_BATCH_MAX as usize);
        let tokens: Vec<_> = asked.copied().filter(|token| !held.contains(token)).collect();
        let mut tokens = tokens.into_iter().peekable();
        let ready = self.counters(&request.tenant)?.ready;
        let mut looked_at = 0;
        let mut entry = self.lease_entry(request);
        for priority in Priority::HIGHEST_FIRST {
            if ready[usize::from(keys::order(priority))] == 0 {
                continue;
            }
            while looked_at < LOOKED_AT_MAX && tokens.peek().is_some() {
                let first = self.first_ready(&request.tenant, priority, tokens.len())?;
                if first.is_empty() {
                    break;
                }
                looked_at += first.len();
                for found in first {
                    let Some(token) = tokens.peek() else { break };
                    if let Some(task) = self.lease_one(found, *token, &mut entry, &mut functions)? {
                        leased.push(task);
                        tokens.next();
                    }
                }
            }
        }
        if let Some(leases) = entry.leases.encode() {
            self.group.put(Space::Records, keys::lease_entry(entry.number), leases);
        }
        Ok(leased)
    }

    /// Returns the value for the leases of a request.
    fn lease_entry(&mut self, LeaseRequest { tenant, worker, dispatcher, lease_ms, .. }: &LeaseRequest) -> Leasing {
        let (number, expires_at) = (self.memory.leases.new_entry(), self.now.plus(*lease_ms));
        let leases = LeaseEntry::new(tenant, *worker, self.now, expires_at);
        Leasing { number, expires_at, worker: *worker, dispatcher: *dispatcher, leases }
    }

    /// Returns the attempts that a request's tokens hold, each extended to the duration of a new lease.
    fn held(&mut self, request: &LeaseRequest, functions: &mut Functions) -> Result<Vec<LeasedTask>> {
        let expires_at = self.now.plus(request.lease_ms);
        let mut held = Vec::new();
        for id in self.memory.leases.of_tokens(&request.tenant, &request.tokens) {
            let Some(before) = self.readable(self.find(id))? else { continue };
            let mut task = before.task.clone();
            if let Some(token) = task.token()
                && task.lease_again(token, expires_at).is_ok()
            {
                let carried = before.carried.clone();
                self.change(before, &task)?;
                held.extend(self.handed_over(task, &carried, functions)?);
            }
        }
        held.sort_by_key(|LeasedTask { task, .. }| (std::cmp::Reverse(task.priority), task.created_at, task.id));
        Ok(held)
    }

    /// Takes the first ready tasks of a queue, at most `limit`. Each of them must leave the queue in this step.
    fn first_ready(&mut self, tenant: &TenantId, priority: Priority, limit: usize) -> Result<Vec<Found>> {
        let (mut first, prefix, mut read) = (Vec::new(), keys::tasks_of(tenant, Place::Queue(priority)), 0);
        while first.len() < limit
            && let Some(task) = self.memory.starts.take_returned(tenant, priority)
        {
            let key = [&prefix[..], &task].concat();
            let entries = self.group.entries(Space::Records, &key, &keys::next(&key), 1)?;
            self.take(tenant, priority, entries, limit, &mut first)?;
        }
        while first.len() < limit && read < READ_MAX {
            let from = self.memory.starts.rest(tenant, priority);
            let some = (limit - first.len()).max(READ_MIN);
            let entries = self.group.entries(Space::Records, &from, &keys::past(&prefix), some)?;
            if entries.is_empty() {
                break;
            }
            read += entries.len();
            self.take(tenant, priority, entries, limit, &mut first)?;
        }
        Ok(first)
    }

    /// Adds the ready tasks among the entries of a queue to `first`, up to `limit`. Damaged ones are set aside.
    fn take(
        &mut self,
        tenant: &TenantId,
        priority: Priority,
        entries: Vec<Entry>,
        limit: usize,
        first: &mut Vec<Found>,
    ) -> Result<()> {
        let place = Place::Queue(priority);
        for (key, record) in entries {
            if first.len() == limit {
                break;
            }
            let Some(moment) = keys::last_moment(&key) else { continue };
            let Some((created_at, id)) = keys::split_moment(&moment) else { continue };
            self.memory.starts.read(tenant, priority, &moment);
            if self.memory.leases.get(id).is_some() {
                continue;
            }
            let origin = Origin { tenant: tenant.clone(), priority, created_at };
            match record
                .and_then(|record| is_queued(&record).then(|| self.found(id, &origin, place, &record)).transpose())
            {
                Ok(found) => first.extend(found),
                Err(Error::Corrupt(reason)) => {
                    tracing::error!(task = %id, reason, "task set aside: its record cannot be read");
                    self.group.set_aside(Space::Records, &key, &origin.record(Place::Damaged, id));
                    self.count_out(tenant, priority)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn lease_one(
        &mut self,
        before: Found,
        token: LeaseToken,
        leasing: &mut Leasing,
        functions: &mut Functions,
    ) -> Result<Option<LeasedTask>> {
        let mut task = before.task.clone();
        let expired = task.expire(self.now).is_ok();
        let Leasing { worker, dispatcher, expires_at, .. } = *leasing;
        let dispatcher = Some(dispatcher);
        let lease = Lease { worker, dispatcher, token, started_at: self.now, expires_at, renewed: false };
        if expired || task.lease(lease).is_err() {
            // A task that refuses the lease was promoted before the clock was set back; it is indexed again by its
            // current state.
            self.change(before, &task)?;
            return Ok(None);
        }
        let Found { task: queued, carried, place } = before;
        self.leave(&queued, place)?;
        self.count(&task.tenant, |counters| counters.running += 1)?;
        let (origin, running) = (Origin::of(&task), Running::of(&task, lease));
        leasing.leases.push(task.id, &origin, task.attempt, token);
        self.hold(task.id, Held { origin, running, kept: Kept::Entry(leasing.number) });
        self.handed_over(task, &carried, functions)
    }

    /// Returns everything that a run needs. A task whose function cannot be read is logged and skipped: its lease
    /// lapses until its attempts are used up, so it blocks no task behind it.
    fn handed_over(&mut self, task: Task, carried: &Carried, functions: &mut Functions) -> Result<Option<LeasedTask>> {
        let (module, function, grants, setup) = match self.function_of(&task, functions) {
            Ok(function) => function,
            Err(Error::Corrupt(reason)) => {
                tracing::error!(task = %task.id, reason, "task skipped: its function cannot be read");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let input = self.whole(&keys::input(task.id), &carried.input)?;
        let invocation = Invocation::plain(task.tenant.clone(), function, module, task.limits, grants, input);
        let invocation = Invocation { waited_ms: task.waited_ms(), ..invocation }.started(setup, task.start.clone());
        Ok(Some(LeasedTask { task, invocation }))
    }

    fn function_of(&mut self, task: &Task, functions: &mut Functions) -> Result<Leased> {
        if let Some(known) = functions.get(&task.function) {
            return Ok(known.clone());
        }
        let record = self.function_record(task.function)?;
        let record = record.ok_or_else(|| Error::Corrupt(format!("the function of task {}", task.id)))?;
        let FunctionVersion { module, name, grants, setup, .. } = &record.version;
        let function = (*module, name.clone(), grants.clone(), setup.clone());
        functions.insert(task.function, function.clone());
        Ok(function)
    }
}
