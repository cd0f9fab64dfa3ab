//! Tests of ticks.

use fusebox_core::{
    error::ErrorCode,
    keep::Keep,
    lifecycle::Next,
    limits::{KEEP_S_MAX, RELEASES_MAX},
    task::Status,
};

use super::{
    FAILED_MS, LEASE_MS, RESULTS_MS, Subject, accept, cancel, claim, counts, end, finish, lease, lease_one, new_task,
    one_task, register, status, tenant,
};
use crate::{Finish, LeasedTask, NewTask, Renewal, Ticked, Verdict};

pub(crate) async fn a_lapsed_lease_queues_the_task_again(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    lease_one(subject, &tenant).await;
    subject.pass(LEASE_MS - 1).await;
    assert_eq!(subject.store().tick().await.unwrap(), Ticked::default());
    subject.pass(1).await;
    let ticked = subject.store().tick().await.unwrap();
    assert_eq!(ticked, Ticked { lapsed: vec![(task, Next::Queued)], ..Ticked::default() });
    assert_eq!(counts(subject, &tenant).await, (1, 0, 0));
    assert_eq!(lease_one(subject, &tenant).await.task.attempt, 2);
}

pub(crate) async fn a_last_lapsed_lease_fails_the_task(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let task = accept(subject, NewTask { attempts_max: 2, ..new_task(subject, &function) }).await;
    for next in [Next::Queued, Next::Failed] {
        let leased = lease_one(subject, &tenant).await;
        assert_eq!(subject.store().renew(vec![claim(&leased)], LEASE_MS).await.unwrap(), [Renewal::Renewed]);
        subject.pass(LEASE_MS).await;
        assert_eq!(subject.store().tick().await.unwrap().lapsed, [(task, next)]);
    }
    let task = subject.store().task(&tenant, task).await.unwrap().unwrap();
    assert_eq!((task.failure().unwrap().code, task.attempt), (ErrorCode::AttemptsExhausted, 2));
}

/// Its holder may never have received it, unless that happens too often.
pub(crate) async fn a_lapsed_lease_that_was_never_renewed_costs_no_attempt(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let task = accept(subject, NewTask { attempts_max: 1, ..new_task(subject, &function) }).await;
    for attempt in 1..=RELEASES_MAX {
        assert_eq!(lease_one(subject, &tenant).await.task.attempt, attempt);
        subject.pass(LEASE_MS).await;
        assert_eq!(subject.store().tick().await.unwrap().lapsed, [(task, Next::Queued)]);
    }
    lease_one(subject, &tenant).await;
    subject.pass(LEASE_MS).await;
    assert_eq!(subject.store().tick().await.unwrap().lapsed, [(task, Next::Failed)]);
    let task = subject.store().task(&tenant, task).await.unwrap().unwrap();
    assert_eq!((task.failure().unwrap().code, task.releases), (ErrorCode::AttemptsExhausted, RELEASES_MAX));
}

pub(crate) async fn a_delayed_task_is_promoted(subject: &dyn Subject) {
    let (tenant, _) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let task = NewTask { delay_ms: 2_000, ..new_task(subject, &function) };
    accept(subject, task).await;
    assert_eq!(counts(subject, &tenant).await, (1, 1, 0));
    subject.pass(2_000).await;
    assert_eq!(subject.store().tick().await.unwrap(), Ticked { promoted: 1, ..Ticked::default() });
    assert_eq!(counts(subject, &tenant).await, (2, 0, 0));
    assert_eq!(subject.store().tick().await.unwrap(), Ticked::default());
}

pub(crate) async fn a_waiting_task_expires_wherever_it_waits(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let new = || NewTask { expires_in_ms: 2_000, ..new_task(subject, &function) };
    let delayed = NewTask { delay_ms: 9_000, ..new() };
    let due = NewTask { delay_ms: 1_000, ..new() };
    let running = accept(subject, new()).await;
    lease_one(subject, &tenant).await;
    let ended = accept(subject, new()).await;
    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), end("out")).await;
    let waiting = [accept(subject, new()).await, accept(subject, delayed).await, accept(subject, due).await];
    subject.pass(1_000).await;
    subject.store().renew(vec![], LEASE_MS).await.unwrap();
    subject.store().tick().await.unwrap();
    // The lease lapsed: its task is queued again, and expires with the others.
    assert_eq!(status(subject, &tenant, running).await, Status::Queued);
    subject.pass(1_000).await;
    assert_eq!(subject.store().tick().await.unwrap(), Ticked { expired: 4, ..Ticked::default() });
    for task in waiting.into_iter().chain([running]) {
        let task = subject.store().task(&tenant, task).await.unwrap().unwrap();
        assert_eq!(task.failure().unwrap().code, ErrorCode::Expired);
    }
    assert_eq!(status(subject, &tenant, ended).await, Status::Completed);
    assert_eq!(counts(subject, &tenant).await, (0, 0, 0));
    assert_eq!(lease(subject, &tenant, 1).await.len(), 0);
}

