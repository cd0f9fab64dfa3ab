//! The conformance suite on servers without a Cluster, and behaviour specific to them.

use fusebox_core::id::TaskId;
use fusebox_harness::redis::{RedisServer, RedisShards, shards_url};

use super::{
    Access, OPTIONS, RedisStore,
    faults::{ALWAYS, impatient, recovered, unavailable},
    shards,
};
use crate::{
    Accepted, Error, Queue as _, Store, Tasks as _,
    conformance::{conformance, counts, lease, new_task, register, tenant},
};

conformance!(shards);

async fn connect(url: &str) -> crate::Result<RedisStore> {
    RedisStore::connect(url, Access::default(), OPTIONS).await
}

/// Returns all keys of servers, with the claims.
fn kept(servers: &[&RedisServer]) -> Vec<String> {
    let of = |server: &&RedisServer| {
        let mut keys: Vec<_> = server.command(&["KEYS", "*"]).unwrap().lines().map(str::to_owned).collect();
        keys.sort();
        keys.push(server.command(&["GET", "fusebox:shard"]).unwrap());
        keys.join(" ")
    };
    servers.iter().map(of).collect()
}

/// Returns the line with which every command refuses these servers in this order, after which nothing has changed.
async fn refusal(servers: &[&RedisServer]) -> String {
    let url = shards_url(&servers.iter().map(|server| server.port()).collect::<Vec<_>>());
    let before = kept(servers);
    let told = match connect(&url).await {
        Err(Error::Refused(told)) if !told.contains('\n') => told,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    };
    for refused in [
        RedisStore::examine(&url, Access::default()).await.map(drop),
        RedisStore::migrate(&url, Access::default()).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().to_string(), told);
    }
    assert_eq!(kept(servers), before);
    told
}

#[tokio::test]
async fn tasks_are_spread_over_all_servers_and_everything_else_is_on_the_first() {
    let subject = shards().await;
    let acme = tenant("acme");
    let function = register(&subject, &acme, "f").await;
    subject.store.accept((0..200).map(|_| new_task(&subject, &function)).collect()).await.unwrap();
    let mut tags = Vec::new();
    for (at, server) in subject.server.0.iter().enumerate() {
        let keys = server.command(&["KEYS", "fusebox:store{*}"]).unwrap();
        tags.extend(keys.lines().map(str::to_owned));
        let own = server.command(&["KEYS", "task{*}:*"]).unwrap().lines().count();
        assert!(own > 20, "{own} of 200 tasks");
        assert_eq!(keys.contains("{fusebox}"), at == 0);
        let claim = server.command(&["GET", "fusebox:shard"]).unwrap();
        assert!(claim.starts_with(&format!("shard {} of 3 of store ", at + 1)), "{claim}");
    }
    assert_eq!(tags.len(), 17);
    let examined = RedisStore::examine(&subject.server.url(), Access::default()).await.unwrap();
    assert!(subject.server.0.iter().all(|server| examined.summary.contains(&format!("127.0.0.1:{}", server.port()))));
}

