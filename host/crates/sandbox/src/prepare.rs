//! Preparation of a module: from wasm to a cached artifact. Artifacts are shared between tenants, and an existing one
//! would reveal that another tenant has the same module, so a tenant that has not uploaded these bytes before gets the
//! answer it would get without one.

use std::{
    thread,
    time::{Duration, Instant},
};

use fusebox_core::{error::ErrorCode, id::ModuleDigest};
use sha2::{Digest as _, Sha256};

use crate::{CompileTime, Inspected, ModuleError, Prepared, Sandbox};

/// Longest recorded compilation time that is imitated by waiting instead of compiling again.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Returns the digest of a module.
#[must_use]
pub fn digest(wasm: &[u8]) -> ModuleDigest {
    ModuleDigest(Sha256::digest(wasm).into())
}

impl Sandbox {
    /// Inspects a module, and compiles it in a child process unless its artifact is cached. Blocks up to the compile
    /// child's wall time.
    ///
    /// # Errors
    /// Returns an error if this host cannot run the module, or it does not compile within the limits.
    pub fn prepare(&self, wasm: &[u8]) -> Result<Prepared, ModuleError> {
        let inspected = self.inspect(wasm)?;
        if let Some((refusal, _)) = self.cache.refused(&inspected.digest) {
            return Err(refusal);
        }
        if self.cache.load(&inspected.digest)?.is_some() {
            return Ok(Prepared { inspected, compile: Duration::ZERO, is_compiled: false });
        }
        self.compiled(inspected, wasm, &mut CompileTime::default())
    }

    /// Same as [`Sandbox::prepare`], for callers that must not learn that the artifact exists: waits for the recorded
    /// compilation time and stores the artifact again, or recompiles if the time is unknown or above 5 s. Also returns the
    /// time that the compilation takes, or took, if it fails too.
    pub fn prepare_as_new(&self, wasm: &[u8]) -> (Result<Prepared, ModuleError>, CompileTime) {
        let mut time = CompileTime::NONE;
        let prepared = self.prepare_timed(wasm, &mut time);
        (prepared, time)
    }

    fn prepare_timed(&self, wasm: &[u8], time: &mut CompileTime) -> Result<Prepared, ModuleError> {
        let inspected = self.inspect(wasm)?;
        let started = Instant::now();
        if let Some((refusal, took)) = self.cache.refused(&inspected.digest) {
            *time = took;
            wait(started, took.wall);
            return Err(refusal);
        }
        let recorded = self.cache.recorded(&inspected.digest)?;
        let Some((code, took)) = recorded.filter(|(_, took)| !took.wall.is_zero() && took.wall <= WAIT_MAX) else {
            return self.compiled(inspected, wasm, time);
        };
        *time = took;
        wait(started, took.wall);
        self.cache.insert(&inspected.digest, &code, took).map_err(ModuleError::bounded)?;
        Ok(Prepared { inspected, compile: started.elapsed(), is_compiled: false })
    }

    fn compiled(&self, inspected: Inspected, wasm: &[u8], time: &mut CompileTime) -> Result<Prepared, ModuleError> {
        let started = Instant::now();
        let (code, cpu) = self.compiler.compile(wasm);
        *time = CompileTime { wall: started.elapsed(), cpu };
        let code = code.map_err(ModuleError::bounded).inspect_err(|refusal| {
            if refusal.code == ErrorCode::CompileLimit {
                self.cache.refuse(&inspected.digest, refusal.clone(), *time);
            }
        })?;
        self.cache.insert(&inspected.digest, &code, *time).map_err(ModuleError::bounded)?;
        Ok(Prepared { inspected, compile: started.elapsed(), is_compiled: true })
    }
}

/// Waits until `time` after `started`.
fn wait(started: Instant, time: Duration) {
    while let Some(left) = time.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use fusebox_core::function::RunLimits;

    use super::*;
    use crate::{CompileCommand, Compiler, Options, engine};

    /// Compiles in this process after a delay, and counts its calls.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicU32>);

    const WHILE: Duration = Duration::from_millis(120);
    const CPU: Duration = Duration::from_millis(170);

    impl Compiler for Slow {
        fn compile(&self, wasm: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration) {
            let started = Instant::now();
            self.0.fetch_add(1, Ordering::Relaxed);
            let code = engine::compiling().unwrap().precompile_module(wasm).unwrap();
            while let Some(left) = WHILE.checked_sub(started.elapsed()) {
                thread::park_timeout(left);
            }
            (Ok(code), CPU)
        }
    }

    fn sandbox(slow: &Slow, dir: &std::path::Path) -> Sandbox {
        let compile_command = CompileCommand { program: "none".into(), args: Vec::new() };
        let options = Options {
            slots: 1,
            ceiling: RunLimits::CEILING,
            modules: crate::ModuleLimits::default(),
            cache_dir: dir.to_owned(),
            cache_bytes_max: u64::MAX,
            compile_command,
        };
        Sandbox::open(options).unwrap().compile_with(Arc::new(slow.clone())).start().unwrap()
    }

    #[test]
    fn whoever_is_new_to_a_module_takes_its_compile_time_whether_or_not_it_was_there() {
        let (slow, dir) = (Slow::default(), tempfile::tempdir().unwrap());
        let wasm = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        let sandbox = sandbox(&slow, dir.path());
        let (first, charged) = sandbox.prepare_as_new(&wasm);
        let first = first.unwrap();
        assert_eq!(charged.charged(), CPU);
        assert!(first.is_compiled && first.compile >= WHILE);
        assert_eq!(sandbox.prepare(&wasm).unwrap().compile, Duration::ZERO, "whoever has uploaded it before");
        let started = Instant::now();
        let (second, charged) = sandbox.prepare_as_new(&wasm);
        let second = second.unwrap();
        assert_eq!(charged.charged(), CPU, "as much as if it had not been there");
        assert!(!second.is_compiled && second.compile >= WHILE && started.elapsed() >= second.compile);
        assert_eq!(slow.0.load(Ordering::Relaxed), 1, "a wait costs no CPU");
    }

    #[test]
    fn what_was_compiled_for_long_or_elsewhere_is_compiled_again() {
        let (slow, dir) = (Slow::default(), tempfile::tempdir().unwrap());
        let wasm = wat::parse_str(r#"(module (func (export "_start") nop))"#).unwrap();
        let sandbox = sandbox(&slow, dir.path());
        let (digest, code) = (digest(&wasm), slow.compile(&wasm).0.unwrap());
        for wall in [Duration::ZERO, WAIT_MAX + Duration::from_micros(1)] {
            let took = CompileTime { wall, cpu: CPU };
            sandbox.cache.insert(&digest, &code, took).unwrap();
            assert!(sandbox.prepare_as_new(&wasm).0.unwrap().is_compiled, "{took:?}");
        }
        assert_eq!(slow.0.load(Ordering::Relaxed), 3);
    }
}
