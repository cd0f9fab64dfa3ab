//! Tenants and API keys.

use fusebox_core::{limits::KEYS_PER_TENANT_MAX, name::TenantId, quota::QuotaSettings, time::Millis};

use super::{Subject, tenant};
use crate::{
    random,
    store::{Key, KeyAdded, KeyId, Replaced, Scope, SecretDigest, Tenant, TenantAdded},
};

fn key(subject: &dyn Subject, tenant: &TenantId) -> Key {
    Key {
        id: KeyId(random::bytes()),
        tenant: tenant.clone(),
        scope: Scope::Deploy,
        name: "for tests".to_owned(),
        digest: SecretDigest(random::bytes()),
        created_at: subject.now(),
        expires_at: None,
        revoked_at: None,
    }
}

async fn add(subject: &dyn Subject, key: &Key) {
    assert_eq!(subject.store().add_key(key.clone(), None).await.unwrap(), KeyAdded::Added);
}

async fn found(subject: &dyn Subject, key: KeyId) -> Option<Key> {
    subject.store().key(key).await.unwrap()
}

async fn make_tenant(subject: &dyn Subject, name: &str) -> TenantId {
    let made = subject.store().add_tenant(Tenant::new(tenant(name), subject.now())).await.unwrap();
    assert_eq!(made, TenantAdded::Added);
    tenant(name)
}

async fn revoke(subject: &dyn Subject, tenant: &TenantId, key: KeyId) -> Option<Key> {
    subject.store().revoke_key(tenant, key, subject.now()).await.unwrap()
}

pub(crate) async fn tenants_are_listed_by_name_and_the_default_one_is_always_there(subject: &dyn Subject) {
    let store = subject.store();
    let default = Tenant::default_tenant();
    assert_eq!(store.tenants().await.unwrap(), std::slice::from_ref(&default));
    let (one, two) = (make_tenant(subject, "beta").await, make_tenant(subject, "acme").await);
    let made = |id| Tenant::new(id, subject.now());
    assert_eq!(store.tenants().await.unwrap(), [made(two.clone()), made(one), default.clone()]);
    for taken in [two, default.id] {
        assert_eq!(store.add_tenant(made(taken)).await.unwrap(), TenantAdded::Taken);
    }
}

pub(crate) async fn a_deleted_tenant_has_no_good_key_and_its_name_stays_taken(subject: &dyn Subject) {
    let store = subject.store();
    let (acme, other) = (make_tenant(subject, "acme").await, make_tenant(subject, "acm").await);
    let (mine, theirs) = (key(subject, &acme), key(subject, &other));
    add(subject, &mine).await;
    add(subject, &theirs).await;
    subject.pass(5).await;
    assert!(store.delete_tenant(&acme, subject.now()).await.unwrap());
    let revoked = Key { revoked_at: Some(subject.now()), ..mine.clone() };
    assert_eq!(found(subject, mine.id).await, Some(revoked));
    assert_eq!(found(subject, theirs.id).await, Some(theirs));
    assert_eq!(store.add_key(key(subject, &acme), None).await.unwrap(), KeyAdded::NoTenant);
    let again = store.add_tenant(Tenant::new(acme.clone(), subject.now())).await.unwrap();
    assert_eq!(again, TenantAdded::Taken);
    for gone in [&acme, &tenant("nobody"), &TenantId::default_tenant()] {
        assert!(!store.delete_tenant(gone, subject.now()).await.unwrap(), "{gone}");
    }
    let tenants = store.tenants().await.unwrap();
    let deleted = tenants.iter().find(|tenant| tenant.id == acme).unwrap();
    assert_eq!(deleted.deleted_at, Some(subject.now()));
}

pub(crate) async fn a_key_is_found_by_its_id_and_listed_with_its_tenants(subject: &dyn Subject) {
    let store = subject.store();
    assert!(!store.has_keys().await.unwrap());
    let (acme, default) = (make_tenant(subject, "acme").await, TenantId::default_tenant());
    let first = Key { expires_at: Some(subject.now().plus(1_000)), ..key(subject, &acme) };
    add(subject, &first).await;
    assert!(store.has_keys().await.unwrap());
    subject.pass(1).await;
    let (second, theirs) = (key(subject, &acme), Key { name: "é \"x\"".to_owned(), ..key(subject, &default) });
    add(subject, &second).await;
    add(subject, &theirs).await;
    assert_eq!(found(subject, first.id).await, Some(first.clone()));
    assert_eq!(found(subject, theirs.id).await, Some(theirs.clone()));
    assert_eq!(found(subject, KeyId([0; 8])).await, None);
    assert_eq!(store.keys(&acme).await.unwrap(), [first, second]);
    assert_eq!(store.keys(&default).await.unwrap(), [theirs]);
    assert_eq!(store.keys(&tenant("acm")).await.unwrap(), []);
    assert_eq!(store.add_key(key(subject, &tenant("acm")), None).await.unwrap(), KeyAdded::NoTenant);
}

