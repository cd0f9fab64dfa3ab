//! Tests of the isolation of tenants.

use fusebox_core::task::Status;

use super::{
    Subject, accept, cancel, counts, lease, lease_one, listings::page, new_task, one_task, register, status, tenant,
};
use crate::{Cancelled, FunctionRef, NewTask};

pub(crate) async fn reads_of_another_tenant_find_nothing(subject: &dyn Subject) {
    let (owner, task) = one_task(subject).await;
    let function = subject.store().function(&owner, &FunctionRef::Name("f".parse().unwrap())).await.unwrap().unwrap();
    for other in [tenant("other"), tenant("acm"), tenant("acme2")] {
        let store = subject.store();
        assert!(store.task(&other, task).await.unwrap().is_none());
        assert!(store.result(&other, task).await.unwrap().is_none());
        assert!(store.log(&other, task).await.unwrap().is_none());
        assert!(store.tasks(&other, &page(10, None)).await.unwrap().items.is_empty());
        assert!(store.function(&other, &FunctionRef::Id(function.id)).await.unwrap().is_none());
        assert!(store.function(&other, &FunctionRef::Name(function.name.clone())).await.unwrap().is_none());
        assert!(store.functions(&other, &page(10, None)).await.unwrap().items.is_empty());
        assert!(store.versions(&other, &function.name, &page(9, None)).await.unwrap().items.is_empty());
        assert_eq!(counts(subject, &other).await, (0, 0, 0));
    }
}

pub(crate) async fn steps_of_another_tenant_change_nothing(subject: &dyn Subject) {
    let (owner, task) = one_task(subject).await;
    let function = subject.store().function(&owner, &FunctionRef::Name("f".parse().unwrap())).await.unwrap().unwrap();
    let other = tenant("other");
    assert_eq!(cancel(subject, &other, task).await, Cancelled::NotFound);
    assert_eq!(lease(subject, &other, 1).await.len(), 0);
    for function in [FunctionRef::Id(function.id), FunctionRef::Name(function.name.clone())] {
        assert!(!subject.store().delete_function(&other, &function).await.unwrap());
    }
    // Not every store can check the caller's lookup of the function; but the task must stay with the tenant that sent
    // it.
    let foreign = NewTask { tenant: other.clone(), ..new_task(subject, &function) };
    let foreign = accept(subject, foreign).await;
    assert!(subject.store().task(&owner, foreign).await.unwrap().is_none());
    assert_eq!(counts(subject, &owner).await, (1, 0, 0));
    assert_eq!(status(subject, &owner, task).await, Status::Queued);
    assert_eq!(subject.store().versions(&owner, &function.name, &page(9, None)).await.unwrap().items, [function]);
    assert_eq!(lease_one(subject, &owner).await.task.id, task);
}

pub(crate) async fn tenants_have_queues_of_their_own(subject: &dyn Subject) {
    let tenants = ["a", "ab", "b"].map(tenant);
    let mut accepted = Vec::new();
    for tenant in &tenants {
        let function = register(subject, tenant, "f").await;
        accepted.push(accept(subject, new_task(subject, &function)).await);
    }
    for (tenant, task) in tenants.iter().zip(accepted) {
        assert_eq!(counts(subject, tenant).await, (1, 0, 0));
        assert_eq!(lease_one(subject, tenant).await.task.id, task);
        assert_eq!(counts(subject, tenant).await, (0, 0, 1));
    }
}

pub(crate) async fn tenants_have_names_of_their_own(subject: &dyn Subject) {
    let (one, two) = (tenant("one"), tenant("two"));
    register(subject, &one, "f").await;
    let mine = register(subject, &two, "f").await;
    assert_eq!(mine.version, 1);
    let name = FunctionRef::Name("f".parse().unwrap());
    assert!(subject.store().delete_function(&one, &name).await.unwrap());
    assert_eq!(subject.store().function(&two, &name).await.unwrap(), Some(mine));
}