pub(crate) async fn an_ended_task_is_purged_after_its_time(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), end("out")).await;
    subject.pass(RESULTS_MS - 1).await;
    assert_eq!(subject.store().tick().await.unwrap(), Ticked::default());
    assert_eq!(status(subject, &tenant, task).await, Status::Completed);
    subject.pass(1).await;
    assert_eq!(subject.store().tick().await.unwrap(), Ticked { purged: 1, ..Ticked::default() });
    assert!(subject.store().task(&tenant, task).await.unwrap().is_none());
    assert!(subject.store().result(&tenant, task).await.unwrap().is_none());
    assert!(subject.store().log(&tenant, task).await.unwrap().is_none());
    let page = subject.store().tasks(&tenant, &super::listings::page(10, None)).await.unwrap();
    assert_eq!(page.items, []);
}

pub(crate) async fn each_task_is_kept_for_its_own_time(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let mut kept = Vec::new();
    // Ends of every kind at one moment, in one call where they can be.
    for (results_s, failed_s) in [(1, 4), (3, 2), (KEEP_S_MAX, KEEP_S_MAX), (0, 0)] {
        let keep = Keep { results_s, failed_s };
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(accept(subject, NewTask { keep, attempts_max: 1, ..new_task(subject, &function) }).await);
        }
        assert_eq!(subject.store().task(&tenant, ids[0]).await.unwrap().unwrap().keep, keep);
        cancel(subject, &tenant, ids[3]).await;
        kept.extend(ids.into_iter().zip([results_s, failed_s, failed_s, results_s]));
    }
    let report = |leased: &LeasedTask| {
        let verdict = match kept.iter().position(|(id, _)| *id == leased.task.id).unwrap() % 4 {
            0 => end("out"),
            1 => super::failure("error"),
            _ => Verdict::Retry { delay_ms: 0 },
        };
        Finish { claim: claim(leased), verdict }
    };
    let leased = lease(subject, &tenant, 12).await;
    subject.store().finish(leased.iter().map(report).collect()).await.unwrap();
    let mut left = kept.len() as u64;
    for second in 0..=5 {
        let over = kept.iter().filter(|(_, kept_s)| *kept_s == second).count() as u64;
        assert_eq!(subject.store().tick().await.unwrap(), Ticked { purged: over, ..Ticked::default() });
        for (id, kept_s) in &kept {
            assert_eq!(subject.store().task(&tenant, *id).await.unwrap().is_some(), *kept_s > second);
        }
        left -= over;
        subject.pass(1_000).await;
    }
    assert_eq!(left, 4);
}

pub(crate) async fn many_due_tasks_are_all_done_in_some_ticks(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let delayed = |_| NewTask { delay_ms: 1_000, expires_in_ms: 2_000, ..new_task(subject, &function) };
    subject.store().accept((0..1_500).map(delayed).collect()).await.unwrap();
    subject.pass(1_000).await;
    let (mut promoted, mut expired, mut purged) = (0, 0, 0);
    while promoted < 1_500 {
        promoted += some(subject.store().tick().await.unwrap()).promoted;
    }
    subject.pass(1_000).await;
    while expired < 1_500 {
        expired += some(subject.store().tick().await.unwrap()).expired;
    }
    subject.pass(FAILED_MS).await;
    while purged < 1_500 {
        purged += some(subject.store().tick().await.unwrap()).purged;
    }
    assert_eq!((promoted, expired, purged), (1_500, 1_500, 1_500));
    assert_eq!(subject.store().tick().await.unwrap(), Ticked::default());
}

fn some(ticked: Ticked) -> Ticked {
    assert_ne!(ticked, Ticked::default(), "a tick did nothing while tasks were due");
    ticked
}
