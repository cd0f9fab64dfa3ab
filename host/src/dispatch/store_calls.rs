//! Serves host calls from the store, for slots of this process and for workers of others.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    limits::{CALL_MS_MAX, KV_PAGE_ENTRIES},
};
use fusebox_sandbox::{Guest, HostCalls, WaitLimit};
use tokio::runtime::Handle;

use crate::{host_calls, secrets::SecretsKey, tenancy::QuotaBook};
use fusebox_store::{
    Store,
    kv::{Namespace, NewValue, SettingKind},
};

/// Serves host calls from the store. Cheap to clone.
#[derive(Clone)]
pub struct StoreHostCalls {
    store: Arc<dyn Store>,
    secrets: Option<SecretsKey>,
    quotas: Arc<QuotaBook>,
    runtime: Handle,
}

impl StoreHostCalls {
    /// Serves calls from `store`; secrets only if there is a key. Must be called within the runtime that serves the
    /// store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, secrets: Option<SecretsKey>, quotas: Arc<QuotaBook>) -> Self {
        Self { store, secrets, quotas, runtime: Handle::current() }
    }

    /// Serves a call, which must already be granted, in bounded time.
    ///
    /// # Errors
    /// Fails with the refusal that the guest receives.
    pub async fn answer(&self, of: &Namespace, call: HostCall) -> Result<HostAnswer, Refusal> {
        let answer = tokio::time::timeout(Duration::from_millis(CALL_MS_MAX), self.ask(of, call));
        answer.await.unwrap_or(Err(Refusal::TimedOut))
    }

    async fn ask(&self, of: &Namespace, call: HostCall) -> Result<HostAnswer, Refusal> {
        match call {
            HostCall::Config(name) => {
                let value = self.store.setting(of, SettingKind::Config, &name).await.map_err(unavailable)?;
                value.map(HostAnswer::Config).ok_or(Refusal::Absent)
            }
            HostCall::Configs => {
                self.store.settings(of, SettingKind::Config).await.map_err(unavailable).map(HostAnswer::Configs)
            }
            HostCall::Secret(name) => {
                let sealed = self.store.setting(of, SettingKind::Secret, &name).await.map_err(unavailable)?;
                let sealed = sealed.ok_or(Refusal::Absent)?;
                let secret = self.secrets.as_ref().and_then(|key| key.open(of, &name, &sealed));
                secret.map(HostAnswer::Secret).ok_or_else(|| {
                    let function = &of.function;
                    tracing::error!(%function, %name, "cannot decrypt a secret: --secrets-key is missing or differs");
                    Refusal::Unavailable
                })
            }
            HostCall::KvGet(key) => {
                let found = self.store.value(of, &key).await.map_err(unavailable)?.ok_or(Refusal::Absent)?;
                Ok(HostAnswer::Value { revision: found.revision, value: found.value })
            }
            HostCall::KvSet { key, value, ttl, expects } => {
                let stored_max = self.quotas.of(&of.tenant).stored_bytes;
                let new = NewValue { key, value, ttl, expects, stored_max };
                self.store.set_value(of, new).await.map_err(unavailable)?.map(HostAnswer::Set)
            }
            HostCall::KvDelete { key, expects } => {
                self.store.delete_value(of, &key, expects).await.map_err(unavailable)?.map(HostAnswer::Deleted)
            }
            HostCall::KvKeys { prefix, after } => {
                let page = self.store.list_keys(of, &prefix, &after, KV_PAGE_ENTRIES).await.map_err(unavailable)??;
                Ok(HostAnswer::Keys { keys: page.keys, next: page.next })
            }
            // HTTP requests are sent by the worker's host, not from the store.
            HostCall::Http(_) => Err(Refusal::Refused),
        }
    }
}

impl HostCalls for StoreHostCalls {
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let of = Namespace { tenant: guest.tenant.clone(), function: guest.function.clone() };
        let (tell, told) = mpsc::sync_channel(1);
        let asked = self.clone();
        self.runtime.spawn(async move {
            // Errors are ignored: the caller may have timed out.
            drop(tell.send(asked.answer(&of, call).await));
        });
        host_calls::wait(&told, limit)
    }
}

fn unavailable(error: fusebox_store::Error) -> Refusal {
    // A full store is in the log once a minute.
    if !matches!(error, fusebox_store::Error::Full(_)) {
        tracing::warn!(%error, "the store does not answer a host call");
    }
    Refusal::Unavailable
}

#[cfg(test)]
mod tests {
    use fusebox_core::{capability::Expects, keep::Keep, limits::VALUE_BYTES, name::TenantId, quota::QuotaSettings};
    use fusebox_store::{Acting, Identity as _, embedded::EmbeddedStore};
    use fusebox_system::clock::Clock;

    use super::*;

    #[tokio::test]
    async fn a_value_beyond_the_tenants_quota_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(home.path(), Clock::System).unwrap());
        let tenant = TenantId::default_tenant();
        let settings = QuotaSettings { stored_bytes: Some(VALUE_BYTES + 2), ..QuotaSettings::NONE };
        assert_eq!(store.set_quotas(Acting::Store, &tenant, settings).await.unwrap(), Ok(true));
        let calls = StoreHostCalls::new(store.clone(), None, QuotaBook::open(store, Keep::DEFAULT).await);
        let of = Namespace { tenant, function: "f".parse().unwrap() };
        let set = async |key: &'static [u8]| {
            let key = bytes::Bytes::from_static(key).try_into().unwrap();
            let value = bytes::Bytes::from_static(b"v").try_into().unwrap();
            calls.answer(&of, HostCall::KvSet { key, value, ttl: None, expects: Expects::Anything }).await
        };
        assert_eq!(set(b"kk").await, Err(Refusal::Quota));
        assert!(matches!(set(b"k").await, Ok(HostAnswer::Set(_))));
        assert_eq!(set(b"l").await, Err(Refusal::Quota));
    }
}
