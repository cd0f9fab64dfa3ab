//! Behaviour of tasks that only the embedded store's layout has.

use bytes::Bytes;
use fusebox_core::{
    limits::TASK_AGE_MS_MAX,
    outcome::{Ended, Receipt},
    task::Priority,
};

use super::*;
use crate::{
    Purged, Verdict,
    conformance::{RESULTS_MS, lease_request},
    embedded::{engine::Space, keys, records::INLINE_BYTES_MAX},
};

#[tokio::test]
async fn a_damaged_record_stops_no_queue_and_is_a_typed_error() {
    let subject = embedded().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let canary = NewTask { input: "canary-canary".into(), ..new_task(&subject, &function) };
    let damaged = accept(&subject, canary).await;
    subject.pass(1).await;
    let good = accept(&subject, new_task(&subject, &function)).await;
    let Embedded { store, clock, dir } = subject;
    drop(store);
    let file = dir.path().join("db").join("1").join("data.mdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"canary-canary")).collect::<Vec<_>>();
    assert!(!at.is_empty());
    at.iter().for_each(|at| bytes[*at] ^= 1);
    std::fs::write(&file, bytes).unwrap();
    let mut subject = Embedded { store: open(dir.path(), &clock), clock, dir };
    for _ in 0..2 {
        assert!(matches!(subject.store.task(&tenant, damaged).await, Err(Error::Corrupt(_))));
        assert!(matches!(subject.store.cancel(&tenant, damaged).await, Err(Error::Corrupt(_))));
        let listed = subject.store.tasks(&tenant, &page(10, None)).await.unwrap().items;
        assert_eq!(listed.iter().map(|task| task.id).collect::<Vec<_>>(), [good]);
        let leased = lease_one(&subject, &tenant).await;
        assert_eq!(leased.task.id, good);
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 1));
        assert_eq!(finish(&subject, claim(&leased), Verdict::Release).await, Finished::Requeued);
        subject = reopened(subject);
    }
}

#[tokio::test]
async fn tasks_of_the_greatest_age_expire_wherever_they_wait_in_their_queue() {
    let subject = embedded().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let (function, others) = (register(&subject, &acme, "f").await, register(&subject, &other, "f").await);
    let oldest = |function| NewTask { expires_in_ms: TASK_AGE_MS_MAX, ..new_task(&subject, function) };
    let running = accept(&subject, oldest(&function)).await;
    assert_eq!(lease_one(&subject, &acme).await.task.id, running);
    let delayed = NewTask { delay_ms: 9, expires_in_ms: TASK_AGE_MS_MAX + 9, ..new_task(&subject, &function) };
    let delayed = accept(&subject, delayed).await;
    for priority in Priority::HIGHEST_FIRST {
        accept(&subject, NewTask { priority, ..oldest(&function) }).await;
    }
    subject.store.accept((0..1_200).map(|_| oldest(&others)).collect()).await.unwrap();
    subject.pass(9).await;
    subject.store.tick().await.unwrap();
    let late = accept(&subject, oldest(&function)).await;
    subject.pass(TASK_AGE_MS_MAX - 10).await;
    subject.store.tick().await.unwrap();
    let Embedded { store, clock, dir } = subject;
    drop(store);
    let subject = Embedded { store: open(dir.path(), &clock), clock, dir };
    assert_eq!(subject.store.tick().await.unwrap(), Ticked::default());
    subject.pass(1).await;
    let mut expired = 0;
    while expired < 1_203 {
        let ticked = subject.store.tick().await.unwrap().expired;
        assert!(ticked > 0, "{expired}");
        expired += ticked;
    }
    // The lease lapsed: its task expires as one that was queued again, by its own entry.
    assert_eq!(expired, 1_204);
    assert_eq!(counts(&subject, &acme).await, (2, 0, 0));
    for task in [delayed, late] {
        assert_eq!(status(&subject, &acme, task).await, Status::Queued);
    }
    subject.pass(9).await;
    assert_eq!(subject.store.tick().await.unwrap(), Ticked { expired: 2, ..Ticked::default() });
    assert_eq!(subject.store.tick().await.unwrap(), Ticked::default());
}

