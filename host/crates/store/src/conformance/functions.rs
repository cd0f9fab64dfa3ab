//! Tests of functions, their versions and modules.

use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion, id::ModuleDigest, limits::RECORD_BYTES, name::TenantId, quota::UNLIMITED, task::Status,
};

use super::{
    Subject, accept, claim, compiles::noise, end, finish, lease, lease_one, listings::page, module, new_function,
    new_task, register, status, tenant, usage::stored,
};
use crate::{Finished, FunctionRef, NewFunction, Registered};

pub(super) fn by_name(name: &str) -> FunctionRef {
    FunctionRef::Name(name.parse().unwrap())
}

async fn find(subject: &dyn Subject, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
    subject.store().function(tenant, function).await.unwrap()
}

pub(super) async fn delete(subject: &dyn Subject, tenant: &TenantId, function: &FunctionRef) -> bool {
    subject.store().delete_function(tenant, function).await.unwrap()
}

async fn versions(subject: &dyn Subject, tenant: &TenantId, name: &str) -> Vec<u32> {
    let versions = subject.store().versions(tenant, &name.parse().unwrap(), &page(100, None)).await.unwrap().items;
    versions.iter().map(|version| version.version).collect()
}

pub(crate) async fn versions_of_a_name_count_up(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let first = register(subject, &tenant, "f").await;
    let other = register(subject, &tenant, "g").await;
    subject.pass(1).await;
    let second = register(subject, &tenant, "f").await;
    assert_eq!((first.version, other.version, second.version), (1, 1, 2));
    assert_eq!((second.created_at, second.module_bytes), (subject.now(), 1));
    assert_eq!(find(subject, &tenant, &by_name("f")).await, Some(second.clone()));
    assert_eq!(find(subject, &tenant, &FunctionRef::Id(first.id)).await, Some(first.clone()));
    let all = subject.store().versions(&tenant, &"f".parse().unwrap(), &page(100, None)).await.unwrap().items;
    assert_eq!(all, [second, first]);
    assert!(versions(subject, &tenant, "h").await.is_empty());
    assert_eq!(find(subject, &tenant, &by_name("h")).await, None);
}

pub(crate) async fn a_registration_sent_again_answers_the_same(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let new = new_function(subject, &tenant, "f");
    let first = subject.store().register(new.clone(), module("f").1).await.unwrap();
    subject.pass(1).await;
    assert_eq!(subject.store().register(new, module("f").1).await.unwrap(), first);
    assert_eq!(versions(subject, &tenant, "f").await, [1]);
}

pub(crate) async fn a_deleted_version_gives_way_to_the_one_before(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(register(subject, &tenant, "f").await);
    }
    assert!(delete(subject, &tenant, &FunctionRef::Id(all[1].id)).await);
    assert_eq!(versions(subject, &tenant, "f").await, [3, 1]);
    assert!(delete(subject, &tenant, &FunctionRef::Id(all[2].id)).await);
    assert_eq!(find(subject, &tenant, &by_name("f")).await, Some(all[0].clone()));
    assert_eq!(find(subject, &tenant, &FunctionRef::Id(all[2].id)).await, None);
    assert!(!delete(subject, &tenant, &FunctionRef::Id(all[2].id)).await);
}

pub(crate) async fn a_deleted_name_is_gone(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let first = register(subject, &tenant, "f").await;
    register(subject, &tenant, "f").await;
    let other = register(subject, &tenant, "ff").await;
    assert!(delete(subject, &tenant, &by_name("f")).await);
    assert!(!delete(subject, &tenant, &by_name("f")).await);
    assert_eq!(find(subject, &tenant, &by_name("f")).await, None);
    assert_eq!(find(subject, &tenant, &FunctionRef::Id(first.id)).await, None);
    assert!(versions(subject, &tenant, "f").await.is_empty());
    let page = subject.store().functions(&tenant, &super::listings::page(10, None)).await.unwrap();
    assert_eq!(page.items, [other]);
}

