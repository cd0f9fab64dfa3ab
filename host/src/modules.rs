//! Checks and compiles modules, and exports and imports artifacts, off the async threads. Each compilation is a child
//! process. Two run at a time, one per tenant, and a short queue in which tenants take turns bounds the wait of each.
//! Checks have a queue of their own, since they take milliseconds and decide whether a request waits for the compilation
//! at all.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::Abi,
    id::{FilesDigest, ModuleDigest},
    limits::{COMPILE_WAITERS_MAX, COMPILE_WAITERS_PER_TENANT_MAX, COMPILES_MAX, INSPECT_WAITERS_MAX},
    name::TenantId,
};
use fusebox_sandbox::{ArtifactKey, CompileTime, FilesArchive, Inspected, ModuleError, Prepared, Sandbox};
use quick_cache::sync::Cache;

use crate::telemetry::metrics::Metrics;

mod place;
mod turns;

use place::Queue;
pub use place::{Place, Turn};
use turns::Bounds;

const ROOM: Bounds = Bounds { at_once: COMPILES_MAX, all: COMPILE_WAITERS_MAX, of_one: COMPILE_WAITERS_PER_TENANT_MAX };
const INSPECT_ROOM: Bounds =
    Bounds { at_once: COMPILES_MAX, all: INSPECT_WAITERS_MAX, of_one: INSPECT_WAITERS_MAX / 4 };

/// Compiler of modules. Cheap to clone.
#[derive(Clone)]
pub struct Modules {
    sandbox: Sandbox,
    metrics: Arc<Metrics>,
    compiles: Queue,
    inspections: Queue,
    /// Uploads of the latest [`UPLOADED_MAX`] pairs of tenant and module. A forgotten pair waits once more.
    uploaded: Arc<Cache<(TenantId, ModuleDigest), ()>>,
}

/// Number of remembered uploads, of about 100 bytes each.
const UPLOADED_MAX: usize = 16_384;

/// Outcome of a compilation, and the time that it took, also if it failed.
pub(crate) struct Compiled {
    /// The outcome.
    pub(crate) result: Result<Prepared, ModuleError>,
    /// Time of the compilation that its tenant is charged; the same if the artifact was there and it had to wait.
    pub(crate) time: Duration,
}

impl Modules {
    /// Compiles modules for `sandbox`.
    #[must_use]
    pub fn new(sandbox: Sandbox, metrics: Arc<Metrics>) -> Self {
        let uploaded = Arc::new(Cache::new(UPLOADED_MAX));
        Self { sandbox, metrics, compiles: Queue::new(ROOM), inspections: Queue::new(INSPECT_ROOM), uploaded }
    }

    /// Ensures that a registered module's compiled artifact is in the cache, and returns its digest. One of a kind that
    /// this host does not run is remembered instead, and its runs fail with the reason. `tenant` is the one that waits for
    /// it; `None` for other hosts, which do not name one.
    ///
    /// # Errors
    /// Fails if the module is not a valid function of this host, or with [`ErrorCode::Overloaded`] if too many wait.
    pub async fn prepare(&self, tenant: Option<TenantId>, wasm: Bytes) -> Result<ModuleDigest, ModuleError> {
        let turn = self.compiles.enter(tenant)?.turn().await?;
        let prepared = self.aside(move |sandbox| {
            // Held by the compilation itself, since the caller may go away before it ends.
            let _turn = turn;
            let digest = fusebox_sandbox::digest(&wasm);
            match sandbox.prepare(&wasm) {
                Err(refused) if refused.code == ErrorCode::UnsupportedModule => {
                    sandbox.bar(&digest, refused.message);
                    Ok((digest, Duration::ZERO))
                }
                prepared => Ok((digest, prepared?.compile)),
            }
        });
        let (digest, compile) = prepared.await?;
        self.metrics.compiled(compile);
        Ok(digest)
    }

