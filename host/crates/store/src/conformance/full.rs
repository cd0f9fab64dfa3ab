//! Steps in a store without room: all but those that store more go on. Not part of the suite, since each store is
//! filled in its own way.

use fusebox_core::{id::TaskId, name::TenantId, quota::QuotaSettings, task::Status};

use super::{Accepted, NewTask, Subject, cancel, claim, end, finish, lease, new_task, register, status, tenant};
use crate::{
    Acting, Cancelled, Error, Finished, FunctionRef, KeyAdded, KeyId, NewKey, Purged, Renewal, Scope, SecretDigest,
    TenantAdded,
};

/// Largest number of inputs of 1 MiB that fill a store of these tests.
const INPUTS_MAX: usize = 40;

/// Tasks that one tenant stored before the store was full.
pub(crate) struct Stored {
    /// The tenant that filled the store.
    tenant: TenantId,
    /// Its queued tasks.
    queued: Vec<TaskId>,
    /// Tenant with small tasks.
    other: TenantId,
}

/// Accepts tasks until the store is full. Returns the reason of its refusal.
pub(crate) async fn fill(subject: &dyn Subject) -> (Stored, String) {
    let (tenant, other) = (tenant("full"), tenant("small"));
    let (large, small) = (register(subject, &tenant, "f").await, register(subject, &other, "f").await);
    for function in [&large, &small, &small, &small] {
        let tasks = (0..4).map(|_| new_task(subject, function)).collect();
        subject.store().accept(tasks).await.unwrap();
    }
    let mut queued = Vec::new();
    loop {
        assert!(queued.len() < INPUTS_MAX, "the store holds no {INPUTS_MAX} MiB");
        let new = NewTask { input: vec![7; 1 << 20].into(), ..new_task(subject, &large) };
        let id = new.id;
        match subject.store().accept(vec![new]).await {
            Ok(_) => queued.push(id),
            Err(Error::Full(reason)) => return (Stored { tenant, queued, other }, reason),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Does everything that needs no more room, for both tenants and the operator.
pub(crate) async fn goes_on(subject: &dyn Subject, stored: &mut Stored) {
    for tenant in [&stored.other, &stored.tenant] {
        let leased = lease(subject, tenant, 2).await;
        let [first, second] = &leased[..] else { panic!("two are leased: {}", leased.len()) };
        let renewed = subject.store().renew(vec![claim(first)], 1_000).await.unwrap();
        assert_eq!(renewed, [Renewal::Renewed]);
        assert_eq!(finish(subject, claim(first), end("out")).await, Finished::Ended(Status::Completed));
        assert_eq!(&subject.store().result(tenant, first.task.id).await.unwrap().unwrap().output[..], b"out");
        assert_eq!(status(subject, tenant, second.task.id).await, Status::Running);
        assert!(matches!(cancel(subject, tenant, second.task.id).await, Cancelled::Cancelled { .. }));
        let purged = subject.store().purge(vec![(tenant.clone(), first.task.id)]).await.unwrap();
        assert_eq!(purged, [Purged::Purged]);
    }
    subject.store().tick().await.unwrap();
    administer(subject).await;
}

/// Cancels the large tasks until a small one is accepted. Returns true if any was cancelled for it.
pub(crate) async fn is_freed(subject: &dyn Subject, stored: &mut Stored) -> bool {
    let name = FunctionRef::Name("f".parse().unwrap());
    let function = subject.store().function(&stored.tenant, &name).await.unwrap().unwrap();
    for id in stored.queued.drain(..) {
        cancel(subject, &stored.tenant, id).await;
        let answers = subject.store().accept(vec![new_task(subject, &function)]).await;
        if matches!(answers.as_deref(), Ok([Accepted::New { .. }])) {
            return true;
        }
    }
    false
}

/// Acts as an operator; each act succeeds.
async fn administer(subject: &dyn Subject) {
    let (by, made) = (Acting::Store, fusebox_system::random::bytes::<8>());
    let tenant: TenantId = format!("made-{}", hex::encode(made)).parse().unwrap();
    let key = NewKey {
        id: KeyId(made),
        tenant: tenant.clone(),
        scope: Scope::Admin,
        name: String::new(),
        digest: SecretDigest([1; 32]),
        life_ms: None,
        replaces: None,
    };
    let store = subject.store();
    assert!(matches!(store.add_tenant(by, tenant.clone()).await.unwrap(), Ok(TenantAdded::Added(_))));
    assert!(matches!(store.add_key(by, key).await.unwrap(), Ok(KeyAdded::Added(_))));
    assert!(store.set_quotas(by, &tenant, QuotaSettings::NONE).await.unwrap().unwrap());
    assert!(store.revoke_key(by, &tenant, KeyId(made)).await.unwrap().unwrap().is_some());
    assert!(store.delete_tenant(by, &tenant).await.unwrap().unwrap());
}