pub(crate) async fn version_numbers_are_never_used_again(subject: &dyn Subject) {
    let tenant = tenant("acme");
    register(subject, &tenant, "f").await;
    let second = register(subject, &tenant, "f").await;
    delete(subject, &tenant, &FunctionRef::Id(second.id)).await;
    assert_eq!(register(subject, &tenant, "f").await.version, 3);
    delete(subject, &tenant, &by_name("f")).await;
    assert_eq!(register(subject, &tenant, "f").await.version, 4);
    delete(subject, &tenant, &by_name("f")).await;
    // Numbers of former names are folded into one of their tenant, after which every new name continues.
    assert_eq!(register(subject, &tenant, "g").await.version, 5);
    assert_eq!(register(subject, &tenant, "f").await.version, 5);
}

pub(crate) async fn a_module_is_kept_while_a_version_needs_it(subject: &dyn Subject) {
    let (one, two) = (tenant("one"), tenant("two"));
    let (digest, wasm) = module("shared");
    for (tenant, name) in [(&one, "f"), (&one, "g"), (&two, "f")] {
        let new = NewFunction { module: digest, ..new_function(subject, tenant, name) };
        subject.store().register(new, wasm.clone()).await.unwrap();
    }
    assert_eq!(subject.store().module(&digest).await.unwrap(), Some(wasm.clone()));
    assert_eq!(subject.store().module(&module("other").0).await.unwrap(), None);
    delete(subject, &one, &by_name("f")).await;
    delete(subject, &two, &by_name("f")).await;
    assert_eq!(subject.store().module(&digest).await.unwrap(), Some(wasm.clone()));
    delete(subject, &one, &by_name("g")).await;
    collect(subject).await;
    assert_eq!(subject.store().module(&digest).await.unwrap(), None);
    let new = NewFunction { module: digest, ..new_function(subject, &one, "f") };
    subject.store().register(new, wasm.clone()).await.unwrap();
    assert_eq!(subject.store().module(&digest).await.unwrap(), Some(wasm));
}

/// Longest time for which a store keeps a deleted version that no task needs, in milliseconds.
const DELETED_MS_MAX: u64 = 60_000;

/// Waits until deleted versions that no task needs are gone.
pub(crate) async fn collect(subject: &dyn Subject) {
    subject.pass(DELETED_MS_MAX).await;
    subject.store().tick().await.unwrap();
}

/// Registers a module of 7 MiB under a quota of 20 MiB; returns false if it is refused.
async fn register_large(subject: &dyn Subject, number: u8) -> bool {
    let new = NewFunction {
        module: ModuleDigest([number; 32]),
        stored_max: 20 << 20,
        ..new_function(subject, &tenant("acme"), "f")
    };
    match subject.store().register(new, noise(number.into(), 7 << 20)).await.unwrap() {
        Registered::Version(_) => true,
        Registered::BytesReached { .. } => false,
        refused => panic!("{refused:?}"),
    }
}

pub(crate) async fn a_deleted_module_is_counted_until_it_is_gone(subject: &dyn Subject) {
    let tenant = tenant("acme");
    for number in 0..30 {
        if !register_large(subject, number).await {
            collect(subject).await;
            assert!(register_large(subject, number).await, "what no task needs is gone");
        }
        assert!(delete(subject, &tenant, &by_name("f")).await);
        let mut stored = 0;
        for known in 0..=number {
            let module = subject.store().module(&ModuleDigest([known; 32])).await.unwrap();
            stored += module.map_or(0, |module| module.len());
        }
        assert!(stored <= 20 << 20, "{stored} bytes are stored");
    }
}

