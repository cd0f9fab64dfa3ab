//! Authenticates and authorizes requests. Keys are cached for [`KEY_BELIEVED_MS`], or until the store reports a change
//! of keys: every node refuses a revoked key within that time, and most at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fusebox_core::{
    limits::{KEY_BELIEVED_MS, KEYS_REMEMBERED_MAX},
    name::TenantId,
};
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{ApiKey, Caller, Checked, Needs};
use fusebox_store::{KeyId, KnownKey, Store};

const BELIEVED: Duration = Duration::from_millis(KEY_BELIEVED_MS);
/// Interval of checks for a first key, since notifications of changes may be lost.
const LOOK: Duration = Duration::from_secs(1);

/// Reason for refusing a request.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The request has no key.
    NoKey,
    /// The key is malformed, unknown, expired or revoked. The client does not learn which.
    BadKey,
    /// The key is valid, but lacks the scope.
    Forbidden(Caller),
    /// The store does not answer.
    Store(fusebox_store::Error),
}

/// Authenticates requests against the keys in the store.
pub struct Gate {
    store: Arc<dyn Store>,
    /// True once the host has had a key; never becomes false again.
    closed: Arc<AtomicBool>,
    /// Last check that found no key.
    open: Mutex<Option<Checked>>,
    keys: Cache<KeyId, (Arc<KnownKey>, Checked)>,
    changes: watch::Receiver<u64>,
}

impl Gate {
    /// Creates the gate of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let changes = store.identity_changes();
        Self { store, closed: Arc::default(), open: Mutex::new(None), keys: Cache::new(KEYS_REMEMBERED_MAX), changes }
    }

    /// Returns true if requests need a key: from the host's first key on, forever.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn is_closed(&self) -> fusebox_store::Result<bool> {
        if self.was_closed() {
            return Ok(true);
        }
        let believed = *self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if believed.is_some_and(|read| self.is_fresh(read)) {
            return Ok(false);
        }
        self.read_closed().await
    }

    async fn read_closed(&self) -> fusebox_store::Result<bool> {
        let read = self.checking();
        let closed = self.store.has_keys().await?;
        self.closed.fetch_or(closed, Ordering::Relaxed);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(closed)
    }

    /// Watches for the first key until `stop`, so that a process that received no request in between also stays closed if the
    /// store then loses its keys.
    pub fn follow(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (store, closed, mut changes) = (self.store.clone(), self.closed.clone(), self.changes.clone());
        let watching = async move {
            while !closed.load(Ordering::Relaxed) {
                tokio::select! {
                    Ok(()) = changes.changed() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
                // If the store does not answer, the next check or request asks again.
                closed.fetch_or(store.has_keys().await.unwrap_or_default(), Ordering::Relaxed);
            }
        };
        async move {
            let _ = stop.run_until_cancelled(watching).await;
        }
    }

    /// Returns true if the host had a key at the last check, without a look at the store.
    #[must_use]
    pub fn was_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Returns the caller of a request with these credentials.
    ///
    /// # Errors
    /// Fails if the credentials are missing, invalid or insufficient for `needs`, or if the store does not answer.
    pub async fn admit(&self, credentials: Option<&str>, needs: Needs) -> Result<Caller, Refusal> {
        let checked = self.checking();
        let closed = match credentials {
            // The first key is valid at once, also where its creation is not known yet.
            Some(_) if !self.was_closed() => self.read_closed().await,
            _ => self.is_closed().await,
        };
        let caller = match closed.map_err(Refusal::Store)? {
            true => self.caller(credentials.ok_or(Refusal::NoKey)?, checked).await?,
            false => Caller::without_keys(checked),
        };
        match needs.are_met_by(&caller) {
            true => Ok(caller),
            false => Err(Refusal::Forbidden(caller)),
        }
    }

    /// Checks again that a caller is authorized. Call it before acting wherever time has passed since [`Self::admit`],
    /// such as that of a body, a compilation or a wait. As long as the cached keys are valid it costs no read of the
    /// store.
    ///
    /// # Errors
    /// Fails if the key is no longer valid, or if the host has keys by now and the caller none. Succeeds if the store
    /// does not answer: the act itself then fails.
    pub async fn confirm(&self, caller: &Caller) -> Result<(), Refusal> {
        if caller.is_public || self.is_fresh(caller.checked) {
            return Ok(());
        }
        let Some(id) = caller.key else {
            return if self.is_closed().await.unwrap_or_default() { Err(Refusal::NoKey) } else { Ok(()) };
        };
        match self.find(id).await {
            Ok(Some((key, checked))) if is_good(&key, checked) => Ok(()),
            Ok(_) => Err(Refusal::BadKey),
            Err(_) => Ok(()),
        }
    }

    /// Returns the caller of public functions of a tenant.
    #[must_use]
    pub fn public(&self, tenant: TenantId) -> Caller {
        Caller::public(tenant, self.checking())
    }

    async fn caller(&self, credentials: &str, checked: Checked) -> Result<Caller, Refusal> {
        let given = ApiKey::read(credentials).ok_or(Refusal::BadKey)?;
        let (known, read) = self.find(given.id()).await.map_err(Refusal::Store)?.ok_or(Refusal::BadKey)?;
        if !given.matches(&known.key.digest) || !is_good(&known, read) {
            return Err(Refusal::BadKey);
        }
        let key = &known.key;
        Ok(Caller { tenant: key.tenant.clone(), scope: key.scope, key: Some(key.id), is_public: false, checked })
    }

    /// Finds a key by its id. Absence is not cached, so that a new key is valid at once.
    async fn find(&self, id: KeyId) -> fusebox_store::Result<Option<(Arc<KnownKey>, Checked)>> {
        if let Some(known) = self.keys.get(&id)
            && self.is_fresh(known.1)
        {
            return Ok(Some(known));
        }
        let read = self.checking();
        let found = self.store.key(id).await?.map(|key| (Arc::new(key), read));
        match &found {
            Some(known) => self.keys.insert(id, known.clone()),
            None => drop(self.keys.remove(&id)),
        }
        Ok(found)
    }

    /// Must be taken before the store is read, so that a change in between is not missed.
    fn checking(&self) -> Checked {
        Checked { at: Instant::now(), epoch: *self.changes.borrow() }
    }

    fn is_fresh(&self, checked: Checked) -> bool {
        checked.epoch == *self.changes.borrow() && checked.at.elapsed() < BELIEVED
    }
}

