//! Tests of the sandbox through its public interface, with modules written as text.
//!
//! | module | tests |
//! |---|---|
//! | `outcomes` | every way in which a run ends |
//! | `limits` | limits: fuel, wall time, memory, table, output, log, stack |
//! | `refusals` | rejected modules, and structural limits |
//! | `compile` | compile child and artifact cache |
//! | `components` | components: worlds, limits, refusals, interfaces |
//! | `wasi` | WASI preview 1 for commands |
//! | `web` | HTTP requests to functions of each ABI |
//! | `imports` | imports of core functions, and pointers outside their memory |
//! | `capabilities` | imports that require a grant |
//! | `proposals` | proposals of WebAssembly that modules may use, and those that they may not |
//! | `extism` | plug-ins for Extism, and reactors |
//! | `isolation` | canary: a run observes nothing of its predecessor |
//! | `smith` | random modules through the whole pipeline |
//! | `spec` | malformed and invalid modules of the specification's test suite |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod capabilities;
mod charges;
mod compile;
mod components;
mod extism;
mod files;
mod imports;
mod isolation;
mod limits;
mod outcomes;
mod proposals;
mod refusals;
mod smith;
mod spec;
mod streams;
mod support;
mod wasi;
mod web;
