//! The lifecycle as a table of every state against every transition, and random walks through it. Whole tasks are
//! compared, since a refused transition must change nothing.

use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    id::{FunctionId, LeaseToken, TaskId, WorkerId},
    keep::Keep,
    lifecycle::{Fence, Next, Refused},
    limits::{RECORD_BYTES, RELEASES_MAX},
    name::TenantId,
    outcome::{Failure, Receipt},
    setup::Start,
    tags::Tags,
    task::{EndRecord, Lease, PastAttempt, Priority, Status, Task, TaskState, Why},
    time::Millis,
};
use proptest::prelude::*;

const NOW: Millis = Millis(10_000);
const LATER: Millis = Millis(20_000);
const TOKEN: LeaseToken = LeaseToken([1; 16]);
const OTHER_TOKEN: LeaseToken = LeaseToken([2; 16]);
/// Fence presented by every transition of the table.
const FENCE: Fence = Fence { attempt: 2, token: TOKEN };

/// Returns a task at the second of three attempts.
fn task(state: TaskState) -> Task {
    Task {
        id: TaskId::from_bytes([3; 16]),
        tenant: TenantId::default_tenant(),
        function: FunctionId::from_bytes([4; 16]),
        limits: RunLimits::default(),
        priority: Priority::Normal,
        created_at: Millis(0),
        expires_at: LATER,
        attempt: FENCE.attempt,
        attempts_max: 3,
        releases: 0,
        fingerprint: None,
        retry_of: None,
        input_bytes: 10,
        start: Start::default(),
        keep: Keep::DEFAULT,
        tags: Tags::default(),
        past: Vec::new(),
        state,
    }
}

fn lease(token: LeaseToken, expires_at: Millis) -> Lease {
    Lease {
        worker: WorkerId::from_bytes([5; 16]),
        dispatcher: None,
        token,
        started_at: NOW,
        expires_at,
        renewed: false,
    }
}

fn ended(token: Option<LeaseToken>) -> EndRecord {
    EndRecord { at: Millis(9_000), token, receipt: receipt() }
}

fn receipt() -> Receipt {
    Receipt { fuel: Some(7), attempt: FENCE.attempt, ..Receipt::default() }
}

fn trap() -> Failure {
    Failure::new(ErrorCode::Trap, "the function trapped: unreachable")
}

fn running(token: LeaseToken) -> Task {
    task(TaskState::Running(lease(token, LATER)))
}

#[derive(Clone, Copy, Debug)]
enum Transition {
    Lease,
    Beat,
    Return,
    Fail,
    Retry,
    Release,
    Lapse,
    Expire,
    Cancel,
}

/// Columns of the table.
const TRANSITIONS: [Transition; 9] = {
    use Transition::*;
    [Lease, Beat, Return, Fail, Retry, Release, Lapse, Expire, Cancel]
};

fn apply(task: &mut Task, transition: Transition) -> Result<Status, Refused> {
    match transition {
        Transition::Lease => task.lease(lease(TOKEN, LATER)).map(|_| ()),
        Transition::Beat => task.renew(FENCE, Millis(30_000)),
        Transition::Return => task.end(FENCE, None, receipt(), NOW),
        Transition::Fail => task.end(FENCE, Some(trap()), receipt(), NOW),
        Transition::Retry => task.retry(FENCE, LATER, NOW).map(|_| ()),
        Transition::Release => task.release(FENCE, NOW).map(|_| ()),
        Transition::Lapse => task.lapse(LATER, NOW).map(|_| ()),
        Transition::Expire => task.expire(NOW),
        Transition::Cancel => task.cancel(NOW),
    }?;
    Ok(task.status())
}

