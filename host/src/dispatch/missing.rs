//! Modules that are registered but have no compiled artifact on this host, as after an upgrade of the engine, and files
//! that have not been used here. Both are fetched from the store; modules are compiled again, in a child process as
//! always.

use std::sync::Arc;

use fusebox_core::{
    id::{FilesDigest, ModuleDigest},
    invocation::Invocation,
    name::TenantId,
};

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
    /// Ensures that everything a run needs is in the cache: its files, and its module's artifact.
    ///
    /// # Errors
    /// Fails with a reason for the log.
    pub async fn provide(&self, invocation: &Invocation) -> Result<(), String> {
        let Invocation { tenant, module, files, .. } = invocation;
        if let Some(files) = files {
            self.fetch_files(files).await?;
        }
        match self.modules.has(*module).await.map_err(|error| error.to_string())? {
            true => Ok(()),
            false => self.prepare(Some(tenant.clone()), module).await,
        }
    }

    async fn fetch_files(&self, digest: &FilesDigest) -> Result<(), String> {
        if self.modules.has_files(*digest).await.map_err(|error| error.to_string())? {
            return Ok(());
        }
        let archive = match self.store.files(digest).await {
            Ok(Some(archive)) => archive,
            Ok(None) => return Err("the store does not have its files".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        self.modules.add_files(*digest, archive).await.map_err(|error| error.to_string())
    }

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
