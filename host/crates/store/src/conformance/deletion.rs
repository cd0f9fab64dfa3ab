//! Tests of the deletion of tenants.

use std::collections::BTreeSet;

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, KvKey, Refusal, SettingName, Ttl},
    error::ErrorCode,
    id::TaskId,
    name::TenantId,
    outcome::Failure,
    quota::UNLIMITED,
    tags::Tags,
};

use super::{
    LEASE_MS, Subject, accept, claim,
    compiles::begin,
    counts, end, failure, finish,
    identity::{add, make_tenant, new_key},
    lease, lease_one,
    listings::page,
    module, new_function, new_task, register,
};
use crate::{
    Accepted, Acting, Cleared, Finished, FunctionRef, KeyAdded, NewTask, Registered, Renewal, TenantAdded, Ticked,
    kv::{Namespace, NewValue, SettingAnswer, SettingKind},
};

/// Number of a tenant's functions, each with two versions.
const FUNCTIONS: usize = 6;
/// Number of tasks of each function, of which more than one part results.
pub(crate) const MANY: usize = 180;

fn namespace(tenant: &TenantId, function: &str) -> Namespace {
    Namespace { tenant: tenant.clone(), function: function.parse().unwrap() }
}

fn value(key: &str) -> NewValue {
    let key: KvKey = Bytes::copy_from_slice(key.as_bytes()).try_into().unwrap();
    let (value, ttl) = (Bytes::from_static(b"value").try_into().unwrap(), Some(Ttl::try_from(3_600_000).unwrap()));
    NewValue { key, value, ttl, expects: Expects::Anything, stored_max: UNLIMITED }
}

fn setting() -> SettingName {
    "NAME".parse().unwrap()
}

/// Gives a tenant something of every kind, with so many tasks of each function; returns what there is of it, and the ids
/// of its tasks.
pub(crate) async fn fill(subject: &dyn Subject, tenant: &TenantId, tasks: usize) -> (Cleared, Vec<TaskId>) {
    let (store, mut ids) = (subject.store(), Vec::new());
    let tags = Tags::parse_list("env=prod,order=7").unwrap();
    for at in 0..FUNCTIONS {
        let name = format!("f{at}");
        register(subject, tenant, &name).await;
        let function = register(subject, tenant, &name).await;
        let of = namespace(tenant, &name);
        store.set_value(&of, value("kept")).await.unwrap().unwrap();
        for kind in [SettingKind::Config, SettingKind::Secret] {
            let set = store.set_setting(&of, kind, &setting(), Bytes::from_static(b"set"), UNLIMITED).await.unwrap();
            assert_eq!(set, SettingAnswer::Set);
        }
        let more = || NewTask { tags: tags.clone(), ..new_task(subject, &function) };
        let more = (0..tasks).map(|_| more()).collect::<Vec<_>>();
        ids.extend(more.iter().map(|task| task.id));
        store.accept(more).await.unwrap();
        let delayed = NewTask { delay_ms: 60_000, tags: tags.clone(), ..new_task(subject, &function) };
        ids.push(accept(subject, delayed).await);
    }
    // Of a function that is gone, and of one that never was.
    let gone = register(subject, tenant, "gone").await;
    ids.push(accept(subject, new_task(subject, &gone)).await);
    assert!(store.delete_function(tenant, &FunctionRef::Id(gone.id)).await.unwrap());
    store.set_value(&namespace(tenant, "never"), value("kept")).await.unwrap().unwrap();
    let failed = begin(subject, tenant, "gone").await;
    store.settle(failed.id, Some(Failure::new(ErrorCode::CompileLimit, "too large"))).await.unwrap();
    begin(subject, tenant, "f0").await;
    let leased = lease(subject, tenant, 3).await;
    finish(subject, claim(&leased[0]), end("out")).await;
    finish(subject, claim(&leased[1]), failure("error")).await;
    add(subject, new_key(tenant)).await;
    let (tasks, functions, per_function) = (ids.len() as u64, 2 * FUNCTIONS as u64 + 2, FUNCTIONS as u64);
    (Cleared { tasks, functions, values: per_function + 1, settings: 2 * per_function, keys: 1, is_done: true }, ids)
}

pub(crate) async fn delete(subject: &dyn Subject, tenant: &TenantId) {
    assert_eq!(subject.store().delete_tenant(Acting::Store, tenant).await.unwrap(), Ok(true));
}

/// Deletes the rest of a tenant; returns what went.
async fn clear(subject: &dyn Subject, tenant: &TenantId) -> Cleared {
    let mut all = Cleared::default();
    while !all.is_done {
        all += subject.store().clear_tenant(tenant).await.unwrap();
    }
    all
}

/// Fails if anything of a tenant is left.
pub(crate) async fn assert_gone(subject: &dyn Subject, tenant: &TenantId, tasks: &[TaskId]) {
    let store = subject.store();
    assert!(store.tenants().await.unwrap().iter().all(|known| known.id != *tenant));
    assert_eq!(store.keys(tenant).await.unwrap(), []);
    assert_eq!(store.functions(tenant, &page(10, None)).await.unwrap().items, []);
    assert_eq!(store.tasks(tenant, &page(10, None)).await.unwrap().items, []);
    assert_eq!(store.dead_letters(tenant, &page(10, None)).await.unwrap().items, []);
    assert_eq!(counts(subject, tenant).await, (0, 0, 0));
    assert_eq!(store.stored_bytes(tenant).await.unwrap(), 0);
    for task in tasks {
        assert!(store.task(tenant, *task).await.unwrap().is_none());
        assert_eq!(store.input(tenant, *task).await.unwrap(), None);
    }
    for name in (0..FUNCTIONS).map(|at| format!("f{at}")).chain(["gone".to_owned(), "never".to_owned()]) {
        let of = namespace(tenant, &name);
        assert_eq!(store.value(&of, &value("kept").key).await.unwrap(), None);
        for kind in [SettingKind::Config, SettingKind::Secret] {
            assert_eq!(store.settings(&of, kind).await.unwrap(), []);
        }
        assert_eq!(store.module(&module(&name).0).await.unwrap(), None);
    }
    assert_eq!(store.delete_tenant(Acting::Store, tenant).await.unwrap(), Ok(false));
    assert_eq!(store.add_tenant(Acting::Store, tenant.clone()).await.unwrap(), Ok(TenantAdded::Taken));
    assert_eq!(store.clear_tenant(tenant).await.unwrap(), Cleared { is_done: true, ..Cleared::default() });
}

