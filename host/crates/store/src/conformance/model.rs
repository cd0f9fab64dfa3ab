//! Random steps on a store and on a model simple enough to be obviously right: lists, no indexes, no batches. Answers,
//! statuses, backlog and stored bytes must agree after every step.

use std::future::Future;

use fusebox_core::{
    id::{Attempt, LeaseToken, TaskId},
    lifecycle::Fence,
    limits::{RECORD_BYTES, RELEASES_MAX},
    name::TenantId,
    task::{Priority, Status},
    time::Millis,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{
    LEASE_MS, RESULTS_MS, Subject, cancel, claim, counts, end,
    functions::{by_name, collect, delete},
    lease_of, lease_request, new_task, register, tenant,
    usage::stored,
};
use crate::{Accepted, Cancelled, Claim, Finish, Finished, NewTask, Renewal, Verdict};

/// Number of sequences tried; few, since every step of one waits for the disk.
const CASES: u32 = 24;
/// Unit in which time passes, in milliseconds.
const UNIT_MS: u64 = 500;

#[derive(Clone, Copy, Debug)]
enum Step {
    Accept { priority: usize, delay: u64, age: u64, attempts_max: Attempt },
    Lease { most: usize, again: bool },
    Renew { at: usize, forged: bool },
    End { at: usize, forged: bool },
    Retry { at: usize, delay: u64 },
    Release { at: usize },
    Cancel { at: usize },
    Pass { units: u64 },
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let accept = (0..3_usize, 0..4_u64, 1..12_u64, 1..4_u32).prop_map(|(priority, delay, age, attempts_max)| {
        Step::Accept { priority, delay: delay.saturating_sub(2), age, attempts_max }
    });
    let step = prop_oneof![
        6 => accept,
        5 => (1..4_usize, prop::bool::weighted(0.2)).prop_map(|(most, again)| Step::Lease { most, again }),
        1 => (0..16_usize, prop::bool::weighted(0.2)).prop_map(|(at, forged)| Step::Renew { at, forged }),
        3 => (0..16_usize, prop::bool::weighted(0.1)).prop_map(|(at, forged)| Step::End { at, forged }),
        2 => (0..16_usize, 0..3_u64).prop_map(|(at, delay)| Step::Retry { at, delay }),
        1 => (0..16_usize).prop_map(|at| Step::Release { at }),
        1 => (0..16_usize).prop_map(|at| Step::Cancel { at }),
        2 => (1..4_u64).prop_map(|units| Step::Pass { units }),
        2 => Just(Step::Tick),
    ];
    vec(step, 1..50)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Delayed(Millis),
    Ready,
    /// End of the lease, and true if it was renewed.
    Running(Millis, bool),
    Ended(Status),
}

#[derive(Clone, Debug)]
struct Modelled {
    id: TaskId,
    priority: Priority,
    created_at: Millis,
    expires_at: Millis,
    attempt: Attempt,
    attempts_max: Attempt,
    releases: u32,
    token: LeaseToken,
    /// Token that recorded the end.
    ended_by: Option<LeaseToken>,
    state: State,
}

impl Modelled {
    fn wait(&mut self, delay_ms: u64, now: Millis) -> Finished {
        self.state = match delay_ms {
            _ if self.attempt >= self.attempts_max => State::Ended(Status::Failed),
            0 => State::Ready,
            delay_ms => State::Delayed(now.plus(delay_ms)),
        };
        if self.status() == Status::Queued { Finished::Requeued } else { Finished::Ended(Status::Failed) }
    }

    fn give_attempt_back(&mut self) {
        if self.releases < RELEASES_MAX {
            self.releases += 1;
            self.attempts_max += 1;
        }
    }

    fn status(&self) -> Status {
        match self.state {
            State::Delayed(_) | State::Ready => Status::Queued,
            State::Running(..) => Status::Running,
            State::Ended(status) => status,
        }
    }

    fn finish(&mut self, fence: Fence, verdict: &Verdict, now: Millis) -> Finished {
        let same_attempt = fence.attempt == self.attempt;
        match self.state {
            State::Running(..) if same_attempt && fence.token == self.token => match verdict {
                Verdict::End(_) => {
                    (self.state, self.ended_by) = (State::Ended(Status::Completed), Some(fence.token));
                    Finished::Ended(Status::Completed)
                }
                Verdict::Retry { delay_ms } => self.wait(*delay_ms, now),
                Verdict::Release => {
                    self.give_attempt_back();
                    self.wait(0, now)
                }
            },
            State::Ended(_) if same_attempt && self.ended_by == Some(fence.token) => Finished::Duplicate,
            _ => Finished::Stale,
        }
    }

    fn tick(&mut self, now: Millis) {
        if let State::Running(until, renewed) = self.state
            && until <= now
        {
            if !renewed {
                self.give_attempt_back();
            }
            self.wait(0, now);
        }
        if matches!(self.state, State::Delayed(until) if until <= now) {
            self.state = State::Ready;
        }
        self.expire(now);
    }

    fn expire(&mut self, now: Millis) {
        if self.status() == Status::Queued && self.expires_at <= now {
            self.state = State::Ended(Status::Failed);
        }
    }
}

/// One sequence, with a tenant of its own, so that all can share a store.
struct Case<'a> {
    subject: &'a dyn Subject,
    tenant: TenantId,
    tasks: Vec<Modelled>,
    /// Every claim that was ever valid, latest first.
    claims: Vec<Claim>,
    /// Time until which nothing that ends in this case is purged.
    kept_until: Millis,
}

