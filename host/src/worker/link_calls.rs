//! Passes host calls of runs to the dispatcher, and its answers back. A worker holds no credentials of the store: each
//! call carries the lease of its attempt.

use std::{
    collections::HashMap,
    sync::mpsc::{self, SyncSender},
    time::Instant,
};

use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    name::TenantId,
    wire::{AttemptId, FromWorker},
};
use fusebox_sandbox::{Guest, HostCalls, WaitLimit};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::held::HeldAttempts;
use crate::host_calls;

/// Host call of a run.
pub struct PendingCall {
    tenant: TenantId,
    attempt: AttemptId,
    call: HostCall,
    until: Instant,
    tell: SyncSender<Result<HostAnswer, Refusal>>,
}

/// Passes host calls to the agent of this process.
pub struct LinkHostCalls {
    calls: UnboundedSender<PendingCall>,
}

/// Returns the handler for the slots, with the channel that the agent reads.
#[must_use]
pub fn channel() -> (LinkHostCalls, UnboundedReceiver<PendingCall>) {
    // Unbounded in type, but bounded by the slots: each waits for the answer to one call.
    let (calls, asked) = unbounded_channel();
    (LinkHostCalls { calls }, asked)
}

impl HostCalls for LinkHostCalls {
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        // Only tasks run in a worker's process.
        let attempt = guest.attempt.ok_or(Refusal::Unavailable)?;
        let (tell, told) = mpsc::sync_channel(1);
        let pending = PendingCall { tenant: guest.tenant.clone(), attempt, call, until: limit.until(), tell };
        self.calls.send(pending).map_err(|_| Refusal::Unavailable)?;
        host_calls::wait(&told, limit)
    }
}

/// Returns the answer to a call that the dispatcher is too old for. Its release had no configuration in the environment,
/// so that a run finds none there.
const fn unknown(message: &FromWorker) -> Result<HostAnswer, Refusal> {
    match message {
        FromWorker::Call { call: HostCall::Configs, .. } => Ok(HostAnswer::Configs(Vec::new())),
        _ => Err(Refusal::Unavailable),
    }
}

/// Calls that were sent over the link and are not answered.
#[derive(Default)]
pub(super) struct OpenCalls {
    open: HashMap<u64, SyncSender<Result<HostAnswer, Refusal>>>,
    last: u64,
}

impl OpenCalls {
    /// Returns the message for a call on a link of this version; `None` if its run no longer waits, or if the dispatcher
    /// does not know the call, which is then unavailable.
    pub(super) fn ask(&mut self, pending: PendingCall, held: &HeldAttempts, version: u16) -> Option<FromWorker> {
        let PendingCall { tenant, attempt, call, until, tell } = pending;
        // An attempt that is no longer held was stopped.
        let held = held.open_attempt(attempt)?;
        if until <= Instant::now() {
            return None;
        }
        let message = FromWorker::Call { number: self.last + 1, tenant, held, call };
        if message.since() > version {
            // Errors are ignored: the run may have timed out.
            drop(tell.send(unknown(&message)));
            return None;
        }
        self.last += 1;
        self.open.insert(self.last, tell);
        Some(message)
    }

    /// Passes an answer to the run that waits for it.
    pub(super) fn answer(&mut self, number: u64, answer: Result<HostAnswer, Refusal>) {
        if let Some(tell) = self.open.remove(&number) {
            // Errors are ignored: the run may have timed out.
            drop(tell.send(answer));
        }
    }

    /// Fails every open call when the link is gone. Whether they were performed is unknown, so they are not repeated.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fusebox_core::{
        capability::{KvCursor, KvPrefix},
        id::{LeaseToken, TaskId},
        wire::{HeldAttempt, LISTS_SINCE, PROTOCOL},
    };

    use super::*;

    const ID: AttemptId = AttemptId { task: TaskId::from_bytes([1; 16]), attempt: 1 };
    const HELD: HeldAttempt = HeldAttempt { id: ID, token: LeaseToken([2; 16]) };

    type Told = mpsc::Receiver<Result<HostAnswer, Refusal>>;

    fn pending(attempt: AttemptId, left: Duration) -> (PendingCall, Told) {
        pending_call(HostCall::Config("NAME".parse().unwrap()), attempt, left)
    }

    fn pending_call(call: HostCall, attempt: AttemptId, left: Duration) -> (PendingCall, Told) {
        let (tell, told) = mpsc::sync_channel(1);
        let until = Instant::now() + left;
        (PendingCall { tenant: TenantId::default_tenant(), attempt, call, until, tell }, told)
    }

    #[test]
    fn a_question_is_asked_with_its_lease_and_answered_once() {
        let (mut open, mut held) = (OpenCalls::default(), HeldAttempts::default());
        held.begin(HELD).unwrap();
        let (asked, told) = pending(ID, Duration::from_secs(60));
        let Some(FromWorker::Call { number, held: shown, .. }) = open.ask(asked, &held, PROTOCOL) else {
            panic!("it is asked")
        };
        assert_eq!(shown, HELD);
        open.answer(number + 1, Ok(HostAnswer::Set(1)));
        assert!(told.try_recv().is_err());
        open.answer(number, Err(Refusal::Absent));
        open.answer(number, Ok(HostAnswer::Set(1)));
        assert_eq!(told.recv(), Ok(Err(Refusal::Absent)));
        assert!(told.recv().is_err());
    }

    #[test]
    fn a_call_that_the_dispatcher_does_not_know_is_unavailable() {
        let (mut open, mut held) = (OpenCalls::default(), HeldAttempts::default());
        held.begin(HELD).unwrap();
        let keys = || HostCall::KvKeys { prefix: KvPrefix::default(), after: KvCursor::default() };
        let (asked, told) = pending_call(keys(), ID, Duration::from_secs(60));
        assert!(open.ask(asked, &held, LISTS_SINCE - 1).is_none());
        assert_eq!(told.recv(), Ok(Err(Refusal::Unavailable)));
        let (asked, _told) = pending_call(keys(), ID, Duration::from_secs(60));
        assert!(open.ask(asked, &held, LISTS_SINCE).is_some());
        let (asked, told) = pending_call(HostCall::Configs, ID, Duration::from_secs(60));
        assert!(open.ask(asked, &held, LISTS_SINCE - 1).is_none());
        assert_eq!(told.recv(), Ok(Ok(HostAnswer::Configs(Vec::new()))));
    }

    #[test]
    fn what_nobody_waits_for_is_not_asked_and_a_broken_link_answers_all() {
        let (mut open, mut held) = (OpenCalls::default(), HeldAttempts::default());
        held.begin(HELD).unwrap();
        let (late, _told) = pending(ID, Duration::ZERO);
        assert!(open.ask(late, &held, PROTOCOL).is_none());
        let (stranger, told) = pending(AttemptId { attempt: 2, ..ID }, Duration::from_secs(60));
        assert!(open.ask(stranger, &held, PROTOCOL).is_none());
        assert!(told.recv().is_err(), "it is told at once");
        let (asked, told) = pending(ID, Duration::from_secs(60));
        open.ask(asked, &held, PROTOCOL).unwrap();
        open.forget();
        assert!(told.recv().is_err());
    }
}