/// Returns true if a key is valid: by the store's time when it was read, plus the time passed here since.
fn is_good(known: &KnownKey, read: Checked) -> bool {
    let passed = u64::try_from(read.at.elapsed().as_millis()).unwrap_or(u64::MAX);
    known.key.ended_at(known.at.plus(passed)).is_none()
}

#[cfg(test)]
mod tests {
    use fusebox_core::time::Millis;

    use super::*;
    use crate::tenancy::admin::{self, NewKey};
    use fusebox_store::{Acting, Scope, embedded::EmbeddedStore};
    use fusebox_system::clock::Clock;

    fn store(home: &tempfile::TempDir) -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(home.path(), Clock::manual(Millis(1_750_000_000_000))).unwrap())
    }

    async fn first_key(store: &dyn Store) -> String {
        let new =
            NewKey { tenant: TenantId::default_tenant(), scope: Scope::Admin, name: String::new(), life_ms: None };
        admin::create_key(store, Acting::Store, new).await.unwrap().1.reveal()
    }

    #[tokio::test]
    async fn the_first_key_is_valid_at_once_where_its_creation_is_not_known_yet() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        let gate = Gate::new(store.clone());
        let key = first_key(&*store).await;
        *gate.open.lock().unwrap() = Some(gate.checking());
        assert!(gate.admit(None, Needs::Operator).await.unwrap().key.is_none(), "the host is believed to be open");
        assert!(gate.admit(Some(&key), Needs::Operator).await.unwrap().key.is_some());
        assert!(matches!(gate.admit(None, Needs::Operator).await, Err(Refusal::NoKey)));
    }

    #[tokio::test]
    async fn a_gate_closes_by_itself_when_the_first_key_is_made() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        let (gate, stop) = (Gate::new(store.clone()), CancellationToken::new());
        let following = tokio::spawn(gate.follow(stop.clone()));
        first_key(&*store).await;
        let closed = async {
            while !gate.was_closed() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), closed).await.unwrap();
        following.await.unwrap();
        stop.cancel();
    }
}
