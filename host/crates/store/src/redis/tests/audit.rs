//! Tests of the audit: index keys removed by hand are restored from the records.

use fusebox_core::{lifecycle::Next, task::Status};
use fusebox_harness::redis::{RedisServer, command};

use super::{On, cluster, node};
use crate::{
    Finished, NewTask, Queue as _, Tasks as _,
    conformance::{
        Subject, accept, claim, counts, end, finish, lease, listings::page, new_task, register, status, tenant,
    },
    redis::Audited,
};

/// Removes every index whose name matches `name`.
type Remove<'a> = &'a dyn Fn(&str);

async fn indexes_are_made_again<S: Send + Sync>(subject: &On<S>, remove: Remove<'_>) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let delayed = NewTask { delay_ms: 2_000, ..new_task(subject, &function) };
    let delayed = accept(subject, delayed).await;
    subject.store.accept((0..30).map(|_| new_task(subject, &function)).collect()).await.unwrap();
    let leased = lease(subject, &tenant, 10).await;
    let ended = leased[0].task.id;
    finish(subject, claim(&leased[0]), end("out")).await;
    assert_eq!(counts(subject, &tenant).await, (20, 1, 9));
    assert_eq!(subject.store.audit().await.unwrap(), Audited::default());

    for index in ["fresh", "ready", "due", "leases", "tenants"] {
        remove(&format!("fusebox:{index}"));
    }
    assert_eq!(lease(subject, &tenant, 30).await.len(), 0);
    assert_eq!(subject.store.audit().await.unwrap(), Audited { requeued: 21, lapsing: 9 });
    assert_eq!(subject.store.audit().await.unwrap(), Audited::default());
    let lapsed = subject.store.tick().await.unwrap().lapsed;
    assert_eq!(lapsed.len(), 9);
    assert!(lapsed.iter().all(|(_, next)| *next == Next::Queued));
    let (ready, _, running) = counts(subject, &tenant).await;
    assert_eq!((ready, running), (29, 0));
    assert_eq!(lease(subject, &tenant, 99).await.len(), 29);
    subject.pass(2_000).await;
    assert_eq!(subject.store.tick().await.unwrap().promoted, 1);
    assert!(lease(subject, &tenant, 99).await.iter().any(|leased| leased.task.id == delayed));
    assert_eq!(status(subject, &tenant, ended).await, Status::Completed);
}

#[tokio::test]
async fn indexes_of_a_server_are_made_again() {
    let subject = node().await;
    let remove = |name: &str| {
        for key in subject.server.command(&["KEYS", &format!("{name}*")]).unwrap().lines() {
            subject.server.command(&["DEL", key]).unwrap();
        }
    };
    indexes_are_made_again(&subject, &remove).await;
}

#[tokio::test]
async fn indexes_of_a_cluster_are_made_again() {
    let mut subject = cluster().await;
    let ports: Vec<_> = subject.server.cluster().nodes().iter().map(RedisServer::port).collect();
    let remove = |name: &str| {
        for port in &ports {
            for key in command(*port, &["KEYS", &format!("{name}*")]).unwrap().lines() {
                command(*port, &["DEL", key]).unwrap();
            }
        }
    };
    indexes_are_made_again(&subject, &remove).await;
}

#[tokio::test]
async fn tasks_whose_fences_are_gone_are_queued_again() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    subject.store.accept((0..5).map(|_| new_task(&subject, &function)).collect()).await.unwrap();
    let leased = lease(&subject, &tenant, 5).await;
    subject.server.command(&["DEL", "fusebox:leased"]).unwrap();
    assert_eq!(subject.store.audit().await.unwrap(), Audited { requeued: 5, lapsing: 0 });
    assert_eq!(counts(&subject, &tenant).await, (5, 0, 0));
    let again = lease(&subject, &tenant, 9).await;
    assert_eq!(again.len(), 5);
    assert_eq!(finish(&subject, claim(&leased[0]), end("late")).await, Finished::Stale);
    for leased in &again {
        assert_eq!(finish(&subject, claim(leased), end("out")).await, Finished::Ended(Status::Completed));
    }
    assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
}

/// An entry that is missing behind others is found once these are leased.
#[tokio::test]
async fn an_entry_that_is_missing_in_a_line_is_made_again() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(accept(&subject, new_task(&subject, &function)).await);
        subject.pass(1).await;
    }
    let entry = subject.server.command(&["LINDEX", "fusebox:fresh:acme:normal", "1"]).unwrap();
    assert!(entry.contains(&tasks[1].to_string()), "{entry}");
    subject.server.command(&["LREM", "fusebox:fresh:acme:normal", "1", &entry]).unwrap();
    assert_eq!(subject.store.audit().await.unwrap(), Audited::default());
    assert_eq!(lease(&subject, &tenant, 1).await[0].task.id, tasks[0]);
    assert_eq!(subject.store.audit().await.unwrap(), Audited { requeued: 1, lapsing: 0 });
    assert_eq!(subject.store.audit().await.unwrap(), Audited::default());
    let rest: Vec<_> = lease(&subject, &tenant, 9).await.iter().map(|leased| leased.task.id).collect();
    assert_eq!(rest, tasks[1..]);
}

#[tokio::test]
async fn each_tick_audits_some_records() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    subject.store.accept((0..300).map(|_| new_task(&subject, &function)).collect()).await.unwrap();
    subject.server.command(&["DEL", "fusebox:fresh:acme:normal"]).unwrap();
    for _ in 0..10 {
        subject.store.tick().await.unwrap();
    }
    assert_eq!(counts(&subject, &tenant).await, (300, 0, 0));
}

#[tokio::test]
async fn entries_without_a_record_are_dropped() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let gone = accept(&subject, new_task(&subject, &function)).await;
    let there = accept(&subject, new_task(&subject, &function)).await;
    subject.server.command(&["DEL", &format!("task:{gone}")]).unwrap();
    let listed = subject.store.tasks(&tenant, &page(1, None)).await.unwrap();
    assert_eq!((listed.items.len(), listed.next), (1, None));
    // A record that was overwritten with something else is skipped too.
    let broken = accept(&subject, new_task(&subject, &function)).await;
    subject.server.command(&["DEL", &format!("task:{broken}")]).unwrap();
    subject.server.command(&["SET", &format!("task:{broken}"), "text"]).unwrap();
    let leased = lease(&subject, &tenant, 9).await;
    assert_eq!(leased.iter().map(|leased| leased.task.id).collect::<Vec<_>>(), [there]);
    assert_eq!(subject.server.command(&["LLEN", "fusebox:fresh:acme:normal"]).unwrap(), "0");
}
