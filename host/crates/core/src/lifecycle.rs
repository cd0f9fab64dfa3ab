//! Legal transitions of a task. Every store applies these and no others. A refused transition leaves the task
//! unchanged.
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
    task::{EndRecord, Lease, Task, TaskState, Why},
    time::Millis,
};

/// Proof of holding the lease of the current attempt: number and token must both match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Number of the attempt.
    pub attempt: Attempt,
    /// Secret of the attempt's lease.
    pub token: LeaseToken,
}

/// Reason for refusing a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The task is not queued, or not yet due.
    #[error("the task is not ready for an attempt")]
    NotReady,
    /// The task is held by another attempt or by none.
    #[error("the attempt is not the current one")]
    Stale,
    /// The same report was recorded before; the sender may discard it.
    #[error("the end is already recorded")]
    Recorded,
    /// The task has ended.
    #[error("the task has ended")]
    Ended,
}

/// State after an attempt lapsed, was released or is to be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The task is queued again.
    Queued,
    /// The task has failed: no attempts are left.
    Failed,
}

impl Task {
    /// Starts the next attempt under `lease`.
    ///
    /// # Errors
    /// Returns [`Refused::NotReady`] unless the task is queued and due at `lease.started_at`, and [`Refused::Ended`] if
    /// it has ended.
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

    /// Renews the lease until `expires_at`.
    ///
    /// # Errors
    /// Returns [`Refused::Stale`], [`Refused::Recorded`] or [`Refused::Ended`] if the lease is not held; the worker
    /// must then stop the run.
    pub fn renew(&mut self, fence: Fence, expires_at: Millis) -> Result<(), Refused> {
        let lease = self.held(fence)?;
        lease.expires_at = expires_at;
        lease.renewed = true;
        Ok(())
    }

    /// Grants a lease again to a dispatcher that repeats its lease request because it received no answer, and extends
    /// it to `expires_at`. This does not count as a renewal, since the holder may still not have received the lease.
    ///
    /// # Errors
    /// Returns [`Refused::Stale`] if the task holds no lease with this token, and [`Refused::Recorded`] or
    /// [`Refused::Ended`] if the task has ended.
    pub fn lease_again(&mut self, token: LeaseToken, expires_at: Millis) -> Result<Attempt, Refused> {
        let attempt = self.attempt;
        let lease = self.held(Fence { attempt, token })?;
        lease.expires_at = lease.expires_at.max(expires_at);
        Ok(attempt)
    }

    /// Records the end of the current attempt: COMPLETED without a failure, FAILED with one.
    ///
    /// # Errors
    /// Returns [`Refused::Recorded`] if the end of this attempt is already recorded, and [`Refused::Stale`] or
    /// [`Refused::Ended`] if the attempt is not the current one.
    pub fn end(
        &mut self,
        fence: Fence,
        failure: Option<Failure>,
        receipt: Receipt,
        now: Millis,
    ) -> Result<(), Refused> {
        self.held(fence)?;
        let ended = EndRecord { at: now, token: Some(fence.token), receipt };
        self.state = match failure {
            None => TaskState::Completed(ended),
            Some(failure) => TaskState::Failed(failure, ended),
        };
        Ok(())
    }

    /// Queues another attempt, not before `not_before`, or fails the task if no attempts are left.
    ///
    /// # Errors
    /// Same as [`Task::end`].
    pub fn retry(&mut self, fence: Fence, not_before: Millis, now: Millis) -> Result<Next, Refused> {
        self.held(fence)?;
        Ok(self.requeue_or_fail(Why::Lost, not_before, now))
    }

    /// Releases the lease in an orderly way. The attempt number is kept, since it is the fence; instead the maximum
    /// rises by one attempt, up to [`RELEASES_MAX`] times.
    ///
    /// # Errors
    /// Same as [`Task::end`].
    pub fn release(&mut self, fence: Fence, now: Millis) -> Result<Next, Refused> {
        self.held(fence)?;
        self.give_attempt_back();
        Ok(self.requeue_or_fail(Why::Released, now, now))
    }

    /// Ends an expired lease: queues the task again, or fails it if no attempts are left. A lease that was never
    /// renewed may never have reached a worker, so its attempt is restored as in [`Task::release`].
    ///
    /// # Errors
    /// Returns [`Refused::NotReady`] if no lease has expired at `now`, and [`Refused::Ended`] if the task has ended.
    pub fn lapse(&mut self, not_before: Millis, now: Millis) -> Result<Next, Refused> {
        match &self.state {
            TaskState::Running(lease) if lease.expires_at <= now => {
                if !lease.renewed {
                    self.give_attempt_back();
                }
                Ok(self.requeue_or_fail(Why::Lapsed, not_before, now))
            }
            TaskState::Running(_) | TaskState::Queued { .. } => Err(Refused::NotReady),
            TaskState::Completed(_) | TaskState::Failed(..) => Err(Refused::Ended),
        }
    }

    /// Fails a queued task whose expiry has passed.
    ///
    /// # Errors
    /// Returns [`Refused::NotReady`] unless the task is queued and its expiry has passed, and [`Refused::Ended`] if it
    /// has ended.
    pub fn expire(&mut self, now: Millis) -> Result<(), Refused> {
        match self.state {
            TaskState::Queued { .. } if self.expires_at <= now => {
                self.fail(ErrorCode::Expired, "the task expired before it started", now);
                Ok(())
            }
            TaskState::Queued { .. } | TaskState::Running(_) => Err(Refused::NotReady),
            TaskState::Completed(_) | TaskState::Failed(..) => Err(Refused::Ended),
        }
    }

    /// Cancels a queued or running task. The worker that runs it learns of it when it next renews the lease.
    ///
    /// # Errors
    /// Returns [`Refused::Ended`] if the task has ended.
    pub fn cancel(&mut self, now: Millis) -> Result<(), Refused> {
        match self.state {
            TaskState::Queued { .. } | TaskState::Running(_) => {
                self.past(Why::Cancelled, now);
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

    fn requeue_or_fail(&mut self, why: Why, not_before: Millis, now: Millis) -> Next {
        self.past(why, now);
        if self.attempt < self.attempts_max {
            self.state = TaskState::Queued { not_before };
            return Next::Queued;
        }
        self.fail(ErrorCode::AttemptsExhausted, "every attempt was lost with its worker", now);
        Next::Failed
    }

    fn fail(&mut self, code: ErrorCode, message: &str, now: Millis) {
        let receipt = Receipt { attempt: self.attempt, ..Receipt::default() };
        self.state = TaskState::Failed(Failure::new(code, message), EndRecord { at: now, token: None, receipt });
    }
}
