//! Components that abuse the files of their run: paths and links that lead out, sizes and names without end, more open
//! than may be, names that are taken while they are used. A row that completes has met the error that it must.

use crate::{
    Hostile, Must,
    component::script::{CREATE, DIRECTORY, READ, Script, WRITE},
    write::wasm,
};

mod load;

/// Errors, by their places in `error-code`, from 1 on.
const INVALID: u8 = 13;
const LOOP: u8 = 16;
const NO_ENTRY: u8 = 21;
const NAME_TOO_LONG: u8 = 19;
const NO_SPACE: u8 = 24;
const OVERFLOW: u8 = 31;
const NOT_PERMITTED: u8 = 32;
const READ_ONLY: u8 = 34;
const CROSS_DEVICE: u8 = 37;

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = ways_out();
    modules.extend(links());
    modules.extend(sizes());
    modules.extend(load::names());
    modules.extend(load::handles());
    modules.extend(load::loops());
    modules
}

fn row(name: &str, trick: &'static str, script: &Script, must: Must) -> Hostile {
    Hostile::new(&format!("files-{name}"), trick, wasm(&script.component()), must)
}

fn done(name: &str, trick: &'static str, script: &Script) -> Hostile {
    row(name, trick, script, Must::Complete)
}

fn script() -> Script {
    Script::default()
}

fn ways_out() -> Vec<Hostile> {
    let passes = |path: &str| script().open(1, path, 0, READ).must(NOT_PERMITTED);
    vec![
        done("up", "a path above the root", &passes("../../../etc/passwd")),
        done("up-inside", "a path that goes down and further up", &passes("tmp/../../proc/self/mem")),
        done("absolute", "an absolute path", &passes("/proc/self/environ")),
        done(
            "up-from-tmp",
            "a path above the directory that it starts at",
            &script().open(1, "tmp", DIRECTORY, READ).must(0).open_from(1, 2, "../tmp", 0, READ).must(NOT_PERMITTED),
        ),
        done(
            "rename-out",
            "a file that is renamed to a place outside",
            &script().open(1, "tmp/f", CREATE, WRITE).must(0).two("rename-at", "tmp/f", "../f").must(NOT_PERMITTED),
        ),
        done(
            "rename-across",
            "a file of the scratch that replaces one of the version",
            &script().open(1, "tmp/f", CREATE, WRITE).must(0).two("rename-at", "tmp/f", "f").must(CROSS_DEVICE),
        ),
        done(
            "link-out",
            "a hard link to a file outside",
            &script().two("link-at", "../etc/passwd", "tmp/f").must(NOT_PERMITTED),
        ),
        done("write-root", "a file beside those of the version", &script().open(1, "f", CREATE, WRITE).must(READ_ONLY)),
        done("remove-tmp", "the scratch itself is removed", &script().at("remove-directory-at", "tmp").must(READ_ONLY)),
        done(
            "zero-byte",
            "a name with a zero byte",
            &script()
                .open(1, "tmp/a", CREATE, WRITE)
                .must(0)
                .then("(i32.store8 (i32.const 32769) (i32.const 0))")
                .call("open-at", 0, "(i32.const 1) (i32.const 32768) (i32.const 5) (i32.const 0) (i32.const 1)")
                .must(NO_ENTRY),
        ),
    ]
}

