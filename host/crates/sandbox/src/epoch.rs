//! The ticker: one thread an engine, which lets every run look up from its work at each tick.

use std::{thread, time::Duration};

use wasmtime::Engine;

use crate::SandboxError;

/// How late a run may notice its deadline or its stop flag.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Starts the ticker of `engine`; it ends with the engine.
pub(crate) fn start(engine: &Engine) -> Result<(), SandboxError> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::park_timeout(TICK);
        }
    };
    let started = thread::Builder::new().name("epoch-ticker".to_owned()).spawn(tick);
    started.map(drop).map_err(|error| SandboxError(format!("the ticker cannot be started: {error}")))
}
