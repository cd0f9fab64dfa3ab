//! Compiled modules: on disk, authenticated, and the most used ones in memory, linked and ready to be instantiated.

use std::{
    fs::{self, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use fusebox_core::{error::ErrorCode, function::Abi, id::ModuleDigest, limits::LOADED_BYTES_MAX};
use quick_cache::{Weighter, sync::Cache as MemoryCache};
use wasmtime::{Engine, InstancePre, Linker, Module, ModuleExport};

use crate::{
    ModuleError, SandboxError,
    artifact::{Identity, Key},
    disk::Disk,
    host::Host,
    imports, wasi,
};

/// A compiled module in memory, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct LoadedModule(pub(crate) Arc<Loaded>);

pub(crate) struct Loaded {
    pub(crate) instance: InstancePre<Host>,
    pub(crate) entry: Entry,
    bytes: u64,
}

/// Where a call enters the module, as places that need no look-up by name.
pub(crate) enum Entry {
    Core { memory: ModuleExport, alloc: ModuleExport, handle: ModuleExport, initialize: Option<ModuleExport> },
    Command { start: ModuleExport },
}

pub(crate) struct Cache {
    disk: Disk,
    key: Key,
    engine: Engine,
    /// Part of each file's name and authentication: another engine version compiles again.
    engine_hash: u64,
    core: Linker<Host>,
    command: Linker<Host>,
    memory: MemoryCache<ModuleDigest, LoadedModule, ByBytes>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<ModuleDigest, LoadedModule> for ByBytes {
    fn weight(&self, _: &ModuleDigest, module: &LoadedModule) -> u64 {
        module.0.bytes
    }
}

impl Cache {
    /// Opens a directory, making it and its key where they are not there.
    pub(crate) fn open(dir: &Path, bytes_max: u64, engine: &Engine) -> Result<Self, SandboxError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            SandboxError(format!("the artifact cache {}: {what}: {error}", dir.display()))
        };
        let disk = Disk::open(dir, bytes_max).map_err(|error| failed("open", &error))?;
        let key = key(dir).map_err(|error| failed("its key", &error))?;
        let mut core = Linker::new(engine);
        imports::add_to(&mut core).map_err(|error| failed("link", &error))?;
        let mut command = core.clone();
        wasi::add_to(&mut command).map_err(|error| failed("link", &error))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            disk,
            key,
            engine: engine.clone(),
            engine_hash: hasher.finish(),
            core,
            command,
            memory: MemoryCache::with_weighter(1_024, LOADED_BYTES_MAX, ByBytes),
        })
    }

    /// The module, from memory or from disk; `None` where no authentic file is.
    pub(crate) fn load(&self, digest: &ModuleDigest) -> Result<Option<LoadedModule>, SandboxError> {
        if let Some(module) = self.memory.get(digest) {
            return Ok(Some(module));
        }
        let file = self.disk.read(&self.file_name(digest));
        let file = file.map_err(|error| SandboxError(format!("a compiled module cannot be read: {error}")))?;
        let Some(file) = file else { return Ok(None) };
        let Some(code) = self.key.open(self.identity(digest), &file) else {
            tracing::warn!(%digest, "a compiled module is not authentic and is not loaded; it is compiled again");
            return Ok(None);
        };
        self.link(digest, code).map(Some).map_err(|error| SandboxError(error.message))
    }

    /// Adds compiled code, which must come from our own compile child. Kept only where it can be linked.
    pub(crate) fn insert(&self, digest: &ModuleDigest, code: &[u8]) -> Result<(), ModuleError> {
        self.link(digest, code)?;
        let file = self.key.seal(self.identity(digest), code);
        self.disk.write(&self.file_name(digest), &file).map_err(|error| ModuleError {
            code: ErrorCode::Internal,
            message: format!("a compiled module cannot be kept: {error}"),
        })
    }

    fn file_name(&self, digest: &ModuleDigest) -> String {
        format!("{digest}-{:016x}.cwasm", self.engine_hash)
    }

    fn identity<'a>(&self, digest: &'a ModuleDigest) -> Identity<'a> {
        Identity { digest, engine: self.engine_hash }
    }

    fn link(&self, digest: &ModuleDigest, code: &[u8]) -> Result<LoadedModule, ModuleError> {
        let failed = |reason: String| ModuleError { code: ErrorCode::Internal, message: reason };
        let module = deserialize(&self.engine, code)
            .map_err(|error| failed(format!("a compiled module cannot be loaded: {error:#}")))?;
        let (abi, entry) = entry(&module).ok_or_else(|| failed("a compiled module has no entry".to_owned()))?;
        let linker = match abi {
            Abi::Core => &self.core,
            Abi::Command => &self.command,
        };
        // Names were checked before; what is left is a function that WASI does not have, or another type.
        let instance = linker.instantiate_pre(&module).map_err(|error| ModuleError {
            code: ErrorCode::UnknownImport,
            message: format!("the module imports what is not offered: {error:#}"),
        })?;
        let loaded = LoadedModule(Arc::new(Loaded { instance, entry, bytes: code.len() as u64 }));
        self.memory.insert(*digest, loaded.clone());
        Ok(loaded)
    }
}

/// The directory's key; a new one where there is none. Files under another key are as good as absent.
fn key(dir: &Path) -> std::io::Result<Key> {
    let path = dir.join("key");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(key) = bytes.try_into()
    {
        return Ok(Key(key));
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(Key(key))
}

/// A module's ABI and where its calls enter.
fn entry(module: &Module) -> Option<(Abi, Entry)> {
    let export = |name| module.get_export_index(name);
    if let Some(handle) = export("fusebox_handle") {
        let (memory, alloc) = (export("memory")?, export("fusebox_alloc")?);
        return Some((Abi::Core, Entry::Core { memory, alloc, handle, initialize: export("_initialize") }));
    }
    Some((Abi::Command, Entry::Command { start: export("_start")? }))
}

#[expect(unsafe_code, reason = "loading compiled code is what this crate exists for, and this is the one place")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: the code is what our own compile child wrote: fresh from its pipe, or read from a file whose
    // authentication code was verified over these very bytes in memory.
    unsafe { Module::deserialize(engine, code) }
}
