//! Files of components through `wasi:filesystem`, most of it 0.2: the version's are read, the scratch is written, and nothing else is
//! there. A component plays a script, and outputs a byte for each step: 0 for success, or the error.

use fusebox_core::{error::ErrorCode, function::RunLimits};
use fusebox_hostile::component::script::{CREATE, DIRECTORY, EXCLUSIVE, READ, Script, TRUNCATE, Version, WRITE};

use super::script::Played as _;
use crate::support::{ample, code, returned};

/// Errors, by their places in `error-code`, from 1 on.
pub(super) const BAD_DESCRIPTOR: u8 = 4;
const EXIST: u8 = 8;
const INVALID: u8 = 13;
pub(super) const IS_DIRECTORY: u8 = 15;
const LOOP: u8 = 16;
const NAME_TOO_LONG: u8 = 19;
pub(super) const NO_ENTRY: u8 = 21;
pub(super) const NO_SPACE: u8 = 24;
pub(super) const NOT_DIRECTORY: u8 = 25;
const NOT_EMPTY: u8 = 26;
pub(super) const OVERFLOW: u8 = 31;
pub(super) const NOT_PERMITTED: u8 = 32;
pub(super) const READ_ONLY: u8 = 34;
const CROSS_DEVICE: u8 = 37;

#[test]
fn the_files_of_a_version_are_read_and_cannot_be_changed() {
    Script::default()
        .then("(call $tell (i32.load offset=4 (i32.load (i32.const 64))) (i32.load offset=8 (i32.load (i32.const 64))))")
        .then("(call $tell (i32.load offset=16 (i32.load (i32.const 64))) (i32.load offset=20 (i32.load (i32.const 64))))")
        .open(1, ".", DIRECTORY, READ)
        .open(1, "./d/../d/./f", 0, READ)
        .read(1, 3, 1)
        .read(1, 1 << 40, 4)
        .read(1, 10, 100)
        .open(1, "d/link", 0, READ)
        .read(1, 7, 0)
        .write(1, "x", 0)
        .gives(&[b"/.\0\0\0ont\0\0ent\x01\0\x01\0\0content\x01", &[BAD_DESCRIPTOR][..]].concat());
    Script::default()
        .open(1, "d/f", 0, READ | WRITE)
        .open(1, "d/f", TRUNCATE, READ)
        .open(1, "d/new", CREATE, WRITE)
        .open(1, "d/f", CREATE | EXCLUSIVE, READ)
        .at("unlink-file-at", "d/f")
        .at("create-directory-at", "e")
        .at("remove-directory-at", "d")
        .two("rename-at", "d/f", "tmp/f")
        .two("link-at", "d/f", "tmp/f")
        .two("symlink-at", "f", "d/other")
        .gives(&[
            READ_ONLY,
            READ_ONLY,
            READ_ONLY,
            EXIST,
            READ_ONLY,
            READ_ONLY,
            READ_ONLY,
            READ_ONLY,
            CROSS_DEVICE,
            READ_ONLY,
        ]);
}

#[test]
fn the_scratch_is_written_through_offsets_and_streams_and_starts_empty() {
    for _ in 0..2 {
        Script::default()
            .open(1, "tmp/f", CREATE | EXCLUSIVE, READ | WRITE)
            .write(1, "abc", 2)
            .stream(1, Some(4), "XYZ")
            .stream(1, None, "!")
            .read(1, 100, 0)
            .set_size(1, 3)
            .call("read-via-stream", 1, "(i64.const 1)")
            .then("(call $blocking-read (i32.load (i32.const 260)) (i64.const 9) (i32.const 288)) (call $tell (i32.load (i32.const 292)) (i32.load (i32.const 296)))")
            .then("(call $blocking-read (i32.load (i32.const 260)) (i64.const 9) (i32.const 288)) (call $note (i32.load8_u (i32.const 292)))")
            .gives(b"\0\0\0\0\0\0\0abXYZ!\x01\0\0\0a\x01");
    }
}

