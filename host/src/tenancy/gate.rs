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

use super::{ApiKey, Caller, Needs};
use crate::{
    clock::Clock,
    store::{self, Key, KeyId, Store},
};

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
    clock: Clock,
    /// Whether there has ever been a key; never becomes false again.
    closed: AtomicBool,
    /// When there was none the last time that the store was asked.
    open: Mutex<Option<Read>>,
    keys: Cache<KeyId, (Arc<Key>, Read)>,
    changes: watch::Receiver<u64>,
}

/// When something was read.
#[derive(Clone, Copy)]
struct Read {
    at: Instant,
    /// The changes that were known before it was.
    changes: u64,
}

impl Gate {
    /// The gate of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        let changes = store.identity_changes();
        Self {
            store,
            clock,
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
        let read = self.reading();
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
        let caller = match self.is_closed().await.map_err(Refusal::Store)? {
            true => self.caller(credentials.ok_or(Refusal::NoKey)?).await?,
            false => Caller::without_keys(),
        };
        match needs.are_met_by(&caller) {
            true => Ok(caller),
            false => Err(Refusal::Forbidden(caller)),
        }
    }

    /// Whether a caller that was admitted would be again. For what stays open for long.
    pub async fn still_admits(&self, caller: &Caller) -> bool {
        match caller.key {
            // Where the store does not answer, nothing is told anyway.
            None => !self.is_closed().await.unwrap_or_default(),
            Some(id) => match self.find(id).await {
                Ok(key) => key.is_some_and(|key| key.ended_at(self.clock.now()).is_none()),
                Err(_) => true,
            },
        }
    }

    async fn caller(&self, credentials: &str) -> Result<Caller, Refusal> {
        let given = ApiKey::read(credentials).ok_or(Refusal::BadKey)?;
        let known = self.find(given.id()).await.map_err(Refusal::Store)?.ok_or(Refusal::BadKey)?;
        if !given.matches(&known.digest) || known.ended_at(self.clock.now()).is_some() {
            return Err(Refusal::BadKey);
        }
        Ok(Caller { tenant: known.tenant.clone(), scope: known.scope, key: Some(known.id) })
    }

    /// What is not there is not remembered, so that a new key is good at once.
    async fn find(&self, id: KeyId) -> store::Result<Option<Arc<Key>>> {
        if let Some((key, read)) = self.keys.get(&id)
            && self.is_fresh(read)
        {
            return Ok(Some(key));
        }
        let read = self.reading();
        let found = self.store.key(id).await?.map(Arc::new);
        match &found {
            Some(key) => self.keys.insert(id, (key.clone(), read)),
            None => drop(self.keys.remove(&id)),
        }
        Ok(found)
    }

    /// Taken before the store is asked, so that a change meanwhile is not missed.
    fn reading(&self) -> Read {
        Read { at: Instant::now(), changes: *self.changes.borrow() }
    }

    fn is_fresh(&self, read: Read) -> bool {
        read.changes == *self.changes.borrow() && read.at.elapsed() < BELIEVED
    }
}