/// Compares a store with the model.
pub(crate) fn compare<S: Subject, F: Future<Output = S>>(make: impl Fn() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let subject = runtime.block_on(make());
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let mut number = 0;
    let mut run = |steps: Vec<Step>| {
        number += 1;
        let tenant = tenant(&format!("case-{number}"));
        let kept_until = subject.now().plus(RESULTS_MS);
        let mut case = Case { subject: &subject, tenant, tasks: Vec::new(), claims: Vec::new(), kept_until };
        runtime.block_on(case.run(&steps));
    };
    let run = std::cell::RefCell::new(&mut run);
    runner
        .run(&steps(), |steps| {
            let mut run = run.borrow_mut();
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(steps)));
            ran.map_err(|_| TestCaseError::fail("the store and the model differ"))
        })
        .unwrap();
}

impl Case<'_> {
    async fn run(&mut self, steps: &[Step]) {
        register(self.subject, &self.tenant, "f").await;
        for step in steps {
            self.step(*step).await;
            self.check(*step).await;
        }
        self.clear().await;
    }

    /// Ends and deletes everything; nothing is counted for the tenant any more.
    async fn clear(&self) {
        for task in &self.tasks {
            cancel(self.subject, &self.tenant, task.id).await;
        }
        delete(self.subject, &self.tenant, &by_name("f")).await;
        // Longer than ended tasks are kept.
        collect(self.subject).await;
        assert_eq!(stored(self.subject, &self.tenant).await, 0);
    }

    async fn check(&self, step: Step) {
        let count = |of: fn(&State) -> bool| self.tasks.iter().filter(|task| of(&task.state)).count() as u64;
        let expected = (
            count(|state| *state == State::Ready),
            count(|state| matches!(state, State::Delayed(_))),
            count(|state| matches!(state, State::Running(..))),
        );
        assert_eq!(counts(self.subject, &self.tenant).await, expected, "backlog after {step:?}");
        let mut bytes = RECORD_BYTES + 1;
        for task in &self.tasks {
            let found = self.subject.store().task(&self.tenant, task.id).await.unwrap().unwrap();
            assert_eq!(found.status(), task.status(), "after {step:?}: {task:?}");
            bytes += found.stored_bytes();
        }
        assert_eq!(stored(self.subject, &self.tenant).await, bytes, "bytes after {step:?}");
    }

    async fn step(&mut self, step: Step) {
        let now = self.subject.now();
        match step {
            Step::Accept { priority, delay, age, attempts_max } => {
                let priority = Priority::HIGHEST_FIRST[priority];
                self.accept(priority, delay * UNIT_MS, age * UNIT_MS, attempts_max).await;
            }
            Step::Lease { most, again } => self.lease(most, again).await,
            Step::Renew { at, forged } => self.renew(at, forged).await,
            Step::End { at, forged } => self.finish(at, forged, end("out")).await,
            Step::Retry { at, delay } => self.finish(at, false, Verdict::Retry { delay_ms: delay * UNIT_MS }).await,
            Step::Release { at } => self.finish(at, false, Verdict::Release).await,
            Step::Cancel { at } => self.cancel(at).await,
            Step::Pass { units } if now.plus(units * UNIT_MS) >= self.kept_until => {}
            Step::Pass { units } => self.subject.pass(units * UNIT_MS).await,
            Step::Tick => {
                self.subject.store().tick().await.unwrap();
                self.tasks.iter_mut().for_each(|task| task.tick(now));
            }
        }
    }

    async fn accept(&mut self, priority: Priority, delay_ms: u64, age_ms: u64, attempts_max: Attempt) {
        let now = self.subject.now();
        let name = crate::FunctionRef::Name("f".parse().unwrap());
        let function = self.subject.store().function(&self.tenant, &name).await.unwrap().unwrap();
        let expires_at = now.plus(age_ms);
        let new = new_task(self.subject, &function);
        // Tasks accepted at the same moment are ordered by id or as they are sent: the same here.
        let (mut id, number) = (*new.id.as_bytes(), u32::try_from(self.tasks.len()).unwrap());
        id[6..8].copy_from_slice(&[0x70, 0]);
        id[8..12].copy_from_slice(&(0x8000_0000 + number).to_be_bytes());
        let id = TaskId::from_bytes(id);
        let new = NewTask { id, priority, delay_ms, expires_in_ms: age_ms, attempts_max, ..new };
        let at = self.subject.now();
        assert_eq!(self.subject.store().accept(vec![new.clone()]).await.unwrap(), [Accepted::New { at }]);
        self.tasks.push(Modelled {
            id: new.id,
            priority,
            created_at: now,
            expires_at,
            attempt: 0,
            attempts_max,
            releases: 0,
            token: LeaseToken([0; 16]),
            ended_by: None,
            state: if delay_ms == 0 { State::Ready } else { State::Delayed(now.plus(delay_ms)) },
        });
    }

    /// With `again`, the answer is treated as lost and the request is repeated.
    async fn lease(&mut self, most: usize, again: bool) {
        let now = self.subject.now();
        let mut request = lease_request(&self.tenant, most);
        if again {
            self.subject.store().lease(request.clone()).await.unwrap();
            request.again = true;
        }
        let leased = self.subject.store().lease(request).await.unwrap();
        let mut ready: Vec<_> = self.tasks.iter_mut().filter(|task| task.state == State::Ready).collect();
        ready.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.created_at, task.id));
        let mut expected = Vec::new();
        for task in ready {
            if expected.len() == most {
                break;
            }
            task.expire(now);
            if task.state == State::Ready {
                task.attempt += 1;
                task.state = State::Running(now.plus(LEASE_MS), false);
                expected.push((task.id, task.attempt));
            }
        }
        let found: Vec<_> = leased.iter().map(|leased| (leased.task.id, leased.task.attempt)).collect();
        assert_eq!(found, expected);
        for leased in &leased {
            if let Some(task) = self.tasks.iter_mut().find(|task| task.id == leased.task.id) {
                task.token = lease_of(leased).token;
            }
            self.claims.insert(0, claim(leased));
        }
    }

    fn claim(&self, at: usize, forged: bool) -> Option<Claim> {
        let mut claim = *self.claims.get(at % self.claims.len().max(1))?;
        if forged {
            claim.fence.token = LeaseToken([0; 16]);
        }
        Some(claim)
    }

    async fn renew(&mut self, at: usize, forged: bool) {
        let now = self.subject.now();
        let Some(claim) = self.claim(at, forged) else { return };
        let answer = self.subject.store().renew(vec![claim], LEASE_MS).await.unwrap();
        let task = self.tasks.iter_mut().find(|task| task.id == claim.task).unwrap();
        let fence = Fence { attempt: task.attempt, token: task.token };
        let held = fence == claim.fence && matches!(task.state, State::Running(..));
        if held {
            task.state = State::Running(now.plus(LEASE_MS), true);
        }
        assert_eq!(answer, [if held { Renewal::Renewed } else { Renewal::Lost }]);
    }

    async fn finish(&mut self, at: usize, forged: bool, verdict: Verdict) {
        let now = self.subject.now();
        let Some(claim) = self.claim(at, forged) else { return };
        let answer = self.subject.store().finish(vec![Finish { claim, verdict: verdict.clone() }]).await.unwrap();
        let task = self.tasks.iter_mut().find(|task| task.id == claim.task).unwrap();
        assert_eq!(answer, [task.finish(claim.fence, &verdict, now)]);
    }

    async fn cancel(&mut self, at: usize) {
        let count = self.tasks.len().max(1);
        let Some(task) = self.tasks.get_mut(at % count) else { return };
        let answer = self.subject.store().cancel(&self.tenant, task.id).await.unwrap();
        match task.state {
            State::Ended(status) => assert_eq!(answer, Cancelled::Ended(status)),
            state => {
                let running = matches!(state, State::Running(..));
                assert!(matches!(answer, Cancelled::Cancelled { worker } if worker.is_some() == running));
                task.state = State::Ended(Status::Failed);
            }
        }
    }
}
