//! Cache of compiled modules: authenticated on disk, and the most recently used linked in memory.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::Arc,
};

use fusebox_core::{error::ErrorCode, function::Abi, id::ModuleDigest, limits::LOADED_BYTES_MAX};
use quick_cache::{Weighter, sync::Cache as MemoryCache};
use wasmtime::{Engine, Linker, Module};

use crate::{
    CompileTime, ModuleError, SandboxError,
    abis::AbiSet,
    artifact::{ArtifactIdentity, ArtifactKey},
    code::{Code, is_component},
    component,
    disk::Disk,
    extism,
    files::store::Trees,
    host::Host,
    imports,
    key::key,
    loaded::{Entry, LinkedModule, Loaded, LoadedModule, Program},
    wasi,
};

pub(crate) struct Cache {
    /// `None` if another process keeps the files and passes modules to this one.
    pub(crate) disk: Option<Disk>,
    key: ArtifactKey,
    engine: Engine,
    /// Part of each file's name and authentication code, so a new engine version recompiles.
    engine_hash: u64,
    linker: Linker<Host>,
    pub(crate) trees: Trees,
    component: component::Linker,
    /// Calling conventions that are run.
    pub(crate) abis: AbiSet,
    memory: MemoryCache<ModuleDigest, LoadedModule, ByBytes>,
    /// Modules that met a limit of the compile child, with the time that it took: they get the same answer again, even if
    /// they would be within the limit another time.
    refused: MemoryCache<ModuleDigest, (ModuleError, CompileTime)>,
}

/// Number of refusals that are remembered.
const REFUSED_MAX: usize = 1_024;

#[derive(Clone)]
struct ByBytes;

impl Weighter<ModuleDigest, LoadedModule> for ByBytes {
    fn weight(&self, _: &ModuleDigest, module: &LoadedModule) -> u64 {
        module.0.bytes
    }
}