#[test]
fn a_descriptor_gives_the_access_that_it_was_opened_with() {
    Script::default()
        .open(1, "tmp/f", CREATE, WRITE)
        .read(1, 1, 0)
        .call("read-via-stream", 1, "(i64.const 0)")
        .open(2, "tmp/f", 0, READ)
        .write(2, "x", 0)
        .set_size(2, 9)
        .call("write-via-stream", 2, "(i64.const 0)")
        .call("append-via-stream", 2, "")
        .open(3, "tmp", 0, READ)
        .read(3, 1, 0)
        .write(3, "x", 0)
        .open(3, "tmp", 0, WRITE)
        .open(3, "tmp", DIRECTORY, WRITE)
        .open(3, "tmp/f", DIRECTORY, READ)
        .open(3, "tmp", DIRECTORY | CREATE, READ)
        .open_from(1, 3, "f", 0, READ)
        .call("read-directory", 1, "")
        .then("(call $note (call $is-same-object (global.get $h1) (global.get $h2)))")
        .then("(call $note (call $is-same-object (global.get $h0) (global.get $h2)))")
        .gives(&[
            0,
            BAD_DESCRIPTOR,
            BAD_DESCRIPTOR,
            0,
            BAD_DESCRIPTOR,
            BAD_DESCRIPTOR,
            BAD_DESCRIPTOR,
            BAD_DESCRIPTOR,
            0,
            IS_DIRECTORY,
            BAD_DESCRIPTOR,
            IS_DIRECTORY,
            0,
            NOT_DIRECTORY,
            INVALID,
            NOT_DIRECTORY,
            NOT_DIRECTORY,
            1,
            0,
        ]);
}

#[test]
fn no_path_and_no_link_leads_out() {
    for version in [Version::V2, Version::V3] {
        Script::of(version)
            .open(1, "../etc/passwd", 0, READ)
            .open(1, "/etc/passwd", 0, READ)
            .open(1, "d/../../d/f", 0, READ)
            .open(1, "d/../d/f", 0, READ)
            .open(2, "d", DIRECTORY, READ)
            .open_from(2, 1, "../d/f", 0, READ)
            .open_from(2, 1, "f", 0, READ)
            .two("symlink-at", "/etc", "tmp/absolute")
            .two("symlink-at", "../..", "tmp/up")
            .open(1, "tmp/up", 0, READ)
            .two("symlink-at", "round", "tmp/round")
            .open(1, "tmp/round", 0, READ)
            .two("symlink-at", "../d/f", "tmp/f")
            .open(1, "tmp/f", 0, READ)
            .at("readlink-at", "tmp/f")
            .then("(call $tell (i32.load (i32.const 260)) (i32.load (i32.const 264)))")
            .at("readlink-at", "d/f")
            .open(1, "nothing", 0, READ)
            .open(1, "", 0, READ)
            .open(1, &"x".repeat(256), 0, READ)
            .gives(
                &[
                    &[NOT_PERMITTED, NOT_PERMITTED, NOT_PERMITTED, 0, 0, NOT_PERMITTED, 0, NOT_PERMITTED, 0][..],
                    &[NOT_PERMITTED, 0, LOOP, 0, 0, 0],
                    b"../d/f",
                    &[INVALID, NO_ENTRY, NO_ENTRY, NAME_TOO_LONG],
                ]
                .concat(),
            );
    }
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    let list = "(call $note (i32.const 255)) (loop
        (call $read-directory-entry (i32.load (i32.const 260)) (i32.const 288))
        (call $note (i32.load8_u (i32.const 292)))
        (if (i32.load8_u (i32.const 292)) (then
            (call $note (i32.load8_u (i32.const 296))) (call $tell (i32.load (i32.const 300)) (i32.load (i32.const 304)))
            (br 1))))";
    Script::default()
        .call("read-directory", 0, "")
        .then(list)
        .at("create-directory-at", "tmp/a")
        .at("create-directory-at", "tmp/a")
        .open(1, "tmp/a/f", CREATE, WRITE)
        .at("remove-directory-at", "tmp/a")
        .at("unlink-file-at", "tmp/a")
        .two("rename-at", "tmp/a", "tmp/a/b")
        .two("rename-at", "tmp/a", "tmp/b")
        .two("link-at", "tmp/b/f", "tmp/l")
        .at("remove-directory-at", "tmp/l")
        .at("unlink-file-at", "tmp/b/f")
        .at("remove-directory-at", "tmp/b")
        .open(2, "tmp", DIRECTORY, READ)
        .call("read-directory", 2, "")
        .then(list)
        .gives(
            &[
                &[0, 255, 1, 3][..],
                b"tmp",
                &[1, 3, b'd', 0],
                &[0, EXIST, 0, NOT_EMPTY, IS_DIRECTORY, INVALID, 0, 0, NOT_DIRECTORY, 0, 0, 0, 0],
                &[255, 1, 6, b'l', 0],
            ]
            .concat(),
        );
}

