//! Tests of lease renewals, ends, retries, releases and cancellations.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    id::{LeaseToken, TaskId, WorkerId},
    lifecycle::Fence,
    limits::RELEASES_MAX,
    outcome::{Ended, Failure, Receipt},
    task::Status,
};

use super::{
    LEASE_MS, Subject, accept, cancel, claim, end, finish, lease, lease_of, lease_one, new_task, one_task, register,
    status, tenant,
};
use crate::{Cancelled, Claim, Finish, Finished, NewTask, Renewal, Verdict};
use fusebox_system::random;

async fn renew(subject: &dyn Subject, claim: Claim) -> Renewal {
    subject.store().renew(vec![claim], LEASE_MS).await.unwrap()[0]
}

pub(crate) async fn a_beat_renews(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    for _ in 0..3 {
        subject.pass(LEASE_MS - 100).await;
        assert_eq!(renew(subject, claim(&leased)).await, Renewal::Renewed);
        assert!(subject.store().tick().await.unwrap().lapsed.is_empty());
    }
    assert_eq!(status(subject, &tenant, task).await, Status::Running);
    assert_eq!(finish(subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
}

pub(crate) async fn a_beat_without_the_lease_is_lost(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    let held = claim(&leased);
    let forged = Claim { fence: Fence { token: LeaseToken([0; 16]), ..held.fence }, ..held };
    let other = Claim { fence: Fence { attempt: 2, ..held.fence }, ..held };
    let absent = Claim { task: TaskId::from_bytes([1; 16]), ..held };
    let answers = subject.store().renew(vec![forged, held, other, absent], LEASE_MS).await.unwrap();
    assert_eq!(answers, [Renewal::Lost, Renewal::Renewed, Renewal::Lost, Renewal::Lost]);
    subject.pass(LEASE_MS).await;
    subject.store().tick().await.unwrap();
    assert_eq!(renew(subject, held).await, Renewal::Lost);
    let again = lease_one(subject, &tenant).await;
    assert_eq!(renew(subject, held).await, Renewal::Lost);
    assert_eq!(renew(subject, claim(&again)).await, Renewal::Renewed);
    cancel(subject, &tenant, task).await;
    assert_eq!(renew(subject, claim(&again)).await, Renewal::Lost);
}

pub(crate) async fn an_end_is_recorded_with_its_bytes(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    subject.pass(10).await;
    assert_eq!(finish(subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    let result = subject.store().result(&tenant, task).await.unwrap().unwrap();
    let ended = result.task.ended().unwrap();
    assert_eq!((result.task.status(), ended.at, ended.receipt.fuel), (Status::Completed, subject.now(), Some(42)));
    assert_eq!(&result.output[..], b"out");
    assert_eq!(subject.store().log(&tenant, task).await.unwrap().as_deref(), Some(&b"log"[..]));
}

pub(crate) async fn an_end_with_a_failure_fails(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    let mut failure = Failure::new(ErrorCode::Trap, "the function trapped: unreachable");
    failure.backtrace = vec!["inner".to_owned(), "outer".to_owned()];
    let verdict = Verdict::End(Ended {
        failure: Some(failure.clone()),
        output: Bytes::from_static(b"error"),
        log: Bytes::new(),
        receipt: Receipt::default(),
    });
    assert_eq!(finish(subject, claim(&leased), verdict).await, Finished::Ended(Status::Failed));
    let result = subject.store().result(&tenant, task).await.unwrap().unwrap();
    assert_eq!((result.task.failure(), &result.output[..]), (Some(&failure), &b"error"[..]));
    assert_eq!(subject.store().log(&tenant, task).await.unwrap(), Some(Bytes::new()));
}

pub(crate) async fn an_end_reported_again_is_a_duplicate(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    assert_eq!(finish(subject, claim(&leased), end("first")).await, Finished::Ended(Status::Completed));
    let before = subject.store().task(&tenant, task).await.unwrap();
    subject.pass(5).await;
    assert_eq!(finish(subject, claim(&leased), end("other")).await, Finished::Duplicate);
    let result = subject.store().result(&tenant, task).await.unwrap().unwrap();
    assert_eq!((Some(result.task), &result.output[..]), (before, &b"first"[..]));
}

pub(crate) async fn a_stale_attempt_changes_nothing(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let zombie = claim(&lease_one(subject, &tenant).await);
    subject.pass(LEASE_MS).await;
    subject.store().tick().await.unwrap();
    for verdict in [end("late"), Verdict::Retry { delay_ms: 0 }, Verdict::Release] {
        assert_eq!(finish(subject, zombie, verdict).await, Finished::Stale);
    }
    let second = lease_one(subject, &tenant).await;
    assert_eq!(second.task.attempt, 2);
    let before = subject.store().task(&tenant, task).await.unwrap();
    let mixed = Claim { fence: Fence { attempt: 1, ..claim(&second).fence }, ..zombie };
    for claim in [zombie, mixed] {
        assert_eq!(finish(subject, claim, end("late")).await, Finished::Stale);
    }
    assert_eq!(subject.store().task(&tenant, task).await.unwrap(), before);
    assert_eq!(finish(subject, claim(&second), end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(finish(subject, zombie, end("late")).await, Finished::Stale);
    assert_eq!(&subject.store().result(&tenant, task).await.unwrap().unwrap().output[..], b"out");
}

pub(crate) async fn a_forged_token_changes_nothing(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    let held = claim(&leased);
    let forged = Claim { fence: Fence { token: LeaseToken([0; 16]), ..held.fence }, ..held };
    for verdict in [end("forged"), Verdict::Retry { delay_ms: 0 }, Verdict::Release] {
        assert_eq!(finish(subject, forged, verdict).await, Finished::Stale);
    }
    assert_eq!(subject.store().task(&tenant, task).await.unwrap(), Some(leased.task));
    cancel(subject, &tenant, task).await;
    assert_eq!(finish(subject, forged, end("forged")).await, Finished::Stale);
    assert_eq!(finish(subject, held, end("late")).await, Finished::Stale);
    let absent = Claim { task: TaskId::from_bytes([1; 16]), ..held };
    assert_eq!(finish(subject, absent, end("out")).await, Finished::Stale);
}

pub(crate) async fn a_retry_waits_for_its_delay(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    let answer = finish(subject, claim(&leased), Verdict::Retry { delay_ms: 3_000 }).await;
    assert_eq!(answer, Finished::Requeued);
    assert_eq!(status(subject, &tenant, task).await, Status::Queued);
    subject.pass(2_000).await;
    subject.store().tick().await.unwrap();
    assert_eq!(lease(subject, &tenant, 1).await.len(), 0);
    subject.pass(1_000).await;
    assert_eq!(subject.store().tick().await.unwrap().promoted, 1);
    let again = lease_one(subject, &tenant).await;
    assert_eq!((again.task.id, again.task.attempt, &again.invocation.input[..]), (task, 2, &b"input"[..]));
}

pub(crate) async fn a_retry_without_an_attempt_left_fails(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let task = accept(subject, NewTask { attempts_max: 1, ..new_task(subject, &function) }).await;
    let leased = lease_one(subject, &tenant).await;
    let answer = finish(subject, claim(&leased), Verdict::Retry { delay_ms: 0 }).await;
    assert_eq!(answer, Finished::Ended(Status::Failed));
    let task = subject.store().task(&tenant, task).await.unwrap().unwrap();
    assert_eq!(task.failure().unwrap().code, ErrorCode::AttemptsExhausted);
}

pub(crate) async fn a_release_gives_the_attempt_back(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    accept(subject, NewTask { attempts_max: 1, ..new_task(subject, &function) }).await;
    let leased = lease_one(subject, &tenant).await;
    assert_eq!(finish(subject, claim(&leased), Verdict::Release).await, Finished::Requeued);
    let again = lease_one(subject, &tenant).await;
    assert_eq!((again.task.attempt, again.task.attempts_max), (2, 2));
    assert_eq!(finish(subject, claim(&again), end("out")).await, Finished::Ended(Status::Completed));
}

pub(crate) async fn releases_without_end_use_up_the_attempts(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    accept(subject, NewTask { attempts_max: 1, ..new_task(subject, &function) }).await;
    for _ in 0..RELEASES_MAX {
        let leased = lease_one(subject, &tenant).await;
        assert_eq!(finish(subject, claim(&leased), Verdict::Release).await, Finished::Requeued);
    }
    let last = lease_one(subject, &tenant).await;
    assert_eq!(finish(subject, claim(&last), Verdict::Release).await, Finished::Ended(Status::Failed));
}

pub(crate) async fn reports_are_answered_in_order(subject: &dyn Subject) {
    let (tenant, _) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    subject.store().accept((0..3).map(|_| new_task(subject, &function)).collect()).await.unwrap();
    let leased = lease(subject, &tenant, 4).await;
    let report = |at: usize, verdict| Finish { claim: claim(&leased[at]), verdict };
    let reports = vec![
        report(0, Verdict::Retry { delay_ms: 0 }),
        report(1, end("one")),
        report(1, end("one")),
        report(2, Verdict::Release),
        report(0, end("zero")),
        report(3, end("three")),
    ];
    let answers = subject.store().finish(reports).await.unwrap();
    let ended = Finished::Ended(Status::Completed);
    let expected = [Finished::Requeued, ended, Finished::Duplicate, Finished::Requeued, Finished::Stale, ended];
    assert_eq!(answers, expected);
}

pub(crate) async fn a_waiting_task_is_cancelled(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let delayed = NewTask { delay_ms: 1_000, ..new_task(subject, &function) };
    let delayed = accept(subject, delayed).await;
    for task in [task, delayed] {
        assert_eq!(cancel(subject, &tenant, task).await, Cancelled::Cancelled { worker: None });
        let task = subject.store().task(&tenant, task).await.unwrap().unwrap();
        assert_eq!(task.failure().unwrap().code, ErrorCode::Cancelled);
    }
    subject.pass(1_000).await;
    assert_eq!(subject.store().tick().await.unwrap().promoted, 0);
    assert_eq!(lease(subject, &tenant, 1).await.len(), 0);
}

pub(crate) async fn a_running_task_is_cancelled(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    let worker = WorkerId::from_bytes([7; 16]);
    assert_eq!(lease_of(&leased).worker, worker);
    assert_eq!(cancel(subject, &tenant, task).await, Cancelled::Cancelled { worker: Some(worker) });
    assert_eq!(finish(subject, claim(&leased), end("late")).await, Finished::Stale);
    let task = subject.store().task(&tenant, task).await.unwrap().unwrap();
    assert_eq!(task.failure().unwrap().code, ErrorCode::Cancelled);
    subject.pass(LEASE_MS).await;
    assert!(subject.store().tick().await.unwrap().lapsed.is_empty());
}

pub(crate) async fn an_ended_task_is_not_cancelled(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), end("out")).await;
    assert_eq!(cancel(subject, &tenant, task).await, Cancelled::Ended(Status::Completed));
    assert_eq!(status(subject, &tenant, task).await, Status::Completed);
}

pub(crate) async fn a_missing_task_is_not_cancelled(subject: &dyn Subject) {
    assert_eq!(cancel(subject, &tenant("acme"), TaskId::from_bytes([1; 16])).await, Cancelled::NotFound);
}

pub(crate) async fn a_dead_letter_keeps_its_input(subject: &dyn Subject) {
    let (tenant, failing) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let store = subject.store();
    let input = Bytes::from_static(b"input");
    assert_eq!(store.input(&tenant, failing).await.unwrap(), Some(input.clone()));
    let leased = lease_one(subject, &tenant).await;
    let failure = Some(Failure::new(ErrorCode::Trap, "it trapped"));
    let verdict = Verdict::End(Ended { failure, output: Bytes::new(), log: Bytes::new(), receipt: Receipt::default() });
    finish(subject, claim(&leased), verdict).await;
    assert_eq!(store.input(&tenant, failing).await.unwrap(), Some(input));

    let again = NewTask { retry_of: Some(failing), ..new_task(subject, &function) };
    let again = accept(subject, again).await;
    assert_eq!(store.task(&tenant, again).await.unwrap().unwrap().retry_of, Some(failing));
    let leased = lease_one(subject, &tenant).await;
    assert_eq!(leased.task.retry_of, Some(failing));
    finish(subject, claim(&leased), end("out")).await;
    assert_eq!(store.input(&tenant, again).await.unwrap(), Some(Bytes::new()));
    let missing = random::task_id(subject.now());
    assert_eq!(store.input(&tenant, missing).await.unwrap(), None);
    assert_eq!(store.input(&super::tenant("other"), failing).await.unwrap(), None);
}