pub(crate) async fn a_deleted_module_that_a_task_needs_is_counted(subject: &dyn Subject) {
    let function = register(subject, &tenant("acme"), "four").await;
    let task = accept(subject, new_task(subject, &function)).await;
    let needed = stored(subject, &function.tenant).await;
    assert!(delete(subject, &function.tenant, &by_name("four")).await);
    collect(subject).await;
    assert_eq!(stored(subject, &function.tenant).await, needed);
    let leased = lease_one(subject, &function.tenant).await;
    assert_eq!(leased.task.id, task);
    collect(subject).await;
    assert!(subject.store().module(&function.module).await.unwrap().is_some());
    assert_eq!(stored(subject, &function.tenant).await, needed);
    // The lease has lapsed by then, and the task runs again.
    let leased = lease_one(subject, &function.tenant).await;
    assert_eq!(finish(subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    collect(subject).await;
    assert_eq!(subject.store().module(&function.module).await.unwrap(), None);
    assert_eq!(stored(subject, &function.tenant).await, 0, "the task is purged by then");
}

pub(crate) async fn tasks_of_a_deleted_function_still_run(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let task = accept(subject, new_task(subject, &function)).await;
    let other = accept(subject, new_task(subject, &function)).await;
    let running = lease(subject, &tenant, 1).await.remove(0);
    assert!(delete(subject, &tenant, &by_name("f")).await);
    assert_eq!(find(subject, &tenant, &FunctionRef::Id(function.id)).await, None);
    let wasm = || async { subject.store().module(&function.module).await.unwrap() };
    assert_eq!(finish(subject, claim(&running), end("out")).await, Finished::Ended(Status::Completed));
    assert_eq!(wasm().await, Some(Bytes::from_static(b"f")));
    let leased = lease_one(subject, &tenant).await;
    assert_eq!((leased.invocation.module, leased.invocation.function.as_str()), (function.module, "f"));
    assert_eq!(leased.invocation.grants, function.grants);
    assert_eq!(finish(subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    for task in [task, other] {
        assert_eq!(status(subject, &tenant, task).await, Status::Completed);
    }
}

pub(crate) async fn the_quota_of_versions_is_kept(subject: &dyn Subject) {
    let (tenant, other) = (tenant("acme"), tenant("other"));
    let max = 10;
    let mut last = None;
    for _ in 0..max {
        last = Some(register(subject, &tenant, "f").await);
    }
    let refused = NewFunction { versions_max: max, ..new_function(subject, &tenant, "g") };
    let answer = subject.store().register(refused.clone(), module("g").1).await.unwrap();
    assert_eq!(answer, Registered::QuotaReached { max });
    assert_eq!(subject.store().module(&refused.module).await.unwrap(), None);
    register(subject, &other, "f").await;
    delete(subject, &tenant, &FunctionRef::Id(last.unwrap().id)).await;
    register(subject, &tenant, "g").await;
}

/// Registers a function of a small module with these limits and returns the answer.
async fn answer(subject: &dyn Subject, name: &str, versions_max: u64, stored_max: u64) -> Registered {
    let new = NewFunction { versions_max, stored_max, ..new_function(subject, &tenant("acme"), name) };
    subject.store().register(new, module(name).1).await.unwrap()
}

pub(crate) async fn a_tenants_own_quotas_are_kept(subject: &dyn Subject) {
    let kept = register(subject, &tenant("acme"), "four").await;
    register(subject, &tenant("acme"), "bytes").await;
    register(subject, &tenant("other"), "others-do-not-count").await;
    let bytes = |modules: u64| 3 * RECORD_BYTES + modules;
    assert_eq!(answer(subject, "f", 2, UNLIMITED).await, Registered::QuotaReached { max: 2 });
    assert_eq!(answer(subject, "two", 9, bytes(11)).await, Registered::BytesReached { max: bytes(11) });
    assert!(matches!(answer(subject, "two", 9, bytes(12)).await, Registered::Version(_)));
    assert_eq!(answer(subject, "f", 9, bytes(12)).await, Registered::BytesReached { max: bytes(12) });
    delete(subject, &tenant("acme"), &FunctionRef::Id(kept.id)).await;
    collect(subject).await;
    assert!(matches!(answer(subject, "four", 3, bytes(12)).await, Registered::Version(_)));
}
