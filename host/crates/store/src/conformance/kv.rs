//! Tests of values and settings of functions.

use std::collections::BTreeSet;

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, KvCursor, KvKey, Refusal, Revision, SettingName, Ttl},
    limits::SETTINGS_MAX,
    quota::UNLIMITED,
};

use super::{Subject, tenant};
use crate::kv::{Granted, Namespace, NewValue, SettingAnswer, SettingKind, Value};

/// Returns the namespace of a function.
pub(crate) fn of(tenant_name: &str, function: &str) -> Namespace {
    Namespace { tenant: tenant(tenant_name), function: function.parse().unwrap() }
}

pub(super) fn key(text: &str) -> KvKey {
    Bytes::copy_from_slice(text.as_bytes()).try_into().unwrap()
}

/// Returns a value to be set, without conditions.
pub(crate) fn new(at: &str, value: &[u8]) -> NewValue {
    let value = Bytes::copy_from_slice(value).try_into().unwrap();
    NewValue { key: key(at), value, ttl: None, expects: Expects::Anything, stored_max: UNLIMITED }
}

async fn set(subject: &dyn Subject, of: &Namespace, new: NewValue) -> Granted<Revision> {
    subject.store().set_value(of, new).await.unwrap()
}

async fn value(subject: &dyn Subject, of: &Namespace, at: &str) -> Option<Value> {
    subject.store().value(of, &key(at)).await.unwrap()
}

async fn bytes(subject: &dyn Subject, of: &Namespace, at: &str) -> Option<Bytes> {
    value(subject, of, at).await.map(|value| value.value)
}

async fn delete(subject: &dyn Subject, of: &Namespace, at: &str, expects: Expects) -> Granted<bool> {
    subject.store().delete_value(of, &key(at), expects).await.unwrap()
}

pub(crate) async fn a_value_is_kept_with_its_revision(subject: &dyn Subject) {
    let of = of("acme", "f");
    assert_eq!(value(subject, &of, "k").await, None);
    let binary: Vec<u8> = (0..=255).collect();
    let first = set(subject, &of, new("k", &binary)).await.unwrap();
    assert!(first >= 1);
    assert_eq!(value(subject, &of, "k").await, Some(Value { revision: first, value: binary.into() }));
    let second = set(subject, &of, new("k", b"")).await.unwrap();
    assert!(second > first);
    assert_eq!(value(subject, &of, "k").await, Some(Value { revision: second, value: Bytes::new() }));
    // Any bytes are a valid key, including separators of key parts and a prefix of another key.
    for odd in ["k\0", "kk", "7 0 ", ":"] {
        set(subject, &of, new(odd, odd.as_bytes())).await.unwrap();
    }
    for odd in ["k\0", "kk", "7 0 ", ":"] {
        assert_eq!(bytes(subject, &of, odd).await.as_deref(), Some(odd.as_bytes()), "{odd:?}");
    }
}

pub(crate) async fn what_is_expected_is_compared(subject: &dyn Subject) {
    let of = of("acme", "f");
    let expecting = |expects| NewValue { expects, ..new("k", b"v") };
    assert_eq!(set(subject, &of, expecting(Expects::Revision(1))).await, Err(Refusal::Conflict));
    let first = set(subject, &of, expecting(Expects::Nothing)).await.unwrap();
    assert_eq!(set(subject, &of, expecting(Expects::Nothing)).await, Err(Refusal::Conflict));
    let second = set(subject, &of, expecting(Expects::Revision(first))).await.unwrap();
    assert_eq!(set(subject, &of, expecting(Expects::Revision(first))).await, Err(Refusal::Conflict));
    assert_eq!(value(subject, &of, "k").await.map(|value| value.revision), Some(second));
    assert_eq!(delete(subject, &of, "k", Expects::Revision(first)).await, Err(Refusal::Conflict));
    assert_eq!(delete(subject, &of, "k", Expects::Nothing).await, Err(Refusal::Conflict));
    assert_eq!(delete(subject, &of, "k", Expects::Revision(second)).await, Ok(true));
    assert_eq!(delete(subject, &of, "k", Expects::Revision(second)).await, Err(Refusal::Conflict));
}

