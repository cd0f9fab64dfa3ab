//! Components: detected by their outermost exports, bounded before they are compiled, linked to the interfaces that the
//! host offers, and run asynchronously on the slot's thread.
//!
//! | module | holds |
//! |---|---|
//! | `inspect`, `shape`, `surface`, `names` | checks before compilation: structure, world, imports, versions |
//! | `offers` | interfaces offered, and our implementations of them, each with its cost in fuel |
//! | `link` | the linker, which knows all of them |
//! | `program` | a compiled component, linked, with the export through which calls enter it |
//! | `state` | data of a run, beside what a run of any ABI has |
//! | `files` | files of a run, which its descriptors and streams share |
//! | `http` | `wasi:http`: one request and its response, and the requests that a guest sends |
//! | `slot` | the slot's runtime: waits end at the run's deadline or when it is stopped |
//! | `run` | one run: instantiation, call, outcome |

mod files;
mod http;
mod inspect;
mod link;
mod names;
mod offers;
mod program;
mod run;
mod shape;
pub(crate) mod slot;
mod state;
mod surface;
mod wasi;

pub(crate) use inspect::inspect;
pub(crate) use link::linker;
pub(crate) use names::with_final_names;
pub(crate) use program::Program;
pub(crate) use run::run;
pub(crate) use state::State;

/// Linker of components.
pub(crate) type Linker = wasmtime::component::Linker<State>;
