//! Components that play a script of calls to `wasi:filesystem` 0.3: commands of 0.3, whose output is their stdout.

use super::script::{METHODS, RESULT, Script, helpers};

/// Methods with streams, and the types of their lowered functions.
const STREAMS: [(&str, &str); 4] = [
    ("read-via-stream", "(param i32 i64 i32)"),
    ("read-directory", "(param i32 i32)"),
    ("write-via-stream", "(param i32 i32 i64) (result i32)"),
    ("append-via-stream", "(param i32 i32) (result i32)"),
];

/// Functions of streams, of `files_0_3.wat`, and their types.
const BUILT_IN: [(&str, &str); 14] = [
    ("drop-fd", "(param i32)"),
    ("new-stream", "(result i64)"),
    ("read-bytes", "(param i32 i32 i32) (result i32)"),
    ("write-bytes", "(param i32 i32 i32) (result i32)"),
    ("drop-reader", "(param i32)"),
    ("drop-writer", "(param i32)"),
    ("read-entries", "(param i32 i32 i32) (result i32)"),
    ("drop-entries", "(param i32)"),
    ("read-ended", "(param i32 i32) (result i32)"),
    ("drop-ended", "(param i32)"),
    ("new-set", "(result i32)"),
    ("join", "(param i32 i32)"),
    ("wait", "(param i32 i32) (result i32)"),
    ("stdout", "(result i32)"),
];

