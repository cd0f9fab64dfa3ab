//! Tests of leases.

use std::collections::HashSet;

use fusebox_core::{
    error::ErrorCode,
    id::{TaskId, WorkerId},
    task::{Priority, Status},
};

use super::{
    LEASE_MS, Subject, accept, cancel, claim, counts, end, finish, grants, lease, lease_of, lease_one, lease_request,
    module, new_task, one_task, register, status, tenant,
};
use crate::{Finished, LeaseRequest, LeasedTask, NewTask, Verdict};

fn ids(leased: &[LeasedTask]) -> Vec<TaskId> {
    leased.iter().map(|leased| leased.task.id).collect()
}

pub(crate) async fn an_attempt_has_all_that_a_run_needs(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let request = lease_request(&tenant, 1);
    let leased = subject.store().lease(request.clone()).await.unwrap().remove(0);
    let lease = lease_of(&leased);
    assert_eq!((leased.task.id, leased.task.attempt), (task, 1));
    assert_eq!((lease.token, lease.worker), (request.tokens[0], WorkerId::from_bytes([7; 16])));
    assert_eq!((lease.started_at, lease.expires_at), (subject.now(), subject.now().plus(LEASE_MS)));
    assert_eq!((leased.invocation.module, leased.invocation.function.as_str()), (module("f").0, "f"));
    assert_eq!(leased.invocation.grants, grants());
    assert_eq!(&leased.invocation.input[..], b"input");
    assert_eq!(subject.store().task(&tenant, task).await.unwrap(), Some(leased.task));
}

pub(crate) async fn the_higher_priority_then_the_oldest_goes_first(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let mut accepted = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Normal, Priority::High, Priority::Low] {
        accepted.push(accept(subject, NewTask { priority, ..new_task(subject, &function) }).await);
        subject.pass(1).await;
    }
    let expected: Vec<_> = [2, 4, 1, 3, 0, 5].map(|at: usize| accepted[at]).into();
    let mut leased = ids(&lease(subject, &tenant, 3).await);
    leased.extend(ids(&lease(subject, &tenant, 9).await));
    assert_eq!(leased, expected);
}

pub(crate) async fn no_more_are_leased_than_tokens_given(subject: &dyn Subject) {
    let (tenant, _) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    subject.store().accept((0..4).map(|_| new_task(subject, &function)).collect()).await.unwrap();
    assert_eq!(lease(subject, &tenant, 0).await.len(), 0);
    assert_eq!(lease(subject, &tenant, 3).await.len(), 3);
    assert_eq!(lease(subject, &tenant, 3).await.len(), 2);
    assert_eq!(lease(subject, &tenant, 3).await.len(), 0);
}

pub(crate) async fn a_delayed_task_is_leased_only_when_it_is_due(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let task = NewTask { delay_ms: 5_000, ..new_task(subject, &function) };
    let task = accept(subject, task).await;
    subject.pass(4_000).await;
    subject.store().tick().await.unwrap();
    assert_eq!(lease(subject, &tenant, 1).await.len(), 0);
    subject.pass(1_000).await;
    subject.store().tick().await.unwrap();
    assert_eq!(lease_one(subject, &tenant).await.task.id, task);
}

pub(crate) async fn a_retried_task_keeps_its_place(subject: &dyn Subject) {
    let (tenant, oldest) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    subject.pass(1).await;
    let younger = accept(subject, new_task(subject, &function)).await;
    subject.pass(1).await;
    let youngest = accept(subject, new_task(subject, &function)).await;
    let leased = lease(subject, &tenant, 2).await;
    assert_eq!(ids(&leased), [oldest, younger]);
    for leased in &leased {
        assert_eq!(finish(subject, claim(leased), Verdict::Release).await, Finished::Requeued);
    }
    assert_eq!(ids(&lease(subject, &tenant, 3).await), [oldest, younger, youngest]);
}

pub(crate) async fn an_expired_task_is_not_leased(subject: &dyn Subject) {
    let (tenant, fresh) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let task = NewTask { expires_in_ms: 500, priority: Priority::High, ..new_task(subject, &function) };
    let expired = accept(subject, task).await;
    subject.pass(500).await;
    assert_eq!(ids(&lease(subject, &tenant, 2).await), [fresh]);
    let task = subject.store().task(&tenant, expired).await.unwrap().unwrap();
    assert_eq!(task.failure().unwrap().code, ErrorCode::Expired);
    assert_eq!(counts(subject, &tenant).await, (0, 0, 1));
}

