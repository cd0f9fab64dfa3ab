//! Tests of the counters of each tenant.

use super::{
    LEASE_MS, Subject, accept, cancel, claim, counts, end, finish, lease, lease_one, new_task, one_task, register,
    tenant,
};
use crate::{NewTask, Verdict};

pub(crate) async fn every_transition_is_counted(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let new = || NewTask { attempts_max: 2, ..new_task(subject, &function) };
    subject.store().accept((0..5).map(|_| new()).collect()).await.unwrap();
    assert_eq!(counts(subject, &tenant).await, (5, 0, 0));
    let leased = lease(subject, &tenant, 4).await;
    assert_eq!(counts(subject, &tenant).await, (1, 0, 4));
    finish(subject, claim(&leased[0]), end("out")).await;
    finish(subject, claim(&leased[0]), end("out")).await;
    assert_eq!(counts(subject, &tenant).await, (1, 0, 3));
    finish(subject, claim(&leased[1]), Verdict::Retry { delay_ms: 500 }).await;
    finish(subject, claim(&leased[1]), Verdict::Retry { delay_ms: 500 }).await;
    assert_eq!(counts(subject, &tenant).await, (1, 1, 2));
    finish(subject, claim(&leased[2]), Verdict::Release).await;
    assert_eq!(counts(subject, &tenant).await, (2, 1, 1));
    cancel(subject, &tenant, leased[3].task.id).await;
    cancel(subject, &tenant, leased[3].task.id).await;
    assert_eq!(counts(subject, &tenant).await, (2, 1, 0));
    subject.pass(500).await;
    subject.store().tick().await.unwrap();
    assert_eq!(counts(subject, &tenant).await, (3, 0, 0));
    lease(subject, &tenant, 3).await;
    subject.pass(LEASE_MS).await;
    // Two tasks used up their second attempt; the third task's lease was its first.
    subject.store().tick().await.unwrap();
    let (ready, delayed, running) = counts(subject, &tenant).await;
    assert_eq!((delayed, running), (0, 0));
    let left = lease(subject, &tenant, 9).await;
    assert_eq!(left.len() as u64, ready);
    for task in left {
        cancel(subject, &tenant, task.task.id).await;
    }
    assert_eq!(counts(subject, &tenant).await, (0, 0, 0));
}

pub(crate) async fn a_tenant_without_work_is_left_out(subject: &dyn Subject) {
    let (idle, _) = (tenant("idle"), one_task(subject).await);
    register(subject, &idle, "f").await;
    let tenants = || async {
        let backlog = subject.store().backlog().await.unwrap();
        backlog.into_iter().map(|backlog| backlog.tenant).collect::<Vec<_>>()
    };
    assert_eq!(tenants().await, [tenant("acme")]);
    let function = register(subject, &idle, "f").await;
    let task = NewTask { delay_ms: 1_000, ..new_task(subject, &function) };
    accept(subject, task).await;
    assert_eq!(tenants().await, [tenant("acme"), tenant("idle")]);
    let leased = lease_one(subject, &tenant("acme")).await;
    finish(subject, claim(&leased), end("out")).await;
    assert_eq!(tenants().await, [idle]);
}