#[test]
fn facts_are_those_of_the_file() {
    let tell = "(call $note (i32.load8_u (i32.const 264))) (call $note (i32.load8_u (i32.const 272)))
        (call $note (i32.load8_u (i32.const 280))) (call $note (i32.load8_u (i32.const 312)))
        (call $tell (i32.const 320) (i32.const 8))";
    let set = |seconds: u64| {
        format!("(i32.const 0) (i64.const 0) (i32.const 0) (i32.const 2) (i64.const {seconds}) (i32.const 5)")
    };
    Script::default()
        .then("")
        .open(1, "tmp/f", CREATE, WRITE)
        .write(1, "12345", 0)
        .two("link-at", "tmp/f", "tmp/g")
        .call("set-times", 1, &set(77))
        .call("stat", 1, "")
        .then(tell)
        .call("set-times", 1, &set(u64::MAX))
        .open(2, "d/f", 0, READ)
        .call("set-times", 2, &set(1))
        .call("stat", 2, "")
        .then(tell)
        .gives(
            &[
                &[0, 0, 0, 0, 0, 6, 2, 5, 1][..],
                &77_u64.to_le_bytes(),
                &[OVERFLOW, 0, READ_ONLY, 0, 6, 1, 7, 1],
                &315_532_800_u64.to_le_bytes(),
            ]
            .concat(),
        );
}

#[test]
fn the_scratch_of_a_component_counts_as_memory_of_the_run_and_costs_fuel() {
    let limits = RunLimits { memory_bytes: 4 << 20, ..ample() };
    let file = || Script::default().open(1, "tmp/f", CREATE, WRITE);
    let fits = file().set_size(1, 2 << 20).run(limits);
    assert_eq!(returned(&fits), [0, 0]);
    assert!(fits.receipt.memory_bytes > 2 << 20, "{:?}", fits.receipt);
    for bytes in [5 << 20, 1 << 40, 1 << 62] {
        assert_eq!(returned(&file().set_size(1, bytes).run(limits)), [0, NO_SPACE], "{bytes}");
        assert_eq!(returned(&file().write(1, "x", bytes).run(limits)), [0, NO_SPACE], "{bytes}");
        assert_eq!(returned(&file().stream(1, Some(bytes), "x").run(limits)), [0, 0, NO_SPACE], "{bytes}");
    }
    let spends = file().set_size(1, 3 << 20).run(RunLimits { fuel: 500_000, ..limits });
    assert_eq!(code(&spends), ErrorCode::OutOfFuel, "growth costs fuel");
    let used = |script: Script| script.run(limits).receipt.fuel.unwrap();
    assert!(
        used(file().stream(1, Some(2 << 20), "x")) >= used(file().stream(1, Some(0), "x")) + (1 << 19),
        "streams too"
    );
}

#[test]
fn a_file_without_a_name_is_there_until_its_descriptors_are_dropped() {
    let limits = RunLimits { memory_bytes: 4 << 20, ..ample() };
    let script = |version: Version, between: &str| {
        Script::of(version)
            .open(1, "tmp/f", CREATE, WRITE)
            .set_size(1, 2 << 20)
            .at("unlink-file-at", "tmp/f")
            .then(between)
            .open(2, "tmp/g", CREATE, WRITE)
            .set_size(2, 2 << 20)
            .run(limits)
    };
    for (version, drop) in [(Version::V2, "drop"), (Version::V3, "drop-fd")] {
        assert_eq!(returned(&script(version, "")), [0, 0, 0, 0, NO_SPACE], "{version:?}");
        assert_eq!(returned(&script(version, &format!("(call ${drop} (global.get $h1))"))), [0; 5], "{version:?}");
    }
}

#[test]
fn open_files_of_a_component_are_bounded() {
    let script = Script::default().open(1, "tmp/f", CREATE, WRITE).then(
        "(loop (call $open-at (global.get $h0) (i32.const 0) (i32.const 32768) (i32.const 5) (i32.const 0) (i32.const 1)
            (i32.const 256)) (br_if 0 (i32.eqz (i32.load8_u (i32.const 256)))))",
    );
    assert_eq!(code(&script.run(ample())), ErrorCode::Trap);
}