pub(crate) async fn a_deleted_value_is_gone(subject: &dyn Subject) {
    let of = of("acme", "f");
    assert_eq!(delete(subject, &of, "k", Expects::Anything).await, Ok(false));
    assert_eq!(delete(subject, &of, "k", Expects::Nothing).await, Ok(false));
    let first = set(subject, &of, new("k", b"v")).await.unwrap();
    assert_eq!(delete(subject, &of, "k", Expects::Anything).await, Ok(true));
    assert_eq!(value(subject, &of, "k").await, None);
    let again = set(subject, &of, new("k", b"v")).await.unwrap();
    assert!(again > first, "a revision is never used again");
}

pub(crate) async fn a_value_is_gone_after_its_time(subject: &dyn Subject) {
    let of = of("acme", "f");
    let for_a_second = NewValue { ttl: Some(Ttl::try_from(1_000).unwrap()), ..new("k", b"v") };
    let first = set(subject, &of, for_a_second.clone()).await.unwrap();
    subject.pass(999).await;
    assert!(value(subject, &of, "k").await.is_some());
    subject.pass(1).await;
    assert_eq!(value(subject, &of, "k").await, None);
    let late = NewValue { expects: Expects::Revision(first), ..new("k", b"v") };
    assert_eq!(set(subject, &of, late).await, Err(Refusal::Conflict));
    assert_eq!(delete(subject, &of, "k", Expects::Anything).await, Ok(false));
    // A value set without a time to live after one with it does not expire.
    set(subject, &of, NewValue { expects: Expects::Nothing, ..for_a_second }).await.unwrap();
    set(subject, &of, new("k", b"stays")).await.unwrap();
    subject.pass(5_000).await;
    set(subject, &of, new("other", b"")).await.unwrap();
    assert_eq!(bytes(subject, &of, "k").await.as_deref(), Some(&b"stays"[..]));
}

pub(crate) async fn a_namespace_has_its_bounds(subject: &dyn Subject) {
    let of = of("acme", "f");
    let bounds = subject.bounds();
    for n in 0..bounds.kv_entries_max {
        set(subject, &of, new(&format!("k{n}"), b"")).await.unwrap();
    }
    assert_eq!(set(subject, &of, new("one more", b"")).await, Err(Refusal::Quota));
    set(subject, &of, new("k0", b"again")).await.unwrap();
    delete(subject, &of, "k0", Expects::Anything).await.unwrap();
    set(subject, &of, new("one more", b"")).await.unwrap();

    let of = super::kv::of("acme", "large");
    let large = vec![0; 60_000];
    let fit = bounds.kv_bytes_max / 60_002;
    for n in 0..fit {
        set(subject, &of, new(&format!("k{n}"), &large)).await.unwrap();
    }
    assert_eq!(set(subject, &of, new("kx", &large)).await, Err(Refusal::Quota));
    for _ in 0..3 {
        set(subject, &of, new("k0", &large)).await.expect("the value before makes room");
    }
    set(subject, &of, new("k0", b"small")).await.unwrap();
    set(subject, &of, new("kx", &large)).await.unwrap();
}

pub(crate) async fn what_is_over_makes_room(subject: &dyn Subject) {
    let of = of("acme", "f");
    for n in 0..subject.bounds().kv_entries_max {
        let ttl = Some(Ttl::try_from(1_000).unwrap());
        set(subject, &of, NewValue { ttl, ..new(&format!("k{n}"), b"") }).await.unwrap();
    }
    assert_eq!(set(subject, &of, new("one more", b"")).await, Err(Refusal::Quota));
    subject.pass(1_000).await;
    for n in 0..subject.bounds().kv_entries_max {
        set(subject, &of, new(&format!("n{n}"), b"")).await.unwrap();
    }
    assert_eq!(set(subject, &of, new("one more", b"")).await, Err(Refusal::Quota));
}

pub(crate) async fn namespaces_are_their_functions_own(subject: &dyn Subject) {
    let all = [of("acme", "f"), of("acme", "g"), of("other", "f"), of("acme", "f:g"), of("acme", "ff")];
    for (n, of) in all.iter().enumerate() {
        assert_eq!(value(subject, of, "k").await, None);
        set(subject, of, new("k", n.to_string().as_bytes())).await.unwrap();
        let name: SettingName = "NAME".parse().unwrap();
        let value = Bytes::from(n.to_string());
        assert_eq!(subject.store().setting(of, SettingKind::Secret, &name).await.unwrap(), None);
        subject.store().set_setting(of, SettingKind::Secret, &name, value, UNLIMITED).await.unwrap();
    }
    subject.store().forget(&all[0]).await.unwrap();
    assert_eq!(value(subject, &all[0], "k").await, None);
    for (n, of) in all.iter().enumerate().skip(1) {
        assert_eq!(bytes(subject, of, "k").await, Some(n.to_string().into()));
        assert_eq!(subject.store().settings(of, SettingKind::Secret).await.unwrap().len(), 1);
    }
}

