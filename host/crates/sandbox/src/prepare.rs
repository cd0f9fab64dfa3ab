//! From a module to its artifact. Artifacts are shared between tenants, and that one was there already tells that another
//! tenant has the same module: whoever has not uploaded these bytes before is answered as if it was not.

use std::{
    thread,
    time::{Duration, Instant},
};

use fusebox_core::id::ModuleDigest;
use sha2::{Digest as _, Sha256};

use crate::{ModuleError, Prepared, Sandbox};

/// The longest compilation that is waited for instead of made again.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The name of a module.
#[must_use]
pub fn digest(wasm: &[u8]) -> ModuleDigest {
    ModuleDigest(Sha256::digest(wasm).into())
}

impl Sandbox {
    /// Inspects a module and makes sure that its artifact is cached, compiling it in a child process where it is not.
    /// Blocks: up to the compile child's wall limit.
    ///
    /// # Errors
    /// Why it is no function of this host, or does not compile within the limits.
    pub fn prepare(&self, wasm: &[u8]) -> Result<Prepared, ModuleError> {
        let inspected = self.inspect(wasm)?;
        if self.cache.load(&inspected.digest)?.is_some() {
            return Ok(Prepared { inspected, compile: Duration::ZERO, is_compiled: false });
        }
        self.compiled(inspected, wasm)
    }

    /// Does as [`Sandbox::prepare`] for whoever must not learn that the artifact is there: waits for as long as its compilation
    /// took and keeps it again, or compiles it again where that is not known or was above 5 s.
    ///
    /// # Errors
    /// As [`Sandbox::prepare`].
    pub fn prepare_as_new(&self, wasm: &[u8]) -> Result<Prepared, ModuleError> {
        let inspected = self.inspect(wasm)?;
        let started = Instant::now();
        let recorded = self.cache.recorded(&inspected.digest)?;
        let Some((code, took)) = recorded.filter(|(_, took)| !took.is_zero() && *took <= WAIT_MAX) else {
            return self.compiled(inspected, wasm);
        };
        while let Some(left) = took.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        self.cache.insert(&inspected.digest, &code, took).map_err(ModuleError::bounded)?;
        Ok(Prepared { inspected, compile: started.elapsed(), is_compiled: false })
    }

    fn compiled(&self, inspected: crate::Inspected, wasm: &[u8]) -> Result<Prepared, ModuleError> {
        let started = Instant::now();
        let code = self.compiler.compile(wasm).map_err(ModuleError::bounded)?;
        self.cache.insert(&inspected.digest, &code, started.elapsed()).map_err(ModuleError::bounded)?;
        Ok(Prepared { inspected, compile: started.elapsed(), is_compiled: true })
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

    /// Compiles in this process, counts, and takes a while.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicU32>);

    const WHILE: Duration = Duration::from_millis(120);

    impl Compiler for Slow {
        fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, ModuleError> {
            let started = Instant::now();
            self.0.fetch_add(1, Ordering::Relaxed);
            let code = engine::compiling().unwrap().precompile_module(wasm).unwrap();
            while let Some(left) = WHILE.checked_sub(started.elapsed()) {
                thread::park_timeout(left);
            }
            Ok(code)
        }
    }

    fn sandbox(slow: &Slow, dir: &std::path::Path) -> Sandbox {
        let compile_command = CompileCommand { program: "none".into(), args: Vec::new() };
        let options = Options {
            slots: 1,
            ceiling: RunLimits::CEILING,
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
        let first = sandbox.prepare_as_new(&wasm).unwrap();
        assert!(first.is_compiled && first.compile >= WHILE);
        assert_eq!(sandbox.prepare(&wasm).unwrap().compile, Duration::ZERO, "whoever has uploaded it before");
        let started = Instant::now();
        let second = sandbox.prepare_as_new(&wasm).unwrap();
        assert!(!second.is_compiled && second.compile >= WHILE && started.elapsed() >= second.compile);
        assert_eq!(slow.0.load(Ordering::Relaxed), 1, "a wait costs no CPU");
    }

    #[test]
    fn what_was_compiled_for_long_or_elsewhere_is_compiled_again() {
        let (slow, dir) = (Slow::default(), tempfile::tempdir().unwrap());
        let wasm = wat::parse_str(r#"(module (func (export "_start") nop))"#).unwrap();
        let sandbox = sandbox(&slow, dir.path());
        let (digest, code) = (digest(&wasm), slow.compile(&wasm).unwrap());
        for took in [Duration::ZERO, WAIT_MAX + Duration::from_micros(1)] {
            sandbox.cache.insert(&digest, &code, took).unwrap();
            assert!(sandbox.prepare_as_new(&wasm).unwrap().is_compiled, "{took:?}");
        }
        assert_eq!(slow.0.load(Ordering::Relaxed), 3);
    }
}
