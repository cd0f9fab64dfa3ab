//! Files of components through `wasi:filesystem` 0.3: the same files as through 0.2, whose bytes and entries are streams.

use fusebox_core::{error::ErrorCode, function::RunLimits};
use fusebox_hostile::component::script::{CREATE, DIRECTORY, EXCLUSIVE, READ, Script, Version, WRITE};

use super::{
    files::{BAD_DESCRIPTOR, IS_DIRECTORY, NO_ENTRY, NO_SPACE, NOT_DIRECTORY, NOT_PERMITTED, OVERFLOW, READ_ONLY},
    script::Played as _,
};
use crate::support::{ample, code, returned};

fn script() -> Script {
    Script::of(Version::V3)
}

#[test]
fn the_files_of_a_version_are_streamed_and_cannot_be_changed() {
    script()
        .open(1, "d/f", 0, READ)
        .drain(1, 0)
        .drain(1, 3)
        .drain(1, 7)
        .drain(1, u64::MAX)
        .pour(1, Some(0), "x")
        .open(2, "d/f", 0, READ | WRITE)
        .open(2, "d/new", CREATE, WRITE)
        .at("unlink-file-at", "d/f")
        .open(2, "d", DIRECTORY, READ)
        .drain(2, 0)
        .list(2)
        .list(1)
        .gives(
            &[
                &b"\0content\0tent\0\0\0"[..],
                &[BAD_DESCRIPTOR, READ_ONLY, READ_ONLY, READ_ONLY, 0, IS_DIRECTORY],
                b"\x05f\x04link\0",
                &[NOT_DIRECTORY],
            ]
            .concat(),
        );
}

#[test]
fn the_scratch_is_written_through_streams_and_starts_empty() {
    for _ in 0..2 {
        script()
            .open(1, "tmp/f", CREATE | EXCLUSIVE, READ | WRITE)
            .pour(1, Some(2), "abc")
            .pour(1, Some(4), "XYZ")
            .pour(1, None, "!")
            .pour(1, None, "")
            .drain(1, 0)
            .set_size(1, 3)
            .drain(1, 1)
            .open(2, "tmp", DIRECTORY, READ)
            .pour(2, None, "x")
            .list(2)
            .list(0)
            .gives(&[&b"\0\0\0\0\0\0\0abXYZ!\0\0\0a\0\0"[..], &[BAD_DESCRIPTOR], b"\x05f\0\x02tmp\x02d\0"].concat());
    }
}

#[test]
fn long_files_and_listings_take_several_reads() {
    let text = "0123456789abcdef".repeat(256);
    let (mut long, mut expected) = (script().open(1, "tmp/f", CREATE, READ | WRITE), vec![0; 4]);
    for _ in 0..3 {
        long = long.pour(1, None, &text);
    }
    expected.extend_from_slice(text.repeat(3).as_bytes());
    // The output of a write of 0.2 has up to 4,096 bytes; the last ones tell that all of it was read.
    long = long.drain(1, 0).then(
        "(memory.copy (i32.const 65536) (i32.sub (i32.add (i32.const 65536) (i32.load (i32.const 128))) (i32.const 4096))
            (i32.const 4096)) (i32.store (i32.const 128) (i32.const 4096))",
    );
    expected.push(0);
    long.gives(&expected[expected.len() - 4_096..]);

    let (mut many, mut expected) = (script(), Vec::new());
    for n in 0..70 {
        many = many.at("create-directory-at", &format!("tmp/{n:02}"));
        expected.push(0);
    }
    many = many.open(1, "tmp", DIRECTORY, READ).list(1);
    expected.push(0);
    expected.extend((0..70).flat_map(|n| format!("\x02{n:02}").into_bytes()));
    expected.push(0);
    many.gives(&expected);
}

#[test]
fn facts_and_times_are_those_of_the_file() {
    let set = |seconds: i64| {
        format!("(i32.const 0) (i64.const 0) (i32.const 0) (i32.const 2) (i64.const {seconds}) (i32.const 5)")
    };
    let tell = "(call $note (i32.load8_u (i32.const 264))) (call $note (i32.load8_u (i32.const 280)))
        (call $note (i32.load8_u (i32.const 288))) (call $tell (i32.const 328) (i32.const 8))";
    script()
        .open(1, "tmp/f", CREATE, WRITE)
        .pour(1, None, "12345")
        .two("link-at", "tmp/f", "tmp/g")
        .call("set-times", 1, &set(77))
        .call("set-times", 1, &set(-1))
        .call("set-times", 1, &set(i64::MAX))
        .call("stat", 1, "")
        .then(tell)
        .gives(&[&[0, 0, 0, 0, OVERFLOW, OVERFLOW, 0, 5, 2, 5][..], &77_i64.to_le_bytes()].concat());
}

#[test]
fn streams_cost_memory_and_fuel() {
    let limits = RunLimits { memory_bytes: 4 << 20, ..ample() };
    let file = || script().open(1, "tmp/f", CREATE, WRITE);
    for bytes in [5 << 20, 1 << 40, 1 << 62] {
        assert_eq!(returned(&file().pour(1, Some(bytes), "x").run(limits)), [0, NO_SPACE], "{bytes}");
    }
    let used = |script: Script| script.run(limits).receipt.fuel.unwrap();
    let far = file().pour(1, Some(2 << 20), "x");
    assert!(used(far) >= used(file().pour(1, Some(0), "x")) + (1 << 19), "growth costs fuel");
    let reads = "(loop (call $read-via-stream (global.get $h1) (i64.const 0) (i32.const 256))
        (call $drain (i32.load (i32.const 256))) (call $drop-ended (i32.load (i32.const 260)))
        (i32.store (i32.const 128) (i32.const 0)) (br 0))";
    let endless = script().open(1, "d/f", 0, READ).then(reads).run(RunLimits { fuel: 5_000_000, ..limits });
    assert_eq!(code(&endless), ErrorCode::OutOfFuel);
}

#[test]
fn a_stream_may_be_left_before_its_end() {
    let left = "(call $read-via-stream (global.get $h1) (i64.const 0) (i32.const 256))
        (call $drop-reader (i32.load (i32.const 256))) (call $settle (i32.load (i32.const 260)))
        (call $read-via-stream (global.get $h1) (i64.const 0) (i32.const 256))
        (call $drop-ended (i32.load (i32.const 260))) (call $drain (i32.load (i32.const 256)))";
    script()
        .open(1, "d/f", 0, READ)
        .then(left)
        .open(1, "nothing", 0, READ)
        .open(1, "../etc/passwd", 0, READ)
        .gives(&[&b"\0\0content"[..], &[NO_ENTRY, NOT_PERMITTED]].concat());
}
