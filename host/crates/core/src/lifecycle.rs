//! The only legal transitions of a task. Every store applies these and nothing else, so that a task means the same
//! everywhere. A refused transition changes nothing.
//!
//! ```text
//!            lease                 end (fence)
//!  QUEUED ──────────▶ RUNNING ──────────────────▶ COMPLETED | FAILED
//!    ▲  │                │  │
//!    │  └─ expire, cancel ──┴─ cancel, lapse (attempts used up) ──▶ FAILED
//!    └── retry (fence), release (fence), lapse
//! ```

use crate::{
    error::ErrorCode,
    id::{Attempt, LeaseToken},
    limits::RELEASES_MAX,
    outcome::{Failure, Receipt},
    task::{Ended, Lease, Task, TaskState},
    time::Millis,
};

/// What a lease holder shows: both must be those of the running attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The attempt's number.
    pub attempt: Attempt,
    /// The attempt's secret.
    pub token: LeaseToken,
}

/// Why a transition was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The task is not waiting, or not yet due.
    #[error("the task does not wait for an attempt")]
    NotReady,
    /// Another attempt holds the task, or none does.
    #[error("the attempt is not the current one")]
    Stale,
    /// The very same report was recorded before: the sender may forget it.
    #[error("the end is recorded already")]
    Recorded,
    /// The task has ended.
    #[error("the task has ended")]
    Ended,
}

/// What a lapsed, released or retried attempt led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits again.
    Queued,
    /// It has failed: no attempt is left.
    Failed,
}

