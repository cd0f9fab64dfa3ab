//! Tests of wake-ups.

use std::{task::Context, time::Duration};

use fusebox_core::name::TenantId;
use tokio::sync::broadcast::error::TryRecvError;

use super::{LEASE_MS, Subject, accept, cancel, claim, end, finish, lease_one, new_task, one_task, register, tenant};
use crate::{Hint, NewTask, Verdict};

/// Longer than any store takes to notify.
const PATIENCE: Duration = Duration::from_secs(10);

async fn woken(hint: Hint) {
    tokio::time::timeout(PATIENCE, hint).await.expect("the hint is woken");
}

fn sleeps(hint: &mut Hint) -> bool {
    hint.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
}

pub(crate) async fn each_end_wakes_who_waits_for_it(subject: &dyn Subject) {
    let (tenant, finished) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    let store = subject.store();
    let (one, two) = (store.ended_hint(finished), store.ended_hint(finished));
    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), end("out")).await;
    woken(one).await;
    woken(two).await;

    let cancelled = accept(subject, new_task(subject, &function)).await;
    let mut other = store.ended_hint(accept(subject, new_task(subject, &function)).await);
    let hint = store.ended_hint(cancelled);
    cancel(subject, &tenant, cancelled).await;
    woken(hint).await;
    assert!(sleeps(&mut other));

    let lapsing = NewTask { attempts_max: 1, ..new_task(subject, &function) };
    let lapsing = store.ended_hint(accept(subject, lapsing).await);
    let leased = super::lease(subject, &tenant, 2).await;
    store.renew(leased.iter().map(claim).collect(), LEASE_MS).await.unwrap();
    let expiring = NewTask { expires_in_ms: LEASE_MS, ..new_task(subject, &function) };
    let expiring = store.ended_hint(accept(subject, expiring).await);
    subject.pass(LEASE_MS).await;
    store.tick().await.unwrap();
    woken(lapsing).await;
    woken(expiring).await;
}

pub(crate) async fn becoming_ready_wakes(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let store = subject.store();
    accept(subject, new_task(subject, &function)).await;
    told(subject, &tenant, 1).await;

    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), Verdict::Release).await;
    told(subject, &tenant, 1).await;

    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), Verdict::Retry { delay_ms: 1_000 }).await;
    subject.pass(1_000).await;
    store.tick().await.unwrap();
    told(subject, &tenant, 1).await;

    lease_one(subject, &tenant).await;
    subject.pass(LEASE_MS).await;
    store.tick().await.unwrap();
    told(subject, &tenant, 1).await;

    let tasks = (0..20).map(|_| new_task(subject, &function)).collect();
    store.accept(tasks).await.unwrap();
    told(subject, &tenant, 20).await;
}

/// Waits until `count` tasks of the tenant were reported ready, in one message or several. More may be reported: a step
/// whose answer comes late is sent again, and each time says that the task is ready.
async fn told(subject: &dyn Subject, tenant: &TenantId, count: u64) {
    let mut told = 0;
    while told < count {
        let ready = tokio::time::timeout(PATIENCE, subject.store().ready_hint()).await.unwrap();
        told += ready.more.iter().map(|(whose, more)| if whose == tenant { *more } else { 0 }).sum::<u64>();
    }
}

pub(crate) async fn only_a_running_tasks_cancellation_is_told(subject: &dyn Subject) {
    let (tenant, running) = one_task(subject).await;
    let function = register(subject, &tenant, "f").await;
    lease_one(subject, &tenant).await;
    let waiting = accept(subject, new_task(subject, &function)).await;
    let mut cancellations = subject.store().cancellations();
    cancel(subject, &tenant, waiting).await;
    cancel(subject, &tenant, running).await;
    cancel(subject, &tenant, running).await;
    let told = tokio::time::timeout(PATIENCE, cancellations.recv()).await.unwrap();
    assert_eq!(told, Ok(running));
    assert_eq!(cancellations.try_recv(), Err(TryRecvError::Empty));
}

pub(crate) async fn each_change_wakes_who_waits_for_it(subject: &dyn Subject) {
    let (tenant, task) = one_task(subject).await;
    let store = subject.store();
    let hint = store.changed_hint(task);
    let leased = lease_one(subject, &tenant).await;
    woken(hint).await;
    let hint = store.changed_hint(task);
    finish(subject, claim(&leased), Verdict::Release).await;
    woken(hint).await;
    let leased = lease_one(subject, &tenant).await;
    let hint = store.changed_hint(task);
    finish(subject, claim(&leased), end("out")).await;
    woken(hint).await;
}
