//! State of remote workers: their links, assignments not yet acknowledged, and attempts leased by another dispatcher
//! that they still hold. Decides nothing about leases.

use std::collections::{BTreeMap, HashMap, HashSet};

use fusebox_core::{
    id::{DispatcherId, LeaseToken, WorkerId},
    lifecycle::Fence,
    limits::{RECEIPT_MS_MAX, WORKER_CAPACITY_MAX},
    time::Millis,
    wire::{self, Assignment, AttemptId, FromDispatcher, Join, SETUP_SINCE, older::PlainAssignment},
};

use super::gateway::LinkId;
use crate::worker::slots::EXTRA_SLOTS;
use fusebox_link::LinkSender;
use fusebox_store::{Claim, WorkerInfo};

/// Bytes of inputs after which a batch continues in another message: half of a message's size, so that one input of the
/// largest size always fits beside them.
const ASSIGN_BYTES_MAX: usize = 8 << 20;

/// Joined worker.
pub(super) struct Remote {
    link: Option<(LinkId, LinkSender)>,
    /// Announced facts about the worker.
    pub(super) info: WorkerInfo,
    /// Assignments that are not acknowledged, with the time at which they were sent.
    unreceived: HashMap<AttemptId, Millis>,
    /// Attempts leased by another dispatcher, or by this one before it gave the worker up. Their leases are renewed
    /// here; the core does not know them.
    adopted: HashMap<AttemptId, LeaseToken>,
    /// Number of open host calls.
    calls: u32,
}

/// Remote workers by id.
#[derive(Default)]
pub(super) struct Remotes {
    workers: BTreeMap<WorkerId, Remote>,
    draining: bool,
}

impl Remotes {
    /// Registers a worker that has joined or rejoined. Closes an older link of it.
    pub(super) fn join(&mut self, link: LinkId, sender: LinkSender, join: Join, now: Millis) {
        let Join { worker, mode, name, version, slots, .. } = join;
        let ended = self.workers.get(&worker).map_or(0, |known| known.info.ended);
        let joined_at = self.workers.get(&worker).map_or(now, |known| known.info.joined_at);
        let info = WorkerInfo {
            id: worker,
            mode,
            name,
            version,
            slots,
            running: 0,
            ended,
            joined_at,
            seen_at: now,
            draining: false,
        };
        let link = Some((link, sender));
        let remote = Remote { link, info, unreceived: HashMap::new(), adopted: HashMap::new(), calls: 0 };
        if let Some((_, older)) = self.workers.insert(worker, remote).and_then(|older| older.link) {
            older.close();
        }
    }

    /// Records the close of a link. Returns true if it was the worker's current one.
    pub(super) fn left(&mut self, worker: WorkerId, link: LinkId) -> bool {
        let Some(remote) = self.workers.get_mut(&worker) else { return false };
        let is_current = remote.link.as_ref().is_some_and(|(current, _)| *current == link);
        if is_current {
            remote.link = None;
            remote.unreceived.clear();
        }
        is_current
    }

    /// Returns true if this is the worker's current link.
    pub(super) fn is_current(&self, worker: WorkerId, link: LinkId) -> bool {
        let current = self.workers.get(&worker).and_then(|remote| remote.link.as_ref());
        current.is_some_and(|(current, _)| *current == link)
    }

    /// Forgets a worker and closes its link, so that it joins again if it is alive.
    pub(super) fn forget(&mut self, worker: WorkerId) {
        if let Some((_, link)) = self.workers.remove(&worker).and_then(|remote| remote.link) {
            link.close();
        }
    }

    /// Forgets a worker that has left for good, and returns its adopted attempts. The gateway closes the link.
    pub(super) fn dismiss(&mut self, worker: WorkerId) -> Vec<wire::HeldAttempt> {
        let adopted = self.workers.remove(&worker).map(|remote| remote.adopted).unwrap_or_default();
        adopted.into_iter().map(|(id, token)| wire::HeldAttempt { id, token }).collect()
    }

