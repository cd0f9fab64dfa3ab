//! Deletion of tenants: what is left in Redis, and calls that fail on the way.

use super::{On, calls::Fault, cluster, node};
use crate::{
    Acting, Identity as _, Queue as _,
    conformance::{
        deletion::{a_deleted_tenant_leaves_nothing_but_its_name, assert_gone, fill},
        identity::make_tenant,
    },
};

#[tokio::test]
async fn a_deleted_tenant_leaves_no_key_of_its_own() {
    let subject = node().await;
    a_deleted_tenant_leaves_nothing_but_its_name(&subject).await;
    let command = |args: &[&str]| subject.server.command(args).unwrap();
    let keys = command(&["KEYS", "*"]);
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    let counters = "fusebox:counters:acme";
    let ours = ["fusebox:keyed", "fusebox:layout", "fusebox:layouts", "fusebox:store", "fusebox:tombstones"];
    assert_eq!(keys, [&[counters][..], &ours].concat());
    assert_eq!(command(&["STRLEN", "fusebox:tombstones"]).trim(), "16");
    let left = command(&["HKEYS", counters]);
    assert_eq!(left.lines().collect::<Vec<_>>(), ["closed", "looked_at"]);
    let ttl_s: u64 = command(&["TTL", counters]).trim().parse().unwrap();
    assert!((3_500..=3_600).contains(&ttl_s), "what keeps it closed goes by itself: {ttl_s} s");
}

/// Fails the first call of a deletion, then the second, and so on, until it has no more calls; ticks complete it.
async fn each_call_of_a_deletion_fails<S: Send + Sync>(subject: On<S>) {
    let store = &subject.store;
    for fault in [Fault::CallLost, Fault::AnswerLost] {
        for call in 0.. {
            assert!(call < 200, "the deletion has no end");
            let tenant = make_tenant(&subject, &format!("{fault:?}-{call}").to_lowercase()).await;
            let (_, tasks) = fill(&subject, &tenant, 4).await;
            store.caller.faults().fail_after(call, fault);
            let mut is_done = false;
            while !is_done {
                let Ok(Ok(true)) = store.delete_tenant(Acting::Store, &tenant).await else { break };
                let Ok(cleared) = store.clear_tenant(&tenant).await else { break };
                is_done = cleared.is_done;
            }
            let spared = store.caller.faults().was_spared();
            // Nothing was begun if the first call did not arrive.
            store.delete_tenant(Acting::Store, &tenant).await.unwrap().unwrap();
            while store.tenants().await.unwrap().iter().any(|known| known.id == tenant) {
                store.tick().await.unwrap();
            }
            assert_gone(&subject, &tenant, &tasks).await;
            if spared {
                assert!(call > 2, "a deletion has several calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn each_call_of_a_deletion_may_fail_on_a_node() {
    each_call_of_a_deletion_fails(node().await).await;
}

#[tokio::test]
async fn each_call_of_a_deletion_may_fail_on_a_cluster() {
    each_call_of_a_deletion_fails(cluster().await).await;
}
