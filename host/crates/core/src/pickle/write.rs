//! The pickles that the host itself writes: a text, or an exception with a text. Protocol 4, which every client reads.

use alloc::vec::Vec;

/// PROTO 4.
const HEAD: &[u8] = b"\x80\x04";
/// STACK_GLOBAL of `builtins.RuntimeError`.
const RUNTIME_ERROR: &[u8] = b"\x8c\x08builtins\x8c\x0cRuntimeError\x93";

/// Returns the pickle of a `str`.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    [HEAD, &unicode(text), b"."].concat()
}

/// Returns the pickle of `RuntimeError(text)`.
#[must_use]
pub fn runtime_error(text: &str) -> Vec<u8> {
    // TUPLE1, REDUCE, STOP.
    [HEAD, RUNTIME_ERROR, &unicode(text), b"\x85R."].concat()
}

/// Returns BINUNICODE8 with the text.
fn unicode(text: &str) -> Vec<u8> {
    [b"\x8d".as_slice(), &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
