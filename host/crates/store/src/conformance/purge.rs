//! Tests of the purge of ended tasks.

use fusebox_core::{id::TaskId, name::TenantId, task::Status};

use super::{
    FAILED_MS, RESULTS_MS, Subject, accept, cancel, claim, end, failure, finish, lease_one, listings::page,
    made_from_a_key, new_task, one_task, register, status, tenant,
};
use crate::{Accepted, Cancelled, Purged, Ticked, Verdict};

async fn purge(subject: &dyn Subject, tenant: &TenantId, task: TaskId) -> Purged {
    let answers = subject.store().purge(vec![(tenant.clone(), task)]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers[0]
}

async fn end_one(subject: &dyn Subject, tenant: &TenantId, verdict: Verdict) {
    let leased = lease_one(subject, tenant).await;
    finish(subject, claim(&leased), verdict).await;
}

pub(crate) async fn an_ended_task_is_purged_with_all_it_has(subject: &dyn Subject) {
    for verdict in [end("out"), failure("error")] {
        let (tenant, task) = one_task(subject).await;
        end_one(subject, &tenant, verdict).await;
        assert_eq!(purge(subject, &tenant, task).await, Purged::Purged);
        let store = subject.store();
        assert!(store.task(&tenant, task).await.unwrap().is_none());
        assert!(store.result(&tenant, task).await.unwrap().is_none());
        assert!(store.log(&tenant, task).await.unwrap().is_none());
        assert!(store.input(&tenant, task).await.unwrap().is_none());
        assert_eq!(store.tasks(&tenant, &page(10, None)).await.unwrap().items, []);
        assert_eq!(store.dead_letters(&tenant, &page(10, None)).await.unwrap().items, []);
        assert_eq!(purge(subject, &tenant, task).await, Purged::NotFound);
        assert_eq!(cancel(subject, &tenant, task).await, Cancelled::NotFound);
    }
    subject.pass(FAILED_MS).await;
    subject.store().tick().await.unwrap();
    assert_eq!(subject.store().tick().await.unwrap(), Ticked::default());
}

pub(crate) async fn an_unfinished_task_is_not_purged(subject: &dyn Subject) {
    let (owner, task) = one_task(subject).await;
    assert_eq!(purge(subject, &owner, task).await, Purged::NotEnded(Status::Queued));
    let leased = lease_one(subject, &owner).await;
    assert_eq!(purge(subject, &owner, task).await, Purged::NotEnded(Status::Running));
    finish(subject, claim(&leased), end("out")).await;
    assert_eq!(purge(subject, &tenant("other"), task).await, Purged::NotFound);
    assert_eq!(status(subject, &owner, task).await, Status::Completed);
}

pub(crate) async fn a_purged_id_is_accepted_again(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    // Only an id of this kind comes again.
    let new = made_from_a_key(new_task(subject, &function));
    let task = accept(subject, new.clone()).await;
    end_one(subject, &tenant, end("first")).await;
    assert_eq!(subject.store().accept(vec![new.clone()]).await.unwrap(), [Accepted::Duplicate]);
    assert_eq!(purge(subject, &tenant, task).await, Purged::Purged);
    subject.pass(5).await;
    accept(subject, new).await;
    end_one(subject, &tenant, end("second")).await;
    // The time of the first one passes, and takes nothing of the second.
    subject.pass(RESULTS_MS - 1).await;
    subject.store().tick().await.unwrap();
    let result = subject.store().result(&tenant, task).await.unwrap().unwrap();
    assert_eq!(&result.output[..], b"second");
    assert_eq!(subject.store().tasks(&tenant, &page(10, None)).await.unwrap().items, [result.task]);
}

pub(crate) async fn each_purge_of_a_batch_is_answered(subject: &dyn Subject) {
    let (owner, task) = one_task(subject).await;
    end_one(subject, &owner, end("out")).await;
    let (_, queued) = one_task(subject).await;
    let batch = [queued, task, TaskId::from_bytes([1; 16]), task].map(|task| (owner.clone(), task)).to_vec();
    let answers = subject.store().purge(batch).await.unwrap();
    let expected = [Purged::NotEnded(Status::Queued), Purged::Purged, Purged::NotFound, Purged::NotFound];
    assert_eq!(answers, expected);
}