#[tokio::test]
async fn ended_tasks_that_share_a_key_are_purged_each_in_its_time() {
    let subject = embedded().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let mut tasks = Vec::new();
    for _ in 0..300 {
        tasks.push(accept(&subject, new_task(&subject, &function)).await);
        let leased = lease_one(&subject, &tenant).await;
        finish(&subject, claim(&leased), end("out")).await;
        subject.pass(10).await;
    }
    let subject = reopened(subject);
    let again = tasks.remove(200);
    assert_eq!(subject.store.purge(vec![(tenant.clone(), again)]).await.unwrap(), [Purged::Purged]);
    accept(&subject, NewTask { id: again, ..new_task(&subject, &function) }).await;
    subject.pass(RESULTS_MS - 3_000).await;
    for (at, task) in tasks.iter().enumerate() {
        if at == 200 {
            subject.pass(10).await;
        }
        assert_eq!(subject.store.tick().await.unwrap(), Ticked { purged: 1, ..Ticked::default() }, "{at}");
        assert!(subject.store.task(&tenant, *task).await.unwrap().is_none());
        subject.pass(10).await;
    }
    assert_eq!(subject.store.tick().await.unwrap(), Ticked::default());
    assert_eq!(status(&subject, &tenant, again).await, Status::Queued);
}

#[tokio::test]
async fn large_inputs_outputs_and_logs_have_keys_of_their_own_until_they_are_not_needed() {
    let subject = embedded().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let large = |byte: u8| Bytes::from(vec![byte; INLINE_BYTES_MAX + 1]);
    let new = || NewTask { input: large(1), attempts_max: 1, ..new_task(&subject, &function) };
    let blobs = || {
        let snapshot = subject.store.reads.snapshot().unwrap();
        snapshot.keys(Space::Blobs, &[0], &[u8::MAX]).unwrap().filter(|key| key.as_ref().unwrap()[0] != b'm').count()
    };
    let task = accept(&subject, new()).await;
    let leased = lease_one(&subject, &tenant).await;
    assert_eq!(leased.invocation.input, large(1));
    let ended = Ended { failure: None, output: large(2), log: large(3), receipt: Receipt::default() };
    finish(&subject, claim(&leased), Verdict::End(ended)).await;
    assert_eq!(blobs(), 2);
    assert_eq!(subject.store.result(&tenant, task).await.unwrap().unwrap().output, large(2));
    assert_eq!(subject.store.log(&tenant, task).await.unwrap(), Some(large(3)));
    assert_eq!(subject.store.input(&tenant, task).await.unwrap(), Some(Bytes::new()));
    let letter = accept(&subject, new()).await;
    finish(&subject, claim(&lease_one(&subject, &tenant).await), Verdict::Retry { delay_ms: 0 }).await;
    assert_eq!(subject.store.input(&tenant, letter).await.unwrap(), Some(large(1)));
    assert_eq!(blobs(), 3);
    subject.store.purge(vec![(tenant.clone(), task), (tenant.clone(), letter)]).await.unwrap();
    assert_eq!(blobs(), 0);
}

#[tokio::test]
async fn damaged_counters_stop_no_other_tenant() {
    let subject = embedded().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let (function, others) = (register(&subject, &acme, "f").await, register(&subject, &other, "f").await);
    accept(&subject, new_task(&subject, &function)).await;
    let Embedded { store, clock, dir } = subject;
    drop(store);
    let engine = crate::embedded::open::engine(dir.path(), crate::layout::LAYOUT).unwrap();
    let environment = engine.writable().unwrap();
    let mut batch = environment.batch().unwrap();
    batch.put(Space::Records, &keys::counters(&acme), b"damaged").unwrap();
    engine.commit(batch).unwrap();
    drop((environment, engine));
    let subject = Embedded { store: open(dir.path(), &clock), clock, dir };
    let refused = subject.store.accept(vec![new_task(&subject, &function)]).await;
    assert!(matches!(refused, Err(Error::Corrupt(_))));
    assert!(matches!(subject.store.lease(lease_request(&acme, 1)).await, Err(Error::Corrupt(_))));
    let task = accept(&subject, new_task(&subject, &others)).await;
    assert_eq!(lease_one(&subject, &other).await.task.id, task);
}