impl Cache {
    /// Opens a directory, creating it and its key if they are missing.
    pub(crate) fn open(dir: &Path, bytes_max: u64, engine: &Engine) -> Result<Self, SandboxError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            SandboxError(format!("the artifact cache {}: {what}: {error}", dir.display()))
        };
        let disk = Disk::open(dir, bytes_max).map_err(|error| failed("open", &error))?;
        let key = key(&disk).map_err(|error| failed("its key", &error))?;
        Self::over(Some(disk), key, engine)
    }

    /// Returns a cache without a directory, for modules passed by another process.
    pub(crate) fn in_memory(engine: &Engine) -> Result<Self, SandboxError> {
        // The key is never used.
        Self::over(None, ArtifactKey([0; 32]), engine)
    }

    fn over(disk: Option<Disk>, key: ArtifactKey, engine: &Engine) -> Result<Self, SandboxError> {
        let failed = |error: &dyn std::fmt::Display| SandboxError(format!("cannot link the imports: {error}"));
        let mut linker = Linker::new(engine);
        imports::add_to(&mut linker).map_err(|error| failed(&error))?;
        wasi::add_to(&mut linker).map_err(|error| failed(&error))?;
        extism::add_to(&mut linker).map_err(|error| failed(&error))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            disk,
            key,
            engine: engine.clone(),
            engine_hash: hasher.finish(),
            linker,
            trees: Trees::default(),
            component: component::linker(engine).map_err(|error| failed(&error))?,
            abis: AbiSet::ALL,
            memory: MemoryCache::with_weighter(1_024, LOADED_BYTES_MAX, ByBytes),
            refused: MemoryCache::new(REFUSED_MAX),
        })
    }

    /// Returns the module if it is in memory.
    pub(crate) fn loaded(&self, digest: &ModuleDigest) -> Option<LoadedModule> {
        self.memory.get(digest)
    }

    /// Returns the module from memory or disk, or `None` if there is no authentic file.
    pub(crate) fn load(&self, digest: &ModuleDigest) -> Result<Option<LoadedModule>, SandboxError> {
        if let Some(module) = self.loaded(digest) {
            return Ok(Some(module));
        }
        let Some(disk) = &self.disk else { return Ok(None) };
        let file = disk.open_file(&self.file_name(digest)).map_err(|error| unreadable(&error))?;
        let Some(file) = file else { return Ok(None) };
        match self.key.open_file(self.identity(digest), file).map_err(|error| unreadable(&error))? {
            Some(code) => self.link(digest, &code).map(Some).map_err(|error| SandboxError(error.message)),
            None => {
                forged(digest);
                Ok(None)
            }
        }
    }

    /// Returns the compiled code on disk and the time its compilation took, zero if another host compiled it; `None` if
    /// there is no authentic file.
    pub(crate) fn recorded(&self, digest: &ModuleDigest) -> Result<Option<(Vec<u8>, CompileTime)>, SandboxError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        let file = disk.read(&self.file_name(digest)).map_err(|error| unreadable(&error))?;
        let Some(mut file) = file else { return Ok(None) };
        let Some((bytes, took)) = self.key.open(self.identity(digest), &file).map(|(code, took)| (code.len(), took))
        else {
            forged(digest);
            return Ok(None);
        };
        file.truncate(bytes);
        Ok(Some((file, took)))
    }

    /// Returns the compiled code on disk, authenticated with `key` instead of the directory's; `None` if there is no
    /// authentic file.
    pub(crate) fn export(&self, digest: &ModuleDigest, key: &ArtifactKey) -> Result<Option<Vec<u8>>, SandboxError> {
        let code = self.code(digest)?;
        Ok(code.map(|mut code| {
            // The time that compilation took here means nothing to another host.
            let tail = key.tail(self.identity(digest), &code, CompileTime::NONE);
            code.extend_from_slice(&tail);
            code
        }))
    }

    /// Adds the result of [`Cache::export`] of another host with the same key. Nothing in it is parsed before its
    /// authentication code is verified.
    pub(crate) fn import(&self, digest: &ModuleDigest, key: &ArtifactKey, sealed: &[u8]) -> Result<(), ModuleError> {
        let (code, _) = key.open(self.identity(digest), sealed).ok_or_else(|| ModuleError {
            code: ErrorCode::Internal,
            message: "the artifact is not authentic: wrong module, engine or key, or modified".to_owned(),
        })?;
        self.insert(digest, code, CompileTime::NONE)
    }

    /// Returns the compiled code on disk, or `None` if there is no authentic file.
    pub(crate) fn code(&self, digest: &ModuleDigest) -> Result<Option<Vec<u8>>, SandboxError> {
        let Some((code, _)) = self.recorded(digest)? else { return Ok(None) };
        if is_component(&code) {
            self.abis.check(Abi::Component, true).map_err(|refused| SandboxError(refused.message))?;
        }
        Ok(Some(code))
    }

    /// Adds compiled code, which must be authentic or from this host's own compile child, and the time its compilation
    /// took. Stored only if it can be linked.
    pub(crate) fn insert(&self, digest: &ModuleDigest, code: &[u8], took: CompileTime) -> Result<(), ModuleError> {
        let mut copied = code;
        let copy = Code::copy(&mut copied, code.len() as u64).map_err(|error| ModuleError {
            code: ErrorCode::Internal,
            message: format!("a compiled module cannot be kept in memory: {error}"),
        })?;
        self.link(digest, &copy)?;
        let Some(disk) = &self.disk else { return Ok(()) };
        let tail = self.key.tail(self.identity(digest), code, took);
        disk.write(&self.file_name(digest), &[code, &tail]).map_err(|error| ModuleError {
            code: ErrorCode::Internal,
            message: format!("a compiled module cannot be stored: {error}"),
        })
    }

    /// Remembers that a module met a limit of the compile child after this time.
    pub(crate) fn refuse(&self, digest: &ModuleDigest, refusal: ModuleError, took: CompileTime) {
        self.refused.insert(*digest, (refusal, took));
    }

    /// Returns the refusal of a module and the time that it took.
    pub(crate) fn refused(&self, digest: &ModuleDigest) -> Option<(ModuleError, CompileTime)> {
        self.refused.get(digest)
    }

    /// Returns the hash of the engine's version and settings; code of a different one is rejected.
    pub(crate) fn engine_hash(&self) -> u64 {
        self.engine_hash
    }

    fn file_name(&self, digest: &ModuleDigest) -> String {
        // Files of older releases, which lack the tail, are not read.
        format!("{digest}-{:016x}-m.cwasm", self.engine_hash)
    }

    fn identity<'a>(&self, digest: &'a ModuleDigest) -> ArtifactIdentity<'a> {
        ArtifactIdentity { digest, engine: self.engine_hash }
    }

    fn link(&self, digest: &ModuleDigest, code: &Code) -> Result<LoadedModule, ModuleError> {
        let program = self.program(code)?;
        let loaded = LoadedModule(Arc::new(Loaded { program, bytes: code.bytes() }));
        self.memory.insert(*digest, loaded.clone());
        Ok(loaded)
    }

    /// Keeps the file of a module's compiled code, however old it gets.
    pub(crate) fn pin(&self, digest: &ModuleDigest) {
        if let Some(disk) = &self.disk {
            disk.pin(self.file_name(digest));
        }
    }

    /// Remembers a module as one that is not run, until it makes room for others.
    pub(crate) fn bar(&self, digest: &ModuleDigest, reason: String) {
        let bytes = reason.len() as u64;
        self.memory.insert(*digest, LoadedModule(Arc::new(Loaded { program: Program::Refused(reason), bytes })));
    }

    /// Loads and links compiled code, unless the operator does not allow its kind.
    fn program(&self, code: &Code) -> Result<Program, ModuleError> {
        let unloadable = |error: wasmtime::Error| ModuleError {
            code: ErrorCode::Internal,
            message: format!("a compiled module cannot be loaded: {error:#}"),
        };
        let is_component = code.is_component();
        if is_component && let Err(refused) = self.abis.check(Abi::Component, true) {
            return Ok(Program::Refused(refused.message));
        }
        let (program, abi) = if is_component {
            let component = code.component(&self.engine).map_err(unloadable)?;
            let program = component::Program::link(&component, &self.component)?;
            let abi = program.abi();
            (Program::Component(program), abi)
        } else {
            let (module, abi) = self.link_module(&code.module(&self.engine).map_err(unloadable)?)?;
            (Program::Module(module), abi)
        };
        Ok(match self.abis.check(abi, is_component) {
            Ok(()) => program,
            Err(refused) => Program::Refused(refused.message),
        })
    }

    fn link_module(&self, module: &Module) -> Result<(LinkedModule, Abi), ModuleError> {
        let failed = |reason: String| ModuleError { code: ErrorCode::Internal, message: reason };
        let entry = Entry::of(module).ok_or_else(|| failed("a compiled module has no entry".to_owned()))?;
        let abi = match entry {
            Entry::Core { .. } => Abi::Core,
            Entry::Command { .. } => Abi::Command,
            Entry::Named { is_plugin: true, .. } => Abi::Extism,
            Entry::Named { is_plugin: false, .. } => Abi::Reactor,
        };
        // Names were checked by `inspect`; the remaining errors are functions that WASI lacks, and wrong types.
        let instance = self.linker.instantiate_pre(module).map_err(|error| ModuleError {
            code: ErrorCode::UnknownImport,
            message: format!("the module imports a function that the host does not provide: {error:#}"),
        })?;
        let granted = module.imports().filter(|import| import.module() == imports::MODULE);
        let needs = granted.filter_map(|import| imports::needs(import.name())).collect();
        let uses_wasi =
            matches!(entry, Entry::Command { .. }) || module.imports().any(|import| wasi::is_wasi(import.module()));
        Ok((LinkedModule { instance, entry, needs, uses_wasi }, abi))
    }
}

