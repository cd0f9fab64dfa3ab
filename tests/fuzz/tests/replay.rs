//! Runs all seeds and all earlier findings, which are files in `regressions/TARGET`, named after the property violated.

use std::{fs, path::Path};

use fusebox_fuzz::TARGETS;

#[test]
fn seeds_and_what_broke_a_promise_once_break_none_now() {
    for (name, run, seeds) in TARGETS {
        let seeds = seeds();
        assert!(seeds.len() > 5, "{name} has no seeds to speak of");
        seeds.iter().for_each(|seed| run(seed));
        let regressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name);
        for entry in fs::read_dir(&regressions).into_iter().flatten() {
            let path = entry.expect("a regression").path();
            run(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        }
    }
}

/// Empty, short and uniform inputs, which fuzzers find first.
#[test]
fn simple_bytes_break_no_promise() {
    for (_, run, _) in TARGETS {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            for size in [0, 1, 2, 3, 8, 100, 5_000] {
                run(&vec![byte; size]);
            }
        }
    }
}
