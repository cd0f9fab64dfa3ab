//! Tests of versions that are registered before they are compiled, of modules in pieces, and of compile time.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{FunctionVersion, VersionState},
    id::ModuleDigest,
    limits::RECORD_BYTES,
    name::TenantId,
    outcome::Failure,
};

use super::{
    Subject,
    functions::{by_name, collect, delete},
    listings::page,
    module, new_function, register, tenant,
    usage::stored,
};
use crate::{Compile, FunctionRef, NewFunction, Registered};

const HOLD_MS: u64 = 1_000;

/// Registers a version that is to be compiled.
pub(super) async fn begin(subject: &dyn Subject, tenant: &TenantId, name: &str) -> FunctionVersion {
    let new = new_function(subject, tenant, name);
    match subject.store().register_compiling(new, module(name).1, HOLD_MS).await.unwrap() {
        Registered::Version(version) => version,
        refused => panic!("{refused:?}"),
    }
}

async fn settle(subject: &dyn Subject, version: &FunctionVersion, failure: Option<Failure>) -> Option<FunctionVersion> {
    subject.store().settle(version.id, failure).await.unwrap()
}

fn failure() -> Failure {
    Failure::new(ErrorCode::CompileLimit, "it takes too long: split it")
}

/// Returns the number of the version that a name resolves to, and the word of its state.
async fn resolved(subject: &dyn Subject, tenant: &TenantId, name: &str) -> Option<(u32, &'static str)> {
    let version = subject.store().function(tenant, &by_name(name)).await.unwrap();
    version.map(|version| (version.version, version.state.as_str()))
}

async fn take(subject: &dyn Subject, max: usize) -> Vec<(String, u32)> {
    let taken = subject.store().take_compiles(max, HOLD_MS).await.unwrap();
    taken.into_iter().map(|Compile { version, starts }| (version.name.to_string(), starts)).collect()
}

pub(crate) async fn a_name_resolves_to_its_newest_ready_version(subject: &dyn Subject) {
    let acme = tenant("acme");
    let first = begin(subject, &acme, "f").await;
    assert_eq!((first.version, &first.state), (1, &VersionState::Compiling));
    assert_eq!(resolved(subject, &acme, "f").await, Some((1, "compiling")), "there is no other");
    let second = register(subject, &acme, "f").await;
    let third = begin(subject, &acme, "f").await;
    assert_eq!(resolved(subject, &acme, "f").await, Some((2, "ready")));
    let ready = settle(subject, &first, None).await.unwrap();
    assert_eq!(ready, FunctionVersion { state: VersionState::Ready, ..first.clone() });
    assert_eq!(resolved(subject, &acme, "f").await, Some((2, "ready")), "an older one comes late");
    settle(subject, &third, None).await.unwrap();
    assert_eq!(resolved(subject, &acme, "f").await, Some((3, "ready")));
    let listed = subject.store().functions(&acme, &page(10, None)).await.unwrap().items;
    assert_eq!(listed.iter().map(|version| version.version).collect::<Vec<_>>(), [3]);
    delete(subject, &acme, &FunctionRef::Id(third.id)).await;
    assert_eq!(resolved(subject, &acme, "f").await, Some((2, "ready")));
    delete(subject, &acme, &FunctionRef::Id(second.id)).await;
    assert_eq!(resolved(subject, &acme, "f").await, Some((1, "ready")));
}

pub(crate) async fn a_failed_version_stays_until_it_is_deleted(subject: &dyn Subject) {
    let acme = tenant("acme");
    register(subject, &acme, "f").await;
    let before = stored(subject, &acme).await;
    let second = begin(subject, &acme, "f").await;
    assert_eq!(stored(subject, &acme).await, before + RECORD_BYTES + 1);
    let failed = settle(subject, &second, Some(failure())).await.unwrap();
    assert_eq!(failed, FunctionVersion { state: VersionState::Failed(failure()), ..second.clone() });
    assert_eq!(settle(subject, &second, None).await, Some(failed.clone()), "the first end counts");
    let found = subject.store().function(&acme, &FunctionRef::Id(second.id)).await.unwrap();
    assert_eq!(found, Some(failed.clone()));
    assert_eq!(resolved(subject, &acme, "f").await, Some((1, "ready")));
    assert_eq!(stored(subject, &acme).await, before + RECORD_BYTES, "its module is not kept");
    let third = register(subject, &acme, "f").await;
    let mut cursor = None;
    for number in [3, 2, 1] {
        let rows = subject.store().versions(&acme, &second.name, &page(1, cursor)).await.unwrap();
        assert_eq!(rows.items[0].version, number, "the versions are listed in their order, whatever their state");
        cursor = rows.next;
    }
    assert_eq!(cursor, None);
    assert!(delete(subject, &acme, &FunctionRef::Id(second.id)).await);
    collect(subject).await;
    assert_eq!(stored(subject, &acme).await, before + RECORD_BYTES + 1);
    assert_eq!(subject.store().module(&third.module).await.unwrap(), Some(module("f").1), "others still need it");
    let alone = begin(subject, &acme, "g").await;
    settle(subject, &alone, Some(failure())).await.unwrap();
    assert_eq!(resolved(subject, &acme, "g").await, Some((1, "failed")));
    assert_eq!(subject.store().module(&alone.module).await.unwrap(), None);
    assert!(delete(subject, &acme, &by_name("g")).await);
    assert_eq!(resolved(subject, &acme, "g").await, None);
}