#[tokio::test]
async fn other_servers_than_at_the_first_start_are_refused() {
    let subject = shards().await;
    register(&subject, &tenant("acme"), "f").await;
    let [a, b, c] = &subject.server.0;
    let order = [a, b, c].map(|server| format!("127.0.0.1:{}", server.port())).join(",");
    assert!(refusal(&[b, a, c]).await.ends_with(&format!("their order is {order}")));
    assert!(refusal(&[a, b]).await.ends_with("the address names 2 servers: name all 3 in their order"));
    let empty = RedisServer::start(&[]).unwrap();
    let told = refusal(&[a, b, c, &empty]).await;
    assert!(told.ends_with("the address names 4 servers: name all 3 in their order"), "{told}");
    let other = shards().await;
    let told = refusal(&[a, b, &other.server.0[2]]).await;
    assert!(told.ends_with("name the servers of one store"), "{told}");

    let url = RedisStore::connect(&a.url(), Access::default(), OPTIONS).await.err().unwrap().to_string();
    assert!(url.ends_with("use redis+shard:// with all its servers"), "{url}");
    RedisStore::connect(&empty.url(), Access::default(), OPTIONS).await.unwrap();
    assert!(refusal(&[a, b, &empty]).await.contains("it has a store of its own"));
    connect(&subject.server.url()).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_came_back_empty_is_refused_until_its_claim_is_back() {
    let subject = shards().await;
    let [a, b, c] = &subject.server.0;
    b.command(&["FLUSHALL"]).unwrap();
    assert!(
        matches!(subject.store.check().await, Err(Error::Emptied { address }) if address.ends_with(&b.port().to_string()))
    );
    let told = refusal(&[a, b, c]).await;
    let (_, claim) = told.split_once("SET fusebox:shard \"").unwrap();
    b.command(&["SET", "fusebox:shard", claim.split('"').next().unwrap()]).unwrap();
    connect(&subject.server.url()).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn one_server_under_two_names_is_refused() {
    let server = RedisServer::start(&[]).unwrap();
    let url = format!("redis+shard://127.0.0.1:{0},localhost:{0}", server.port());
    let told = connect(&url).await.err().unwrap().to_string();
    assert!(told.contains("it is the same server as 127.0.0.1") && told.ends_with("name each server once"), "{told}");
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
}

#[tokio::test]
async fn a_first_start_that_did_not_end_is_continued() {
    let servers = RedisShards::start(&[]).unwrap();
    let [a, b, c] = &servers.0;
    for server in [a, b] {
        let shard = if server.port() == a.port() { 1 } else { 2 };
        server.command(&["SET", "fusebox:shard", &format!("shard {shard} of 3 of store x")]).unwrap();
        connect_and_forget(&servers.url()).await;
        assert_eq!(c.command(&["GET", "fusebox:shard"]).unwrap(), "shard 3 of 3 of store x");
        [a, b, c].iter().for_each(|server| drop(server.command(&["FLUSHALL"]).unwrap()));
        a.command(&["SET", "fusebox:shard", "shard 1 of 3 of store x"]).unwrap();
    }
}

async fn connect_and_forget(url: &str) {
    connect(url).await.unwrap().check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_be_the_first_at_a_time() {
    let servers = RedisShards::start(&[]).unwrap();
    for round in 0..10 {
        let access = || Access { prefix: format!("round{round}").parse().unwrap(), ..Access::default() };
        let url = servers.url();
        let first = (0..8).map(|_| RedisStore::connect(&url, access(), OPTIONS));
        futures_util::future::try_join_all(first).await.unwrap();
    }
}

/// Without one server, reads and ends of the others' tasks go on; what needs all of them tells which is missing.
#[tokio::test]
async fn a_server_that_is_down_takes_only_its_own_tasks_with_it() {
    let servers = RedisShards::start(&ALWAYS).unwrap();
    let url = servers.url();
    let mut subject = impatient(servers, &url).await;
    let acme = tenant("acme");
    let function = register(&subject, &acme, "f").await;
    let tasks: Vec<_> = (0..64).map(|_| new_task(&subject, &function)).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    subject.store.accept(tasks).await.unwrap();
    let down = subject.server.0[1].port().to_string();
    let is_down = |task: TaskId| usize::from(task.as_bytes()[15] & 0x0f) % 3 == 1;
    subject.server.0[1].kill().unwrap();
    for id in &ids {
        match subject.store.task(&acme, *id).await {
            Ok(found) => assert!(found.is_some() && !is_down(*id)),
            Err(error) => assert!(is_down(*id) && error.passes() && error.to_string().contains(&down), "{error}"),
        }
    }
    assert!(unavailable(subject.store.backlog()).await.contains(&down));
    let more: Vec<_> = (0..64).map(|_| new_task(&subject, &function)).collect();
    let answers = subject.store.accept(more.clone()).await.unwrap();
    for (task, answer) in more.iter().zip(answers) {
        assert_eq!(answer == Accepted::NoAnswer, is_down(task.id));
    }
    let url = subject.server.url();
    let told = connect(&url).await.err().unwrap();
    assert!(matches!(&told, Error::Unreachable { address, .. } if address.ends_with(&down)), "{told}");
    subject.server.0[1].restart().unwrap();
    recovered(&subject.store).await;
    let alive = more.iter().filter(|task| !is_down(task.id)).count();
    assert_eq!(counts(&subject, &acme).await, (64 + alive as u64, 0, 0));
    assert_eq!(lease(&subject, &acme, 64).await.len(), 64);
}

#[tokio::test]
async fn each_server_is_listened_to() {
    let subject = shards().await;
    for server in &subject.server.0 {
        let listeners = server.command(&["PUBSUB", "NUMSUB", "fusebox:ended"]).unwrap();
        assert_eq!(listeners, "fusebox:ended\n1");
    }
}
