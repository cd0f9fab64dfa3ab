//! Tests with servers that are killed, hang, are full, reject writes or lose the library: each call reports that in
//! time, and the store works again as soon as they do, without being reopened.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fusebox_core::{
    outcome::{Ended, Receipt},
    task::Status,
};
use fusebox_harness::{eventually, redis::RedisServer};

use super::{Access, OPTIONS, On, node, on};
use crate::{
    Error, Finish, Finished, NewTask, Options, Queue as _, Store, Tasks as _, Verdict, Wakeups as _,
    conformance::{accept, cancel, claim, counts, end, finish, lease, lease_one, new_task, one_task, register, tenant},
    redis::{RedisStore, link::Patience},
};

/// Short timeouts, to keep the tests short.
const IMPATIENT: Patience = Patience { connect: Duration::from_millis(500), answer: Duration::from_millis(1_000) };
/// Far longer than the timeout of a call, so that a busy machine fails no test; a call that hangs is still found.
const SOON: Duration = Duration::from_secs(20);
/// Time for a server to be back, on a busy machine.
pub(super) const RECOVERY: Duration = Duration::from_secs(20);

pub(super) async fn impatient<S>(server: S, url: &str) -> On<S> {
    let On { clock, server, .. } = on(server, url).await;
    let store =
        RedisStore::connect_with(url, Access::default(), OPTIONS, IMPATIENT, Some(clock.clone())).await.unwrap();
    On { store, clock, server }
}

pub(super) async fn impatient_node(args: &[&str]) -> On<RedisServer> {
    let server = RedisServer::start(args).unwrap();
    let url = server.url();
    impatient(server, &url).await
}

/// Returns the error text of a call that must fail soon.
pub(super) async fn unavailable<T>(call: impl Future<Output = crate::Result<T>>) -> String {
    let started = Instant::now();
    let error = call.await.err().expect("the store is unavailable");
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    match error {
        Error::Unavailable(reason) => reason,
        error => panic!("{error}"),
    }
}

pub(super) async fn recovered(store: &RedisStore) {
    eventually("the store to work again", RECOVERY, || async { store.check().await.ok() }).await.unwrap();
}

/// Answers are given only for data on disk. With `everysec` a kill can lose writes that Redis holds back while it waits
/// for a slow disk.
pub(super) const ALWAYS: [&str; 2] = ["--appendfsync", "always"];

