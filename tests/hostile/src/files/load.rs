//! More names, handles and steps than there may be.

use super::{INVALID, NAME_TOO_LONG, NO_ENTRY, NO_SPACE, NOT_PERMITTED, done, row, script};
use crate::{
    Hostile, Must,
    component::script::{CREATE, DIRECTORY, READ, Script, WRITE},
};

const TRAP: Must = Must::Fail("trap");
const FUEL: Must = Must::Fail("out-of-fuel");

/// Drops the descriptor in the first global.
const DROP: &str = "(call $drop (global.get $h1))";

/// Writes the number of the repetition as four letters at an address, which makes a name another one each time.
fn another(at: u32) -> String {
    let letter = |place: u32| {
        format!(
            "(i32.store8 (i32.const {}) (i32.add (i32.const 97)
                (i32.and (i32.shr_u (global.get $count) (i32.const {})) (i32.const 15))))",
            at + place,
            4 * place
        )
    };
    let letters: String = (0..4).map(letter).collect();
    format!("(global.set $count (i32.add (global.get $count) (i32.const 1))) {letters}")
}

/// Opens a path of so many bytes, which repeats a word of four letters, from address 131,072 on.
fn long_path(word: &str, bytes: u32) -> Script {
    let word = u32::from_le_bytes(word.as_bytes().try_into().unwrap_or_default());
    script()
        .then(&format!(
            "(drop (memory.grow (i32.const 40))) (i32.store (i32.const 131072) (i32.const {word}))
            (memory.copy (i32.const 131076) (i32.const 131072) (i32.const 4))"
        ))
        .then(&format!(
            "(global.set $count (i32.const 4)) (loop
                (memory.copy (i32.add (i32.const 131072) (global.get $count)) (i32.const 131072) (global.get $count))
                (global.set $count (i32.shl (global.get $count) (i32.const 1)))
                (br_if 0 (i32.lt_u (global.get $count) (i32.const {bytes}))))"
        ))
        .call(
            "open-at",
            0,
            &format!("(i32.const 1) (i32.const 131072) (i32.const {bytes}) (i32.const 0) (i32.const 1)"),
        )
}

pub(super) fn names() -> Vec<Hostile> {
    let open = |bytes: &str| format!("(i32.const 1) {bytes} (i32.const 0) (i32.const 1)");
    vec![
        done(
            "names",
            "files without end",
            &script()
                .repeat(|script| {
                    script
                        .open(1, "tmp/aaaa", CREATE, WRITE)
                        .then(&another(32_772))
                        .then("(if (i32.eqz (global.get $code)) (then (call $drop (global.get $h1))))")
                })
                .must(NO_SPACE),
        ),
        done(
            "directories",
            "directories without end",
            &script()
                .repeat(|script| script.at("create-directory-at", "tmp/aaaa").then(&another(32_772)))
                .must(NO_SPACE),
        ),
        done(
            "symlinks",
            "links with long targets, without end",
            &script()
                .repeat(|script| {
                    script.two("symlink-at", &"x/".repeat(400), "tmp/aaaa").then(&another(32_768 + 800 + 4))
                })
                .must(NO_SPACE),
        ),
        Hostile {
            limits: "&memory_bytes=4194304",
            ..done(
                "hard-links",
                "names of one file, without end",
                &script()
                    .open(1, "tmp/zzzz", CREATE, WRITE)
                    .must(0)
                    .repeat(|script| script.two("link-at", "tmp/zzzz", "tmp/aaaa").then(&another(32_768 + 16 + 4)))
                    .must(NO_SPACE),
            )
        },
        done("name-long", "a name of 4 KiB", &long_path("aaaa", 4_096).must(NAME_TOO_LONG)),
        done("path-long", "a path of a million letters", &long_path("x/y/", 1 << 20).must(NAME_TOO_LONG)),
        done("path-deep", "a path of names that are not there", &long_path("x/y/", 4_000).must(NO_ENTRY)),
        done("path-dots", "a path of dots", &long_path("././", 4_000).must(0)),
        done("path-up", "a path that goes up a thousand times", &long_path("../.", 4_000).must(NOT_PERMITTED)),
        row(
            "path-pointer",
            "a path outside of the memory",
            &script().call("open-at", 0, &open("(i32.const -8) (i32.const 16)")),
            TRAP,
        ),
        row(
            "path-bytes",
            "a path that is no text",
            &script().then("(i32.store (i32.const 32768) (i32.const -1))").call(
                "open-at",
                0,
                &open("(i32.const 32768) (i32.const 4)"),
            ),
            TRAP,
        ),
        done(
            "rename-inside",
            "a directory that is moved into itself",
            &script().at("create-directory-at", "tmp/a").two("rename-at", "tmp/a", "tmp/a/b").must(INVALID),
        ),
    ]
}