#[test]
fn every_state_answers_every_transition() {
    const QUEUED: Result<Status, Refused> = Ok(Status::Queued);
    const RUNNING: Result<Status, Refused> = Ok(Status::Running);
    const COMPLETE: Result<Status, Refused> = Ok(Status::Completed);
    const FAILED: Result<Status, Refused> = Ok(Status::Failed);
    const WAIT: Result<Status, Refused> = Err(Refused::NotReady);
    const STALE: Result<Status, Refused> = Err(Refused::Stale);
    const KNOWN: Result<Status, Refused> = Err(Refused::Recorded);
    const ENDED: Result<Status, Refused> = Err(Refused::Ended);

    let due = task(TaskState::Queued { not_before: NOW });
    let delayed = task(TaskState::Queued { not_before: LATER });
    let over = task(TaskState::Running(lease(TOKEN, NOW)));
    let waited_too_long = Task { expires_at: NOW, ..due.clone() };
    let ran_too_long = Task { expires_at: NOW, ..running(TOKEN) };
    let next_attempt = Task { attempt: 3, ..running(TOKEN) };
    let completed = |token| task(TaskState::Completed(ended(token)));
    let failed = |token| task(TaskState::Failed(trap(), ended(token)));
    let ended_later = Task { attempt: 3, ..completed(Some(TOKEN)) };
    #[rustfmt::skip]
    let table = [
        // state                                              lease    beat     return    fail    retry   release lapse   expire  cancel
        ("queued, due",              due,                     [RUNNING, STALE,   STALE,    STALE,  STALE,  STALE,  WAIT,   WAIT,   FAILED]),
        ("queued, not due",          delayed,                 [WAIT,    STALE,   STALE,    STALE,  STALE,  STALE,  WAIT,   WAIT,   FAILED]),
        ("queued for too long",      waited_too_long,         [RUNNING, STALE,   STALE,    STALE,  STALE,  STALE,  WAIT,   FAILED, FAILED]),
        ("running",                  running(TOKEN),          [WAIT,    RUNNING, COMPLETE, FAILED, QUEUED, QUEUED, WAIT,   WAIT,   FAILED]),
        ("running past its expiry",  ran_too_long,            [WAIT,    RUNNING, COMPLETE, FAILED, QUEUED, QUEUED, WAIT,   WAIT,   FAILED]),
        ("running, lease over",      over,                    [WAIT,    RUNNING, COMPLETE, FAILED, QUEUED, QUEUED, QUEUED, WAIT,   FAILED]),
        ("running, other token",     running(OTHER_TOKEN),    [WAIT,    STALE,   STALE,    STALE,  STALE,  STALE,  WAIT,   WAIT,   FAILED]),
        ("running, other attempt",   next_attempt,            [WAIT,    STALE,   STALE,    STALE,  STALE,  STALE,  WAIT,   WAIT,   FAILED]),
        ("completed by this report", completed(Some(TOKEN)),  [ENDED,   KNOWN,   KNOWN,    KNOWN,  KNOWN,  KNOWN,  ENDED,  ENDED,  ENDED]),
        ("completed by another",     completed(Some(OTHER_TOKEN)), [ENDED, ENDED, ENDED,   ENDED,  ENDED,  ENDED,  ENDED,  ENDED,  ENDED]),
        ("completed later",          ended_later,             [ENDED,   ENDED,   ENDED,    ENDED,  ENDED,  ENDED,  ENDED,  ENDED,  ENDED]),
        ("failed by this report",    failed(Some(TOKEN)),     [ENDED,   KNOWN,   KNOWN,    KNOWN,  KNOWN,  KNOWN,  ENDED,  ENDED,  ENDED]),
        ("failed by another",        failed(Some(OTHER_TOKEN)), [ENDED, ENDED,   ENDED,    ENDED,  ENDED,  ENDED,  ENDED,  ENDED,  ENDED]),
        ("failed by the host",       failed(None),            [ENDED,   ENDED,   ENDED,    ENDED,  ENDED,  ENDED,  ENDED,  ENDED,  ENDED]),
    ];
    for (state, before, answers) in table {
        for (transition, expected) in TRANSITIONS.into_iter().zip(answers) {
            let mut after = before.clone();
            assert_eq!(apply(&mut after, transition), expected, "{state}: {transition:?}");
            assert_eq!(after == before, expected.is_err(), "{state}: {transition:?} left {after:?}");
        }
    }
}

