//! Tests of accepting tasks.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    task::{Fingerprint, Priority, Status, TaskState},
};

use super::{Subject, accept, cancel, counts, end, finish, lease_one, new_task, register, status, tenant};
use crate::{Accepted, Finished, FunctionRef, NewTask};

pub(crate) async fn a_task_waits_with_what_it_was_given(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let new = NewTask { priority: Priority::High, attempts_max: 2, ..new_task(subject, &function) };
    let id = accept(subject, new.clone()).await;
    let task = subject.store().task(&tenant, id).await.unwrap().unwrap();
    assert_eq!((task.id, task.function, task.limits), (id, function.id, function.limits));
    assert_eq!((task.priority, task.attempt, task.attempts_max), (Priority::High, 0, 2));
    assert_eq!((task.expires_at, task.created_at), (subject.now().plus(new.expires_in_ms), subject.now()));
    assert!(matches!(task.state, TaskState::Queued { .. }));
    let result = subject.store().result(&tenant, id).await.unwrap().unwrap();
    assert_eq!((result.task, result.output), (task, Bytes::new()));
    assert_eq!(subject.store().log(&tenant, id).await.unwrap(), Some(Bytes::new()));
    assert_eq!(lease_one(subject, &tenant).await.invocation.input, new.input);
}

pub(crate) async fn each_task_of_a_batch_is_answered(subject: &dyn Subject) {
    let function = register(subject, &tenant("acme"), "f").await;
    let (first, second) = (new_task(subject, &function), new_task(subject, &function));
    let batch = vec![first.clone(), first.clone(), second.clone()];
    let answers = subject.store().accept(batch).await.unwrap();
    let accepted = Accepted::New { at: subject.now() };
    assert_eq!(answers, [accepted, Accepted::Duplicate, accepted]);
    assert_eq!(counts(subject, &function.tenant).await, (2, 0, 0));
    assert_eq!(subject.store().accept(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn an_id_is_accepted_once(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let new = new_task(subject, &function);
    accept(subject, new.clone()).await;
    let again = NewTask { input: Bytes::from_static(b"other"), priority: Priority::High, ..new.clone() };
    assert_eq!(subject.store().accept(vec![again.clone()]).await.unwrap(), [Accepted::Duplicate]);
    let leased = lease_one(subject, &tenant).await;
    assert_eq!((leased.invocation.input.clone(), leased.task.priority), (new.input, Priority::Normal));
    assert_eq!(subject.store().accept(vec![again.clone()]).await.unwrap(), [Accepted::Duplicate]);
    assert_eq!(finish(subject, super::claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(subject.store().accept(vec![again]).await.unwrap(), [Accepted::Duplicate]);
    assert_eq!(status(subject, &tenant, new.id).await, Status::Completed);
    assert_eq!(counts(subject, &tenant).await, (0, 0, 0));
}

pub(crate) async fn a_full_queue_refuses_until_a_task_leaves_it(subject: &dyn Subject) {
    let (tenant, other) = (tenant("acme"), tenant("other"));
    let function = register(subject, &tenant, "f").await;
    // The step's limit applies alone: a tenant's quota may exceed every default.
    let queued_max = 2_000;
    let bounded = || NewTask { queued_max, ..new_task(subject, &function) };
    let delayed = NewTask { delay_ms: 60_000, ..bounded() };
    let mut batch: Vec<_> = (1..queued_max).map(|_| bounded()).collect();
    batch.push(delayed.clone());
    let refused = bounded();
    batch.push(refused.clone());
    let answers = subject.store().accept(batch).await.unwrap();
    let (last, accepted) = answers.split_last().unwrap();
    assert!(accepted.iter().all(|answer| *answer == Accepted::New { at: subject.now() }));
    assert_eq!(*last, Accepted::QueueFull);
    assert_eq!(subject.store().task(&tenant, refused.id).await.unwrap(), None);
    let others = register(subject, &other, "f").await;
    accept(subject, new_task(subject, &others)).await;
    cancel(subject, &tenant, delayed.id).await;
    accept(subject, refused).await;
    assert_eq!(subject.store().accept(vec![bounded()]).await.unwrap(), [Accepted::QueueFull]);
    super::lease(subject, &tenant, 1).await;
    accept(subject, bounded()).await;
}

/// A store that keeps functions apart from tasks cannot check both in one step. A task whose function is deleted while
/// it is accepted ends in one of two ways, but it always ends.
pub(crate) async fn a_task_of_a_missing_function_fails_at_once_or_runs(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "g").await;
    assert!(subject.store().delete_function(&tenant, &FunctionRef::Id(function.id)).await.unwrap());
    let task = accept(subject, new_task(subject, &function)).await;
    let found = subject.store().task(&tenant, task).await.unwrap().unwrap();
    if let Some(failure) = found.failure() {
        assert_eq!(failure.code, ErrorCode::FunctionNotFound);
    } else {
        let leased = lease_one(subject, &tenant).await;
        assert_eq!((leased.task.id, leased.invocation.function.as_str()), (task, "g"));
        let module = subject.store().module(&leased.invocation.module).await.unwrap();
        assert_eq!(module, Some(Bytes::from_static(b"g")), "what is leased can be run");
        assert_eq!(finish(subject, super::claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    }
    assert_eq!(counts(subject, &tenant).await, (0, 0, 0));
}

pub(crate) async fn an_id_with_another_fingerprint_is_a_conflict(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let new = NewTask { fingerprint: Some(Fingerprint([1; 32])), ..new_task(subject, &function) };
    let other = NewTask { fingerprint: Some(Fingerprint([2; 32])), ..new.clone() };
    let none = NewTask { fingerprint: None, ..new.clone() };
    let batch = vec![new.clone(), new.clone(), other.clone(), none];
    let answers = subject.store().accept(batch).await.unwrap();
    let accepted = Accepted::New { at: subject.now() };
    assert_eq!(answers, [accepted, Accepted::Duplicate, Accepted::Conflict, Accepted::Conflict]);
    let task = subject.store().task(&tenant, new.id).await.unwrap().unwrap();
    assert_eq!(task.fingerprint, new.fingerprint);
    let leased = lease_one(subject, &tenant).await;
    assert_eq!(finish(subject, super::claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(subject.store().accept(vec![new, other]).await.unwrap(), [Accepted::Duplicate, Accepted::Conflict]);
}

pub(crate) async fn a_tenants_own_bound_of_waiting_tasks_is_kept(subject: &dyn Subject) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let (function, others) = (register(subject, &acme, "f").await, register(subject, &other, "f").await);
    let bounded = |queued_max| NewTask { queued_max, ..new_task(subject, &function) };
    let mixed = vec![bounded(2), NewTask { queued_max: 9, ..new_task(subject, &others) }, bounded(2), bounded(2)];
    let new = Accepted::New { at: subject.now() };
    assert_eq!(subject.store().accept(mixed).await.unwrap(), [new, new, new, Accepted::QueueFull]);
    assert_eq!(subject.store().accept(vec![bounded(0)]).await.unwrap(), [Accepted::QueueFull]);
    assert_eq!(subject.store().accept(vec![bounded(3)]).await.unwrap(), [new]);
}