    /// Returns true if a worker drains and holds no adopted attempts.
    pub(super) fn is_drained(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|remote| remote.info.draining && remote.adopted.is_empty())
    }

    pub(super) fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Remote> {
        self.workers.get_mut(&worker)
    }

    /// Sends a message; returns true if it was queued on a link. Messages newer than the peer's protocol version are
    /// not sent.
    pub(super) fn send(&self, worker: WorkerId, message: &FromDispatcher) -> bool {
        let link = self.workers.get(&worker).and_then(|remote| remote.link.as_ref());
        let sender = link.map(|(_, sender)| sender).filter(|sender| message.since() <= sender.version());
        let (Some(sender), Ok(bytes)) = (sender, wire::encode(message)) else { return false };
        sender.send(bytes.into()).is_ok()
    }

    /// Returns true if the worker's release knows arguments, environment, files and exports of runs.
    pub(super) fn knows_setups(&self, worker: WorkerId) -> bool {
        let link = self.workers.get(&worker).and_then(|remote| remote.link.as_ref());
        link.is_some_and(|(_, sender)| sender.version() >= SETUP_SINCE)
    }

    /// Sends attempts in one message that the worker's release knows; returns true if it was queued.
    fn send_attempts(&self, worker: WorkerId, attempts: Vec<Assignment>, extra: bool) -> bool {
        if self.knows_setups(worker) {
            return self.send(worker, &FromDispatcher::Run { attempts, extra });
        }
        let plain = attempts.into_iter().map(PlainAssignment::try_from).collect::<Result<Vec<_>, _>>();
        match plain {
            Ok(plain) if extra => plain.into_iter().all(|plain| self.send(worker, &FromDispatcher::AssignExtra(plain))),
            Ok(plain) => self.send(worker, &FromDispatcher::Assign(plain)),
            Err(_) => false,
        }
    }

    /// Sends attempts in as few messages as possible, and returns those that could not be queued.
    pub(super) fn assign(&mut self, worker: WorkerId, batch: Vec<Assignment>, now: Millis) -> Vec<AttemptId> {
        let mut unsent = Vec::new();
        for part in parts(batch) {
            let ids: Vec<AttemptId> = part.iter().map(|assignment| assignment.held.id).collect();
            match self.send_attempts(worker, part, false) {
                true => {
                    if let Some(remote) = self.workers.get_mut(&worker) {
                        remote.unreceived.extend(ids.into_iter().map(|id| (id, now)));
                    }
                }
                false => unsent.extend(ids),
            }
        }
        unsent
    }

    /// Sends an attempt for the extra slot; returns true if it was queued.
    pub(super) fn assign_extra(&mut self, worker: WorkerId, assignment: Assignment, now: Millis) -> bool {
        let id = assignment.held.id;
        let is_sent = self.send_attempts(worker, vec![assignment], true);
        if let Some(remote) = self.workers.get_mut(&worker).filter(|_| is_sent) {
            remote.unreceived.insert(id, now);
        }
        is_sent
    }

    /// Closes links whose assignments were not acknowledged in time.
    pub(super) fn close_deaf(&self, now: Millis) {
        for (worker, remote) in &self.workers {
            let is_late = |sent_at: &Millis| sent_at.plus(RECEIPT_MS_MAX) <= now;
            if let Some((_, link)) = remote.link.as_ref().filter(|_| remote.unreceived.values().any(is_late)) {
                tracing::warn!(%worker, "link closed: the worker does not acknowledge its assignments");
                link.close();
            }
        }
    }

    /// Returns the claims of all adopted attempts, for the renewal of their leases.
    pub(super) fn adopted(&self) -> Vec<(WorkerId, Claim)> {
        let of = |(worker, remote): (&WorkerId, &Remote)| {
            let worker = *worker;
            let claims = remote.adopted.iter().map(move |(id, token)| (worker, claim(*id, *token)));
            claims.collect::<Vec<_>>()
        };
        self.workers.iter().flat_map(of).collect()
    }

    /// Returns the worker that holds an adopted attempt of a task.
    pub(super) fn adopter(&self, task: fusebox_core::id::TaskId) -> Option<(WorkerId, AttemptId)> {
        self.workers
            .iter()
            .find_map(|(worker, remote)| remote.adopted.keys().find(|id| id.task == task).map(|id| (*worker, *id)))
    }

    /// Returns all connected workers, for the announcement.
    pub(super) fn infos(&self) -> Vec<WorkerInfo> {
        self.workers.values().filter(|remote| remote.link.is_some()).map(|remote| remote.info.clone()).collect()
    }

    /// Sends the id of this dispatcher.
    pub(super) fn welcome(&self, worker: WorkerId, dispatcher: DispatcherId) {
        self.send(worker, &FromDispatcher::Welcome { dispatcher });
        if self.draining {
            self.send(worker, &FromDispatcher::Drains);
        }
    }

    /// Notifies every worker, including later ones, that this dispatcher drains.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        for worker in self.workers.keys() {
            self.send(*worker, &FromDispatcher::Drains);
        }
    }
}

