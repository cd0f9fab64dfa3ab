//! Components that play a script of calls to `wasi:filesystem`, and output a byte for each: 0 for success, or the place of
//! the error in `error-code` of 0.2, from 1 on. That of 0.3 has the same order without `would-block`, the second one.

use super::{answer, handler_with, script_0_3};

/// Version of the interfaces that a script calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Version 0.2.
    #[default]
    V2,
    /// Version 0.3.
    V3,
}

/// Reading.
pub const READ: u32 = 1;
/// Writing.
pub const WRITE: u32 = 2;
/// Makes a file that is not there.
pub const CREATE: u32 = 1;
/// Opens a directory.
pub const DIRECTORY: u32 = 2;
/// Opens only what it has made.
pub const EXCLUSIVE: u32 = 4;
/// Empties the file.
pub const TRUNCATE: u32 = 8;

/// Methods of descriptors with the types of their lowered functions, the place of the result last, and the place of the
/// error in the result.
pub(super) const METHODS: [(&str, &str, u32); 18] = [
    ("open-at", "i32 i32 i32 i32 i32 i32 i32", 4),
    ("read", "i32 i64 i64 i32", 4),
    ("write", "i32 i32 i32 i64 i32", 8),
    ("set-size", "i32 i64 i32", 1),
    ("set-times", "i32 i32 i64 i32 i32 i64 i32 i32", 1),
    ("stat", "i32 i32", 8),
    ("stat-at", "i32 i32 i32 i32 i32", 8),
    ("read-via-stream", "i32 i64 i32", 4),
    ("write-via-stream", "i32 i64 i32", 4),
    ("append-via-stream", "i32 i32", 4),
    ("read-directory", "i32 i32", 4),
    ("create-directory-at", "i32 i32 i32 i32", 1),
    ("remove-directory-at", "i32 i32 i32 i32", 1),
    ("unlink-file-at", "i32 i32 i32 i32", 1),
    ("readlink-at", "i32 i32 i32 i32", 4),
    ("symlink-at", "i32 i32 i32 i32 i32 i32", 1),
    ("link-at", "i32 i32 i32 i32 i32 i32 i32 i32", 1),
    ("rename-at", "i32 i32 i32 i32 i32 i32 i32", 1),
];

/// Other functions: instance, name, and type.
const OTHERS: [(&str, &str, &str); 6] = [
    ("preopens", "get-directories", "(param i32)"),
    ("types", "filesystem-error-code", "(param i32 i32)"),
    ("types", "[method]directory-entry-stream.read-directory-entry", "(param i32 i32)"),
    ("types", "[method]descriptor.is-same-object", "(param i32 i32) (result i32)"),
    ("streams", "[method]input-stream.blocking-read", "(param i32 i64 i32)"),
    ("streams", "[method]output-stream.blocking-write-and-flush", "(param i32 i32 i32 i32)"),
];

/// Address of the texts.
const TEXTS: usize = 32_768;
/// Result of the last call.
pub(super) const RESULT: u32 = 256;

/// Steps of a component, with their texts. Handles are in globals, `$h0` being the root directory.
#[derive(Debug, Default)]
pub struct Script {
    version: Version,
    pub(super) texts: String,
    text_bytes: usize,
    pub(super) body: String,
}

