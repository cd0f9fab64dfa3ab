//! Deletion of tenants: what is left in the directory, and processes that end on the way.

use super::{Embedded, embedded, reopened};
use crate::{
    Acting, Identity as _,
    conformance::{
        Subject as _,
        deletion::{MANY, a_deleted_tenant_leaves_nothing_but_its_name, assert_gone, fill},
        identity::make_tenant,
    },
    embedded::{engine::Space, keys},
};

/// Returns every key of the store.
fn keys_of(subject: &Embedded) -> Vec<Vec<u8>> {
    let snapshot = subject.store.reads.snapshot().unwrap();
    let all = |space| snapshot.keys(space, &[0], &[0xff]).unwrap().map(Result::unwrap);
    [Space::Records, Space::Blobs, Space::Index].into_iter().flat_map(all).collect()
}

#[tokio::test]
async fn a_deleted_tenant_leaves_no_entry_of_its_own() {
    let subject = embedded().await;
    a_deleted_tenant_leaves_nothing_but_its_name(&subject).await;
    let tombstone = keys::tombstone(&"acme".parse().unwrap());
    assert_eq!((tombstone.len(), keys_of(&subject)), (17, vec![keys::written_at(), tombstone, keys::keyed()]));
}

/// The process ends after any number of parts, and the next one goes on, a part a process.
#[tokio::test]
async fn a_deletion_goes_on_in_the_next_process() {
    let mut subject = embedded().await;
    let acme = make_tenant(&subject, "acme").await;
    let (_, tasks) = fill(&subject, &acme, MANY).await;
    assert_eq!(subject.store.delete_tenant(Acting::Store, &acme).await.unwrap(), Ok(true));
    let mut parts = 1;
    subject = reopened(subject);
    while !subject.store.clear_tenant(&acme).await.unwrap().is_done {
        subject = reopened(subject);
        parts += 1;
    }
    assert!(parts > 2, "a tenant is deleted in several parts");
    let subject = reopened(subject);
    assert_gone(&subject, &acme, &tasks).await;
    assert_eq!(subject.store().backlog().await.unwrap(), []);
}
