//! Endless output, logs and random bytes, and unusual exit codes.

use crate::{
    Hostile, Must,
    write::{command, core, fusebox, wasi},
};

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = logs();
    modules.extend(outputs());
    modules.extend(randoms());
    modules.extend(exits());
    modules
}

fn logs() -> Vec<Hostile> {
    let log = fusebox("log", "iii", "");
    let flood = |name, trick, bytes: u32| {
        let body = format!("(loop (call $log (i32.const 3) (i32.const 0) (i32.const {bytes})) (br 0))");
        Hostile::new(name, trick, core(&log, &body), Must::Fail("log-flood"))
    };
    let write = wasi("fd_write", "iiii");
    let stderr = "(i64.store (i32.const 0) (i64.const 0x0000100000000400))
        (loop (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16))) (br 0))";
    let controls = r#"(data (i32.const 64) "\1b[2J\1b]0;owned\07\0d\0aERROR forged\00\08\7f\c3\28\ff\fe")"#;
    vec![
        flood("log-long-lines", "lines of 60,000 bytes", 60_000),
        flood("log-short-lines", "lines of one byte", 1),
        flood("log-empty-lines", "lines of nothing, which cost the host as well", 0),
        Hostile::new(
            "log-stderr",
            "a command writes to stderr without end",
            command(&write, stderr),
            Must::Fail("log-flood"),
        ),
        Hostile::new(
            "log-controls",
            "escape sequences, forged lines and text that is no UTF-8",
            core(&format!("{log} {controls}"), "(call $log (i32.const -7) (i32.const 64) (i32.const 40))"),
            Must::Complete,
        ),
    ]
}

fn outputs() -> Vec<Hostile> {
    let write = wasi("fd_write", "iiii");
    let large = Must::Fail("output-too-large");
    let vectors: String =
        (0..1_000).map(|n| format!("(i32.store (i32.const {}) (i32.const 65536))", 4_100 + n * 8)).collect();
    let fail = fusebox("fail", "ii", "");
    vec![
        Hostile::new(
            "stdout-flood",
            "a command writes without end",
            command(
                &write,
                "(i64.store (i32.const 0) (i64.const 0x0000100000000400)) (loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br 0))",
            ),
            large,
        ),
        Hostile::new(
            "stdout-bytes",
            "a command writes without end, byte by byte",
            command(
                &write,
                "(i32.store (i32.const 4) (i32.const 1)) (loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br 0))",
            ),
            large,
        ),
        Hostile::new(
            "stdout-vectors",
            "one write of 1,000 vectors that are all the same 64 KiB",
            command(
                &write,
                &format!(
                    "{vectors} (loop (drop (call $fd_write (i32.const 1) (i32.const 4096) (i32.const 1000) (i32.const 16))) (br 0))"
                ),
            ),
            large,
        ),
        Hostile::new(
            "fail-large",
            "an error of 8 MiB, of which no more is kept than of an output",
            core(&fail, "(drop (memory.grow (i32.const 128))) (call $fail (i32.const 0) (i32.const 8388608))"),
            Must::Fail("guest-error"),
        ),
        Hostile::new(
            "fail-controls",
            "an error that drives whoever's terminal shows it",
            core(
                &format!(r#"{fail} (data (i32.const 64) "\1b[31mred\00\07\ff")"#),
                "(call $fail (i32.const 64) (i32.const 11))",
            ),
            Must::Fail("guest-error"),
        ),
    ]
}

fn randoms() -> Vec<Hostile> {
    let random = fusebox("random", "ii", "");
    let get = wasi("random_get", "ii");
    vec![
        Hostile::new(
            "random-flood",
            "random bytes without end: each is charged",
            core(&random, "(loop (call $random (i32.const 1024) (i32.const 65536)) (br 0))"),
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        Hostile::new(
            "random-above",
            "a byte more than one call gives",
            core(&random, "(call $random (i32.const 0) (i32.const 65537))"),
            Must::Fail("bad-pointer"),
        ),
        Hostile::new(
            "random-wasi-flood",
            "the same by WASI",
            command(&get, "(loop (drop (call $random_get (i32.const 1024) (i32.const 65536))) (br 0))"),
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        Hostile::new(
            "random-wasi-few",
            "1 MiB of random bytes at a time, 1,000 times, on little fuel",
            command(
                &get,
                "(drop (memory.grow (i32.const 32))) (loop (drop (call $random_get (i32.const 1024) (i32.const 1048576)))
                    (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 1000))))",
            ),
            Must::Fail("out-of-fuel"),
        )
        .by_fuel(),
        Hostile::new(
            "random-wasi-huge",
            "4 GiB of random bytes at once",
            command(&get, "(drop (call $random_get (i32.const 0) (i32.const -1)))"),
            Must::Fail("bad-pointer"),
        ),
    ]
}

fn exits() -> Vec<Hostile> {
    let exit =
        |code: &str| command(&wasi("proc_exit", "i"), &format!("(call $proc_exit (i32.const {code})) (unreachable)"));
    let failed = Must::Fail("guest-error");
    vec![
        Hostile::new("exit-zero", "ends by exit, not by return", exit("0"), Must::Complete),
        Hostile::new("exit-one", "the common failure", exit("1"), failed),
        Hostile::new("exit-large", "an exit code above every byte", exit("255"), failed),
        Hostile::new("exit-negative", "an exit code that is negative", exit("-1"), failed),
        Hostile::new(
            "exit-in-start",
            "exits in its start function, before it is called",
            command(&format!("{} (func $s (call $proc_exit (i32.const 3))) (start $s)", wasi("proc_exit", "i")), ""),
            failed,
        ),
    ]
}