#[tokio::test]
async fn what_was_accepted_survives_a_kill() {
    let mut subject = impatient_node(&ALWAYS).await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    accept(&subject, new_task(&subject, &function)).await;
    let leased = lease_one(&subject, &tenant).await;
    subject.store.accept((0..500).map(|_| new_task(&subject, &function)).collect()).await.unwrap();
    subject.server.restart().unwrap();
    recovered(&subject.store).await;
    assert_eq!(counts(&subject, &tenant).await, (500, 0, 1));
    assert_eq!(finish(&subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(lease(&subject, &tenant, 600).await.len(), 500);
}

#[tokio::test]
async fn a_dead_server_is_told_and_comes_back() {
    let mut subject = impatient_node(&[]).await;
    let (tenant, task) = one_task(&subject).await;
    let function = register(&subject, &tenant, "f").await;
    let (ended, ready) = (subject.store.ended_hint(task), subject.store.ready_hint());
    subject.server.kill().unwrap();
    let reason = unavailable(subject.store.accept(vec![new_task(&subject, &function)])).await;
    let address = format!("127.0.0.1:{}", subject.server.port());
    assert!(reason.contains(&address) && reason.contains("is it running?"), "{reason}");
    // No message can be received, so waiters are woken periodically.
    tokio::time::timeout(SOON, ended).await.unwrap();
    tokio::time::timeout(SOON, ready).await.unwrap();
    unavailable(subject.store.tick()).await;
    unavailable(subject.store.check()).await;
    subject.server.restart().unwrap();
    recovered(&subject.store).await;
    accept(&subject, new_task(&subject, &function)).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    let subject = impatient_node(&[]).await;
    let (tenant, task) = one_task(&subject).await;
    subject.server.pause().unwrap();
    let reads = (0..20).map(|_| unavailable(subject.store.task(&tenant, task)));
    let reasons = futures_util::future::join_all(reads).await;
    assert!(reasons.iter().all(|reason| reason.contains("answer")), "{reasons:?}");
    let fresh = RedisStore::connect_with(&subject.server.url(), Access::default(), OPTIONS, IMPATIENT, None).await;
    assert!(matches!(fresh, Err(Error::Unreachable { .. })));
    subject.server.resume().unwrap();
    recovered(&subject.store).await;
    assert!(subject.store.task(&tenant, task).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_takes_no_writes_says_so() {
    let subject = impatient_node(&[]).await;
    let (tenant, _) = one_task(&subject).await;
    let function = register(&subject, &tenant, "f").await;
    subject.server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let reason = unavailable(subject.store.accept(vec![new_task(&subject, &function)])).await;
    assert!(reason.contains("replica"), "{reason}");
    unavailable(subject.store.tick()).await;
    subject.server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    recovered(&subject.store).await;
    accept(&subject, new_task(&subject, &function)).await;
}

#[tokio::test]
async fn a_library_that_is_gone_is_loaded_again() {
    let subject = node().await;
    let other = "#!lua name=fusebox_1_00000000\n\
                 redis.register_function('fusebox_1_00000000_ping', function() return 'other' end)";
    let (tenant, _) = one_task(&subject).await;
    subject.server.command(&["FUNCTION", "FLUSH"]).unwrap();
    subject.server.command(&["FUNCTION", "LOAD", other]).unwrap();
    lease_one(&subject, &tenant).await;
    // The library of another version of the host is left alone.
    assert_eq!(subject.server.command(&["FCALL", "fusebox_1_00000000_ping", "0"]).unwrap(), "other");
    subject.server.command(&["FUNCTION", "FLUSH"]).unwrap();
    subject.store.check().await.unwrap();
    let again = RedisStore::connect(&subject.server.url(), Access::default(), OPTIONS).await.unwrap();
    again.check().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_made_again_unnoticed() {
    let subject = node().await;
    let (tenant, task) = one_task(&subject).await;
    for _ in 0..3 {
        subject.server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
        assert!(subject.store.task(&tenant, task).await.unwrap().is_some());
    }
    subject.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    let heard = subject.store.cancellations();
    lease_one(&subject, &tenant).await;
    let listens = || async {
        let listeners = subject.server.command(&["PUBSUB", "NUMSUB", "fusebox:cancelled"]).unwrap();
        (listeners == "fusebox:cancelled\n1").then_some(())
    };
    eventually("the store to listen again", RECOVERY, listens).await.unwrap();
    cancel(&subject, &tenant, task).await;
    let mut heard = heard;
    assert_eq!(tokio::time::timeout(SOON, heard.recv()).await.unwrap(), Ok(task));
}

#[tokio::test]
async fn what_cannot_be_reached_is_named_without_its_password() {
    let connect = async |url: String| {
        let store = RedisStore::connect_with(&url, Access::default(), Options::default(), IMPATIENT, None).await;
        store.err().expect("there is no such store").to_string()
    };
    let mut server = RedisServer::start(&[]).unwrap();
    let port = server.port();
    server.kill().unwrap();
    let gone = connect(format!("redis://me:hunter2@127.0.0.1:{port}")).await;
    assert_eq!(gone, format!("cannot reach Redis at 127.0.0.1:{port}: it refuses connections: is it running?"));
    let sentinel = connect(format!("redis+sentinel://me:hunter2@127.0.0.1:{port}/main")).await;
    assert!(sentinel.contains("Sentinel") && sentinel.contains("is it running?"), "{sentinel}");

    let open = RedisServer::start(&[]).unwrap();
    open.command(&["ACL", "SETUSER", "me", "on", ">hunter2", "~*", "&*", "+@all"]).unwrap();
    open.command(&["ACL", "SETUSER", "default", "off"]).unwrap();
    let port = open.port();
    let nobody = connect(format!("redis://127.0.0.1:{port}")).await;
    assert!(nobody.contains("password"), "{nobody}");
    let wrong = connect(format!("redis://me:hunter4@127.0.0.1:{port}")).await;
    assert!(wrong.contains("refuses the user or the password"), "{wrong}");
    let cluster = connect(format!("redis+cluster://me:hunter2@127.0.0.1:{port}")).await;
    assert!(cluster.contains("is not a Cluster: use redis://"), "{cluster}");
    for told in [gone, sentinel, nobody, wrong, cluster] {
        assert!(!told.contains("hunter"), "{told}");
    }
    let store =
        RedisStore::connect(&format!("redis://me:hunter2@127.0.0.1:{port}"), Access::default(), OPTIONS).await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn large_inputs_and_outputs_pass() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let input = Bytes::from(vec![0xff; 6 << 20]);
    let tasks: Vec<_> = (0..4).map(|_| NewTask { input: input.clone(), ..new_task(&subject, &function) }).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    subject.store.accept(tasks).await.unwrap();
    let leased = lease(&subject, &tenant, 9).await;
    assert_eq!(leased.len(), ids.len(), "a bound on bytes is no bound on tasks");
    assert!(leased.iter().all(|leased| leased.invocation.input == input));
    let output = Bytes::from(vec![0; 6 << 20]);
    let reports = leased.iter().map(|leased| Finish {
        claim: claim(leased),
        verdict: Verdict::End(Ended {
            failure: None,
            output: output.clone(),
            log: input.slice(..1 << 20),
            receipt: Receipt::default(),
        }),
    });
    subject.store.finish(reports.collect()).await.unwrap();
    for id in ids {
        assert_eq!(subject.store.result(&tenant, id).await.unwrap().unwrap().output, output);
        assert_eq!(subject.store.log(&tenant, id).await.unwrap().unwrap().len(), 1 << 20);
    }
}
