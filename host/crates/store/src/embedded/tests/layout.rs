//! Stores of the layout before, from what a process of it left: `layout5.txt` has its tasks and all entries of its file.

use fusebox_core::{
    id::TaskId,
    lifecycle::Fence,
    task::{Priority, TaskState},
};

use super::*;
use crate::{
    Claim, Renewal,
    embedded::{engine::Space, keys, open as directory},
    layout::LAYOUT,
};

const BEFORE: u32 = 5;
const LEFT: &str = include_str!("layout5.txt");

/// Makes a directory as a process of the layout before left it.
fn left(dir: &Path) {
    let engine = directory::engine(dir, BEFORE).unwrap();
    let environment = engine.writable().unwrap();
    let mut batch = environment.batch().unwrap();
    for line in LEFT.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let space = match words[0] {
            "records" => Space::Records,
            "blobs" => Space::Blobs,
            "index" => Space::Index,
            _ => continue,
        };
        batch.put(space, &hex::decode(words[1]).unwrap(), &hex::decode(words[2]).unwrap()).unwrap();
    }
    engine.commit(batch).unwrap();
}

fn left_task(name: &str) -> TaskId {
    let line = LEFT.lines().find_map(|line| line.strip_prefix("task ")?.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_store_of_the_layout_before_goes_on_and_is_of_this_one() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Millis(1_750_000_000_000)));
    left(dir.path());
    assert_eq!(EmbeddedStore::layout(dir.path()).unwrap().as_deref(), Some("fusebox layout 5"));
    let subject = Embedded { store: open(dir.path(), &clock), clock, dir };
    assert_eq!(EmbeddedStore::layout(subject.dir.path()).unwrap().unwrap(), format!("fusebox layout {LAYOUT}"));
    let acme = tenant("acme");
    let names = ["ended", "large", "small", "retried", "delayed", "cancelled"];
    let [ended, large, small, retried, delayed, cancelled] = names.map(left_task);
    for (task, expected) in [
        (ended, Status::Completed),
        (large, Status::Running),
        (small, Status::Running),
        (retried, Status::Queued),
        (delayed, Status::Queued),
        (cancelled, Status::Failed),
    ] {
        assert_eq!(status(&subject, &acme, task).await, expected);
    }
    assert_eq!(counts(&subject, &acme).await, (1, 1, 2));
    assert_eq!(subject.store.tasks(&acme, &page(10, None)).await.unwrap().items.len(), 6);
    assert_eq!(&subject.store.result(&acme, ended).await.unwrap().unwrap().output[..], b"out");
    let held = async |task| {
        let task = subject.store.task(&acme, task).await.unwrap().unwrap();
        let TaskState::Running(lease) = task.state else { panic!("it runs") };
        (Claim { task: task.id, fence: Fence { attempt: task.attempt, token: lease.token } }, lease.renewed)
    };
    let ((of_small, is_new), (of_large, is_renewed)) = (held(small).await, held(large).await);
    assert!(!is_new && is_renewed);
    assert_eq!(subject.store.renew(vec![of_large], LEASE_MS).await.unwrap(), [Renewal::Renewed]);
    assert_eq!(finish(&subject, of_small, end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(finish(&subject, of_large, end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(lease_one(&subject, &acme).await.task.id, retried);
    subject.pass(60_000).await;
    subject.store.tick().await.unwrap();
    let leased = lease(&subject, &acme, 9).await;
    assert!(leased.iter().any(|leased| leased.task.id == delayed && leased.task.priority == Priority::Normal));
    let Embedded { store, clock, dir } = subject;
    drop(store);
    let older = EmbeddedStore::open_as(dir.path(), clock, OPTIONS, BEFORE).err().unwrap().to_string();
    assert!(older.contains("its layout is 6, and this version of Fusebox reads 5"), "{older}");
}

#[tokio::test]
async fn a_store_of_the_layout_before_is_migrated_at_once() {
    let dir = tempfile::tempdir().unwrap();
    left(dir.path());
    let told = EmbeddedStore::migrate(dir.path()).await.unwrap().to_string();
    assert_eq!(told, format!("migrated from layout {BEFORE} to {LAYOUT}"));
    let subject = Embedded { store: open(dir.path(), &Clock::System), clock: Clock::System, dir };
    assert_eq!(subject.store.reclaim_all_leases().await.unwrap(), 2);
    assert_eq!(counts(&subject, &tenant("acme")).await, (3, 1, 0));
}

#[tokio::test]
async fn leases_that_share_a_value_survive_a_reopening_until_the_last_has_ended() {
    let subject = embedded().await;
    let acme = tenant("acme");
    let function = register(&subject, &acme, "f").await;
    let new = || NewTask { attempts_max: 9, ..new_task(&subject, &function) };
    subject.store.accept((0..4).map(|_| new()).collect()).await.unwrap();
    let leased = lease(&subject, &acme, 4).await;
    let entries = |subject: &Embedded| {
        let (snapshot, prefix) = (subject.store.reads.snapshot().unwrap(), keys::lease_entries());
        snapshot.keys(Space::Records, &prefix, &keys::past(&prefix)).unwrap().count()
    };
    assert_eq!(entries(&subject), 1);
    assert_eq!(finish(&subject, claim(&leased[0]), end("out")).await, Finished::Ended(Status::Completed));
    let retry = crate::Verdict::Retry { delay_ms: 0 };
    assert_eq!(finish(&subject, claim(&leased[1]), retry).await, Finished::Requeued);
    assert_eq!(subject.store.renew(vec![claim(&leased[2])], LEASE_MS).await.unwrap(), [Renewal::Renewed]);
    let subject = reopened(subject);
    let statuses = [Status::Completed, Status::Queued, Status::Running, Status::Running];
    for (leased, expected) in leased.iter().zip(statuses) {
        assert_eq!(status(&subject, &acme, leased.task.id).await, expected);
    }
    let again = lease_one(&subject, &acme).await;
    assert_eq!((again.task.id, again.task.attempt), (leased[1].task.id, 2));
    assert_eq!(entries(&subject), 2);
    let subject = reopened(subject);
    assert_eq!(finish(&subject, claim(&leased[1]), end("stale")).await, Finished::Stale);
    for leased in [&leased[2], &leased[3], &again] {
        assert_eq!(finish(&subject, claim(leased), end("out")).await, Finished::Ended(Status::Completed));
    }
    assert_eq!(entries(&subject), 0);
    assert_eq!(counts(&subject, &acme).await, (0, 0, 0));
}
