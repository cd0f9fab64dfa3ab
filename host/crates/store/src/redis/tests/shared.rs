//! Tests of two hosts on one server: cached data that the other host changes, and tasks that many callers submit at
//! once.

use std::collections::HashSet;

use fusebox_core::task::Status;
use fusebox_harness::redis::RedisServer;

use super::{Access, OPTIONS, On, node};
use crate::{
    Accepted, Expects, FunctionRef, Functions as _, NewTask, Queue as _, Tasks as _,
    conformance::{Subject, counts, lease, new_task, register, status, tenant},
    redis::{RedisStore, link::Patience},
};

/// A second host's handle on the same server.
async fn another(subject: &On<RedisServer>) -> On<()> {
    let clock = subject.clock.clone();
    let (url, told) = (subject.server.url(), Some(clock.clone()));
    let store = RedisStore::connect_with(&url, Access::default(), OPTIONS, Patience::default(), told).await.unwrap();
    On { store, clock, server: () }
}

#[tokio::test]
async fn a_remembered_version_is_checked_when_a_task_is_accepted_for_it() {
    let subject = node().await;
    let (store, other, acme) = (&subject.store, another(&subject).await, tenant("acme"));
    let by_name = FunctionRef::Name("f".parse().unwrap());
    assert_eq!(store.remembered(&acme, &by_name), None);
    let first = register(&subject, &acme, "f").await;
    assert_eq!(store.function(&acme, &by_name).await.unwrap(), Some(first.clone()));
    assert_eq!(store.remembered(&acme, &by_name), Some(first.clone()));
    assert_eq!(store.remembered(&tenant("other"), &by_name), None);
    let expecting = |expects| NewTask { expects, ..new_task(&subject, &first) };
    let accept = async |task| store.accept(vec![task]).await.unwrap()[0];
    let new = Accepted::New { at: subject.now() };
    assert_eq!(accept(expecting(Expects::Newest)).await, new);

    let second = register(&other, &acme, "f").await;
    assert_eq!(store.remembered(&acme, &by_name), Some(first.clone()), "nobody has told it");
    let stale = expecting(Expects::Newest);
    assert_eq!(accept(stale.clone()).await, Accepted::FunctionChanged);
    assert_eq!(store.task(&acme, stale.id).await.unwrap(), None);
    assert_eq!(accept(expecting(Expects::There)).await, new, "by its id it may still be called");
    assert_eq!(store.function(&acme, &by_name).await.unwrap(), Some(second));

    let known = expecting(Expects::There);
    assert_eq!(accept(known.clone()).await, new);
    other.store.delete_function(&acme, &FunctionRef::Id(first.id)).await.unwrap();
    assert_eq!(accept(expecting(Expects::There)).await, Accepted::FunctionChanged);
    assert_eq!(accept(known).await, Accepted::Duplicate, "what was accepted stays so");
    let foreign = NewTask { tenant: tenant("other"), ..expecting(Expects::There) };
    assert_eq!(accept(foreign).await, Accepted::FunctionChanged);
}

#[tokio::test]
async fn each_of_many_callers_gets_its_own_answer() {
    let subject = node().await;
    let acme = tenant("acme");
    let function = register(&subject, &acme, "f").await;
    let twice = new_task(&subject, &function);
    let mut tasks: Vec<_> = (0..300).map(|_| new_task(&subject, &function)).collect();
    tasks.extend([twice.clone(), twice]);
    let ids: HashSet<_> = tasks.iter().map(|task| task.id).collect();
    let calls = tasks.into_iter().map(|task| subject.store.accept(vec![task]));
    let answers: Vec<_> = futures_util::future::try_join_all(calls).await.unwrap().concat();
    let new = answers.iter().filter(|answer| **answer == Accepted::New { at: subject.now() }).count();
    assert_eq!((new, answers.contains(&Accepted::Duplicate)), (301, true));
    assert_eq!(counts(&subject, &acme).await, (301, 0, 0));
    let leased = lease(&subject, &acme, 1).await[0].task.id;
    assert!(ids.contains(&leased));
    assert_eq!(status(&subject, &acme, leased).await, Status::Running);
}
