//! Function versions and their modules.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::{Abi, FunctionVersion, Grants, RunLimits},
    id::{FilesDigest, FunctionId, ModuleDigest},
    name::{FunctionName, TenantId},
    setup::Setup,
};

use crate::{Page, PageRequest, Result};

/// Registry of function versions and their modules.
#[async_trait]
pub trait Functions: Send + Sync + 'static {
    /// Stores a function version, its module and its files. Registering the same id again answers the version created before.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    /// [`crate::Error::Unavailable`] also if another tenant has registered the id.
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered>;
    /// Stores a version of a module of this size without its bytes, as [`Self::register`] does; answers
    /// [`Registered::NoModule`] if they are not here, since no version needs them.
    ///
    /// # Errors
    /// As [`Self::register`].
    async fn register_known(&self, new: NewFunction, module_bytes: u64) -> Result<Registered>;
    /// Stores a version that is to be compiled, and its module, as [`Self::register`] does. The caller holds the
    /// compilation for `hold_ms`; [`crate::Compiles`] has what follows.
    ///
    /// # Errors
    /// As [`Self::register`].
    async fn register_compiling(&self, new: NewFunction, module: Bytes, hold_ms: u64) -> Result<Registered>;
    /// Returns one version.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>>;
    /// Returns a cached, possibly stale version, if the store caches it. Set [`crate::NewTask::expects`] so that
    /// `accept` revalidates it.
    fn remembered(&self, _tenant: &TenantId, _function: &FunctionRef) -> Option<FunctionVersion> {
        None
    }
    /// Returns the newest version of each name, sorted by name.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>>;
    /// Returns the versions of a name, newest first.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>>;
    /// Deletes one version by id, or every version of a name, and returns true if there was one. Tasks accepted before
    /// still run.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`]. The change may have been
    /// made all the same.
    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool>;
    /// Returns a module's wasm bytes, as they were registered.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>>;
    /// Returns an archive of files, as it was registered.
    ///
    /// # Errors
    /// As [`Self::module`].
    async fn files(&self, digest: &FilesDigest) -> Result<Option<Bytes>> {
        // Modules and archives are kept alike, by the digests of their bytes.
        self.module(&ModuleDigest(digest.0)).await
    }
}

/// Reference to a function within its tenant: by version id, or by name for the newest version that is ready. A name
/// without any has its newest one, which is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FunctionRef {
    /// One version.
    Id(FunctionId),
    /// The newest version of a name.
    Name(FunctionName),
}

/// Version to be registered, with a module that was checked and compiled.
#[derive(Clone, Debug)]
pub struct NewFunction {
    /// Id of the version.
    pub id: FunctionId,
    /// Tenant that owns the version.
    pub tenant: TenantId,
    /// Name of the function; registering a name again creates its next version.
    pub name: FunctionName,
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Calling convention of the module.
    pub abi: Abi,
    /// Limits of a run.
    pub limits: RunLimits,
    /// Capabilities granted to runs.
    pub grants: Grants,
    /// Way to start the module.
    pub setup: Setup,
    /// Archive of the setup's files; empty without files.
    pub files: Bytes,
    /// The tenant's limit of versions; at it, the answer is [`Registered::QuotaReached`].
    pub versions_max: u64,
    /// The tenant's limit of stored bytes; beyond it, the answer is [`Registered::BytesReached`].
    pub stored_max: u64,
}

/// Answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is made once a registration, and nearly always a version")]
pub enum Registered {
    /// The version exists.
    Version(FunctionVersion),
    /// The module is not here, and its bytes were not given.
    NoModule,
    /// The tenant is being deleted, or was deleted.
    NoTenant,
    /// The tenant's limit of versions is reached.
    QuotaReached {
        /// The limit.
        max: u64,
    },
    /// The tenant's limit of stored bytes would be exceeded.
    BytesReached {
        /// The limit, in bytes.
        max: u64,
    },
}
