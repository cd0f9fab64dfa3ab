//! Who a request comes from. Keys that were looked up are believed for [`KEY_BELIEVED_MS`], and no longer than until the
//! store says that one has changed: within that time a revoked key is refused by every node, and by most at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fusebox_core::limits::{KEY_BELIEVED_MS, KEYS_REMEMBERED_MAX};
use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::{ApiKey, Caller, Checked, Needs};
use crate::store::{self, KeyId, KnownKey, Store};

const BELIEVED: Duration = Duration::from_millis(KEY_BELIEVED_MS);

/// Why a request is not let in.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// It has no key.
    NoKey,
    /// Its key is no key, unknown, expired or revoked. Which of these is nobody's to know.
    BadKey,
    /// Its key is good, but not for this.
    Forbidden(Caller),
    /// The store does not say.
    Store(store::Error),
}

/// See the module's documentation.
pub struct Gate {
    store: Arc<dyn Store>,
    /// Whether there has ever been a key; never becomes false again.
    closed: AtomicBool,
    /// When there was none the last time that the store was asked.
    open: Mutex<Option<Checked>>,
    keys: Cache<KeyId, (Arc<KnownKey>, Checked)>,
    changes: watch::Receiver<u64>,
}

impl Gate {
    /// The gate of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let changes = store.identity_changes();
        Self {
            store,
            closed: AtomicBool::new(false),
            open: Mutex::new(None),
            keys: Cache::new(KEYS_REMEMBERED_MAX),
            changes,
        }
    }

    /// Whether requests need a key: from the first one on, for ever.
    ///
    /// # Errors
    /// Where the store does not say.
    pub async fn is_closed(&self) -> store::Result<bool> {
        if self.was_closed() {
            return Ok(true);
        }
        let believed = *self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if believed.is_some_and(|read| self.is_fresh(read)) {
            return Ok(false);
        }
        let read = self.checking();
        let closed = self.store.has_keys().await?;
        self.closed.fetch_or(closed, Ordering::Relaxed);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(closed)
    }

    /// Whether requests needed a key the last time that the store was asked.
    #[must_use]
    pub fn was_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The caller of a request with these credentials, if it has what is needed.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn admit(&self, credentials: Option<&str>, needs: Needs) -> Result<Caller, Refusal> {
        let checked = self.checking();
        let caller = match self.is_closed().await.map_err(Refusal::Store)? {
            true => self.caller(credentials.ok_or(Refusal::NoKey)?, checked).await?,
            false => Caller::without_keys(checked),
        };
        match needs.are_met_by(&caller) {
            true => Ok(caller),
            false => Err(Refusal::Forbidden(caller)),
        }
    }

    /// Refuses a caller that would not be admitted any more: before what it asked for is done, wherever time has passed
    /// since it was admitted, such as that of a body, a compilation or a wait. Costs no look at the store within the same
    /// epoch of keys, for as long as keys are believed.
    ///
    /// # Errors
    /// See [`Refusal`]. Where the store does not say, the act finds that out by itself.
    pub async fn confirm(&self, caller: &Caller) -> Result<(), Refusal> {
        if self.is_fresh(caller.checked) {
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

    async fn caller(&self, credentials: &str, checked: Checked) -> Result<Caller, Refusal> {
        let given = ApiKey::read(credentials).ok_or(Refusal::BadKey)?;
        let (known, read) = self.find(given.id()).await.map_err(Refusal::Store)?.ok_or(Refusal::BadKey)?;
        if !given.matches(&known.key.digest) || !is_good(&known, read) {
            return Err(Refusal::BadKey);
        }
        let key = &known.key;
        Ok(Caller { tenant: key.tenant.clone(), scope: key.scope, key: Some(key.id), checked })
    }

    /// What is not there is not remembered, so that a new key is good at once.
    async fn find(&self, id: KeyId) -> store::Result<Option<(Arc<KnownKey>, Checked)>> {
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

    /// Taken before the store is asked, so that a change meanwhile is not missed.
    fn checking(&self) -> Checked {
        Checked { at: Instant::now(), epoch: *self.changes.borrow() }
    }

    fn is_fresh(&self, checked: Checked) -> bool {
        checked.epoch == *self.changes.borrow() && checked.at.elapsed() < BELIEVED
    }
}

/// Whether a key is good: by the store's time when it was read, and what has passed here since.
fn is_good(known: &KnownKey, read: Checked) -> bool {
    let passed = u64::try_from(read.at.elapsed().as_millis()).unwrap_or(u64::MAX);
    known.key.ended_at(known.at.plus(passed)).is_none()
}
