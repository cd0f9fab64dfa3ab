//! Modules that are registered but have no compiled artifact on this host, as after an upgrade of the engine. They are
//! fetched from the store and compiled again, in a child process as always.

use std::sync::Arc;

use fusebox_core::{id::ModuleDigest, name::TenantId};

use crate::modules::Modules;
use fusebox_store::Store;

/// Compiles missing modules.
#[derive(Clone)]
pub struct MissingModules {
    /// Store of the wasm bytes.
    pub store: Arc<dyn Store>,
    /// Compiler and cache of artifacts.
    pub modules: Modules,
}

impl MissingModules {
    /// Ensures that a module's artifact is in the cache. `tenant` is the one that waits for it; `None` for workers.
    ///
    /// # Errors
    /// Fails with a reason for the log.
    pub async fn prepare(&self, tenant: Option<TenantId>, digest: &ModuleDigest) -> Result<(), String> {
        tracing::info!(%digest, "a module is compiled again: its artifact is missing or of another engine version");
        let wasm = match self.store.module(digest).await {
            Ok(Some(wasm)) => wasm,
            Ok(None) => return Err("the store does not have its module".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        self.modules.prepare(tenant, wasm).await.map(drop).map_err(|error| error.to_string())
    }
}
