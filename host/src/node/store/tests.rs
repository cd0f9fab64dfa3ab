//! Tests of the wait for stores that are not available yet, with doubles and real servers.

use std::sync::Mutex;

use fusebox_core::time::Millis;
use fusebox_harness::redis::{self, RedisCluster, RedisSentinel, RedisServer};

use super::*;

/// Longer than any test here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a store with the given errors, one for each attempt; the last one repeats.
async fn opened(wait: Duration, answers: &[Error]) -> (String, usize) {
    let attempts = Mutex::new(0);
    let connect = async || {
        let mut attempts = attempts.lock().unwrap();
        *attempts += 1;
        match answers.get(*attempts - 1) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    };
    let opened = when_there(wait, connect).await;
    (opened.map_or_else(|error| format!("{error:#}"), |()| "opened".to_owned()), attempts.into_inner().unwrap())
}

#[tokio::test]
async fn passing_troubles_are_waited_for_and_lasting_ones_are_not() {
    let absent = || Error::Unreachable { address: "cache:6379".into(), reason: "it refuses connections".into() };
    let loading = || Error::Unavailable("Redis at cache:6379 is loading its data".into());
    let refused = Error::Refused("Redis at cache:6379 refuses the user or the password".into());
    let long = Duration::from_secs(60);
    assert_eq!(opened(long, &[absent(), loading()]).await, ("opened".into(), 3));
    assert_eq!(opened(Duration::ZERO, &[absent()]).await.1, 1, "0 does not wait");
    let (told, attempts) = opened(long, &[absent(), refused, absent()]).await;
    assert_eq!((told.contains("password"), attempts), (true, 2));
    let old = Error::WrongVersion { address: "cache:6379".into(), version: "6.2".into() };
    assert_eq!(opened(long, &[old]).await.1, 1);
}

#[tokio::test]
async fn a_store_that_is_not_there_in_time_is_told_with_what_to_do() {
    let absent = Error::Unreachable { address: "cache:6379".into(), reason: "it refuses connections".into() };
    let (told, attempts) = opened(PAUSE_MIN * 2, &vec![absent; 100]).await;
    assert!(told.contains("refuses connections") && told.contains("--store-wait"), "{told}");
    assert_eq!(attempts, 2);
    let silent = when_there(PAUSE_MIN, async || std::future::pending::<fusebox_store::Result<()>>().await);
    assert!(silent.await.unwrap_err().to_string().contains("does not answer"));
}

/// Waits for a store that `heal` repairs; before that, an attempt fails temporarily with an error that contains
/// `words`.
async fn heals(url: &str, words: &str, heal: impl FnOnce() + Send + 'static) {
    let error = RedisStore::connect(url, Access::default(), Options::default()).await.err().unwrap();
    assert!(error.passes() && error.to_string().contains(words), "{error}");
    let (address, clock) = (StoreAddress::Redis(url.to_owned()), Clock::System.steady(Millis(0)));
    let healing = tokio::task::spawn_blocking(heal);
    let store = open_within(PATIENCE, &address, &RedisArgs::default(), &clock).await.unwrap();
    healing.await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_absent_or_loads_is_waited_for() {
    // A snapshot; while it loads, the server answers requests between a few of its keys.
    let args = ["--appendonly", "no", "--rdbcompression", "no", "--loading-process-events-interval-bytes", "1024"];
    let mut server = RedisServer::start(&args).unwrap();
    let (url, port) = (server.url(), server.port());
    for key in 0..500 {
        server.command(&["SET", &key.to_string(), &"x".repeat(100)]).unwrap();
    }
    server.command(&["SAVE"]).unwrap();
    server.kill().unwrap();
    let mut absent = server;
    let (tell, told) = std::sync::mpsc::channel();
    heals(&url, "is it running?", move || {
        absent.restart().unwrap();
        tell.send(absent).unwrap();
    })
    .await;
    let mut server = told.recv().unwrap();
    // Loading 500 keys then takes 10 s, unless the delay is reset sooner.
    server.restart_with(&["--key-load-delay", "20000"]).unwrap();
    heals(&url, "is loading its data", move || {
        redis::command(port, &["CONFIG", "SET", "key-load-delay", "0"]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_replica_without_a_master_is_waited_for() {
    for stale in ["yes", "no"] {
        let args = ["--replica-serve-stale-data", stale, "--replicaof", "127.0.0.1", "1"];
        let server = RedisServer::start(&args).unwrap();
        let port = server.port();
        heals(&server.url(), "replica", move || drop(redis::command(port, &["REPLICAOF", "NO", "ONE"]).unwrap())).await;
    }
}

#[tokio::test]
async fn a_failover_and_a_cluster_without_all_of_its_slots_are_waited_for() {
    let mut servers = RedisSentinel::start().unwrap();
    servers.master.kill().unwrap();
    heals(&servers.url(), "is it running?", || {}).await;

    let mut cluster = RedisCluster::start().unwrap();
    let slots = ["5461", "10922"];
    cluster.nodes()[1].command(&["CLUSTER", "DELSLOTSRANGE", slots[0], slots[1]]).unwrap();
    let port = cluster.nodes()[1].port();
    heals(&cluster.url(), "", move || {
        drop(redis::command(port, &["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).unwrap())
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_may_be_known_soon() {
    let error =
        RedisStore::connect("redis://no-such-host.invalid", Access::default(), Options::default()).await.err().unwrap();
    assert!(error.passes(), "{error}");
}

#[tokio::test]
async fn waiting_ends_at_once_where_it_is_of_no_use() {
    let server = RedisServer::start(&["--requirepass", "secret"]).unwrap();
    let port = server.port();
    let cases = [
        (format!("redis://127.0.0.1:{port}"), "requires a password"),
        (format!("redis://:wrong@127.0.0.1:{port}"), "refuses the user or the password"),
        (format!("redis://:secret@127.0.0.1:{port}/99"), "no database of this number"),
        (format!("redis+cluster://:secret@127.0.0.1:{port}"), "is not a Cluster"),
        (format!("redis://127.0.0.1:{port}/x"), "the database must be a number"),
    ];
    for (url, words) in cases {
        let opened = open_within(PATIENCE, &StoreAddress::Redis(url), &RedisArgs::default(), &Clock::System).await;
        let told = format!("{:#}", opened.err().unwrap());
        assert!(told.contains(words) && !told.contains("--store-wait"), "{told}");
    }
}
