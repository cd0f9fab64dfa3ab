//! Epoch ticker: one thread per engine, which interrupts every run at each tick.

use std::{thread, time::Duration};

use wasmtime::Engine;

use crate::SandboxError;

/// Maximum delay with which a run notices its deadline or stop flag.
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
    started.map(drop).map_err(|error| SandboxError(format!("cannot start the epoch ticker: {error}")))
}
