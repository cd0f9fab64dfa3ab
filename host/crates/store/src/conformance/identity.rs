//! Tests of tenants and API keys.

use fusebox_core::{limits::KEYS_PER_TENANT_MAX, name::TenantId, quota::QuotaSettings};

use super::{Subject, tenant};
use crate::{Acted, Acting, Denied, Key, KeyAdded, KeyId, NewKey, Replaced, Scope, SecretDigest, Tenant, TenantAdded};
use fusebox_system::random;

pub(crate) fn new_key(tenant: &TenantId) -> NewKey {
    NewKey {
        id: KeyId(random::bytes()),
        tenant: tenant.clone(),
        scope: Scope::Deploy,
        name: "for tests".to_owned(),
        digest: SecretDigest(random::bytes()),
        life_ms: None,
        replaces: None,
    }
}

pub(crate) async fn add(subject: &dyn Subject, new: NewKey) -> Key {
    match subject.store().add_key(Acting::Store, new).await.unwrap() {
        Ok(KeyAdded::Added(key)) => key,
        refused => panic!("{refused:?}"),
    }
}

async fn found(subject: &dyn Subject, key: KeyId) -> Option<Key> {
    let found = subject.store().key(key).await.unwrap();
    assert!(found.as_ref().is_none_or(|found| found.at == subject.now()));
    found.map(|found| found.key)
}

pub(crate) async fn make_tenant(subject: &dyn Subject, name: &str) -> TenantId {
    let made = subject.store().add_tenant(Acting::Store, tenant(name)).await.unwrap();
    assert_eq!(made, Ok(TenantAdded::Added(Tenant::new(tenant(name), subject.now()))));
    tenant(name)
}

async fn revoke(subject: &dyn Subject, tenant: &TenantId, key: KeyId) -> Option<Key> {
    subject.store().revoke_key(Acting::Store, tenant, key).await.unwrap().unwrap()
}

/// Performs each act that needs authority over a tenant's records; returns true for each that was denied.
async fn acts_denied(subject: &dyn Subject, by: Acting, of: &TenantId) -> [bool; 5] {
    fn is_denied<T>(answer: Acted<T>) -> bool {
        matches!(answer, Err(Denied))
    }
    let store = subject.store();
    [
        is_denied(store.add_tenant(by, tenant("default")).await.unwrap()),
        is_denied(store.delete_tenant(by, &tenant("nobody")).await.unwrap()),
        is_denied(store.set_quotas(by, &tenant("nobody"), QuotaSettings::NONE).await.unwrap()),
        is_denied(store.add_key(by, NewKey { replaces: absent(), ..new_key(of) }).await.unwrap()),
        is_denied(store.revoke_key(by, of, KeyId([0; 8])).await.unwrap()),
    ]
}

fn absent() -> Option<Replaced> {
    Some(Replaced { id: KeyId([0; 8]), grace_ms: 0 })
}

/// Returns all tenants and keys of a store.
async fn kept(subject: &dyn Subject) -> (Vec<Tenant>, Vec<Key>) {
    let tenants = subject.store().tenants().await.unwrap();
    let mut keys = Vec::new();
    for tenant in &tenants {
        keys.extend(subject.store().keys(&tenant.id).await.unwrap());
    }
    (tenants, keys)
}

pub(crate) async fn an_act_takes_a_good_admin_key_of_its_tenant_or_the_operators(subject: &dyn Subject) {
    let (acme, other, default) =
        (make_tenant(subject, "acme").await, make_tenant(subject, "other").await, TenantId::default_tenant());
    let make = async |of: &TenantId, scope| add(subject, NewKey { scope, ..new_key(of) }).await.id;
    let (operator, admin) = (make(&default, Scope::Admin).await, make(&acme, Scope::Admin).await);
    let before = kept(subject).await;
    let by = Acting::Key;
    assert_eq!(acts_denied(subject, by(operator), &acme).await, [false; 5]);
    assert_eq!(acts_denied(subject, Acting::Store, &acme).await, [false; 5]);
    assert_eq!(acts_denied(subject, by(admin), &acme).await, [true, true, true, false, false]);
    for of in [&other, &default] {
        assert_eq!(acts_denied(subject, by(admin), of).await, [true; 5]);
    }
    assert_eq!(acts_denied(subject, by(KeyId([9; 8])), &acme).await, [true; 5], "there is no such key");
    assert_eq!(kept(subject).await, before, "what is denied changes nothing, and these acts had nothing to change");
    for (of, scope) in [(&default, Scope::Deploy), (&default, Scope::Invoke), (&acme, Scope::Deploy)] {
        let narrow = make(of, scope).await;
        assert_eq!(acts_denied(subject, by(narrow), of).await, [true; 5], "{scope}");
    }
}