#[test]
fn a_transition_changes_only_what_it_is_about() {
    let queued = |not_before| TaskState::Queued { not_before };
    let cancelled = Failure::new(ErrorCode::Cancelled, "the task was cancelled");
    let by_host = Receipt { attempt: FENCE.attempt, ..Receipt::default() };
    let ended = |token, receipt| EndRecord { at: NOW, token, receipt };
    let before = task(TaskState::Running(Lease { renewed: true, ..lease(TOKEN, NOW) }));
    let Lease { worker, started_at, dispatcher, .. } = lease(TOKEN, NOW);
    let past = |why| vec![PastAttempt { attempt: FENCE.attempt, worker, dispatcher, started_at, ended_at: NOW, why }];
    for (transition, state, past) in [
        (Transition::Beat, TaskState::Running(Lease { renewed: true, ..lease(TOKEN, Millis(30_000)) }), Vec::new()),
        (Transition::Return, TaskState::Completed(ended(Some(TOKEN), receipt())), Vec::new()),
        (Transition::Fail, TaskState::Failed(trap(), ended(Some(TOKEN), receipt())), Vec::new()),
        (Transition::Retry, queued(LATER), past(Why::Lost)),
        (Transition::Lapse, queued(LATER), past(Why::Lapsed)),
        (Transition::Cancel, TaskState::Failed(cancelled, ended(None, by_host)), past(Why::Cancelled)),
    ] {
        let mut after = before.clone();
        apply(&mut after, transition).unwrap();
        assert_eq!(after, Task { state, past, ..before.clone() }, "{transition:?}");
    }

    let mut released = before.clone();
    assert_eq!(released.release(FENCE, NOW), Ok(Next::Queued));
    let past = past(Why::Released);
    assert_eq!(released, Task { state: queued(NOW), releases: 1, attempts_max: 4, past, ..before });

    let mut leased = released.clone();
    assert_eq!(leased.lease(lease(OTHER_TOKEN, LATER)), Ok(3));
    assert_eq!(leased, Task { state: TaskState::Running(lease(OTHER_TOKEN, LATER)), attempt: 3, ..released });
}

#[test]
fn the_last_attempt_cannot_be_lost_again() {
    let last =
        Task { attempts_max: FENCE.attempt, ..task(TaskState::Running(Lease { renewed: true, ..lease(TOKEN, NOW) })) };
    for lose in [|task: &mut Task| task.retry(FENCE, LATER, NOW), |task: &mut Task| task.lapse(LATER, NOW)] {
        let mut lost = last.clone();
        assert_eq!(lose(&mut lost), Ok(Next::Failed));
        assert_eq!(lost.failure().map(|failure| failure.code), Some(ErrorCode::AttemptsExhausted));
        let ended = lost.ended().unwrap();
        assert_eq!((ended.at, ended.token, ended.receipt.attempt), (NOW, None, FENCE.attempt));
    }
}

#[test]
fn releases_cost_no_attempt_until_there_were_too_many() {
    let mut task = Task { attempt: 0, attempts_max: 1, ..task(TaskState::Queued { not_before: NOW }) };
    for release in 1..=RELEASES_MAX {
        let attempt = task.lease(lease(TOKEN, LATER)).unwrap();
        assert_eq!(attempt, release);
        assert_eq!(task.release(Fence { attempt, token: TOKEN }, NOW), Ok(Next::Queued), "release {release}");
        assert_eq!((task.attempt, task.releases, task.attempts_max), (attempt, release, release + 1));
    }
    let attempt = task.lease(lease(TOKEN, LATER)).unwrap();
    assert_eq!(task.release(Fence { attempt, token: TOKEN }, NOW), Ok(Next::Failed));
    assert_eq!(task.releases, RELEASES_MAX);
    assert_eq!(task.failure().map(|failure| failure.code), Some(ErrorCode::AttemptsExhausted));
}

#[test]
fn a_lease_that_nobody_renewed_costs_no_attempt_until_there_were_too_many() {
    let mut task = Task { attempt: 0, attempts_max: 1, ..task(TaskState::Queued { not_before: NOW }) };
    for lapse in 1..=RELEASES_MAX {
        task.lease(lease(TOKEN, LATER)).unwrap();
        assert_eq!(task.lapse(NOW, LATER), Ok(Next::Queued), "lapse {lapse}");
        assert_eq!((task.releases, task.attempts_max), (lapse, lapse + 1));
    }
    task.lease(lease(TOKEN, LATER)).unwrap();
    assert_eq!(task.lapse(NOW, LATER), Ok(Next::Failed));
    assert_eq!(task.failure().map(|failure| failure.code), Some(ErrorCode::AttemptsExhausted));
}