/// Increments by many callers at once, each of which tries again after a conflict.
pub(crate) async fn no_increment_is_lost(subject: &dyn Subject) {
    const CALLERS: usize = 20;
    const TIMES: usize = 5;
    let of = of("acme", "counter");
    let increment = || async {
        loop {
            let found = value(subject, &of, "n").await;
            let (count, expects) = match &found {
                Some(Value { revision, value }) => (value[0], Expects::Revision(*revision)),
                None => (0, Expects::Nothing),
            };
            match set(subject, &of, NewValue { expects, ..new("n", &[count + 1]) }).await {
                Ok(_) => break,
                Err(refusal) => assert_eq!(refusal, Refusal::Conflict),
            }
        }
    };
    let callers = (0..CALLERS).map(|_| async {
        for _ in 0..TIMES {
            increment().await;
        }
    });
    futures_util::future::join_all(callers).await;
    assert_eq!(bytes(subject, &of, "n").await.as_deref(), Some(&[100][..]));
}

pub(crate) async fn settings_are_set_listed_and_unset(subject: &dyn Subject) {
    let (store, of) = (subject.store(), of("acme", "f"));
    let name = |text: &str| text.parse::<SettingName>().unwrap();
    for (setting, value) in [("B", "2"), ("A", "1"), ("A", "3")] {
        let set = store.set_setting(&of, SettingKind::Config, &name(setting), value.into(), UNLIMITED).await;
        assert_eq!(set.unwrap(), SettingAnswer::Set);
    }
    let listed = store.settings(&of, SettingKind::Config).await.unwrap();
    assert_eq!(listed, [(name("A"), Bytes::from("3")), (name("B"), Bytes::from("2"))]);
    assert_eq!(store.setting(&of, SettingKind::Config, &name("A")).await.unwrap(), Some(Bytes::from("3")));
    assert_eq!(store.setting(&of, SettingKind::Secret, &name("A")).await.unwrap(), None, "another kind");
    assert!(store.unset(&of, SettingKind::Config, &name("A")).await.unwrap());
    assert!(!store.unset(&of, SettingKind::Config, &name("A")).await.unwrap());
    assert_eq!(store.settings(&of, SettingKind::Config).await.unwrap().len(), 1);
}

pub(crate) async fn settings_have_their_bound(subject: &dyn Subject) {
    let (store, of) = (subject.store(), of("acme", "f"));
    let of = &of;
    let set =
        |n: usize| async move { store.set_setting(of, SettingKind::Config, &n_th(n), Bytes::new(), UNLIMITED).await };
    for n in 0..SETTINGS_MAX {
        assert_eq!(set(n).await.unwrap(), SettingAnswer::Set);
    }
    assert_eq!(set(SETTINGS_MAX).await.unwrap(), SettingAnswer::Full);
    assert_eq!(set(0).await.unwrap(), SettingAnswer::Set, "one that is there is set again");
    let secret = store.set_setting(of, SettingKind::Secret, &n_th(0), Bytes::new(), UNLIMITED).await;
    assert_eq!(secret.unwrap(), SettingAnswer::Set, "kinds are counted apart");
}

/// Number of values that a page looks at.
const PAGE: usize = 4;

/// Returns the keys with a prefix, and the number of pages.
async fn listed(subject: &dyn Subject, of: &Namespace, prefix: &str) -> (BTreeSet<String>, usize) {
    let prefix = Bytes::copy_from_slice(prefix.as_bytes()).try_into().unwrap();
    let (mut keys, mut pages, mut after) = (BTreeSet::new(), 0, KvCursor::default());
    loop {
        let page = subject.store().list_keys(of, &prefix, &after, PAGE).await.unwrap().unwrap();
        keys.extend(page.keys.iter().map(|key| String::from_utf8(key.as_bytes().to_vec()).unwrap()));
        (pages, after) = (pages + 1, page.next);
        if after.is_empty() {
            return (keys, pages);
        }
        assert!(pages < 1_000, "a listing ends");
    }
}

