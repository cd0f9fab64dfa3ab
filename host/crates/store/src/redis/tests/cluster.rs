//! The conformance suite on a Cluster, and behaviour specific to one.

use std::{collections::BTreeSet, time::Duration};

use fusebox_harness::{eventually, redis::RedisServer};

use super::{
    Borrowed, On, cluster,
    faults::{impatient, recovered, unavailable},
};
use crate::{
    Queue as _,
    conformance::{conformance, counts, lease, new_task, register, tenant},
};

conformance!(cluster);

#[tokio::test]
async fn a_tenants_tasks_are_spread_over_all_nodes() {
    let mut subject = cluster().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    subject.store.accept((0..200).map(|_| new_task(&subject, &function)).collect()).await.unwrap();
    let mut tags = BTreeSet::new();
    for node in subject.server.cluster().nodes() {
        let keys = node.command(&["KEYS", "task{*}:*"]).unwrap();
        let found: BTreeSet<_> = keys.lines().filter_map(|key| Some(key.split_once(':')?.0.to_owned())).collect();
        assert!(found.len() >= 5, "a node has its share of the partitions: {found:?}");
        tags.extend(found);
    }
    assert_eq!(tags.len(), 16);
}

/// A store in a Cluster that saves each write to disk before it answers.
async fn to_be_killed() -> On<Borrowed> {
    let mut servers = Borrowed::take();
    for node in servers.cluster().nodes() {
        node.command(&["CONFIG", "SET", "appendfsync", "always"]).unwrap();
    }
    let url = servers.cluster().url();
    impatient(servers, &url).await
}

#[tokio::test]
async fn a_node_that_dies_or_hangs_is_told_and_comes_back() {
    let mut subject = to_be_killed().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    subject.store.accept((0..64).map(|_| new_task(&subject, &function)).collect()).await.unwrap();

    subject.server.cluster().nodes()[1].kill().unwrap();
    unavailable(subject.store.backlog()).await;
    unavailable(subject.store.tick()).await;
    subject.server.cluster().nodes()[1].restart().unwrap();
    subject.server.cluster().wait_until_whole().unwrap();
    recovered(&subject.store).await;
    assert_eq!(counts(&subject, &tenant).await, (64, 0, 0));

    subject.server.cluster().nodes()[2].pause().unwrap();
    unavailable(subject.store.backlog()).await;
    subject.server.cluster().nodes()[2].resume().unwrap();
    subject.server.cluster().wait_until_whole().unwrap();
    recovered(&subject.store).await;
    assert_eq!(lease(&subject, &tenant, 64).await.len(), 64);
}

#[tokio::test]
async fn a_cluster_that_was_gone_comes_back() {
    let mut subject = to_be_killed().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    subject.store.accept(vec![new_task(&subject, &function)]).await.unwrap();
    for node in subject.server.cluster().nodes() {
        node.kill().unwrap();
    }
    unavailable(subject.store.backlog()).await;
    for node in subject.server.cluster().nodes() {
        node.restart().unwrap();
    }
    subject.server.cluster().wait_until_whole().unwrap();
    recovered(&subject.store).await;
    assert_eq!(counts(&subject, &tenant).await, (1, 0, 0));
}

#[tokio::test]
async fn a_library_that_one_node_lost_is_loaded_again() {
    let mut subject = cluster().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    subject.server.cluster().nodes()[2].command(&["FUNCTION", "FLUSH"]).unwrap();
    subject.store.accept((0..64).map(|_| new_task(&subject, &function)).collect()).await.unwrap();
    assert_eq!(counts(&subject, &tenant).await, (64, 0, 0));
}

/// Every node relays the messages of all.
#[tokio::test]
async fn who_listened_to_a_node_that_died_listens_to_another() {
    let mut subject = to_be_killed().await;
    let listeners = |nodes: &[RedisServer]| {
        let subscribed = |node: &RedisServer| {
            node.command(&["PUBSUB", "NUMSUB", "fusebox:ended"]).is_ok_and(|answer| answer.ends_with("\n1"))
        };
        nodes.iter().position(subscribed)
    };
    let first = listeners(subject.server.cluster().nodes()).unwrap();
    subject.server.cluster().nodes()[first].kill().unwrap();
    let nodes = subject.server.cluster().nodes();
    let moved = eventually("another node to be listened to", Duration::from_secs(20), || {
        let now = listeners(nodes);
        async move { now.filter(|now| *now != first) }
    });
    moved.await.unwrap();
    subject.server.cluster().nodes()[first].restart().unwrap();
    subject.server.cluster().wait_until_whole().unwrap();
}
