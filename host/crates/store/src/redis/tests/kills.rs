//! Tests with clients, workers and kills at the same time: every accepted task ends once, with the output of its own
//! run. Callers without an answer repeat the call, as a host does.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::TaskId,
    outcome::{Ended, Receipt},
    task::{Status, Task},
};
use fusebox_harness::eventually;

use super::{
    On,
    faults::{ALWAYS, RECOVERY, impatient_node},
};
use crate::{
    Accepted, Finish, Finished, NewTask, Queue as _, Tasks as _, Verdict,
    conformance::{LEASE_MS, Subject, claim, counts, lease_request, new_task, register, tenant},
};

const CLIENTS: usize = 4;
const KILLS: usize = 5;
/// Number of tasks accepted between two kills.
const TASKS: usize = 150;

struct Load {
    subject: On<()>,
    function: FunctionVersion,
    accepted: Mutex<Vec<TaskId>>,
    stop: AtomicBool,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn client(self: Arc<Self>) {
        while self.goes_on() {
            let new = NewTask { attempts_max: 1_000, ..new_task(&self.subject, &self.function) };
            let accept = || async { self.subject.store.accept(vec![new.clone()]).await.ok() };
            let answers = eventually("an answer", RECOVERY, accept).await.unwrap();
            assert!(matches!(answers[..], [Accepted::New { .. } | Accepted::Duplicate]));
            self.accepted.lock().unwrap().push(new.id);
        }
    }

    async fn worker(self: Arc<Self>) {
        while self.goes_on() {
            self.run_some().await;
            tokio::task::yield_now().await;
        }
    }

    /// Leases some tasks and ends them.
    async fn run_some(&self) {
        let request = lease_request(&self.function.tenant, 8);
        let Ok(leased) = self.subject.store.lease(request).await else { return };
        let reports: Vec<_> = leased
            .iter()
            .map(|leased| {
                let receipt = Receipt { attempt: leased.task.attempt, ..Receipt::default() };
                let verdict =
                    Verdict::End(Ended { failure: None, output: output(&leased.task), log: Bytes::new(), receipt });
                Finish { claim: claim(leased), verdict }
            })
            .collect();
        let finish = || async { self.subject.store.finish(reports.clone()).await.ok() };
        let answers = eventually("an answer", RECOVERY, finish).await.unwrap();
        let good = |answer: &Finished| matches!(answer, Finished::Ended(Status::Completed) | Finished::Duplicate);
        assert!(answers.iter().all(good), "{answers:?}");
    }
}

fn output(task: &Task) -> Bytes {
    format!("{} {}", task.id, task.attempt).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_lost_to_kills() {
    let On { store, clock, mut server } = impatient_node(&ALWAYS).await;
    let subject = On { store, clock, server: () };
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let load = Arc::new(Load { subject, function, accepted: Mutex::default(), stop: AtomicBool::default() });
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        others.spawn(load.clone().client());
        others.spawn(load.clone().worker());
    }
    for kill in 1..=KILLS {
        let enough = || async { (load.accepted.lock().unwrap().len() > kill * TASKS).then_some(()) };
        eventually("more tasks", RECOVERY, enough).await.unwrap();
        tokio::task::block_in_place(|| server.restart()).unwrap();
    }
    load.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = others.join_next().await {
        ended.unwrap();
    }
    // Leases whose answer was lost lapse.
    while counts(&load.subject, &tenant).await != (0, 0, 0) {
        load.subject.pass(LEASE_MS).await;
        load.subject.store.tick().await.unwrap();
        load.run_some().await;
    }
    let accepted = load.accepted.lock().unwrap().clone();
    assert!(accepted.len() > KILLS * TASKS);
    for task in accepted {
        let result = load.subject.store.result(&tenant, task).await.unwrap().expect("an accepted task is kept");
        assert_eq!((result.task.status(), &result.output), (Status::Completed, &output(&result.task)));
        assert_eq!(result.task.ended().unwrap().receipt.attempt, result.task.attempt);
    }
}