pub(crate) async fn a_long_queue_with_gaps_is_leased_in_order(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let (mut accepted, mut leased) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut batch: Vec<_> = (0..600).map(|_| new_task(subject, &function)).collect();
        // Tasks accepted at the same moment are ordered by id or as they are sent.
        batch.sort_by_key(|task| task.id);
        accepted.extend(batch.iter().map(|task| task.id));
        subject.store().accept(batch).await.unwrap();
        subject.pass(1).await;
    }
    for at in [1_500, 700, 300, 0] {
        cancel(subject, &tenant, accepted.remove(at)).await;
    }
    // Released tasks come before tasks that were never leased.
    for leased in lease(subject, &tenant, 100).await {
        finish(subject, claim(&leased), Verdict::Release).await;
    }
    loop {
        let more = lease(subject, &tenant, 200).await;
        if more.is_empty() {
            break;
        }
        leased.extend(ids(&more));
    }
    assert_eq!(leased, accepted);
}

pub(crate) async fn a_task_is_leased_once(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let store = subject.store();
    let (one, two) = tokio::join!(store.lease(lease_request(&tenant, 1)), store.lease(lease_request(&tenant, 1)));
    assert_eq!(one.unwrap().len() + two.unwrap().len(), 1);
    assert_eq!(status(subject, &tenant, task).await, Status::Running);
}

pub(crate) async fn a_request_sent_again_gets_what_its_tokens_hold(subject: &dyn Subject) {
    let (tenant, _) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    for _ in 0..3 {
        subject.pass(1).await;
        accept(subject, new_task(subject, &function)).await;
    }
    let request = lease_request(&tenant, 4);
    let first = subject.store().lease(request.clone()).await.unwrap();
    let again = LeaseRequest { again: true, ..request };
    let second = subject.store().lease(again.clone()).await.unwrap();
    assert_eq!(rows(&second), rows(&first), "the same attempts, with all that a run needs");
    assert_eq!(counts(subject, &tenant).await, (0, 0, 4));
    // They last as long as new leases.
    subject.pass(LEASE_MS - 1).await;
    assert_eq!(subject.store().lease(again.clone()).await.unwrap().len(), 4);
    subject.pass(LEASE_MS - 1).await;
    assert_eq!(subject.store().tick().await.unwrap().lapsed, []);
    // Other tokens hold none of them.
    let other = LeaseRequest { again: true, ..lease_request(&tenant, 4) };
    assert_eq!(subject.store().lease(other).await.unwrap().len(), 0);
    // Leases that have ended or lapsed are no longer held.
    assert_eq!(finish(subject, claim(&first[0]), end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(ids(&subject.store().lease(again).await.unwrap()), ids(&first[1..]));
}

pub(crate) async fn a_request_sent_again_leases_for_tokens_that_hold_nothing(subject: &dyn Subject) {
    let (tenant, first) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let request = lease_request(&tenant, 3);
    assert_eq!(ids(&subject.store().lease(request.clone()).await.unwrap()), [first]);
    let mut more = Vec::new();
    for _ in 0..3 {
        subject.pass(1).await;
        more.push(accept(subject, new_task(subject, &function)).await);
    }
    let again = subject.store().lease(LeaseRequest { again: true, ..request.clone() }).await.unwrap();
    assert_eq!(ids(&again), [first, more[0], more[1]]);
    let tokens: HashSet<_> = again.iter().map(|leased| lease_of(leased).token).collect();
    assert_eq!(tokens, request.tokens.into_iter().collect());
    assert!(again.iter().all(|leased| leased.task.attempt == 1));
    // A repeated request that the store has never received leases like a new one.
    let unseen = LeaseRequest { again: true, ..lease_request(&tenant, 3) };
    assert_eq!(ids(&subject.store().lease(unseen).await.unwrap()), [more[2]]);
}

/// Returns each leased task as text.
fn rows(leased: &[LeasedTask]) -> Vec<String> {
    leased.iter().map(|leased| format!("{leased:?}")).collect()
}