/// Functions of the script: `$drain` outputs the bytes of a stream, `$list` the types and names of entries, `$pour`
/// writes to a file, at its end if the offset is -1, and `$settle` outputs the error of a stream's result.
const FUNCTIONS: &str = "
    (global $set (mut i32) (i32.const 0))
    (func $done (param $code i32) (param $waitable i32) (result i32)
        (if (i32.eq (local.get $code) (i32.const -1)) (then
            (call $join (local.get $waitable) (global.get $set))
            (drop (call $wait (global.get $set) (i32.const 560)))
            (call $join (local.get $waitable) (i32.const 0))
            (local.set $code (i32.load (i32.const 564)))))
        (local.get $code))
    (func $settle (param $ended i32)
        (drop (call $done (call $read-ended (local.get $ended) (i32.const 512)) (local.get $ended)))
        (call $note (if (result i32) (i32.load8_u (i32.const 512))
            (then (i32.add (i32.const 2) (i32.load8_u (i32.const 516)))) (else (i32.const 0))))
        (call $drop-ended (local.get $ended)))
    (func $drain (param $stream i32) (local $code i32)
        (loop
            (local.set $code (call $done (call $read-bytes (local.get $stream) (i32.const 40960) (i32.const 4096))
                (local.get $stream)))
            (call $tell (i32.const 40960) (i32.shr_u (local.get $code) (i32.const 4)))
            (br_if 0 (i32.eqz (i32.and (local.get $code) (i32.const 15)))))
        (call $drop-reader (local.get $stream)))
    (func $list (param $stream i32) (local $code i32) (local $left i32) (local $at i32)
        (loop
            (local.set $code (call $done (call $read-entries (local.get $stream) (i32.const 40960) (i32.const 2))
                (local.get $stream)))
            (local.set $left (i32.shr_u (local.get $code) (i32.const 4)))
            (local.set $at (i32.const 40960))
            (loop
                (if (local.get $left) (then
                    (call $note (i32.load8_u (local.get $at)))
                    (call $tell (i32.load offset=16 (local.get $at)) (i32.load offset=20 (local.get $at)))
                    (local.set $at (i32.add (local.get $at) (i32.const 24)))
                    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                    (br 1))))
            (br_if 0 (i32.eqz (i32.and (local.get $code) (i32.const 15)))))
        (call $drop-entries (local.get $stream)))
    (func $pour (param $fd i32) (param $at i64) (param $ptr i32) (param $len i32)
        (local $pair i64) (local $writer i32) (local $ended i32) (local $code i32)
        (local.set $pair (call $new-stream))
        (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
        (local.set $ended (if (result i32) (i64.eq (local.get $at) (i64.const -1))
            (then (call $append-via-stream (local.get $fd) (i32.wrap_i64 (local.get $pair))))
            (else (call $write-via-stream (local.get $fd) (i32.wrap_i64 (local.get $pair)) (local.get $at)))))
        (loop
            (local.set $code (call $done
                (call $write-bytes (local.get $writer) (local.get $ptr) (local.get $len)) (local.get $writer)))
            (local.set $ptr (i32.add (local.get $ptr) (i32.shr_u (local.get $code) (i32.const 4))))
            (local.set $len (i32.sub (local.get $len) (i32.shr_u (local.get $code) (i32.const 4))))
            (br_if 0 (i32.and (i32.ne (local.get $len) (i32.const 0))
                (i32.eqz (i32.and (local.get $code) (i32.const 15))))))
        (call $drop-writer (local.get $writer))
        (call $settle (local.get $ended)))";

impl Script {
    /// Outputs all bytes of a file from a position on, and the error of the stream.
    #[must_use]
    pub fn drain(self, handle: u32, offset: u64) -> Self {
        self.then(&format!(
            "(call $read-via-stream (global.get $h{handle}) (i64.const {offset}) (i32.const {RESULT}))
            (call $drain (i32.load (i32.const {RESULT}))) (call $settle (i32.load offset=4 (i32.const {RESULT})))"
        ))
    }

    /// Outputs the entries of a directory, and the error of the stream.
    #[must_use]
    pub fn list(self, handle: u32) -> Self {
        self.then(&format!(
            "(call $read-directory (global.get $h{handle}) (i32.const {RESULT}))
            (call $list (i32.load (i32.const {RESULT}))) (call $settle (i32.load offset=4 (i32.const {RESULT})))"
        ))
    }

    /// Writes through a stream, at the end of the file if there is no position, and outputs its error.
    #[must_use]
    pub fn pour(mut self, handle: u32, at: Option<u64>, text: &str) -> Self {
        let text = self.text(text);
        let at = at.map_or(-1, u64::cast_signed);
        self.then(&format!("(call $pour (global.get $h{handle}) (i64.const {at}) {text})"))
    }
}

/// Returns the component.
pub(super) fn component(script: &Script) -> String {
    let (mut lowers, mut uses, mut with) = (String::new(), String::new(), String::new());
    let has_stream =
        |name: &str| name == "read" || name == "write" || STREAMS.iter().any(|(stream, _)| *stream == name);
    let methods = METHODS.iter().filter(|(name, ..)| !has_stream(name));
    let methods = methods.map(|(name, kind, _)| (*name, format!("(param {kind})")));
    let methods = methods.chain(STREAMS.map(|(name, kind)| (name, kind.to_owned())));
    let methods = methods.chain([("is-same-object", "(param i32 i32) (result i32)".to_owned())]);
    let methods = methods.map(|(name, kind)| ("types", format!("[method]descriptor.{name}"), kind));
    let others = [
        ("preopens", "get-directories", "(param i32)"),
        ("streams", "[method]output-stream.blocking-write-and-flush", "(param i32 i32 i32 i32)"),
    ];
    let others = others.map(|(instance, name, kind)| (instance, name.to_owned(), kind.to_owned()));
    for (instance, function, kind) in methods.chain(others) {
        let name = function.rsplit('.').next().unwrap_or_default();
        lowers += &format!(
            r#"(core func ${name} (canon lower (func ${instance} "{function}") (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc"))))"#
        );
        uses += &format!(r#"(import "host" "{name}" (func ${name} {kind}))"#);
        with += &format!(r#"(export "{name}" (func ${name}))"#);
    }
    for (name, kind) in BUILT_IN {
        uses += &format!(r#"(import "host" "{name}" (func ${name} {kind}))"#);
        with += &format!(r#"(export "{name}" (func ${name}))"#);
    }
    let (helpers, texts, body, imports) = (helpers(2), &script.texts, &script.body, include_str!("files_0_3.wat"));
    format!(
        r#"(component
            (core module $libc
                (memory (export "memory") 2)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            {imports} {lowers}
            (core module $main
                (import "libc" "memory" (memory 1))
                {uses} {helpers} {FUNCTIONS} {texts}
                (func (export "run") (result i32)
                    (global.set $set (call $new-set))
                    (call $get-directories (i32.const 64))
                    (global.set $h0 (i32.load (i32.load (i32.const 64))))
                    {body}
                    (call $blocking-write-and-flush (call $stdout) (i32.const 65536) (i32.load (i32.const 128))
                        (i32.const 512))
                    (i32.const 0)))
            (core instance $main (instantiate $main (with "libc" (instance $libc)) (with "host" (instance {with}))))
            (func $run async (result (result)) (canon lift (core func $main "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $command)))"#
    )
}