pub(crate) async fn an_act_of_a_key_that_has_ended_is_denied(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let acme = make_tenant(subject, "acme").await;
    let operator = NewKey { scope: Scope::Admin, ..new_key(&default) };
    let revoked = add(subject, operator.clone()).await;
    let short = NewKey { id: KeyId(random::bytes()), life_ms: Some(50), ..operator.clone() };
    let expired = add(subject, short).await;
    let theirs = add(subject, NewKey { scope: Scope::Admin, ..new_key(&acme) }).await;
    assert_eq!(acts_denied(subject, Acting::Key(expired.id), &default).await, [false; 5]);
    revoke(subject, &default, revoked.id).await;
    subject.pass(50).await;
    for ended in [revoked.id, expired.id] {
        assert_eq!(acts_denied(subject, Acting::Key(ended), &default).await, [true; 5]);
        let before = kept(subject).await;
        let by = Acting::Key(ended);
        assert_eq!(store.add_tenant(by, tenant("new")).await.unwrap(), Err(Denied));
        assert_eq!(store.delete_tenant(by, &acme).await.unwrap(), Err(Denied));
        let quotas = QuotaSettings { functions: Some(1), ..QuotaSettings::NONE };
        assert_eq!(store.set_quotas(by, &acme, quotas).await.unwrap(), Err(Denied));
        assert_eq!(store.add_key(by, new_key(&default)).await.unwrap(), Err(Denied));
        let replaces = Some(Replaced { id: theirs.id, grace_ms: 0 });
        assert_eq!(store.add_key(by, NewKey { replaces, ..new_key(&acme) }).await.unwrap(), Err(Denied));
        assert_eq!(store.revoke_key(by, &acme, theirs.id).await.unwrap(), Err(Denied));
        assert_eq!(kept(subject).await, before);
    }
    let again = store.revoke_key(Acting::Key(revoked.id), &default, revoked.id).await.unwrap();
    assert_eq!(again.unwrap().unwrap().id, revoked.id, "its own end may be asked for again");
    store.delete_tenant(Acting::Store, &acme).await.unwrap().unwrap();
    assert_eq!(acts_denied(subject, Acting::Key(theirs.id), &acme).await, [true; 5], "its tenant was deleted");
}

pub(crate) async fn without_a_key_only_the_first_one_is_made(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    assert_eq!(acts_denied(subject, Acting::Keyless, &default).await, [false; 5]);
    let (first, second) = (new_key(&default), new_key(&default));
    let (one, other) =
        tokio::join!(store.add_key(Acting::Keyless, first.clone()), store.add_key(Acting::Keyless, second.clone()));
    let made = [one.unwrap(), other.unwrap()].into_iter().filter(Result::is_ok).count();
    assert_eq!((made, store.keys(&default).await.unwrap().len()), (1, 1), "the second is denied");
    let [kept] = &store.keys(&default).await.unwrap()[..] else { panic!("one key was made") };
    let same = if kept.id == first.id { first } else { second };
    let again = store.add_key(Acting::Keyless, same).await.unwrap();
    assert_eq!(again, Ok(KeyAdded::Added(kept.clone())), "the same key again is the one that was made");
    assert_eq!(acts_denied(subject, Acting::Keyless, &default).await, [true; 5]);
    revoke(subject, &default, kept.id).await;
    assert_eq!(acts_denied(subject, Acting::Keyless, &default).await, [true; 5], "keys that end do not open it again");
}

pub(crate) async fn tenants_are_listed_by_name_and_the_default_one_is_always_there(subject: &dyn Subject) {
    let store = subject.store();
    let default = Tenant::default_tenant();
    assert_eq!(store.tenants().await.unwrap(), std::slice::from_ref(&default));
    let (one, two) = (make_tenant(subject, "beta").await, make_tenant(subject, "acme").await);
    let made = |id| Tenant::new(id, subject.now());
    assert_eq!(store.tenants().await.unwrap(), [made(two.clone()), made(one), default.clone()]);
    for taken in [two, default.id] {
        assert_eq!(store.add_tenant(Acting::Store, taken).await.unwrap(), Ok(TenantAdded::Taken));
    }
}

