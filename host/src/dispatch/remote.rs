//! Workers of other processes, as the driver sees them: their links, what was sent to them and has not arrived, and the
//! attempts that they hold from another dispatcher's time. Decides nothing about leases.

use std::collections::{BTreeMap, HashMap, HashSet};

use fusebox_core::{
    id::{DispatcherId, LeaseToken, WorkerId},
    lifecycle::Fence,
    limits::{RECEIPT_MS_MAX, WORKER_CAPACITY_MAX},
    time::Millis,
    wire::{self, Assignment, AttemptId, FromDispatcher, Join},
};

use super::gateway::LinkId;
use crate::{
    store::{Claim, WorkerInfo},
    transport::LinkSender,
    worker::slots::EXTRA_SLOTS,
};

/// Bytes of inputs in one message, beyond which the rest of a batch goes into the next one: half of what a message may
/// have, so that one input of the largest size always fits beside them.
const ASSIGN_BYTES_MAX: usize = 8 << 20;

/// A worker that has joined.
pub(super) struct Remote {
    link: Option<(LinkId, LinkSender)>,
    /// What is shown of it.
    pub(super) info: WorkerInfo,
    /// Sent, and not yet known to have arrived; since when.
    unreceived: HashMap<AttemptId, Millis>,
    /// Leased by another dispatcher, or by this one before it gave the worker up: kept alive, not decided about.
    adopted: HashMap<AttemptId, LeaseToken>,
    /// What its runs have asked for and were not answered.
    calls: u32,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Remotes {
    workers: BTreeMap<WorkerId, Remote>,
    draining: bool,
}

impl Remotes {
    /// A worker has joined, or is back. A link that it had before is closed.
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

    /// A link is closed; whether it was the worker's current one.
    pub(super) fn left(&mut self, worker: WorkerId, link: LinkId) -> bool {
        let Some(remote) = self.workers.get_mut(&worker) else { return false };
        let is_current = remote.link.as_ref().is_some_and(|(current, _)| *current == link);
        if is_current {
            remote.link = None;
            remote.unreceived.clear();
        }
        is_current
    }

    /// Whether a message of this link counts.
    pub(super) fn is_current(&self, worker: WorkerId, link: LinkId) -> bool {
        let current = self.workers.get(&worker).and_then(|remote| remote.link.as_ref());
        current.is_some_and(|(current, _)| *current == link)
    }

    /// Nothing more is expected of a worker. Its link is closed, so that it joins again if it lives.
    pub(super) fn forget(&mut self, worker: WorkerId) {
        if let Some((_, link)) = self.workers.remove(&worker).and_then(|remote| remote.link) {
            link.close();
        }
    }

    /// A worker has left for good; gives what it held of another dispatcher's time. Its link ends with whoever else holds it.
    pub(super) fn dismiss(&mut self, worker: WorkerId) -> Vec<wire::HeldAttempt> {
        let adopted = self.workers.remove(&worker).map(|remote| remote.adopted).unwrap_or_default();
        adopted.into_iter().map(|(id, token)| wire::HeldAttempt { id, token }).collect()
    }

    /// Whether a worker has said that it drains, and holds nothing of another dispatcher's time.
    pub(super) fn is_drained(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|remote| remote.info.draining && remote.adopted.is_empty())
    }

    pub(super) fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Remote> {
        self.workers.get_mut(&worker)
    }

    /// Sends a message; whether it was queued on a link. A peer of the version before is not sent what it does not know.
    pub(super) fn send(&self, worker: WorkerId, message: &FromDispatcher) -> bool {
        let link = self.workers.get(&worker).and_then(|remote| remote.link.as_ref());
        let sender = link.map(|(_, sender)| sender).filter(|sender| message.since() <= sender.version());
        let (Some(sender), Ok(bytes)) = (sender, wire::encode(message)) else { return false };
        sender.send(bytes.into()).is_ok()
    }

