//! Tests of announced dispatchers and workers.

use fusebox_core::id::{DispatcherId, WorkerId};

use super::Subject;
use crate::{Crew, Mode, WorkerInfo};

fn worker(subject: &dyn Subject, id: u8) -> WorkerInfo {
    WorkerInfo {
        id: WorkerId::from_bytes([id; 16]),
        mode: Mode::Push,
        name: format!("machine-{id}"),
        version: "1.2.3".to_owned(),
        slots: 4,
        running: 1,
        ended: 9,
        joined_at: subject.now(),
        seen_at: subject.now(),
        draining: false,
    }
}

pub(crate) async fn announced_workers_are_there_for_their_time(subject: &dyn Subject) {
    let store = subject.store();
    let (one, two) = (DispatcherId::from_bytes([1; 16]), DispatcherId::from_bytes([2; 16]));
    let there = |dispatchers, workers: &[WorkerInfo]| Crew { dispatchers, workers: workers.to_vec() };
    assert_eq!(store.workers().await.unwrap(), there(0, &[]));
    store.announce(one, vec![worker(subject, 7), worker(subject, 8)], 10_000).await.unwrap();
    store.announce(two, vec![worker(subject, 9)], 1_000).await.unwrap();
    let everyone = [worker(subject, 7), worker(subject, 8), worker(subject, 9)];
    assert_eq!(store.workers().await.unwrap(), there(2, &everyone));
    let left = worker(subject, 8);
    store.announce(one, vec![left.clone()], 10_000).await.unwrap();
    subject.pass(2_000).await;
    assert_eq!(store.workers().await.unwrap(), there(1, &[left]));
    store.announce(one, Vec::new(), 10_000).await.unwrap();
    assert_eq!(store.workers().await.unwrap(), there(1, &[]), "a dispatcher that has nobody is there all the same");
    store.announce(one, Vec::new(), 0).await.unwrap();
    assert_eq!(store.workers().await.unwrap(), there(0, &[]));
}