pub(crate) async fn a_deleted_tenant_has_no_good_key_and_its_name_stays_taken(subject: &dyn Subject) {
    let store = subject.store();
    let (acme, other) = (make_tenant(subject, "acme").await, make_tenant(subject, "acm").await);
    let (mine, theirs) = (add(subject, new_key(&acme)).await, add(subject, new_key(&other)).await);
    subject.pass(5).await;
    assert_eq!(store.delete_tenant(Acting::Store, &acme).await.unwrap(), Ok(true));
    let revoked = Key { revoked_at: Some(subject.now()), ..mine.clone() };
    assert_eq!(found(subject, mine.id).await, Some(revoked));
    assert_eq!(found(subject, theirs.id).await, Some(theirs));
    assert_eq!(store.add_key(Acting::Store, new_key(&acme)).await.unwrap(), Ok(KeyAdded::NoTenant));
    assert_eq!(store.add_tenant(Acting::Store, acme.clone()).await.unwrap(), Ok(TenantAdded::Taken));
    assert_eq!(store.delete_tenant(Acting::Store, &acme).await.unwrap(), Ok(true), "it is being deleted");
    for none in [&tenant("nobody"), &TenantId::default_tenant()] {
        assert_eq!(store.delete_tenant(Acting::Store, none).await.unwrap(), Ok(false), "{none}");
    }
    let tenants = store.tenants().await.unwrap();
    let deleted = tenants.iter().find(|tenant| tenant.id == acme).unwrap();
    assert_eq!(deleted.deleted_at, Some(subject.now()));
}

pub(crate) async fn a_key_is_found_by_its_id_and_listed_with_its_tenants(subject: &dyn Subject) {
    let store = subject.store();
    assert!(!store.has_keys().await.unwrap());
    let (acme, default) = (make_tenant(subject, "acme").await, TenantId::default_tenant());
    let first = add(subject, NewKey { life_ms: Some(1_000), ..new_key(&acme) }).await;
    assert_eq!((first.created_at, first.expires_at), (subject.now(), Some(subject.now().plus(1_000))));
    assert!(store.has_keys().await.unwrap());
    subject.pass(1).await;
    let second = add(subject, new_key(&acme)).await;
    let theirs = add(subject, NewKey { name: "é \"x\"".to_owned(), ..new_key(&default) }).await;
    assert_eq!(found(subject, first.id).await, Some(first.clone()));
    assert_eq!(found(subject, theirs.id).await, Some(theirs.clone()));
    assert_eq!(found(subject, KeyId([0; 8])).await, None);
    assert_eq!(store.keys(&acme).await.unwrap(), [first, second]);
    assert_eq!(store.keys(&default).await.unwrap(), [theirs]);
    assert_eq!(store.keys(&tenant("acm")).await.unwrap(), []);
    assert_eq!(store.add_key(Acting::Store, new_key(&tenant("acm"))).await.unwrap(), Ok(KeyAdded::NoTenant));
}

pub(crate) async fn a_key_is_revoked_once_and_by_its_tenant_alone(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let key = add(subject, new_key(&default)).await;
    assert_eq!(revoke(subject, &tenant("acme"), key.id).await, None);
    assert_eq!(revoke(subject, &default, KeyId([0; 8])).await, None);
    assert_eq!(found(subject, key.id).await, Some(key.clone()));
    let revoked = Key { revoked_at: Some(subject.now()), ..key.clone() };
    assert_eq!(revoke(subject, &default, key.id).await, Some(revoked.clone()));
    subject.pass(9).await;
    assert_eq!(revoke(subject, &default, key.id).await, Some(revoked.clone()));
    assert_eq!(store.keys(&default).await.unwrap(), [revoked]);
    assert!(store.has_keys().await.unwrap(), "a host that had a key stays closed");
}