impl Remote {
    /// Records the attempts that the worker holds and this dispatcher does not know.
    pub(super) fn adopt(&mut self, held: &[wire::HeldAttempt], known: &HashSet<AttemptId>) {
        let foreign = held.iter().filter(|held| !known.contains(&held.id));
        self.adopted = foreign.map(|held| (held.id, held.token)).collect();
    }

    /// Removes an attempt that is over from the adopted ones.
    pub(super) fn release(&mut self, id: AttemptId) {
        self.adopted.remove(&id);
    }

    /// Counts a host call; returns false if too many are open. Each slot waits for at most one.
    pub(super) fn begin_call(&mut self) -> bool {
        let has_room = self.calls < self.info.slots.min(WORKER_CAPACITY_MAX) + EXTRA_SLOTS;
        self.calls += u32::from(has_room);
        has_room
    }

    /// Counts a host call as completed.
    pub(super) fn end_call(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// Returns true if the worker holds this adopted attempt.
    pub(super) fn holds_adopted(&self, held: &wire::HeldAttempt) -> bool {
        self.adopted.get(&held.id) == Some(&held.token)
    }

    /// Records the acknowledgement of an attempt.
    pub(super) fn received(&mut self, id: AttemptId) {
        self.unreceived.remove(&id);
    }
}

/// Builds the proof of a lease.
pub(super) fn claim(id: AttemptId, token: LeaseToken) -> Claim {
    Claim { task: id.task, fence: Fence { attempt: id.attempt, token } }
}

/// Splits a batch so that the inputs of each part fit into a message.
fn parts(batch: Vec<Assignment>) -> Vec<Vec<Assignment>> {
    let mut parts: Vec<Vec<Assignment>> = Vec::new();
    let mut bytes = usize::MAX;
    for assignment in batch {
        bytes = bytes.saturating_add(assignment.invocation.bytes());
        match parts.last_mut().filter(|_| bytes <= ASSIGN_BYTES_MAX) {
            Some(part) => part.push(assignment),
            None => {
                bytes = assignment.invocation.bytes();
                parts.push(vec![assignment]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fusebox_core::{
        function::{Grants, RunLimits},
        id::{ModuleDigest, TaskId},
        invocation::Invocation,
        name::TenantId,
        wire::HeldAttempt,
    };

    use super::*;

    fn assignment(bytes: usize) -> Assignment {
        let id = AttemptId { task: TaskId::from_bytes([1; 16]), attempt: 1 };
        let invocation = Invocation::plain(
            TenantId::default_tenant(),
            "f".parse().unwrap(),
            ModuleDigest([3; 32]),
            RunLimits::default(),
            Grants::default(),
            Bytes::from(vec![0; bytes]),
        );
        Assignment { held: HeldAttempt { id, token: LeaseToken([2; 16]) }, invocation }
    }

    #[test]
    fn a_batch_is_split_where_its_inputs_are_large() {
        let sizes = |sizes: &[usize]| {
            let batch = sizes.iter().map(|bytes| assignment(*bytes)).collect();
            parts(batch).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&[1; 300]), [300]);
        assert_eq!(sizes(&[6 << 20, 1 << 20, 2 << 20, 6 << 20]), [2, 2]);
    }
}