impl Script {
    /// Returns an empty script for a version.
    #[must_use]
    pub fn of(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    /// Returns the address and length of a text.
    pub(super) fn text(&mut self, text: &str) -> String {
        let at = TEXTS + self.text_bytes;
        self.texts += &format!(r#"(data (i32.const {at}) "{text}")"#);
        self.text_bytes += text.len();
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    /// Calls a method, with its result at the place of results, and notes its error.
    #[must_use]
    pub fn call(mut self, method: &str, handle: u32, arguments: &str) -> Self {
        let error = METHODS.iter().find(|(name, ..)| *name == method).map_or(0, |(_, _, error)| *error);
        let error = if self.version == Version::V2 || error == 8 { error } else { 4 };
        self.body += &format!(
            "(call ${method} (global.get $h{handle}) {arguments} (i32.const {RESULT}))
            (global.set $code (call $error (i32.const {error}))) (call $note (global.get $code))"
        );
        self
    }

    /// Traps unless the last call ended with this error, or 0 for success.
    #[must_use]
    pub fn must(self, error: u8) -> Self {
        self.then(&format!("(if (i32.ne (global.get $code) (i32.const {error})) (then (unreachable)))"))
    }

    /// Repeats steps while their last call succeeds.
    #[must_use]
    pub fn repeat(self, steps: impl FnOnce(Self) -> Self) -> Self {
        steps(self.then("(loop $again ")).then("(br_if $again (i32.eqz (global.get $code))))")
    }

    /// Calls a method with a path.
    #[must_use]
    pub fn at(mut self, method: &str, path: &str) -> Self {
        let path = self.text(path);
        self.call(method, 0, &path)
    }

    /// Calls a method with two paths below the root.
    #[must_use]
    pub fn two(mut self, method: &str, from: &str, to: &str) -> Self {
        let (from, to) = (self.text(from), self.text(to));
        let arguments = match method {
            "symlink-at" => format!("{from} {to}"),
            "link-at" => format!("(i32.const 0) {from} (global.get $h0) {to}"),
            _ => format!("{from} (global.get $h0) {to}"),
        };
        self.call(method, 0, &arguments)
    }

    /// Opens a path below the root, into a global.
    #[must_use]
    pub fn open(self, into: u32, path: &str, how: u32, flags: u32) -> Self {
        self.open_from(0, into, path, how, flags)
    }

    /// Opens a path below a directory, into a global.
    #[must_use]
    pub fn open_from(mut self, from: u32, into: u32, path: &str, how: u32, flags: u32) -> Self {
        let path = self.text(path);
        let arguments = format!("(i32.const 1) {path} (i32.const {how}) (i32.const {flags})");
        let opened = format!("(global.set $h{into} (i32.load (i32.const {})))", RESULT + 4);
        self.call("open-at", from, &arguments).then(&opened)
    }

    /// Writes a text at an offset.
    #[must_use]
    pub fn write(mut self, handle: u32, text: &str, offset: u64) -> Self {
        let text = self.text(text);
        self.call("write", handle, &format!("{text} (i64.const {offset})"))
    }

    /// Sets a file's size.
    #[must_use]
    pub fn set_size(self, handle: u32, size: u64) -> Self {
        self.call("set-size", handle, &format!("(i64.const {size})"))
    }

    /// Reads, and outputs the bytes and whether the end was reached.
    #[must_use]
    pub fn read(self, handle: u32, len: u64, offset: u64) -> Self {
        let this = self.call("read", handle, &format!("(i64.const {len}) (i64.const {offset})"));
        this.then("(if (i32.eqz (i32.load8_u (i32.const 256))) (then (call $tell (i32.load (i32.const 260)) (i32.load (i32.const 264))) (call $note (i32.load8_u (i32.const 268)))))")
    }

    /// Opens a stream and writes to it, and notes the error of its last write.
    #[must_use]
    pub fn stream(mut self, handle: u32, at: Option<u64>, text: &str) -> Self {
        let text = self.text(text);
        let this = match at {
            Some(at) => self.call("write-via-stream", handle, &format!("(i64.const {at})")),
            None => self.call("append-via-stream", handle, ""),
        };
        this.then(&format!(
            "(call $blocking-write-and-flush (i32.load (i32.const 260)) {text} (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then
                (call $filesystem-error-code (i32.load (i32.const 264)) (i32.const 272))
                (call $note (i32.add (i32.const 1) (i32.load8_u (i32.const 273))))))"
        ))
    }

    /// Executes code.
    #[must_use]
    pub fn then(mut self, code: &str) -> Self {
        self.body += code;
        self
    }

    /// Returns the component as text.
    #[must_use]
    pub fn component(&self) -> String {
        if self.version == Version::V3 {
            return script_0_3::component(self);
        }
        let (mut lowers, mut uses, mut with) = (String::new(), String::new(), String::new());
        let methods = METHODS
            .iter()
            .map(|(name, kind, _)| ("types", format!("[method]descriptor.{name}"), format!("(param {kind})")));
        let others = OTHERS.iter().map(|(instance, name, kind)| (*instance, (*name).to_owned(), (*kind).to_owned()));
        for (instance, function, kind) in methods.chain(others) {
            let name = function.rsplit('.').next().unwrap_or_default();
            lowers += &format!(
                r#"(core func ${name} (canon lower (func ${instance} "{function}") (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc"))))"#
            );
            uses += &format!(r#"(import "host" "{name}" (func ${name} {kind}))"#);
            with += &format!(r#"(export "{name}" (func ${name}))"#);
        }
        uses += r#"(import "host" "drop" (func $drop (param i32)))"#;
        with += r#"(export "drop" (func $drop-fd))"#;
        let helpers = helpers(1) + &self.texts;
        let body = format!(
            "(call $get-directories (i32.const 64)) (global.set $h0 (i32.load (i32.load (i32.const 64)))) {} {}",
            self.body,
            answer(0, "(i32.const 65536)", "(i32.load (i32.const 128))")
        );
        let imports = [include_str!("files.wat"), &lowers].concat();
        handler_with(&body, &imports, &[uses, helpers].concat(), &format!(r#"(with "host" (instance {with}))"#))
    }
}

/// Returns functions of the script: `$note` outputs a byte, `$tell` some, and `$error` returns the error of the last
/// result at a place, with `first` for the first one. The output is at 65,536, and its length at 128.
pub(super) fn helpers(first: u32) -> String {
    let globals = (0..4).map(|n| format!("(global $h{n} (mut i32) (i32.const 0))")).collect::<String>();
    format!(
        "{globals} (global $code (mut i32) (i32.const 0)) (global $count (mut i32) (i32.const 0))
            (func $note (param i32)
                (i32.store8 (i32.add (i32.const 65536) (i32.load (i32.const 128))) (local.get 0))
                (i32.store (i32.const 128) (i32.and (i32.const 0x3fff)
                    (i32.add (i32.load (i32.const 128)) (i32.const 1)))))
            (func $tell (param i32 i32)
                (memory.copy (i32.add (i32.const 65536) (i32.load (i32.const 128))) (local.get 0) (local.get 1))
                (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (local.get 1))))
            (func $error (param i32) (result i32)
                (if (result i32) (i32.load8_u (i32.const {RESULT}))
                    (then (i32.add (i32.const {first}) (i32.load8_u (i32.add (i32.const {RESULT}) (local.get 0)))))
                    (else (i32.const 0))))"
    )
}
