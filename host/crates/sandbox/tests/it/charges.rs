//! Host calls are charged by call and by byte, in both ABIs, before they run.

use fusebox_core::{error::ErrorCode, function::RunLimits};

use crate::support::{ample, code, core_with, run};

/// Returns a command with 2 MiB of memory, in which a vector at 0 points at `bytes` bytes from 1,024 on.
fn command(import: &str, bytes: u32, body: &str) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" {import}) (memory (export "memory") 32)
            (func (export "_start") (local $n i32)
                (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const {bytes})) {body}))"#
    )
}

const RANDOM: &str = r#""random_get" (func $random (param i32 i32) (result i32))"#;
const WRITE: &str = r#""fd_write" (func $write (param i32 i32 i32 i32) (result i32))"#;
const READ: &str = r#""fd_read" (func $read (param i32 i32 i32 i32) (result i32))"#;

#[test]
fn random_bytes_are_not_made_on_fuel_that_cannot_pay_for_them() {
    let body = "(loop (drop (call $random (i32.const 1024) (i32.const 1048576)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))";
    let run = run(&command(RANDOM, 0, body), b"", RunLimits { fuel: 400_000, ..ample() });
    assert_eq!(code(&run), ErrorCode::OutOfFuel);
    assert_eq!(run.receipt.fuel, Some(400_000));
}

#[test]
fn each_byte_that_a_call_handles_is_charged() {
    let wasi = |import: &str, call: &dyn Fn(u32) -> String| {
        [16, 65_536]
            .map(|bytes| run(&command(import, bytes, &call(bytes)), &[7; 65_536], ample()).receipt.fuel.unwrap())
    };
    let core = |import: &str, call: &dyn Fn(u32) -> String| {
        let import = format!(r#"(import "fusebox" {import})"#);
        [16, 65_536].map(|bytes| run(&core_with(&call(bytes), &import), b"", ample()).receipt.fuel.unwrap())
    };
    let table = [
        (
            "random_get",
            60 * 65_520,
            wasi(RANDOM, &|bytes| format!("(drop (call $random (i32.const 1024) (i32.const {bytes})))")),
        ),
        (
            "fd_write to the output",
            81_900,
            wasi(WRITE, &|_| {
                "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))".to_owned()
            }),
        ),
        (
            "fd_write to the log",
            20 * 65_520,
            wasi(WRITE, &|_| {
                "(drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))".to_owned()
            }),
        ),
        (
            "fd_read",
            81_900,
            wasi(READ, &|_| "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))".to_owned()),
        ),
        (
            "random",
            60 * 65_520,
            core(r#""random" (func $random (param i32 i32))"#, &|bytes| {
                format!("(call $random (i32.const 1024) (i32.const {bytes}))")
            }),
        ),
        (
            "log",
            20 * 65_520,
            core(r#""log" (func $log (param i32 i32 i32))"#, &|bytes| {
                format!("(call $log (i32.const 3) (i32.const 1024) (i32.const {bytes}))")
            }),
        ),
    ];
    for (name, more, [small, large]) in table {
        assert_eq!(large - small, more, "{name}: {small} and {large}");
    }
}

#[test]
fn vectors_that_are_passed_over_are_charged_and_no_more_are_looked_at_than_paid_for() {
    let write =
        |count: i32| format!("(drop (call $write (i32.const 1) (i32.const 8) (i32.const {count}) (i32.const 16)))");
    let used = |count| run(&command(WRITE, 0, &write(count)), b"", ample()).receipt.fuel.unwrap();
    assert_eq!(used(10_000) - used(1), 80 * 9_999);
    // More vectors than its memory can hold, each of them empty.
    let run = run(&command(WRITE, 0, &write(-1)), b"", RunLimits { fuel: 400_000, ..ample() });
    assert_eq!(code(&run), ErrorCode::OutOfFuel);
}