fn unreadable(error: &std::io::Error) -> SandboxError {
    SandboxError(format!("a compiled module cannot be read: {error}"))
}

fn forged(digest: &ModuleDigest) {
    tracing::warn!(%digest, "a compiled module is not authentic and is not loaded; it is compiled again");
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::engine;
    use fusebox_core::{function::RunLimits, id::ModuleDigest};

    const DIGEST: ModuleDigest = ModuleDigest([7; 32]);
    const TOOK: CompileTime =
        CompileTime { wall: Duration::from_micros(1_234_567), cpu: Duration::from_micros(2_345_678) };
    const LINK: ArtifactKey = ArtifactKey([1; 32]);

    fn cache(dir: &Path) -> Cache {
        let engine = engine::pooled(1, &RunLimits::CEILING).unwrap();
        Cache::open(dir, u64::MAX, &engine).unwrap()
    }

    fn files(dir: &Path) -> usize {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "key").count()
    }

    #[test]
    fn an_artifact_of_another_host_is_kept_only_where_it_is_authentic() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut giver = cache(there.path());
        assert_eq!(giver.export(&DIGEST, &LINK).unwrap(), None, "it is not there yet");
        let wasm = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        let code = engine::compiling().unwrap().precompile_module(&wasm).unwrap();
        giver.insert(&DIGEST, &code, TOOK).unwrap();
        let sealed = giver.export(&DIGEST, &LINK).unwrap().unwrap();

        let taker = cache(here.path());
        let refused = |what: &str, digest: &ModuleDigest, key: &ArtifactKey, sealed: &[u8]| {
            assert!(taker.import(digest, key, sealed).is_err(), "{what}");
            assert!(taker.load(digest).unwrap().is_none() && files(here.path()) == 0, "{what}: it is kept");
        };
        for at in (0..sealed.len()).step_by(97).chain([sealed.len() - 1]) {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            refused("a changed byte", &DIGEST, &LINK, &changed);
            refused("cut short", &DIGEST, &LINK, &sealed[..at]);
        }
        refused("another module", &ModuleDigest([8; 32]), &LINK, &sealed);
        refused("another key", &DIGEST, &ArtifactKey([2; 32]), &sealed);
        refused(
            "the giver's own file",
            &DIGEST,
            &LINK,
            &giver.disk.as_ref().unwrap().read(&giver.file_name(&DIGEST)).unwrap().unwrap(),
        );
        giver.engine_hash ^= 1;
        giver.insert(&DIGEST, &code, TOOK).unwrap();
        refused("another engine", &DIGEST, &LINK, &giver.export(&DIGEST, &LINK).unwrap().unwrap());

        taker.import(&DIGEST, &LINK, &sealed).unwrap();
        assert_eq!(files(here.path()), 1);
        assert!(cache(here.path()).load(&DIGEST).unwrap().is_some(), "it is sealed with the directory's own key");
        assert_eq!(
            taker.recorded(&DIGEST).unwrap(),
            Some((code.clone(), CompileTime::NONE)),
            "another host's time is not known"
        );
        giver.engine_hash ^= 1;
        assert_eq!(giver.recorded(&DIGEST).unwrap(), Some((code, TOOK)));
    }

    /// After an upgrade the engine's hash changes, so code of an older compiler is never run.
    #[test]
    fn an_artifact_of_another_engine_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let wasm = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        let code = engine::compiling().unwrap().precompile_module(&wasm).unwrap();
        let mut old = cache(dir.path());
        old.engine_hash ^= 1;
        old.insert(&DIGEST, &code, TOOK).unwrap();

        let upgraded = cache(dir.path());
        assert!(upgraded.load(&DIGEST).unwrap().is_none(), "it is not even looked for");
        let (from, to) = (dir.path().join(old.file_name(&DIGEST)), dir.path().join(upgraded.file_name(&DIGEST)));
        fs::rename(from, to).unwrap();
        assert!(upgraded.load(&DIGEST).unwrap().is_none(), "its seal names the engine as well");
        upgraded.insert(&DIGEST, &code, TOOK).unwrap();
        assert!(cache(dir.path()).load(&DIGEST).unwrap().is_some(), "compiled again, it is loaded");
    }
}