    /// Checks a tenant's module without compiling it.
    ///
    /// # Errors
    /// Fails if the module is not a valid function of this host, or with [`ErrorCode::Overloaded`] if too many wait.
    pub async fn inspect(&self, tenant: TenantId, wasm: Bytes) -> Result<Inspected, ModuleError> {
        let turn = self.inspections.enter(Some(tenant))?.turn().await?;
        self.aside(move |sandbox| {
            let _turn = turn;
            sandbox.inspect(&wasm)
        })
        .await
    }

    /// Takes a place in the queue of compilations.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] if too many wait.
    pub fn enter(&self, tenant: TenantId) -> Result<Place, ModuleError> {
        self.compiles.enter(Some(tenant))
    }

    /// Takes a place for a version that was registered before, however many wait.
    pub(crate) fn enter_accepted(&self, tenant: TenantId) -> Option<Place> {
        self.compiles.enter_accepted(tenant)
    }

    /// Returns true if the artifact of a module is there, and the tenant may know it: it has uploaded the module before,
    /// or `newest`, the module of the function's newest version, is the same.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn is_there(
        &self,
        tenant: &TenantId,
        newest: Option<ModuleDigest>,
        module: ModuleDigest,
    ) -> Result<bool, ModuleError> {
        if newest != Some(module) && self.uploaded.get(&(tenant.clone(), module)).is_none() {
            return Ok(false);
        }
        self.aside(move |sandbox| Ok(sandbox.load(&module)?.is_some())).await
    }

    /// Compiles a tenant's upload in its turn. Neither the result nor its timing reveals whether
    /// another tenant has uploaded the module before: on a tenant's first upload it waits for as long as the compilation
    /// took. `is_there` is the answer of [`Modules::is_there`].
    pub(crate) async fn upload(&self, turn: Turn, tenant: TenantId, is_there: bool, wasm: Bytes) -> Compiled {
        let uploaded = self.uploaded.clone();
        let compiled = self.aside(move |sandbox| {
            // Held during the wait as during a compilation, since other requests would otherwise reveal the difference.
            let _turn = turn;
            let (result, time) = match is_there {
                true => (sandbox.prepare(&wasm), CompileTime::NONE),
                false => sandbox.prepare_as_new(&wasm),
            };
            if result.is_ok() {
                uploaded.insert((tenant, fusebox_sandbox::digest(&wasm)), ());
            }
            Ok(Compiled { result, time: time.charged() })
        });
        let compiled = compiled.await.unwrap_or_else(|error| Compiled { result: Err(error), time: Duration::ZERO });
        if let Ok(prepared) = &compiled.result
            && prepared.is_compiled
        {
            self.metrics.compiled(prepared.compile);
        }
        compiled
    }

    /// Returns the hash of the engine's version and settings, which an artifact must match.
    #[must_use]
    pub fn engine_hash(&self) -> u64 {
        self.sandbox.engine_hash()
    }

    /// Returns a module's compiled artifact, sealed with a key shared with another host; `None` if there is none.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn export(&self, module: ModuleDigest, key: ArtifactKey) -> Result<Option<Vec<u8>>, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.export(&module, &key)?)).await
    }

    /// Stores an artifact that another host exported.
    ///
    /// # Errors
    /// Fails if it is not authentic for this key, module and engine, or cannot be stored.
    pub async fn import(&self, module: ModuleDigest, key: ArtifactKey, sealed: Vec<u8>) -> Result<(), ModuleError> {
        self.aside(move |sandbox| sandbox.import(&module, &key, &sealed)).await
    }

    /// Returns true if a module's artifact is in the cache.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn has(&self, module: ModuleDigest) -> Result<bool, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.load(&module)?.is_some())).await
    }

    /// Returns whether runs of a module read the body of an HTTP request as it arrives. A module that is not here, or
    /// cannot be read, counts as one that does not.
    pub async fn streams(&self, module: ModuleDigest) -> bool {
        match self.sandbox.streams(&module) {
            Some(streams) => streams,
            None => {
                let loaded = self.aside(move |sandbox| {
                    sandbox.load(&module)?;
                    Ok(sandbox.streams(&module))
                });
                loaded.await.ok().flatten().unwrap_or_default()
            }
        }
    }

    /// Returns true if an archive of files is in the cache.
    ///
    /// # Errors
    /// Fails if the cache cannot be read.
    pub async fn has_files(&self, files: FilesDigest) -> Result<bool, ModuleError> {
        self.aside(move |sandbox| Ok(sandbox.has_files(Some(&files))?)).await
    }

    /// Adds an archive of files to the cache.
    ///
    /// # Errors
    /// Fails if it is not the archive of this digest, or cannot be stored.
    pub async fn add_files(&self, files: FilesDigest, archive: Bytes) -> Result<(), ModuleError> {
        self.aside(move |sandbox| {
            let added = sandbox.add_files(&files, &archive);
            added.map_err(|error| ModuleError { code: ErrorCode::Internal, message: error.to_string() })
        })
        .await
    }

    /// Checks a tar of files and brings it into the form in which it is kept.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidSetup`] with what to change if they cannot be deployed.
    pub async fn archive(&self, tar: Bytes) -> Result<FilesArchive, ModuleError> {
        self.aside(move |_| {
            let archive = FilesArchive::of(&tar);
            archive.map_err(|error| ModuleError { code: ErrorCode::InvalidSetup, message: error.to_string() })
        })
        .await
    }

    /// Returns true if a run's files are here, or it has none; a failure to read the cache counts as absent.
    #[must_use]
    pub fn holds_files(&self, files: Option<&FilesDigest>) -> bool {
        self.sandbox.has_files(files).unwrap_or_default()
    }

    /// Compiles a runtime unless its artifact is in the cache, where it then stays, and returns its digest.
    ///
    /// # Errors
    /// Fails if it is no command, does not compile within the limits of modules, or with [`ErrorCode::Overloaded`] if too
    /// many wait.
    pub async fn prepare_runtime(&self, wasm: Bytes) -> Result<ModuleDigest, ModuleError> {
        let turn = self.compiles.enter(None)?.turn().await?;
        let prepared = self.aside(move |sandbox| {
            let _turn = turn;
            sandbox.pin(&fusebox_sandbox::digest(&wasm));
            sandbox.prepare(&wasm)
        });
        let Prepared { inspected, compile, is_compiled } = prepared.await?;
        if is_compiled {
            self.metrics.compiled(compile);
        }
        match inspected.abi {
            Abi::Command => Ok(inspected.digest),
            other => {
                let message = format!("it is of the kind {}, and a runtime is a command", other.as_str());
                Err(ModuleError { code: ErrorCode::InvalidModule, message })
            }
        }
    }

    /// Packs a script, at `path`, beside a tar of files.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidSetup`] with what to change if they cannot be deployed.
    pub async fn script_archive(
        &self,
        tar: Option<Bytes>,
        path: String,
        source: Bytes,
    ) -> Result<FilesArchive, ModuleError> {
        self.aside(move |_| {
            let archive = FilesArchive::with(tar.as_ref(), &path, source);
            archive.map_err(|error| ModuleError { code: ErrorCode::InvalidSetup, message: error.to_string() })
        })
        .await
    }

    /// Runs blocking work on a thread for it.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sandbox) -> Result<T, ModuleError> + Send + 'static,
    ) -> Result<T, ModuleError> {
        let sandbox = self.sandbox.clone();
        tokio::task::spawn_blocking(move || work(&sandbox)).await.map_err(|error| {
            tracing::error!(%error, "preparing a module panicked");
            ModuleError { code: ErrorCode::Internal, message: "the host failed to check the module".to_owned() }
        })?
    }
}
