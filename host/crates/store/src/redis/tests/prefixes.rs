//! Tests of several stores with and without a prefix in one Redis: they are independent of each other.

use fusebox_core::name::TenantId;

use super::{Access, On, cluster, node, reached};
use crate::{
    Acting, FunctionRef, Functions as _, Identity as _, PageRequest, Presence as _, Queue as _, Store, Tasks as _,
    conformance::{accept, claim, counts, end, finish, identity::new_key, lease_one, new_task, register, tenant},
};

async fn beside(url: &str, prefix: &str) -> On<()> {
    reached((), url, Access { prefix: prefix.parse().unwrap(), ..Access::default() }).await
}

/// Data of one store is absent from the others.
async fn see_nothing<S: Send + Sync, T: Send + Sync>(one: &On<S>, other: &On<T>) {
    let (acme, page) = (tenant("acme"), PageRequest { cursor: None, rows: 10 });
    let function = register(one, &acme, "f").await;
    let changes = other.store.identity_changes();
    let task = accept(one, new_task(one, &function)).await;
    one.store.add_key(Acting::Store, new_key(&TenantId::default_tenant())).await.unwrap().unwrap();
    assert_eq!(one.store.workers().await.unwrap(), other.store.workers().await.unwrap());
    assert!(one.store.has_keys().await.unwrap() && !other.store.has_keys().await.unwrap());
    let leased = lease_one(one, &acme).await;
    finish(one, claim(&leased), end("out")).await;

    let name = FunctionRef::Name("f".parse().unwrap());
    assert_eq!(other.store.function(&acme, &name).await.unwrap(), None);
    assert_eq!(other.store.module(&function.module).await.unwrap(), None);
    assert!(other.store.task(&acme, task).await.unwrap().is_none());
    assert!(other.store.tasks(&acme, &page).await.unwrap().items.is_empty());
    assert_eq!(one.store.tasks(&acme, &page).await.unwrap().items.len(), 1);
    assert_eq!(counts(other, &acme).await, (0, 0, 0));
    other.store.tick().await.unwrap();
    other.store.audit().await.unwrap();
    one.store.check().await.unwrap();
    other.store.check().await.unwrap();
    assert!(!changes.has_changed().unwrap(), "its messages are its own");
}

#[tokio::test]
async fn stores_with_prefixes_share_a_server_and_see_nothing_of_each_other() {
    let bare = node().await;
    let (url, server) = (bare.server.url(), &bare.server);
    let (one, other) = (beside(&url, "one").await, beside(&url, "one-more").await);
    see_nothing(&one, &other).await;
    see_nothing(&other, &bare).await;
    let keys = server.command(&["KEYS", "*"]).unwrap();
    let of = |prefix: &str| keys.lines().filter(|key| key.starts_with(prefix)).count();
    assert!(of("one:") > 5 && of("one-more:") > 5, "{keys}");
    assert_eq!(keys.lines().count(), of("one:") + of("one-more:") + of("fusebox:"), "{keys}");
    let channels = server.command(&["PUBSUB", "CHANNELS", "one:*"]).unwrap();
    assert_eq!(channels.lines().count(), 5, "{channels}");
}

#[tokio::test]
async fn stores_with_prefixes_share_a_cluster_each_in_all_its_partitions() {
    let mut bare = cluster().await;
    let url = bare.server.cluster().url();
    let one = beside(&url, "one").await;
    see_nothing(&one, &bare).await;
    let acme = tenant("acme");
    let function = register(&one, &acme, "g").await;
    one.store.accept((0..200).map(|_| new_task(&one, &function)).collect()).await.unwrap();
    for node in bare.server.cluster().nodes() {
        let tags = node.command(&["KEYS", "one:fusebox:due{*}"]).unwrap()
            + &node.command(&["KEYS", "one:fusebox:lines{*}"]).unwrap();
        assert!(tags.lines().count() >= 5, "a node has its share: {tags}");
    }
}
