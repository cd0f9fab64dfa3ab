//! Modules that mean harm: one trick each, and what must become of it. Tests run them all through a real host; the
//! fuzz targets start from them.
//!
//! | module | its modules |
//! |---|---|
//! | `time` | never end, or look cheap and are not |
//! | `bulk` | long operations over memory and tables, which no tick interrupts |
//! | `recursion` | recurse in every way there is |
//! | `memory` | want more memory and tables than there are |
//! | `pointers` | give the host pointers and lengths that are wrong |
//! | `granted` | ask for what takes a grant: without one, too much, or of places that nobody may reach |
//! | `wasi` | the same for WASI |
//! | `floods` | write, log and ask without end; exit with odd codes |
//! | `waits` | sleep and look at clocks |
//! | `traps` | trap in each way |
//! | `caps` | have one part above its structural cap, or just below it |
//! | `bombs` | cost more to compile, link or instantiate than they weigh |
//! | `malformed` | are no valid modules |
//! | `features` | use what is switched off, or are no modules |

mod bombs;
mod bulk;
mod caps;
mod encode;
mod features;
mod floods;
mod granted;
mod malformed;
mod memory;
mod pointers;
mod recursion;
mod time;
mod traps;
mod waits;
mod wasi;
mod write;

/// A module that means harm.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What kind of harm.
    pub family: &'static str,
    /// Its name, which a function can have.
    pub name: String,
    /// Its trick, in a few words.
    pub trick: &'static str,
    /// The module.
    pub wasm: Vec<u8>,
    /// Limits and grants it is registered with, as parts of a query: `&wall_ms=200`.
    pub limits: &'static str,
    /// The wall time those limits set.
    pub wall_ms: u64,
    /// What must become of it.
    pub must: Must,
}

/// What must become of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// Refused at registration, with this code.
    BeRefused(&'static str),
    /// Runs and fails, with this code.
    Fail(&'static str),
    /// Runs and returns: its trick comes to nothing.
    Complete,
    /// Runs, and returns or traps.
    CompleteOrTrap,
}

impl Hostile {
    fn new(name: &str, trick: &'static str, wasm: Vec<u8>, must: Must) -> Self {
        Self { family: "", name: name.to_owned(), trick, wasm, limits: "", wall_ms: 5_000, must }
    }

    /// Much fuel and 200 ms: what ends it is the clock.
    fn by_the_clock(self) -> Self {
        Self { limits: "&fuel=300000000000&wall_ms=200", wall_ms: 200, ..self }
    }

    /// Little fuel.
    fn by_fuel(self) -> Self {
        Self { limits: "&fuel=1000000", ..self }
    }
}

/// A family's name, and what makes its modules.
type Family = (&'static str, fn() -> Vec<Hostile>);

/// Every module, in families.
#[must_use]
pub fn corpus() -> Vec<Hostile> {
    let families: [Family; 14] = [
        ("time", time::modules),
        ("bulk", bulk::modules),
        ("recursion", recursion::modules),
        ("memory", memory::modules),
        ("pointers", pointers::modules),
        ("granted", granted::modules),
        ("wasi", wasi::modules),
        ("floods", floods::modules),
        ("waits", waits::modules),
        ("traps", traps::modules),
        ("caps", caps::modules),
        ("bombs", bombs::modules),
        ("malformed", malformed::modules),
        ("features", features::modules),
    ];
    let of = |(family, modules): Family| modules().into_iter().map(move |hostile| Hostile { family, ..hostile });
    families.into_iter().flat_map(of).collect()
}

/// A function that guests may import: its name, its parameters (i for i32, I for i64), its result as text.
pub type Function = (&'static str, &'static str, &'static str);

/// What module `fusebox` offers.
#[must_use]
pub fn fusebox_functions() -> Vec<Function> {
    pointers::IMPORTS.iter().map(|&(name, params, result, ..)| (name, params, result)).collect()
}

/// What WASI preview 1 offers.
#[must_use]
pub fn wasi_functions() -> Vec<Function> {
    let answering = wasi::FUNCTIONS.iter().chain(wasi::ENDING).map(|&(name, params)| (name, params, "(result i32)"));
    answering.chain([("proc_exit", "i", "")]).collect()
}

/// The functions of module `fusebox` that the corpus plays pointer games on; each that a host offers must be among them.
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
        let names: BTreeSet<_> = corpus.iter().map(|hostile| &hostile.name).collect();
        assert_eq!(names.len(), corpus.len());
        for hostile in &corpus {
            assert!(hostile.trick.len() > 5 && !hostile.wasm.is_empty(), "{}", hostile.name);
            assert!(
                hostile.name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'),
                "{}",
                hostile.name
            );
        }
    }
}
