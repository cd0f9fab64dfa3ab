//! Sleeping and reading clocks.

use crate::{
    Hostile, Must,
    write::{command, core, fusebox, wasi},
};

pub(crate) fn modules() -> Vec<Hostile> {
    let poll = wasi("poll_oneoff", "iiii");
    // One clock subscription at 0: id at 16, nanoseconds at 24, flags at 40; events at 128, their number at 256.
    let wait = |clock: u32, nanoseconds: &str, flags: u32| {
        format!(
            "(i32.store (i32.const 16) (i32.const {clock})) (i64.store (i32.const 24) (i64.const {nanoseconds}))
             (i32.store16 (i32.const 40) (i32.const {flags}))
             (drop (call $poll_oneoff (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))"
        )
    };
    let late = Must::Fail("deadline-exceeded");
    let sleeps = |name, trick, body: String| Hostile::new(name, trick, command(&poll, &body), late).by_the_clock();
    let with = |body: &str| command(&poll, body);
    let time = wasi("clock_time_get", "iIi");
    let clock = fusebox("clock", "", "(result i64)");
    vec![
        sleeps("sleep-hour", "sleeps for an hour", wait(1, "3600000000000", 0)),
        sleeps("sleep-ages", "sleeps for 584 years", wait(1, "-1", 0)),
        sleeps("sleep-until", "sleeps until the end of all clocks", wait(0, "-1", 1)),
        sleeps("sleep-again", "sleeps for a nanosecond, for ever", format!("(loop {} (br 0))", wait(1, "1", 0))),
        sleeps("sleep-not", "asks for a moment that is past, for ever", format!("(loop {} (br 0))", wait(1, "0", 1))),
        Hostile::new(
            "sleep-many",
            "waits for 2^32 - 1 things at once",
            with("(drop (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)))"),
            Must::Complete,
        ),
        Hostile::new(
            "sleep-outside",
            "what it waits for is outside",
            with("(drop (call $poll_oneoff (i32.const -48) (i32.const 0) (i32.const 2) (i32.const 0)))"),
            Must::Fail("bad-pointer"),
        ),
        Hostile::new(
            "sleep-answers-outside",
            "the answer shall be written outside",
            with("(i32.store8 (i32.const 8) (i32.const 1)) (drop (call $poll_oneoff (i32.const 0) (i32.const -8) (i32.const 1) (i32.const 0)))"),
            Must::Fail("bad-pointer"),
        ),
        Hostile::new(
            "sleep-unknown",
            "waits for a kind of thing that there is not",
            with("(i32.store8 (i32.const 8) (i32.const 77)) (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 0)))"),
            Must::Complete,
        ),
        Hostile::new(
            "clock-poll",
            "looks at WASI's clock without end",
            command(&time, "(loop (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0))) (br 0))"),
            late,
        )
        .by_the_clock(),
        Hostile::new(
            "clock-wait",
            "waits for an hour by looking at the clock",
            core(&clock, "(local.set 4 (i64.add (call $clock) (i64.const 3600000))) (loop (br_if 0 (i64.lt_s (call $clock) (local.get 4))))"),
            late,
        )
        .by_the_clock(),
        Hostile::new(
            "yield",
            "yields without end",
            command(&wasi("sched_yield", ""), "(loop (drop (call $sched_yield)) (br 0))"),
            late,
        )
        .by_the_clock(),
    ]
}
