//! Tests in which each call of a step fails in turn, before it arrives or after it was performed: a repetition of the
//! step must find the work done so far.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::{On, cluster, node, shards};
use crate::{
    Accepted, Error, LeaseRequest, LeasedTask, Queue as _,
    conformance::{counts, grants, lease_request, new_task, register, tenant},
    redis::version_cache::VersionCache,
};

/// Kind of failure of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redis) enum Fault {
    /// The call does not arrive.
    CallLost,
    /// The call is performed, and its answer does not arrive.
    AnswerLost,
}

/// Planned failure of one call of a link, after a number of other calls.
#[derive(Default)]
pub(in crate::redis) struct Faults(Mutex<Option<(usize, Fault)>>);

impl Faults {
    /// Fails the call after the next `calls`.
    pub(super) fn fail_after(&self, calls: usize, fault: Fault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((calls, fault));
    }

    /// Returns true if no call has failed since; from now on none fails.
    pub(super) fn was_spared(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Returns the failure planned for the call that starts now.
    pub(in crate::redis) fn next(&self) -> Option<Fault> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match next.take() {
            Some((0, fault)) => Some(fault),
            Some((calls, fault)) => {
                *next = Some((calls - 1, fault));
                None
            }
            None => None,
        }
    }
}

/// Leases as a driver does.
async fn lease_surely<S>(subject: &On<S>, mut request: LeaseRequest) -> Vec<LeasedTask> {
    for _ in 0..2 {
        match subject.store.lease(request.clone()).await {
            Ok(leased) => return leased,
            Err(Error::Unavailable(_)) => request.again = true,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("one call failed, and the request failed twice")
}

/// Fails the first call, then the second, and so on, until the step has no more calls.
async fn each_call_of_a_lease_fails<S: Send + Sync>(mut subject: On<S>) {
    const TASKS: usize = 20;
    for fault in [Fault::CallLost, Fault::AnswerLost] {
        for call in 0.. {
            assert!(call < 200, "the step has no end");
            let tenant = tenant(&format!("{fault:?}-{call}").to_lowercase());
            let mut accepted = BTreeSet::new();
            for name in ["f", "g"] {
                let function = register(&subject, &tenant, name).await;
                let tasks: Vec<_> = (0..TASKS / 2).map(|_| new_task(&subject, &function)).collect();
                accepted.extend(tasks.iter().map(|task| task.id));
                subject.store.accept(tasks).await.unwrap();
            }
            // Forces the grants to be read, as on a host that has just started.
            subject.store.cache = VersionCache::new();
            subject.store.caller.faults().fail_after(call, fault);
            let leased = lease_surely(&subject, lease_request(&tenant, TASKS)).await;
            let spared = subject.store.caller.faults().was_spared();
            let found: BTreeSet<_> = leased.iter().map(|leased| leased.task.id).collect();
            assert_eq!((found, leased.len()), (accepted, TASKS), "{fault:?} at call {call}");
            assert!(leased.iter().all(|leased| leased.task.attempt == 1 && leased.invocation.grants == grants()));
            assert_eq!(counts(&subject, &tenant).await, (0, 0, TASKS as u64));
            if spared {
                assert!(call > 2, "the step has several calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn each_call_of_a_lease_may_fail_on_a_node() {
    each_call_of_a_lease_fails(node().await).await;
}

#[tokio::test]
async fn each_call_of_a_lease_may_fail_on_a_cluster() {
    each_call_of_a_lease_fails(cluster().await).await;
}

#[tokio::test]
async fn each_call_of_a_lease_to_one_of_several_servers_may_fail() {
    each_call_of_a_lease_fails(shards().await).await;
}

/// If a call of a batch fails, accepted tasks are reported, and the rest can be sent again.
#[tokio::test]
async fn a_batch_that_fails_on_the_way_tells_what_it_accepted() {
    const TASKS: usize = 1_900;
    let subject = node().await;
    for fault in [Fault::CallLost, Fault::AnswerLost] {
        let tenant = tenant(&format!("{fault:?}").to_lowercase());
        let function = register(&subject, &tenant, "f").await;
        let tasks: Vec<_> = (0..TASKS).map(|_| new_task(&subject, &function)).collect();
        subject.store.caller.faults().fail_after(1, fault);
        let answers = subject.store.accept(tasks.clone()).await.unwrap();
        assert_eq!(answers.len(), TASKS);
        let (known, unknown): (Vec<_>, Vec<_>) =
            tasks.into_iter().zip(answers).partition(|(_, answer)| *answer != Accepted::NoAnswer);
        assert!(known.iter().all(|(_, answer)| matches!(answer, Accepted::New { .. })));
        assert!(known.len() >= 500 && !unknown.is_empty(), "{} are known", known.len());
        let lost = if fault == Fault::AnswerLost { 500 } else { 0 };
        assert_eq!(counts(&subject, &tenant).await.0, (known.len() + lost) as u64);
        let again: Vec<_> = unknown.into_iter().map(|(task, _)| task).collect();
        let answers = subject.store.accept(again).await.unwrap();
        let duplicates = answers.iter().filter(|answer| **answer == Accepted::Duplicate).count();
        assert_eq!(duplicates, lost);
        assert_eq!(counts(&subject, &tenant).await, (TASKS as u64, 0, 0));
    }
    // If nothing is known of any task, that is an error.
    let tenant = tenant("none");
    let function = register(&subject, &tenant, "f").await;
    subject.store.caller.faults().fail_after(0, Fault::CallLost);
    let tasks = (0..3).map(|_| new_task(&subject, &function)).collect();
    assert!(matches!(subject.store.accept(tasks).await, Err(Error::Unavailable(_))));
}
