//! Leases of the first due tasks of a tenant.

use std::collections::HashMap;

use bytes::Bytes;
use fusebox_core::{
    function::{FunctionVersion, Grants},
    id::{FunctionId, LeaseToken, ModuleDigest},
    invocation::Invocation,
    limits::LEASE_BATCH_MAX,
    name::FunctionName,
    task::{Lease, Priority, Status, Task},
    time::Millis,
};

use super::{Place, Steps};
use crate::{
    Error, LeaseRequest, LeasedTask, Result,
    embedded::{
        engine::Space,
        keys::{self, Timed},
    },
};

/// Largest number of tasks examined in one step: expired ones are ended on the way.
const LOOKED_AT_MAX: usize = 1_024;

/// Largest number of leases examined for a repeated request: more than one process holds.
const HELD_MAX: usize = 10_000;

/// Data of each function that a lease needs.
type Functions = HashMap<FunctionId, (ModuleDigest, FunctionName, Grants)>;

impl Steps<'_> {
    /// Leases the first due tasks of a tenant: highest priority first, then oldest first. A repeated request first gets
    /// the attempts that its tokens hold.
    pub(in crate::embedded) fn lease(&mut self, request: &LeaseRequest) -> Result<Vec<LeasedTask>> {
        let mut functions = Functions::new();
        let mut leased = if request.again { self.held(request, &mut functions)? } else { Vec::new() };
        let held: Vec<LeaseToken> = leased.iter().filter_map(|leased| leased.task.token()).collect();
        let asked = request.tokens.iter().take(LEASE_BATCH_MAX as usize);
        let mut tokens = asked.copied().filter(|token| !held.contains(token)).peekable();
        let ready = self.counters(&request.tenant)?.ready;
        let mut looked_at = 0;
        for priority in Priority::HIGHEST_FIRST {
            if ready[usize::from(keys::order(priority))] == 0 {
                continue;
            }
            while looked_at < LOOKED_AT_MAX
                && let Some(token) = tokens.peek()
            {
                let Some(task) = self.first_ready(request, priority)? else { break };
                looked_at += 1;
                if let Some(task) = task
                    && let Some(task) = self.lease_one(task, request, *token, &mut functions)?
                {
                    leased.push(task);
                    tokens.next();
                }
            }
        }
        Ok(leased)
    }

    /// Returns the attempts that a request's tokens hold, each extended to the duration of a new lease.
    fn held(&mut self, request: &LeaseRequest, functions: &mut Functions) -> Result<Vec<LeasedTask>> {
        let (from, to) = (Timed::Leased.after(self.now), Timed::Leased.after(Millis::NEVER));
        let expires_at = self.now.plus(request.lease_ms);
        let mut held = Vec::new();
        for key in self.group.keys(Space::Index, &from, &to, HELD_MAX)? {
            let Some(before) = self.indexed(&key)? else { continue };
            let Some(token) = before.token().filter(|token| request.tokens.contains(token)) else { continue };
            let mut task = before.clone();
            if task.lease_again(token, expires_at).is_ok() {
                self.change(&before, Place::Ready, &task)?;
                held.extend(self.handed_over(task, functions)?);
            }
        }
        held.sort_by_key(|LeasedTask { task, .. }| (std::cmp::Reverse(task.priority), task.created_at, task.id));
        Ok(held)
    }

    /// Returns the first ready task, or `Some(None)` if its entry named no readable queued task and was removed.
    fn first_ready(&mut self, request: &LeaseRequest, priority: Priority) -> Result<Option<Option<Task>>> {
        let tenant = &request.tenant;
        let Some(entry) = self.memory.starts.first_ready(&self.group, tenant, priority)? else { return Ok(None) };
        if let Some(task) = self.indexed(&entry)?.filter(|task| task.status() == Status::Queued) {
            return Ok(Some(Some(task)));
        }
        self.memory.starts.ready_removed(tenant, priority, &entry);
        self.group.remove(Space::Index, [&keys::ready_of(tenant, priority)[..], &entry].concat());
        let at = usize::from(keys::order(priority));
        self.count(tenant, |counters| counters.ready[at] = counters.ready[at].saturating_sub(1))?;
        Ok(Some(None))
    }

    fn lease_one(
        &mut self,
        before: Task,
        request: &LeaseRequest,
        token: LeaseToken,
        functions: &mut Functions,
    ) -> Result<Option<LeasedTask>> {
        let mut task = before.clone();
        let expired = task.expire(self.now).is_ok();
        let lease = Lease {
            worker: request.worker,
            token,
            started_at: self.now,
            expires_at: self.now.plus(request.lease_ms),
            renewed: false,
        };
        let leased = !expired && task.lease(lease).is_ok();
        // A task that refuses the lease was promoted before the clock was set back; it is indexed again by its current
        // state.
        self.change(&before, Place::Ready, &task)?;
        if !leased {
            return Ok(None);
        }
        self.handed_over(task, functions)
    }

    /// Returns everything that a run needs. A task whose function cannot be read is logged and skipped: its lease
    /// lapses until its attempts are used up, so it blocks no task behind it.
    fn handed_over(&mut self, task: Task, functions: &mut Functions) -> Result<Option<LeasedTask>> {
        let (module, function, grants) = match self.function_of(&task, functions) {
            Ok(function) => function,
            Err(Error::Corrupt(reason)) => {
                tracing::error!(task = %task.id, reason, "task skipped: its function cannot be read");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let input = self.group.get(Space::Blobs, &keys::input(task.id))?.unwrap_or_else(Bytes::new);
        let (tenant, limits, waited_ms) = (task.tenant.clone(), task.limits, task.waited_ms());
        let invocation = Invocation { tenant, function, module, limits, grants, waited_ms, input };
        Ok(Some(LeasedTask { task, invocation }))
    }

    fn function_of(&mut self, task: &Task, functions: &mut Functions) -> Result<(ModuleDigest, FunctionName, Grants)> {
        if let Some(known) = functions.get(&task.function) {
            return Ok(known.clone());
        }
        let record = self.function_record(task.function)?;
        let record = record.ok_or_else(|| Error::Corrupt(format!("the function of task {}", task.id)))?;
        let FunctionVersion { module, name, grants, .. } = &record.version;
        let function = (*module, name.clone(), grants.clone());
        functions.insert(task.function, function.clone());
        Ok(function)
    }
}