pub(crate) async fn a_deleted_tenant_leaves_nothing_but_its_name(subject: &dyn Subject) {
    let acme = make_tenant(subject, "acme").await;
    let (all, tasks) = fill(subject, &acme, MANY).await;
    delete(subject, &acme).await;
    assert_eq!(clear(subject, &acme).await, all);
    assert_gone(subject, &acme, &tasks).await;
    assert!(subject.store().has_keys().await.unwrap(), "the end of the last key opens nothing");
    // Nothing of it is due later.
    subject.pass(3_600_000).await;
    assert_eq!(subject.store().tick().await.unwrap(), Ticked::default());
}

/// Stops the process that deletes a tenant after each number of parts; ticks then delete the rest.
pub(crate) async fn a_deletion_goes_on_after_a_crash_at_any_part(subject: &dyn Subject) {
    for parts in 0.. {
        let acme = make_tenant(subject, &format!("acme{parts}")).await;
        let (_, tasks) = fill(subject, &acme, MANY).await;
        delete(subject, &acme).await;
        let mut is_done = false;
        for _ in 0..parts {
            is_done = subject.store().clear_tenant(&acme).await.unwrap().is_done;
        }
        if is_done {
            assert!(parts > 1, "a tenant is deleted in several parts");
            return;
        }
        while subject.store().tenants().await.unwrap().iter().any(|known| known.id == acme) {
            subject.store().tick().await.unwrap();
        }
        assert_gone(subject, &acme, &tasks).await;
    }
}

pub(crate) async fn nothing_new_of_a_deleted_tenant_is_accepted(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), make_tenant(subject, "acme").await);
    let function = register(subject, &acme, "f").await;
    let of = namespace(&acme, "f");
    delete(subject, &acme).await;
    for is_cleared in [false, true] {
        if is_cleared {
            clear(subject, &acme).await;
        }
        let answers = store.accept(vec![new_task(subject, &function)]).await.unwrap();
        assert_eq!(answers, [Accepted::NoTenant]);
        let new = new_function(subject, &acme, "g");
        assert_eq!(store.register(new, module("g").1).await.unwrap(), Registered::NoTenant);
        assert_eq!(store.set_value(&of, value("k")).await.unwrap(), Err(Refusal::Refused));
        let value = Bytes::from_static(b"x");
        let set = store.set_setting(&of, SettingKind::Config, &setting(), value, UNLIMITED).await.unwrap();
        assert_eq!(set, SettingAnswer::NoTenant);
        assert_eq!(store.add_key(Acting::Store, new_key(&acme)).await.unwrap(), Ok(KeyAdded::NoTenant));
    }
    assert_gone(subject, &acme, &[]).await;
}

pub(crate) async fn a_deleted_tenants_runs_are_stopped(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), make_tenant(subject, "acme").await);
    let function = register(subject, &acme, "f").await;
    let (mut cancelled, waited) = (store.cancellations(), new_task(subject, &function));
    let ended = store.ended_hint(waited.id);
    accept(subject, waited.clone()).await;
    let leased = lease_one(subject, &acme).await;
    delete(subject, &acme).await;
    clear(subject, &acme).await;
    ended.await;
    assert_eq!(cancelled.recv().await.unwrap(), waited.id);
    assert_eq!(store.renew(vec![claim(&leased)], LEASE_MS).await.unwrap(), [Renewal::Lost]);
    assert_eq!(finish(subject, claim(&leased), end("out")).await, Finished::Stale);
    assert_gone(subject, &acme, &[waited.id]).await;
}

pub(crate) async fn a_deletion_takes_nothing_of_others(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), make_tenant(subject, "acme").await);
    let others = [make_tenant(subject, "acm").await, make_tenant(subject, "acme2").await];
    let mut expected = Vec::new();
    for other in &others {
        expected.push((other, fill(subject, other, MANY).await.1));
    }
    fill(subject, &acme, MANY).await;
    delete(subject, &acme).await;
    clear(subject, &acme).await;
    for (other, tasks) in expected {
        let mut found = BTreeSet::new();
        let mut next = None;
        loop {
            let read = store.tasks(other, &page(1_000, next)).await.unwrap();
            found.extend(read.items.iter().map(|task| task.id));
            next = read.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(found, tasks.into_iter().collect());
        assert_eq!(store.dead_letters(other, &page(10, None)).await.unwrap().items.len(), 1);
        assert_eq!(store.functions(other, &page(100, None)).await.unwrap().items.len(), FUNCTIONS + 1);
        assert_eq!(store.keys(other).await.unwrap().len(), 1);
        for name in (0..FUNCTIONS).map(|at| format!("f{at}")) {
            assert!(store.value(&namespace(other, &name), &value("kept").key).await.unwrap().is_some());
            assert_eq!(store.settings(&namespace(other, &name), SettingKind::Secret).await.unwrap().len(), 1);
            assert!(store.module(&module(&name).0).await.unwrap().is_some(), "its module is the same");
        }
    }
}
