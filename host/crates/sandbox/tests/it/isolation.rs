//! Nothing of one run is seen by the next, though both use the same slot's memory.

use fusebox_core::function::RunLimits;
use fusebox_sandbox::Sandbox;

use crate::support::{ample, answer, call, core, options, returned, run_call, wasm};

/// Alternations of a run that fills its memory and one that looks for what is left.
const ROUNDS: usize = 200;

/// Fills all its memory, its table and its globals, then ends in one of three ways.
fn filler(ending: &str) -> Vec<u8> {
    let body = format!(
        "(drop (memory.grow (i32.const 30)))
         (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 2097152))
         (global.set $g (i32.const 0xa5a5a5a5))
         (table.fill (i32.const 0) (ref.func $handle) (i32.const 10)) {ending}"
    );
    wasm(&core(&body).replacen(
        "(module",
        "(module (table 10 funcref) (global $g (mut i32) (i32.const 0))
        (elem declare func $handle)",
        1,
    ))
}

/// Counts the bytes of its memory that are not zero, from 64 on, and what is in its table and global.
fn scanner() -> Vec<u8> {
    let body = format!(
        "(local i32 i32) (drop (memory.grow (i32.const 30))) (local.set 2 (i32.const 64))
         (loop
            (if (i64.ne (i64.load (local.get 2)) (i64.const 0)) (then (local.set 3 (i32.add (local.get 3) (i32.const 1)))))
            (local.set 2 (i32.add (local.get 2) (i32.const 8)))
            (br_if 0 (i32.lt_u (local.get 2) (i32.const 2097152))))
         (if (i32.ne (global.get $g) (i32.const 0)) (then (local.set 3 (i32.add (local.get 3) (i32.const 1)))))
         (if (i32.eqz (ref.is_null (table.get (i32.const 3)))) (then (local.set 3 (i32.add (local.get 3) (i32.const 1)))))
         (i32.store (i32.const 16) (local.get 3)) {}",
        answer("(i32.const 0)", "(i32.const 16)", "(i32.const 4)")
    );
    wasm(&core(&body).replacen("(module", "(module (table 10 funcref) (global $g (mut i32) (i32.const 0))", 1))
}

#[test]
fn a_slot_is_clean_whichever_way_the_run_before_ended() {
    let home = tempfile::tempdir().unwrap();
    // As few slots as there can be, so that every run uses the one before's.
    let sandbox = Sandbox::new(fusebox_sandbox::Options { slots: 1, ..options(home.path()) }).unwrap();
    let scanner = scanner();
    let endings = ["", "(unreachable)", "(loop (br 0))"].map(filler);
    for round in 0..ROUNDS {
        let limits = RunLimits { fuel: 50_000_000, ..ample() };
        let _ = run_call(&sandbox, &endings[round % endings.len()], call(b"", limits));
        let scanned = run_call(&sandbox, &scanner, call(b"", ample()));
        assert_eq!(returned(&scanned), [0; 4], "round {round}");
    }
}
