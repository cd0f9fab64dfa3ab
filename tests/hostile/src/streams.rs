//! Components that abuse the bodies of HTTP: they never read, never write, write without end, or after the end.

use crate::{Hostile, Must, component::http, write::wasm};

/// Sends the head, and keeps the stream of the body in local 2.
const OPEN: &str = "(local.set 2 (call $open (call $head (local.get 1) (i32.const 200))))";
/// Writes a page, of which most hosts buffer a few.
const WRITE: &str = "(call $write (local.get 2) (i32.const 0) (i32.const 4096) (i32.const 8192))";
/// Sends the head, and keeps the body in local 2.
const HEAD: &str = "(local.set 2 (call $head (local.get 1) (i32.const 200)))";

pub(crate) fn modules() -> Vec<Hostile> {
    let finish = "(call $finish (local.get 2) (i32.const 0) (i32.const 0) (i32.const 48))";
    let answer = "(call $answer (local.get 0) (local.get 1))".to_owned();
    let small = "&output_bytes=20000";
    let cases: [(&str, &'static str, String, Must); 13] = [
        ("stream-no-head", "no response at all", String::new(), Must::Fail("trap")),
        ("stream-unread", "a request whose body is never read", answer, Must::Complete),
        (
            "stream-silent",
            "a head, and then nothing but work",
            format!("{OPEN} (loop (br 0))"),
            Must::Fail("out-of-fuel"),
        ),
        ("stream-two-heads", "two heads", format!("{HEAD} {HEAD}"), Must::Fail("trap")),
        (
            "stream-reopened",
            "a body that is opened twice",
            format!("{HEAD} {0} {0}", "(drop (call $open (local.get 2)))"),
            Must::Fail("guest-error"),
        ),
        ("stream-unfinished", "a body that does not end", format!("{OPEN} {WRITE}"), Must::Fail("guest-error")),
        (
            "stream-finished-open",
            "a body that ends before its stream",
            format!("{HEAD} (drop (call $open (local.get 2))) {finish}"),
            Must::Fail("trap"),
        ),
        (
            "stream-after-drop",
            "bytes to a stream that is gone",
            format!("{OPEN} (call $drop (local.get 2)) {WRITE}"),
            Must::Fail("trap"),
        ),
        ("stream-after-finish", "a body that ends twice", format!("{HEAD} {finish} {finish}"), Must::Fail("trap")),
        (
            "stream-endless",
            "bytes without end",
            format!("{OPEN} (loop {WRITE} (br 0))"),
            Must::Fail("output-too-large"),
        ),
        (
            "stream-single-bytes",
            "single bytes without end",
            format!("{OPEN} (loop {} (br 0))", WRITE.replace("4096", "1")),
            Must::Fail("output-too-large"),
        ),
        (
            "stream-large-write",
            "a write above what one may have",
            format!("{OPEN} {}", WRITE.replace("4096", "4097")),
            Must::Fail("trap"),
        ),
        (
            "stream-trailers",
            "trailers of 80 KB",
            format!("{HEAD} (call $trail (local.get 2) (i32.const 10))"),
            Must::Fail("trap"),
        ),
    ];
    let built = cases.map(|(name, trick, handle, must)| {
        let hostile = Hostile::new(name, trick, wasm(&http(&handle)), must);
        if must == Must::Fail("output-too-large") { Hostile { limits: small, ..hostile } } else { hostile.by_fuel() }
    });
    built.into()
}