pub(crate) async fn a_compilation_is_taken_over_once_nobody_holds_it(subject: &dyn Subject) {
    let acme = tenant("acme");
    let [f, g] = [begin(subject, &acme, "f").await, begin(subject, &tenant("other"), "g").await];
    assert_eq!(take(subject, 9).await, [], "both are held");
    subject.pass(HOLD_MS / 2).await;
    assert!(subject.store().hold_compile(g.id, HOLD_MS).await.unwrap());
    subject.pass(HOLD_MS / 2).await;
    assert_eq!(take(subject, 9).await, [("f".to_owned(), 2)]);
    assert_eq!(take(subject, 9).await, [], "it is held again");
    subject.pass(HOLD_MS).await;
    let mut taken = take(subject, 1).await;
    taken.extend(take(subject, 9).await);
    taken.sort();
    assert_eq!(taken, [("f".to_owned(), 3), ("g".to_owned(), 2)]);
    settle(subject, &f, None).await.unwrap();
    assert!(delete(subject, &tenant("other"), &by_name("g")).await);
    assert_eq!(settle(subject, &g, None).await, None, "it is deleted");
    for version in [&f, &g] {
        assert!(!subject.store().hold_compile(version.id, HOLD_MS).await.unwrap());
    }
    subject.pass(HOLD_MS).await;
    assert_eq!(take(subject, 9).await, []);
    collect(subject).await;
    assert_eq!(subject.store().module(&g.module).await.unwrap(), None);
}

/// Returns bytes that cannot be compressed.
pub(crate) fn noise(seed: u32, bytes: u32) -> Bytes {
    (0..bytes).map(|at| mixed(at ^ seed << 24)).collect::<Vec<_>>().into()
}

/// Returns a byte that looks random, of a position.
fn mixed(at: u32) -> u8 {
    // The finalizer of MurmurHash3.
    let mixed = (at ^ at >> 16).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
    (mixed >> 24) as u8
}

pub(crate) async fn a_module_is_counted_as_it_is_stored(subject: &dyn Subject) {
    let acme = tenant("acme");
    let large: Bytes = [vec![7; 3 << 20], b"end".to_vec()].concat().into();
    for (number, wasm, least, most) in
        [(1, large, 1, 100_000), (2, noise(2, (2 << 20) + 1), (2 << 20) + 1, (2 << 20) + 1), (3, Bytes::new(), 0, 0)]
    {
        let new = || NewFunction { module: ModuleDigest([number; 32]), ..new_function(subject, &acme, "f") };
        let add = async |new| match subject.store().register(new, wasm.clone()).await.unwrap() {
            Registered::Version(version) => version,
            refused => panic!("{refused:?}"),
        };
        let version = add(new()).await;
        assert_eq!(version.module_bytes, wasm.len() as u64);
        let once = stored(subject, &acme).await - RECORD_BYTES;
        assert!((least..=most).contains(&once), "{once} bytes");
        add(new()).await;
        assert_eq!(stored(subject, &acme).await, 2 * (once + RECORD_BYTES));
        assert_eq!(subject.store().module(&version.module).await.unwrap(), Some(wasm.clone()), "as it was registered");
        let refused = NewFunction { stored_max: 3 * (once + RECORD_BYTES) - 1, ..new() };
        let refused = subject.store().register(refused, wasm.clone()).await.unwrap();
        assert!(matches!(refused, Registered::BytesReached { .. }));
        assert!(delete(subject, &acme, &by_name("f")).await);
        collect(subject).await;
        assert_eq!(stored(subject, &acme).await, 0);
    }
}

pub(crate) async fn a_compile_budget_is_charged_and_fills_with_time(subject: &dyn Subject) {
    const PER_HOUR_MS: u64 = 36_000;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let charge = async |used_ms| subject.store().charge_compile(&acme, PER_HOUR_MS, used_ms).await.unwrap();
    assert_eq!(charge(0).await, 36_000, "it is full at first");
    assert_eq!(charge(30_000).await, 6_000);
    assert_eq!(charge(10_000).await, -4_000, "what is used is charged");
    assert_eq!(subject.store().charge_compile(&other, PER_HOUR_MS, 0).await.unwrap(), 36_000);
    subject.pass(500_000).await;
    assert_eq!(charge(0).await, 1_000);
    assert_eq!(charge(1 << 40).await, -36_000, "it is empty for an hour at most");
    subject.pass(7_200_000).await;
    assert_eq!(charge(0).await, 36_000, "never more than an hour's worth");
}
