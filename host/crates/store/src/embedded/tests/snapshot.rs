//! Copies of a store that is in use.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_load_is_a_store_of_one_moment() {
    let subject = embedded().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let some = || (0..50).map(|_| new_task(&subject, &function)).collect::<Vec<_>>();
    let before = some();
    let known: HashSet<_> = before.iter().map(|task| task.id).collect();
    subject.store.accept(before).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let (copy, is_done) = (home.path().join("copy"), AtomicBool::new(false));
    // Each round accepts 50 tasks, and ends ten.
    let load = async {
        let mut rounds = 0;
        while !is_done.load(Ordering::Relaxed) {
            subject.store.accept(some()).await.unwrap();
            for leased in lease(&subject, &tenant, 10).await {
                finish(&subject, claim(&leased), end("out")).await;
            }
            rounds += 1;
        }
        rounds
    };
    let snapshot = async {
        let made = subject.store.snapshot(&copy).await;
        is_done.store(true, Ordering::Relaxed);
        made.unwrap();
    };
    let (rounds, ()) = tokio::join!(load, snapshot);
    assert!(rounds > 0);

    let copied = Embedded { store: open(&copy, &subject.clock), clock: subject.clock.clone(), dir: home };
    let (mut found, mut unfinished, mut cursor) = (HashSet::new(), 0, None);
    loop {
        let rows = copied.store.tasks(&tenant, &page(1_000, cursor)).await.unwrap();
        unfinished += rows.items.iter().filter(|task| !task.status().is_ended()).count();
        found.extend(rows.items.iter().map(|task| task.id));
        cursor = rows.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(known.is_subset(&found) && found.len() % 50 == 0, "{}", found.len());
    let (ready, _, running) = counts(&copied, &tenant).await;
    assert_eq!(ready + running, unfinished as u64, "its counters are of the same moment");
    for task in &found {
        let result = copied.store.result(&tenant, *task).await.unwrap().unwrap();
        assert_eq!(&result.output[..], if result.task.status().is_ended() { b"out" } else { &b""[..] });
    }
    copied.store.reclaim_all_leases().await.unwrap();
    let mut leased = 0;
    loop {
        match lease(&copied, &tenant, 256).await.len() {
            0 => break,
            more => leased += more,
        }
    }
    assert_eq!(leased, unfinished, "each unfinished task runs in the copy");
    assert_eq!(lease(&subject, &tenant, 1).await.len(), 1, "the store goes on by itself");
}

#[tokio::test]
async fn a_snapshot_is_made_in_an_empty_directory_alone() {
    let subject = embedded().await;
    let (tenant, task) = one_task(&subject).await;
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("copy");
    // A copy that was killed, and a directory that is there.
    std::fs::create_dir_all(home.path().join("copy.new").join("db").join("1")).unwrap();
    std::fs::create_dir(&copy).unwrap();
    subject.store.snapshot(&copy).await.unwrap();
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing else is left");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o700);
    let error = subject.store.snapshot(&copy).await.unwrap_err();
    assert!(matches!(&error, Error::Open { .. }) && error.to_string().contains("it is not empty"), "{error}");
    let error = subject.store.snapshot(subject.dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("it is not empty"), "{error}");
    let copied = Embedded { store: open(&copy, &subject.clock), clock: subject.clock.clone(), dir: home };
    assert_eq!(status(&copied, &tenant, task).await, Status::Queued);
}
