//! Cost of small steps, measured by criterion: time with its spread, compared with the previous run.
//!
//! | module | measures |
//! |---|---|
//! | `sandbox` | a whole run with every limit on, and a module taken from the cache |
//! | `dispatch`, `fleet` | decisions of the dispatcher core, with few and many workers |
//! | `wire` | encoding and decoding of messages between dispatcher and workers |
//! | `store`, `steps` | accepting, leasing and finishing tasks, one and 64 per call, in each store |
//! | `rest` | requests through the router, in process |
//!
//! Run by `cargo bench --workspace --bench micro`; `-- --test` verifies that each benchmark works, `-- store` selects
//! those with `store` in their name.
#![expect(clippy::unwrap_used, reason = "what cannot be measured ends the bench")]

mod dispatch;
mod fleet;
mod rest;
mod sandbox;
#[path = "../store/steps.rs"]
mod steps;
mod store;
mod wire;

// Test doubles of the REST tests.
#[path = "../../tests/rest/no_store.rs"]
mod no_store;
#[expect(dead_code, reason = "tests ask for more")]
#[path = "../../tests/rest/slots.rs"]
mod slots;
#[expect(dead_code, reason = "tests ask for more")]
#[path = "../../tests/rest/support.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Duration;

/// Configures all benchmarks to finish within two minutes.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = benches;
    config = short();
    targets = sandbox::bench, dispatch::bench, wire::bench, store::bench, rest::bench
}
criterion_main!(benches);
