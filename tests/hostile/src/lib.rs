//! Hostile modules, each with one attack and the required result. Tests run all of them on a real host; fuzz targets
//! use them as seeds.
//!
//! | module | attacks |
//! |---|---|
//! | `time` | running without end, or for longer than the fuel suggests |
//! | `bulk` | long operations over memory and tables, which no tick interrupts |
//! | `recursion` | recursion of every kind |
//! | `exceptions` | exceptions and tail calls |
//! | `memory` | excessive memory and tables |
//! | `pointers` | invalid pointers and lengths passed to the host |
//! | `granted` | use of capabilities without a grant, in excess, or for forbidden targets |
//! | `plugins` | addresses and lengths that plug-ins for Extism invent, and their floods |
//! | `wasi` | invalid pointers and descriptors passed to WASI |
//! | `floods` | endless writing, logging and calling; unusual exit codes |
//! | `http` | responses that cannot be sent |
//! | `streams` | bodies of HTTP that are not read, not written, or never end |
//! | `files` | files of components: paths that lead out, sizes, names and handles without end |
//! | `waits` | sleeping and reading clocks |
//! | `traps` | traps of every kind |
//! | `caps` | one part just above or exactly at its structural limit |
//! | `bombs` | disproportionate cost of compilation, linking or instantiation |
//! | `components` | components: structure, adapters, shared limits, resources |
//! | `malformed` | invalid modules |
//! | `features` | disabled features, and files that are not modules |

mod bombs;
mod bulk;
mod caps;
pub mod component;
mod components;
mod encode;
mod exceptions;
mod features;
mod files;
mod floods;
mod granted;
mod http;
mod malformed;
mod memory;
mod plugins;
mod pointers;
mod recursion;
mod streams;
mod time;
mod traps;
mod waits;
mod wasi;
mod write;

/// A hostile module.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// Kind of attack.
    pub family: &'static str,
    /// Name, valid for a function.
    pub name: String,
    /// Short description of the attack.
    pub trick: &'static str,
    /// The module.
    pub wasm: Vec<u8>,
    /// Limits and grants for its registration, as a part of the query: `&wall_ms=200`.
    pub limits: &'static str,
    /// Wall time set by these limits.
    pub wall_ms: u64,
    /// Required result.
    pub must: Must,
}

/// Required result of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// Refused at registration, with this code.
    BeRefused(&'static str),
    /// Runs and fails with this code.
    Fail(&'static str),
    /// Runs and returns: the attack has no effect.
    Complete,
    /// Runs, and returns or passes a pointer that is refused.
    CompleteOrBadPointer,
}

impl Hostile {
    fn new(name: &str, trick: &'static str, wasm: Vec<u8>, must: Must) -> Self {
        Self { family: "", name: name.to_owned(), trick, wasm, limits: "", wall_ms: 5_000, must }
    }

    /// Sets much fuel and 200 ms, so that the clock ends the run.
    fn by_the_clock(self) -> Self {
        Self { limits: "&fuel=300000000000&wall_ms=200", wall_ms: 200, ..self }
    }

    /// Sets little fuel.
    fn by_fuel(self) -> Self {
        Self { limits: "&fuel=20000000", ..self }
    }
}

/// Name of a family, and the function that returns its modules.
type Family = (&'static str, fn() -> Vec<Hostile>);

/// Returns all modules, grouped by family.
#[must_use]
pub fn corpus() -> Vec<Hostile> {
    let families: [Family; 20] = [
        ("time", time::modules),
        ("bulk", bulk::modules),
        ("recursion", recursion::modules),
        ("exceptions", exceptions::modules),
        ("memory", memory::modules),
        ("pointers", pointers::modules),
        ("granted", granted::modules),
        ("plugins", plugins::modules),
        ("wasi", wasi::modules),
        ("floods", floods::modules),
        ("http", http::modules),
        ("streams", streams::modules),
        ("files", files::modules),
        ("waits", waits::modules),
        ("traps", traps::modules),
        ("caps", caps::modules),
        ("bombs", bombs::modules),
        ("components", components::modules),
        ("malformed", malformed::modules),
        ("features", features::modules),
    ];
    let of = |(family, modules): Family| modules().into_iter().map(move |hostile| Hostile { family, ..hostile });
    families.into_iter().flat_map(of).collect()
}

/// A function that guests may import: name, parameters (i for i32, I for i64), and result as text.
pub type Function = (&'static str, &'static str, &'static str);

/// Returns the functions of module `fusebox`.
#[must_use]
pub fn fusebox_functions() -> Vec<Function> {
    pointers::IMPORTS.iter().map(|&(name, params, result, ..)| (name, params, result)).collect()
}

/// Returns the functions of WASI preview 1.
#[must_use]
pub fn wasi_functions() -> Vec<Function> {
    let answering = wasi::FUNCTIONS.iter().chain(wasi::ENDING).map(|&(name, params)| (name, params, "(result i32)"));
    answering.chain([("proc_exit", "i", "")]).collect()
}

/// Returns the functions of module `fusebox` that the corpus attacks with pointers; they must include all that a host
/// provides.
#[must_use]
pub fn imports_attacked() -> Vec<&'static str> {
    pointers::IMPORTS.iter().map(|import| import.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_many_and_each_has_its_own_name_and_a_trick() {
        let corpus = corpus();
        assert!(corpus.len() >= 60, "{}", corpus.len());
        let mut names = BTreeSet::new();
        for hostile in &corpus {
            assert!(names.insert(&hostile.name), "{} is there twice", hostile.name);
            assert!(hostile.trick.len() > 5 && !hostile.wasm.is_empty(), "{}", hostile.name);
            assert!(
                hostile.name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'),
                "{}",
                hostile.name
            );
        }
    }
}