fn links() -> Vec<Hostile> {
    let doubled = (1..=20).fold(script().two("symlink-at", ".", "tmp/l0").must(0), |script, n| {
        script.two("symlink-at", &format!("l{0}/l{0}", n - 1), &format!("tmp/l{n}")).must(0)
    });
    let chained = (1..=45).fold(script().two("symlink-at", ".", "tmp/l0").must(0), |script, n| {
        script.two("symlink-at", &format!("l{}", n - 1), &format!("tmp/l{n}")).must(0)
    });
    vec![
        done(
            "symlink-up",
            "a link that leads above the root",
            &script()
                .two("symlink-at", "../../etc/passwd", "tmp/l")
                .must(0)
                .open(1, "tmp/l", 0, READ)
                .must(NOT_PERMITTED),
        ),
        done(
            "symlink-through",
            "a link to a directory above the root, and a path through it",
            &script().two("symlink-at", "../..", "tmp/l").must(0).open(1, "tmp/l/etc", 0, READ).must(NOT_PERMITTED),
        ),
        done(
            "symlink-absolute",
            "a link with an absolute target",
            &script().two("symlink-at", "/etc/passwd", "tmp/l").must(NOT_PERMITTED),
        ),
        done(
            "symlink-write",
            "a file that is made through a link which leads out",
            &script().two("symlink-at", "../../f", "tmp/l").must(0).open(1, "tmp/l", CREATE, WRITE).must(NOT_PERMITTED),
        ),
        done(
            "symlink-round",
            "two links that name each other",
            &script()
                .two("symlink-at", "b", "tmp/a")
                .two("symlink-at", "a", "tmp/b")
                .open(1, "tmp/a", 0, READ)
                .must(LOOP),
        ),
        done("symlink-chain", "a chain of 45 links", &chained.open(1, "tmp/l45", 0, READ).must(LOOP)),
        done("symlink-bomb", "links that double at each of 20 levels", &doubled.open(1, "tmp/l20", 0, READ).must(LOOP)),
        done(
            "symlink-swapped",
            "a directory that becomes a link while it is open",
            &script()
                .at("create-directory-at", "tmp/d")
                .open(1, "tmp/d", DIRECTORY, READ)
                .two("rename-at", "tmp/d", "tmp/e")
                .two("symlink-at", "../..", "tmp/d")
                .must(0)
                .open_from(1, 2, "../etc", 0, READ)
                .must(NOT_PERMITTED),
        ),
    ]
}

fn sizes() -> Vec<Hostile> {
    let file = || script().open(1, "tmp/f", CREATE, READ | WRITE).must(0);
    vec![
        done("size-huge", "a size of all bytes", &file().set_size(1, u64::MAX).must(NO_SPACE)),
        done("size-above", "a size above the memory", &file().set_size(1, 1 << 40).must(NO_SPACE)),
        done("offset-huge", "a byte at the last offset", &file().write(1, "x", u64::MAX).must(NO_SPACE)),
        done("offset-far", "a byte behind a hole of 4 GiB", &file().write(1, "x", 1 << 32).must(NO_SPACE)),
        done(
            "stream-far",
            "a stream that starts far behind the end",
            &file().stream(1, Some(1 << 45), "x").call("stat", 1, "").must(0),
        ),
        done("fill", "bytes without end", &fill("tmp/f", false).must(NO_SPACE)),
        done("fill-sparse", "a byte in each page, without end", &fill("tmp/f", true).must(NO_SPACE)),
        done(
            "read-huge",
            "a read of all bytes, from every offset",
            &file().set_size(1, 100).read(1, u64::MAX, 0).read(1, u64::MAX, u64::MAX).must(0),
        ),
        done(
            "times-overflow",
            "a time after the last one",
            &file()
                .call(
                    "set-times",
                    1,
                    "(i32.const 0) (i64.const 0) (i32.const 0) (i32.const 2) (i64.const -1) (i32.const -1)",
                )
                .must(OVERFLOW),
        ),
    ]
}

/// Opens a file once, and writes to it until that fails: 16 KiB each time, or a byte behind a hole.
fn fill(path: &str, is_sparse: bool) -> Script {
    let (len, step) = if is_sparse { (1, 65_537) } else { (16_384, 16_384) };
    let offset = format!("(i64.mul (i64.extend_i32_u (global.get $count)) (i64.const {step}))");
    script().open(1, path, CREATE, WRITE).must(0).repeat(|script| {
        script
            .call("write", 1, &format!("(i32.const 32768) (i32.const {len}) {offset}"))
            .then("(global.set $count (i32.add (global.get $count) (i32.const 1)))")
    })
}
