//! Tests of a store that loses its data while processes use it: each process notices.

use super::{
    Access, Borrowed, RedisStore, cluster,
    faults::{impatient_node, recovered},
};
use crate::{Error, Options, Store, conformance::register, conformance::tenant};

async fn is_emptied(store: &RedisStore) -> bool {
    matches!(store.check().await, Err(Error::Emptied { .. }))
}

#[tokio::test]
async fn a_server_that_comes_back_empty_is_noticed_and_stays_noticed() {
    let mut subject = impatient_node(&[]).await;
    register(&subject, &tenant("acme"), "f").await;
    let id = subject.server.command(&["GET", "fusebox:store"]).unwrap();
    assert_eq!(id.len(), 32);
    let other = RedisStore::connect(&subject.server.url(), Access::default(), Options::default()).await.unwrap();
    other.check().await.unwrap();
    assert_eq!(subject.server.command(&["GET", "fusebox:store"]).unwrap(), id, "it is the first one's");
    // Restarts and lost libraries are not a loss.
    subject.server.restart().unwrap();
    recovered(&subject.store).await;
    subject.server.command(&["FUNCTION", "FLUSH"]).unwrap();
    subject.store.check().await.unwrap();

    subject.server.restart_empty().unwrap();
    // A call that is not a check reconnects, and notices the loss.
    let now = || async { subject.store.now().await.ok() };
    fusebox_harness::eventually("Redis to answer", super::faults::RECOVERY, now).await.unwrap();
    assert!(subject.store.caller.is_lost());
    assert!(is_emptied(&subject.store).await && is_emptied(&other).await);
    assert_eq!(subject.server.command(&["EXISTS", "fusebox:store"]).unwrap(), "0", "nothing makes it again");
    // A new process accepts the loss; processes that knew the store do not.
    let next = RedisStore::connect(&subject.server.url(), Access::default(), Options::default()).await.unwrap();
    next.check().await.unwrap();
    assert!(is_emptied(&subject.store).await, "it is another store now");
    subject.server.command(&["SET", "fusebox:store", &id]).unwrap();
    subject.store.check().await.unwrap();
}

#[tokio::test]
async fn each_master_of_a_cluster_is_watched() {
    let mut subject = cluster().await;
    for at in 0..3 {
        let node = &subject.server.cluster().nodes()[at];
        let keys = node.command(&["KEYS", "fusebox:store{*}"]).unwrap();
        let ids: Vec<_> = keys.lines().map(|key| (key.to_owned(), node.command(&["GET", key]).unwrap())).collect();
        assert!(!ids.is_empty(), "each master has a part");
        node.command(&["FLUSHALL"]).unwrap();
        assert!(is_emptied(&subject.store).await);
        let node = &subject.server.cluster().nodes()[at];
        ids.iter().for_each(|(key, id)| drop(node.command(&["SET", key, id]).unwrap()));
        subject.store.check().await.unwrap();
    }
}

#[tokio::test]
async fn looking_makes_no_id() {
    let mut servers = Borrowed::take();
    RedisStore::examine(&servers.cluster().url(), Access::default()).await.unwrap();
    for node in servers.cluster().nodes() {
        assert_eq!(node.command(&["DBSIZE"]).unwrap(), "0");
    }
}
