//! Tests of the layout's marker: what is no store of this version is refused with what to do, and stays as it was.

use fusebox_harness::redis::RedisServer;

use super::{Access, Borrowed, OPTIONS, RedisStore, node};
use crate::{Error, Store, layout::REDIS};

/// Returns the refusal of a server, which must leave its keys as they are.
async fn refusal(server: &RedisServer, prefix: Option<&str>) -> String {
    let keys = || server.command(&["KEYS", "*"]).unwrap();
    let before = keys();
    let access =
        Access { prefix: prefix.map(|prefix| prefix.parse().unwrap()).unwrap_or_default(), ..Access::default() };
    let refused = RedisStore::connect(&server.url(), access, OPTIONS).await;
    assert_eq!(keys(), before, "nothing is written");
    match refused {
        Err(Error::Refused(told)) if !told.contains('\n') => told,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn a_store_names_its_layout_and_each_process_looks_at_it() {
    let subject = node().await;
    let marker = || subject.server.command(&["GET", "fusebox:layout"]).unwrap();
    assert_eq!(marker(), format!("fusebox layout {}", REDIS.own));
    let examined = RedisStore::examine(&subject.server.url(), Access::default()).await.unwrap();
    assert!(examined.summary.ends_with(&format!(", fusebox layout {}", REDIS.own)), "{}", examined.summary);
    for (layout, words) in [
        ("fusebox layout 6", "its layout is 6, and this version of Fusebox reads 7: use the version that made it"),
        ("fusebox layout 99", "its layout is 99, and this version of Fusebox reads"),
        ("fusebox layout 3 and 2, migrating, steps done: 0", "run `fusebox store migrate`"),
        ("the other program's", "use the version that made it, or another store"),
    ] {
        subject.server.command(&["SET", "fusebox:layout", layout]).unwrap();
        let told = refusal(&subject.server, None).await;
        assert!(told.contains(words), "{told}");
        assert_eq!(marker(), layout);
        assert!(RedisStore::examine(&subject.server.url(), Access::default()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_be_the_first_at_a_time() {
    let server = RedisServer::start(&[]).unwrap();
    for round in 0..20 {
        let access = || Access { prefix: format!("round{round}").parse().unwrap(), ..Access::default() };
        let url = server.url();
        let first = (0..8).map(|_| RedisStore::connect(&url, access(), OPTIONS));
        futures_util::future::try_join_all(first).await.unwrap();
    }
}

#[tokio::test]
async fn a_redis_with_keys_and_no_layout_is_another_programs() {
    let server = RedisServer::start(&[]).unwrap();
    for (key, prefix) in [
        ("fusebox:store", None),
        ("task:0190d5a0-7b1a-7c3e-8f00-0123456789ab", None),
        ("function:add", None),
        ("acme:task:1", Some("acme")),
    ] {
        server.command(&["SET", key, "theirs"]).unwrap();
        // Keys with other names are nobody's concern.
        for other in 0..20 {
            server.command(&["SET", &format!("session:{other}"), "theirs"]).unwrap();
        }
        let told = refusal(&server, prefix).await;
        assert!(told.contains(key) && told.contains("--store-prefix"), "{told}");
        server.command(&["DEL", key]).unwrap();
        let access = Access { prefix: "other".parse().unwrap(), ..Access::default() };
        RedisStore::connect(&server.url(), access, OPTIONS).await.unwrap().check().await.unwrap();
    }
}

#[tokio::test]
async fn each_partition_of_a_cluster_has_its_layout_named() {
    let mut servers = Borrowed::take();
    let url = servers.cluster().url();
    let connect = || RedisStore::connect(&url, Access::default(), OPTIONS);
    connect().await.unwrap();
    let named: usize = servers
        .cluster()
        .nodes()
        .iter()
        .map(|node| node.command(&["KEYS", "fusebox:layout{*}"]).unwrap().lines().count())
        .sum();
    assert_eq!(named, 17);
    let node = &servers.cluster().nodes()[1];
    let keys = node.command(&["KEYS", "fusebox:layout{*}"]).unwrap();
    let key = keys.lines().next().unwrap();
    node.command(&["SET", key, "fusebox layout 99"]).unwrap();
    assert!(connect().await.err().unwrap().to_string().contains("its layout is 99"));
    // A master that came back empty is a loss, which a new process accepts.
    node.command(&["FLUSHALL"]).unwrap();
    connect().await.unwrap();
    assert_eq!(node.command(&["GET", key]).unwrap(), format!("fusebox layout {}", REDIS.own));
}

#[tokio::test]
async fn a_redis_that_evicts_or_is_a_replica_is_told_what_to_do() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).unwrap();
    assert!(refusal(&server, None).await.contains("set maxmemory-policy to noeviction"));
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", "1"]).unwrap();
    let told = RedisStore::connect(&replica.url(), Access::default(), OPTIONS).await.err().unwrap().to_string();
    assert!(told.contains("use the master's address"), "{told}");
    assert_eq!(replica.command(&["DBSIZE"]).unwrap(), "0");
}
