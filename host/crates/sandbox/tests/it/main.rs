//! The sandbox from outside: modules written as text go in, outcomes come out.
//!
//! | module | shows |
//! |---|---|
//! | `outcomes` | each way a run can end |
//! | `limits` | the fuse: fuel, wall time, memory, table, output, log, stack |
//! | `refusals` | what is no function, and structural caps |
//! | `compile` | the compile child and the artifact cache |
//! | `wasi` | WASI preview 1 for commands |
//! | `imports` | what core functions may call, and pointers outside their memory |
//! | `capabilities` | what functions may call by a grant, and what is outside of the sandbox |
//! | `isolation` | the canary: nothing of one run is seen by the next |
//! | `smith` | random modules through the whole pipeline |
//! | `spec` | the specification's malformed and invalid modules |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod capabilities;
mod charges;
mod compile;
mod imports;
mod isolation;
mod limits;
mod outcomes;
mod refusals;
mod smith;
mod spec;
mod support;
mod wasi;