pub(crate) async fn a_replaced_key_stays_good_for_a_while(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let old = add(subject, new_key(&default)).await;
    let until = subject.now().plus(500);
    let replace = async |of: &TenantId, id, grace_ms| {
        let new = NewKey { replaces: Some(Replaced { id, grace_ms }), ..new_key(of) };
        store.add_key(Acting::Store, new).await.unwrap().unwrap()
    };
    assert_eq!(replace(&default, KeyId([0; 8]), 500).await, KeyAdded::NoKey);
    make_tenant(subject, "acme").await;
    assert_eq!(replace(&tenant("acme"), old.id, 500).await, KeyAdded::NoKey);
    let KeyAdded::Added(new) = replace(&default, old.id, 500).await else { panic!("it is good") };
    let ends = Key { expires_at: Some(until), ..old.clone() };
    assert_eq!(found(subject, old.id).await, Some(ends.clone()));
    assert_eq!(found(subject, new.id).await, Some(new));
    assert!(matches!(replace(&default, old.id, u64::MAX).await, KeyAdded::Added(_)));
    assert_eq!(found(subject, old.id).await, Some(ends), "a key's life is not made longer");
    subject.pass(500).await;
    assert_eq!(replace(&default, old.id, 9_000).await, KeyAdded::NoKey);
    assert_eq!(store.keys(&default).await.unwrap().len(), 3);
}

pub(crate) async fn a_tenants_keys_are_bounded_and_the_first_to_end_makes_room(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let mut keys = Vec::new();
    for _ in 0..KEYS_PER_TENANT_MAX {
        keys.push(add(subject, new_key(&default)).await.id);
    }
    assert_eq!(store.add_key(Acting::Store, new_key(&default)).await.unwrap(), Ok(KeyAdded::Full));
    subject.pass(1).await;
    revoke(subject, &default, keys[7]).await;
    subject.pass(1).await;
    revoke(subject, &default, keys[3]).await;
    let next = add(subject, new_key(&default)).await;
    assert_eq!(found(subject, keys[7]).await, None);
    assert!(found(subject, keys[3]).await.is_some() && found(subject, next.id).await.is_some());
    assert_eq!(store.keys(&default).await.unwrap().len(), KEYS_PER_TENANT_MAX);
    make_tenant(subject, "acme").await;
    add(subject, new_key(&tenant("acme"))).await;
}

pub(crate) async fn each_change_of_tenants_and_keys_is_told(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let changed = async || {
        let mut changes = store.identity_changes();
        changes.mark_unchanged();
        changes
    };
    let told = async |mut changes: tokio::sync::watch::Receiver<u64>| {
        tokio::time::timeout(std::time::Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
    };
    let changes = changed().await;
    make_tenant(subject, "acme").await;
    told(changes).await;
    let changes = changed().await;
    let key = add(subject, new_key(&default)).await;
    told(changes).await;
    let changes = changed().await;
    revoke(subject, &default, key.id).await;
    told(changes).await;
    let changes = changed().await;
    store.delete_tenant(Acting::Store, &tenant("acme")).await.unwrap().unwrap();
    told(changes).await;
}

pub(crate) async fn quotas_are_kept_with_their_tenant(subject: &dyn Subject) {
    let store = subject.store();
    let acme = make_tenant(subject, "acme").await;
    let quotas = QuotaSettings { functions: Some(7), fuel_per_minute: Some(0), ..QuotaSettings::NONE };
    let set_quotas = async |of: &TenantId, quotas| store.set_quotas(Acting::Store, of, quotas).await.unwrap();
    assert_eq!(set_quotas(&acme, quotas).await, Ok(true));
    subject.pass(5).await;
    assert_eq!(set_quotas(&TenantId::default_tenant(), quotas).await, Ok(true));
    assert_eq!(set_quotas(&tenant("nobody"), quotas).await, Ok(false));
    let set = |tenants: Vec<Tenant>| tenants.into_iter().map(|tenant| (tenant.id, tenant.quotas)).collect::<Vec<_>>();
    let default = TenantId::default_tenant();
    assert_eq!(set(store.tenants().await.unwrap()), [(acme.clone(), quotas), (default.clone(), quotas)]);
    assert_eq!(set_quotas(&acme, QuotaSettings::NONE).await, Ok(true));
    store.delete_tenant(Acting::Store, &acme).await.unwrap().unwrap();
    assert_eq!(set_quotas(&acme, quotas).await, Ok(false), "it is deleted");
    assert_eq!(set(store.tenants().await.unwrap()), [(acme, QuotaSettings::NONE), (default, quotas)]);
}