#[test]
fn a_lease_is_given_again_to_its_token_alone() {
    let before = running(TOKEN);
    let mut again = before.clone();
    assert_eq!(again.lease_again(TOKEN, Millis(30_000)), Ok(FENCE.attempt));
    assert_eq!(again, Task { state: TaskState::Running(lease(TOKEN, Millis(30_000))), ..before.clone() });
    // A late repetition of the request does not shorten the lease.
    assert_eq!(again.lease_again(TOKEN, NOW), Ok(FENCE.attempt));
    assert_eq!(again.state, TaskState::Running(lease(TOKEN, Millis(30_000))));
    assert_eq!(again.lease_again(OTHER_TOKEN, LATER), Err(Refused::Stale));
    let mut ended = before;
    ended.end(FENCE, None, receipt(), NOW).unwrap();
    assert_eq!(ended.lease_again(TOKEN, LATER), Err(Refused::Recorded));
}

/// One step of a random walk. Fences are drawn close to the current one, which covers valid, late and forged ones.
#[derive(Clone, Copy, Debug)]
struct Step {
    transition: Transition,
    attempts_back: u32,
    token: u8,
    wait_ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..TRANSITIONS.len(), 0..3_u32, 0..3_u8, 0..4_000_u64);
    let step = step.prop_map(|(index, attempts_back, token, wait_ms)| Step {
        transition: TRANSITIONS[index],
        attempts_back,
        token,
        wait_ms,
    });
    prop::collection::vec(step, 1..80)
}

fn walk(task: &mut Task, step: Step, now: Millis) -> Result<(), Refused> {
    let token = LeaseToken([step.token; 16]);
    let fence = Fence { attempt: task.attempt.saturating_sub(step.attempts_back), token };
    let lease = Lease { started_at: now, ..lease(token, now.plus(2_000)) };
    match step.transition {
        Transition::Lease => task.lease(lease).map(|_| ()),
        Transition::Beat => task.renew(fence, now.plus(2_000)),
        Transition::Return => task.end(fence, None, receipt(), now),
        Transition::Fail => task.end(fence, Some(trap()), receipt(), now),
        Transition::Retry => task.retry(fence, now.plus(1_000), now).map(|_| ()),
        Transition::Release => task.release(fence, now).map(|_| ()),
        Transition::Lapse => task.lapse(now, now).map(|_| ()),
        Transition::Expire => task.expire(now),
        // Less frequent than the others, since it ends every walk.
        Transition::Cancel if step.attempts_back == 0 && step.token == 0 => task.cancel(now),
        Transition::Cancel => Err(Refused::NotReady),
    }
}

#[test]
fn a_task_counts_what_is_stored_of_it() {
    let receipt = Receipt { output_bytes: 3, log_bytes: 4, ..Receipt::default() };
    let ended = |failure: Option<Failure>| {
        let mut task = running(TOKEN);
        task.end(FENCE, failure, receipt.clone(), NOW).unwrap();
        task.stored_bytes() - RECORD_BYTES
    };
    let failure = |code| Failure { backtrace: vec!["abc".to_owned()], ..Failure::new(code, "de") };
    assert_eq!(running(TOKEN).stored_bytes(), RECORD_BYTES + 10, "the input, while it may be needed");
    assert_eq!(ended(None), 7, "output and log");
    assert_eq!(ended(Some(failure(ErrorCode::Trap))), 22, "and a dead letter's texts and input");
    assert_eq!(ended(Some(failure(ErrorCode::Cancelled))), 12, "a cancelled task has no input");
    let huge = Receipt { output_bytes: u64::MAX, log_bytes: 1, ..Receipt::default() };
    let state = TaskState::Completed(EndRecord { at: NOW, token: None, receipt: huge });
    assert_eq!(task(state).stored_bytes(), u64::MAX);
}

proptest! {
    #[test]
    fn a_walk_never_goes_back(steps in steps(), attempts_max in 1..6_u32) {
        let mut task = Task {
            attempt: 0,
            attempts_max,
            expires_at: Millis(100_000),
            ..task(TaskState::Queued { not_before: Millis(0) })
        };
        let mut now = Millis(0);
        for step in steps {
            now = now.plus(step.wait_ms);
            let before = task.clone();
            let answer = walk(&mut task, step, now);
            prop_assert!(answer.is_ok() || task == before, "refused, and changed: {before:?} {task:?}");
            prop_assert!(!before.status().is_ended() || answer.is_err() && task == before);
            let started = matches!((&before.state, &task.state), (TaskState::Queued { .. }, TaskState::Running(_)));
            prop_assert_eq!(task.attempt, before.attempt + u32::from(started));
            prop_assert!(task.attempt <= task.attempts_max);
            prop_assert!(task.releases <= RELEASES_MAX && task.attempts_max == attempts_max + task.releases);
        }
    }
}