    /// Sends attempts in as few messages as they fit into; gives those that could not be queued.
    pub(super) fn assign(&mut self, worker: WorkerId, batch: Vec<Assignment>, now: Millis) -> Vec<AttemptId> {
        let mut unsent = Vec::new();
        for part in parts(batch) {
            let ids: Vec<AttemptId> = part.iter().map(|assignment| assignment.held.id).collect();
            match self.send(worker, &FromDispatcher::Assign(part)) {
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

    /// Sends an attempt for the extra slot; whether it could be queued.
    pub(super) fn assign_extra(&mut self, worker: WorkerId, assignment: Assignment, now: Millis) -> bool {
        let id = assignment.held.id;
        let is_sent = self.send(worker, &FromDispatcher::AssignExtra(assignment));
        if let Some(remote) = self.workers.get_mut(&worker).filter(|_| is_sent) {
            remote.unreceived.insert(id, now);
        }
        is_sent
    }

    /// Closes the links that swallow messages: what was sent on them has not arrived in time.
    pub(super) fn close_deaf(&self, now: Millis) {
        for (worker, remote) in &self.workers {
            let is_late = |sent_at: &Millis| sent_at.plus(RECEIPT_MS_MAX) <= now;
            if let Some((_, link)) = remote.link.as_ref().filter(|_| remote.unreceived.values().any(is_late)) {
                tracing::warn!(%worker, "the worker does not acknowledge what it is sent: its link is closed");
                link.close();
            }
        }
    }

    /// What the adopted attempts' leases are renewed with.
    pub(super) fn adopted(&self) -> Vec<(WorkerId, Claim)> {
        let of = |(worker, remote): (&WorkerId, &Remote)| {
            let worker = *worker;
            let claims = remote.adopted.iter().map(move |(id, token)| (worker, claim(*id, *token)));
            claims.collect::<Vec<_>>()
        };
        self.workers.iter().flat_map(of).collect()
    }

    /// Which worker holds an adopted attempt of a task.
    pub(super) fn adopter(&self, task: fusebox_core::id::TaskId) -> Option<(WorkerId, AttemptId)> {
        self.workers
            .iter()
            .find_map(|(worker, remote)| remote.adopted.keys().find(|id| id.task == task).map(|id| (*worker, *id)))
    }

    /// Everyone, as it is shown.
    pub(super) fn infos(&self) -> Vec<WorkerInfo> {
        self.workers.values().filter(|remote| remote.link.is_some()).map(|remote| remote.info.clone()).collect()
    }

    /// Says who this dispatcher is.
    pub(super) fn welcome(&self, worker: WorkerId, dispatcher: DispatcherId) {
        self.send(worker, &FromDispatcher::Welcome { dispatcher });
        if self.draining {
            self.send(worker, &FromDispatcher::Drains);
        }
    }

    /// Tells every worker, those that are still to join too, that this dispatcher drains.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        for worker in self.workers.keys() {
            self.send(*worker, &FromDispatcher::Drains);
        }
    }
}

impl Remote {
    /// Attempts that it holds and this dispatcher does not know.
    pub(super) fn adopt(&mut self, held: &[wire::HeldAttempt], known: &HashSet<AttemptId>) {
        let foreign = held.iter().filter(|held| !known.contains(&held.id));
        self.adopted = foreign.map(|held| (held.id, held.token)).collect();
    }

    /// An attempt is over; it may have been adopted.
    pub(super) fn release(&mut self, id: AttemptId) {
        self.adopted.remove(&id);
    }

    /// Counts a call, if it may have one more open: each slot waits for the answer to its own.
    pub(super) fn begin_call(&mut self) -> bool {
        let has_room = self.calls < self.info.slots.min(WORKER_CAPACITY_MAX) + EXTRA_SLOTS;
        self.calls += u32::from(has_room);
        has_room
    }

    /// A call is answered.
    pub(super) fn end_call(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// Whether it has come with this attempt from another dispatcher's time.
    pub(super) fn holds_adopted(&self, held: &wire::HeldAttempt) -> bool {
        self.adopted.get(&held.id) == Some(&held.token)
    }

    /// An attempt has arrived.
    pub(super) fn received(&mut self, id: AttemptId) {
        self.unreceived.remove(&id);
    }
}

/// What a lease holder shows.
pub(super) fn claim(id: AttemptId, token: LeaseToken) -> Claim {
    Claim { task: id.task, fence: Fence { attempt: id.attempt, token } }
}

/// Splits a batch so that no part's inputs are larger than a message may be.
fn parts(batch: Vec<Assignment>) -> Vec<Vec<Assignment>> {
    let mut parts: Vec<Vec<Assignment>> = Vec::new();
    let mut bytes = usize::MAX;
    for assignment in batch {
        bytes = bytes.saturating_add(assignment.input.len());
        match parts.last_mut().filter(|_| bytes <= ASSIGN_BYTES_MAX) {
            Some(part) => part.push(assignment),
            None => {
                bytes = assignment.input.len();
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
        name::TenantId,
        wire::HeldAttempt,
    };

    use super::*;

    fn assignment(bytes: usize) -> Assignment {
        let id = AttemptId { task: TaskId::from_bytes([1; 16]), attempt: 1 };
        Assignment {
            held: HeldAttempt { id, token: LeaseToken([2; 16]) },
            tenant: TenantId::default_tenant(),
            function: "f".parse().unwrap(),
            module: ModuleDigest([3; 32]),
            limits: RunLimits::default(),
            grants: Grants::default(),
            waited_ms: 0,
            input: Bytes::from(vec![0; bytes]),
        }
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