pub(crate) async fn keys_are_listed_in_pages(subject: &dyn Subject) {
    let (of, others) = (of("acme", "f"), [of("acme", "g"), of("other", "f"), of("acme", "ff")]);
    assert_eq!(listed(subject, &of, "").await, (BTreeSet::new(), 1));
    for other in &others {
        set(subject, other, new("a/another's", b"")).await.unwrap();
    }
    // Values of another size than the smallest, which Redis would keep in one piece and list at once.
    let names = |start: &str| (0..2 * PAGE).map(|n| format!("{start}/{n}")).collect::<BTreeSet<_>>();
    let all: BTreeSet<String> = names("a").into_iter().chain(names("b")).chain(["a".to_owned()]).collect();
    for key in &all {
        set(subject, &of, new(key, &[7; 100])).await.unwrap();
    }
    let (keys, pages) = listed(subject, &of, "").await;
    // Redis looks at whole buckets of its table, and which keys share one differs from server to server.
    assert!(keys == all && pages > 1, "{pages} pages of {keys:?}");
    assert_eq!(listed(subject, &of, "a/").await.0, names("a"));
    assert_eq!(
        listed(subject, &of, "b/1").await.0,
        names("b").into_iter().filter(|key| key.starts_with("b/1")).collect()
    );
    assert_eq!(listed(subject, &of, "c").await.0, BTreeSet::new());
    // One that goes on while keys are deleted has the others.
    let prefix = Bytes::from_static(b"a/").try_into().unwrap();
    let page = subject.store().list_keys(&of, &prefix, &KvCursor::default(), PAGE).await.unwrap().unwrap();
    let (mut left, mut after) = (names("a"), page.next);
    left.retain(|left| page.keys.iter().all(|key| key.as_bytes() != left.as_bytes()));
    for key in &page.keys {
        subject.store().delete_value(&of, key, Expects::Anything).await.unwrap().unwrap();
    }
    while !after.is_empty() {
        let page = subject.store().list_keys(&of, &prefix, &after, PAGE).await.unwrap().unwrap();
        left.retain(|left| page.keys.iter().all(|key| key.as_bytes() != left.as_bytes()));
        after = page.next;
    }
    assert_eq!(left, BTreeSet::new());
    // What has expired is not there.
    let short = NewValue { ttl: Some(Ttl::try_from(1_000).unwrap()), ..new("short", b"") };
    set(subject, &others[0], short).await.unwrap();
    assert_eq!(listed(subject, &others[0], "s").await.0.len(), 1);
    subject.pass(1_000).await;
    assert_eq!(listed(subject, &others[0], "").await.0, BTreeSet::from(["a/another's".to_owned()]));
}

fn n_th(n: usize) -> SettingName {
    format!("S{n}").parse().unwrap()
}

pub(crate) async fn each_forgotten_namespace_is_continued(subject: &dyn Subject) {
    let mut last = Vec::new();
    for n in 0..4 {
        for _ in 0..n {
            set(subject, &of("acme", &format!("f{n}")), new("k", b"v")).await.unwrap();
        }
        last.push(set(subject, &of("acme", &format!("f{n}")), new("k", b"v")).await.unwrap());
    }
    for n in 0..4 {
        subject.store().forget(&of("acme", &format!("f{n}"))).await.unwrap();
    }
    for (n, last) in last.into_iter().enumerate() {
        let next = set(subject, &of("acme", &format!("f{n}")), new("k", b"v")).await.unwrap();
        assert!(next > last, "f{n}: {next} after {last}");
    }
}

pub(crate) async fn what_is_forgotten_is_gone_but_its_revisions(subject: &dyn Subject) {
    let (store, of) = (subject.store(), of("acme", "f"));
    let ttl = Some(Ttl::try_from(60_000).unwrap());
    let first = set(subject, &of, NewValue { ttl, ..new("k", b"v") }).await.unwrap();
    store.set_setting(&of, SettingKind::Config, &n_th(0), Bytes::new(), UNLIMITED).await.unwrap();
    store.forget(&of).await.unwrap();
    store.forget(&of).await.unwrap();
    assert_eq!(value(subject, &of, "k").await, None);
    assert_eq!(store.settings(&of, SettingKind::Config).await.unwrap(), []);
    for n in 0..subject.bounds().kv_entries_max {
        let next = set(subject, &of, new(&format!("k{n}"), b"")).await.expect("its room is free");
        assert!(next > first, "a revision is never used again");
    }
}