impl Task {
    /// Starts the next attempt under `lease`.
    ///
    /// # Errors
    /// [`Refused::NotReady`] unless the task waits and is due at `lease.started_at`.
    pub fn lease(&mut self, lease: Lease) -> Result<Attempt, Refused> {
        match self.state {
            TaskState::Queued { not_before } if not_before <= lease.started_at => {
                self.attempt += 1;
                self.state = TaskState::Running(lease);
                Ok(self.attempt)
            }
            TaskState::Queued { .. } | TaskState::Running(_) => Err(Refused::NotReady),
            TaskState::Completed(_) | TaskState::Failed(..) => Err(Refused::Ended),
        }
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// [`Refused::Stale`] or [`Refused::Ended`]: the holder must stop its run.
    pub fn beat(&mut self, fence: Fence, expires_at: Millis) -> Result<(), Refused> {
        let lease = self.held(fence)?;
        lease.expires_at = expires_at;
        lease.renewed = true;
        Ok(())
    }

    /// Gives a lease once more to whoever asked for it with this token and may have got no answer; from now it lasts
    /// until `expires_at`. That is no sign that the holder has it.
    ///
    /// # Errors
    /// [`Refused::Stale`] where no lease of this token is held, [`Refused::Recorded`] or [`Refused::Ended`] where the
    /// task has ended.
    pub fn lease_again(&mut self, token: LeaseToken, expires_at: Millis) -> Result<Attempt, Refused> {
        let attempt = self.attempt;
        let lease = self.held(Fence { attempt, token })?;
        lease.expires_at = lease.expires_at.max(expires_at);
        Ok(attempt)
    }

    /// Records the end of the current attempt: COMPLETED without a failure, FAILED with one.
    ///
    /// # Errors
    /// [`Refused::Recorded`] where this attempt's end is recorded already, [`Refused::Stale`] or [`Refused::Ended`]
    /// where it is not the current one.
    pub fn end(
        &mut self,
        fence: Fence,
        failure: Option<Failure>,
        receipt: Receipt,
        now: Millis,
    ) -> Result<(), Refused> {
        self.held(fence)?;
        let ended = Ended { at: now, token: Some(fence.token), receipt };
        self.state = match failure {
            None => TaskState::Completed(ended),
            Some(failure) => TaskState::Failed(failure, ended),
        };
        Ok(())
    }

    /// Ends the current attempt for another one, not before `not_before`; without one left the task fails.
    ///
    /// # Errors
    /// As [`Task::end`].
    pub fn retry(&mut self, fence: Fence, not_before: Millis, now: Millis) -> Result<Next, Refused> {
        self.held(fence)?;
        Ok(self.requeue_or_fail(not_before, now))
    }

    /// Gives the lease back in an orderly way. The attempt number stays, since it is the fence; instead the task may
    /// have one attempt more, up to [`RELEASES_MAX`] times.
    ///
    /// # Errors
    /// As [`Task::end`].
    pub fn release(&mut self, fence: Fence, now: Millis) -> Result<Next, Refused> {
        self.held(fence)?;
        self.give_attempt_back();
        Ok(self.requeue_or_fail(now, now))
    }

    /// Ends a lease that ran out: the task waits again, or fails where no attempt is left. Where it was never renewed,
    /// nobody may have been told of it, so that its attempt is given back as a release gives it back.
    ///
    /// # Errors
    /// [`Refused::NotReady`] where no lease is over at `now`; [`Refused::Ended`].
    pub fn lapse(&mut self, not_before: Millis, now: Millis) -> Result<Next, Refused> {
        match &self.state {
            TaskState::Running(lease) if lease.expires_at <= now => {
                if !lease.renewed {
                    self.give_attempt_back();
                }
                Ok(self.requeue_or_fail(not_before, now))
            }
            TaskState::Running(_) | TaskState::Queued { .. } => Err(Refused::NotReady),
            TaskState::Completed(_) | TaskState::Failed(..) => Err(Refused::Ended),
        }
    }

    /// Fails a task that waited too long.
    ///
    /// # Errors
    /// [`Refused::NotReady`] unless it waits and its time is over; [`Refused::Ended`].
    pub fn expire(&mut self, now: Millis) -> Result<(), Refused> {
        match self.state {
            TaskState::Queued { .. } if self.expires_at <= now => {
                self.fail(ErrorCode::Expired, "the task expired while it waited", now);
                Ok(())
            }
            TaskState::Queued { .. } | TaskState::Running(_) => Err(Refused::NotReady),
            TaskState::Completed(_) | TaskState::Failed(..) => Err(Refused::Ended),
        }
    }

    /// Cancels the task, whether it waits or runs. Whoever runs it learns from its next beat.
    ///
    /// # Errors
    /// [`Refused::Ended`].
    pub fn cancel(&mut self, now: Millis) -> Result<(), Refused> {
        match self.state {
            TaskState::Queued { .. } | TaskState::Running(_) => {
                self.fail(ErrorCode::Cancelled, "the task was cancelled", now);
                Ok(())
            }
            TaskState::Completed(_) | TaskState::Failed(..) => Err(Refused::Ended),
        }
    }

    fn held(&mut self, fence: Fence) -> Result<&mut Lease, Refused> {
        let attempt = self.attempt;
        match &mut self.state {
            TaskState::Running(lease) if attempt == fence.attempt && lease.token == fence.token => Ok(lease),
            TaskState::Running(_) | TaskState::Queued { .. } => Err(Refused::Stale),
            TaskState::Completed(ended) | TaskState::Failed(_, ended) => {
                let same = attempt == fence.attempt && ended.token == Some(fence.token);
                Err(if same { Refused::Recorded } else { Refused::Ended })
            }
        }
    }

    fn give_attempt_back(&mut self) {
        if self.releases < RELEASES_MAX {
            self.releases += 1;
            self.attempts_max += 1;
        }
    }

    fn requeue_or_fail(&mut self, not_before: Millis, now: Millis) -> Next {
        if self.attempt < self.attempts_max {
            self.state = TaskState::Queued { not_before };
            return Next::Queued;
        }
        self.fail(ErrorCode::AttemptsExhausted, "every attempt was lost with its worker", now);
        Next::Failed
    }

    fn fail(&mut self, code: ErrorCode, message: &str, now: Millis) {
        let receipt = Receipt { attempt: self.attempt, ..Receipt::default() };
        self.state = TaskState::Failed(Failure::new(code, message), Ended { at: now, token: None, receipt });
    }
}
