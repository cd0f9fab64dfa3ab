//! Tests of records that somebody removed by hand while something else still names them: a task ends once, and only with
//! the output of an attempt of its own.

use fusebox_core::{id::TaskId, name::TenantId, task::Status};
use fusebox_harness::redis::RedisServer;

use super::{On, node};
use crate::{
    Claim, Finished, NewTask, Queue as _, Renewal, Tasks as _,
    conformance::{
        LEASE_MS, Subject, accept, claim, counts, end, finish, lease, lease_one, made_from_a_key, new_task, register,
        status, tenant,
    },
};

fn remove(subject: &On<RedisServer>, task: TaskId) {
    subject.server.command(&["DEL", &format!("task:{task}")]).unwrap();
}

fn keys(subject: &On<RedisServer>, pattern: &str) -> String {
    subject.server.command(&["KEYS", pattern]).unwrap().trim_end().to_owned()
}

/// Tasks of a new id, and of one that was made from an idempotency key.
async fn tasks(subject: &On<RedisServer>, tenant: &TenantId) -> [NewTask; 2] {
    let new = new_task(subject, &register(subject, tenant, "f").await);
    [made_from_a_key(new.clone()), new]
}

async fn lease_and_remove(subject: &On<RedisServer>, tenant: &TenantId, new: NewTask) -> Claim {
    let task = accept(subject, new).await;
    let leased = lease_one(subject, tenant).await;
    remove(subject, task);
    claim(&leased)
}

#[tokio::test]
async fn an_attempt_of_a_removed_record_leaves_nothing() {
    let (subject, tenant) = (node().await, tenant("acme"));
    for new in tasks(&subject, &tenant).await {
        let claim = lease_and_remove(&subject, &tenant, new.clone()).await;
        assert_eq!(subject.store.renew(vec![claim], LEASE_MS).await.unwrap(), [Renewal::Lost]);
        assert_eq!(finish(&subject, claim, end("out")).await, Finished::Stale);
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
        lease_and_remove(&subject, &tenant, new).await;
        subject.pass(LEASE_MS).await;
        assert_eq!(subject.store.tick().await.unwrap().lapsed, []);
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
    }
    assert_eq!((keys(&subject, "task:*"), keys(&subject, "fusebox:lease*")), (String::new(), String::new()));
}

#[tokio::test]
async fn an_id_that_comes_again_is_not_ended_by_the_attempt_of_the_removed_record() {
    let (subject, tenant) = (node().await, tenant("acme"));
    for new in tasks(&subject, &tenant).await {
        let former = lease_and_remove(&subject, &tenant, new.clone()).await;
        let task = accept(&subject, new).await;
        let leased = lease_one(&subject, &tenant).await;
        assert_eq!(finish(&subject, former, end("former")).await, Finished::Stale);
        assert_eq!(status(&subject, &tenant, task).await, Status::Running);
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 1));
        assert_eq!(finish(&subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
        assert_eq!(&subject.store.result(&tenant, task).await.unwrap().unwrap().output[..], b"out");
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
        // What the former lease still counts is over with its time.
        subject.pass(LEASE_MS).await;
        assert_eq!(subject.store.tick().await.unwrap().lapsed, []);
        assert_eq!(keys(&subject, "fusebox:lease*"), "");
    }
}

#[tokio::test]
async fn an_id_that_comes_again_waits_once() {
    let (subject, tenant) = (node().await, tenant("acme"));
    for new in tasks(&subject, &tenant).await {
        let task = accept(&subject, new.clone()).await;
        remove(&subject, task);
        accept(&subject, new).await;
        let leased = lease(&subject, &tenant, 9).await;
        assert_eq!(leased.iter().map(|leased| leased.task.id).collect::<Vec<_>>(), [task]);
        assert_eq!(finish(&subject, claim(&leased[0]), end("out")).await, Finished::Ended(Status::Completed));
        assert_eq!(lease(&subject, &tenant, 9).await.len(), 0);
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
    }
}