pub(crate) async fn a_key_is_revoked_once_and_by_its_tenant_alone(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let key = key(subject, &default);
    add(subject, &key).await;
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
    let (old, new) = (key(subject, &default), key(subject, &default));
    add(subject, &old).await;
    let until = subject.now().plus(500);
    let replace = async |by: &Key, id, until| store.add_key(by.clone(), Some(Replaced { id, until })).await.unwrap();
    assert_eq!(replace(&key(subject, &default), KeyId([0; 8]), until).await, KeyAdded::NoKey);
    make_tenant(subject, "acme").await;
    assert_eq!(replace(&key(subject, &tenant("acme")), old.id, until).await, KeyAdded::NoKey);
    assert_eq!(replace(&new, old.id, until).await, KeyAdded::Added);
    let ends = Key { expires_at: Some(until), ..old.clone() };
    assert_eq!(found(subject, old.id).await, Some(ends.clone()));
    assert_eq!(found(subject, new.id).await, Some(new));
    let later = until.plus(9_000);
    assert_eq!(replace(&key(subject, &default), old.id, later).await, KeyAdded::Added);
    assert_eq!(found(subject, old.id).await, Some(ends), "a key's life is not made longer");
    subject.pass(500).await;
    assert_eq!(replace(&key(subject, &default), old.id, later).await, KeyAdded::NoKey);
    assert_eq!(store.keys(&default).await.unwrap().len(), 3);
}

pub(crate) async fn a_tenants_keys_are_bounded_and_the_first_to_end_makes_room(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let mut keys = Vec::new();
    for _ in 0..KEYS_PER_TENANT_MAX {
        let key = key(subject, &default);
        add(subject, &key).await;
        keys.push(key.id);
    }
    assert_eq!(store.add_key(key(subject, &default), None).await.unwrap(), KeyAdded::Full);
    subject.pass(1).await;
    revoke(subject, &default, keys[7]).await;
    subject.pass(1).await;
    revoke(subject, &default, keys[3]).await;
    let next = key(subject, &default);
    add(subject, &next).await;
    assert_eq!(found(subject, keys[7]).await, None);
    assert!(found(subject, keys[3]).await.is_some() && found(subject, next.id).await.is_some());
    assert_eq!(store.keys(&default).await.unwrap().len(), KEYS_PER_TENANT_MAX);
    make_tenant(subject, "acme").await;
    add(subject, &key(subject, &tenant("acme"))).await;
}

pub(crate) async fn each_change_of_tenants_and_keys_is_told(subject: &dyn Subject) {
    let store = subject.store();
    let default = TenantId::default_tenant();
    let key = key(subject, &default);
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
    add(subject, &key).await;
    told(changes).await;
    let changes = changed().await;
    revoke(subject, &default, key.id).await;
    told(changes).await;
    let changes = changed().await;
    store.delete_tenant(&tenant("acme"), Millis(1)).await.unwrap();
    told(changes).await;
}

pub(crate) async fn quotas_are_kept_with_their_tenant(subject: &dyn Subject) {
    let store = subject.store();
    let acme = make_tenant(subject, "acme").await;
    let quotas = QuotaSettings { functions: Some(7), fuel_per_minute: Some(0), ..QuotaSettings::NONE };
    assert!(store.set_quotas(&acme, quotas).await.unwrap());
    subject.pass(5).await;
    assert!(store.set_quotas(&TenantId::default_tenant(), quotas).await.unwrap());
    assert!(!store.set_quotas(&tenant("nobody"), quotas).await.unwrap());
    let set = |tenants: Vec<Tenant>| tenants.into_iter().map(|tenant| (tenant.id, tenant.quotas)).collect::<Vec<_>>();
    let default = TenantId::default_tenant();
    assert_eq!(set(store.tenants().await.unwrap()), [(acme.clone(), quotas), (default.clone(), quotas)]);
    assert!(store.set_quotas(&acme, QuotaSettings::NONE).await.unwrap());
    store.delete_tenant(&acme, subject.now()).await.unwrap();
    assert!(!store.set_quotas(&acme, quotas).await.unwrap(), "it is deleted");
    assert_eq!(set(store.tenants().await.unwrap()), [(acme, QuotaSettings::NONE), (default, quotas)]);
}