pub(super) fn handles() -> Vec<Hostile> {
    let file = || script().open(1, "tmp/f", CREATE, WRITE).must(0);
    vec![
        row(
            "descriptors",
            "open files without end",
            &script().repeat(|script| script.open(1, "tmp/f", CREATE, WRITE)),
            TRAP,
        ),
        row(
            "listings",
            "open listings without end",
            &script().repeat(|script| script.call("read-directory", 0, "")),
            TRAP,
        ),
        row(
            "streams",
            "open streams without end",
            &file().repeat(|script| script.call("append-via-stream", 1, "")),
            TRAP,
        ),
        row(
            "foreign",
            "a descriptor that it was not given",
            &script().then("(global.set $h1 (i32.const 4711))").set_size(1, 1),
            TRAP,
        ),
        row("after-drop", "a descriptor that it has dropped", &file().then(DROP).set_size(1, 1), TRAP),
        row("dropped-twice", "a descriptor that it drops twice", &file().then(DROP).then(DROP), TRAP),
        row(
            "other-kind",
            "a stream in place of a descriptor",
            &file().call("append-via-stream", 1, "").then("(global.set $h1 (i32.load (i32.const 260)))").set_size(1, 1),
            TRAP,
        ),
        done(
            "unlinked",
            "files without names, each open",
            &script()
                .repeat(|script| {
                    script.open(1, "tmp/f", CREATE, WRITE).at("unlink-file-at", "tmp/f").set_size(1, 1 << 20)
                })
                .must(NO_SPACE),
        ),
        done(
            "renamed-over",
            "files that are replaced while they are open",
            &script()
                .repeat(|script| {
                    script.open(1, "tmp/f", CREATE, WRITE).two("rename-at", "tmp/f", "tmp/g").set_size(1, 1 << 20)
                })
                .must(NO_SPACE),
        ),
    ]
}

pub(super) fn loops() -> Vec<Hostile> {
    let file = || script().open(1, "tmp/f", CREATE, WRITE).must(0);
    vec![
        row(
            "rename-loop",
            "renames a file without end",
            &script()
                .repeat(|script| script.open(1, "tmp/f", CREATE, WRITE).then(DROP).two("rename-at", "tmp/f", "tmp/g")),
            FUEL,
        )
        .by_fuel(),
        row("stat-loop", "asks for facts without end", &script().repeat(|script| script.call("stat", 0, "")), FUEL)
            .by_fuel(),
        row(
            "truncate-loop",
            "grows and shrinks a file without end",
            &file().repeat(|script| script.set_size(1, 10_000_000).set_size(1, 0)),
            FUEL,
        )
        .by_fuel(),
        row(
            "write-bytes",
            "writes single bytes without end",
            &file().repeat(|script| script.call("write", 1, "(i32.const 0) (i32.const 1) (i64.const 0)")),
            FUEL,
        )
        .by_fuel(),
        row(
            "stream-bytes",
            "writes single bytes to a stream without end",
            &file().call("write-via-stream", 1, "(i64.const 0)").then(
                "(loop (call $blocking-write-and-flush (i32.load (i32.const 260)) (i32.const 0) (i32.const 1)
                    (i32.const 288)) (br 0))",
            ),
            FUEL,
        )
        .by_fuel(),
        done(
            "list-and-make",
            "a listing that goes on while it makes an entry for each that it gets",
            &script()
                .open(2, "tmp", DIRECTORY, READ)
                .at("create-directory-at", "tmp/zzzz")
                .call("read-directory", 2, "")
                .then("(i32.store (i32.const 320) (i32.load (i32.const 260)))")
                .then(&format!(
                    "(loop (call $create-directory-at (global.get $h0) (i32.const 32771) (i32.const 8) (i32.const 256))
                        {} (call $read-directory-entry (i32.load (i32.const 320)) (i32.const 288))
                        (br_if 0 (i32.load8_u (i32.const 292))))",
                    another(32_775)
                )),
        ),
    ]
}
