//! Imports of module `fusebox`, as guest-sdk/c/fusebox.h describes them.
#![expect(unsafe_code, reason = "imports of WebAssembly are foreign functions")]

use std::ptr;

/// Answer of a call: a number, which is a refusal if it is negative, or the bytes that the host keeps for it.
pub(crate) enum Answer {
    Number(i64),
    Bytes(Vec<u8>),
}

mod imports {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        pub(super) fn answer(ptr: *mut u8, cap: usize) -> usize;
        pub(super) fn config(name: *const u8, len: usize) -> i64;
        pub(super) fn context(ptr: *mut u8, cap: usize) -> usize;
        pub(super) fn http(request: *const u8, len: usize) -> i64;
        pub(super) fn kv_get(key: *const u8, len: usize) -> i64;
        pub(super) fn kv_set(
            key: *const u8,
            len: usize,
            value: *const u8,
            value_len: usize,
            ttl_ms: i64,
            expects: i64,
        ) -> i64;
        pub(super) fn kv_delete(key: *const u8, len: usize, expects: i64) -> i64;
        pub(super) fn kv_keys(prefix: *const u8, len: usize, after: *const u8, after_len: usize) -> i64;
        pub(super) fn log(level: u32, text: *const u8, len: usize);
        pub(super) fn secret(name: *const u8, len: usize) -> i64;
    }
}

/// Reads what the host wrote by a function that returns the whole length, after a call with no room tells it.
fn filled(fill: unsafe extern "C" fn(*mut u8, usize) -> usize) -> Vec<u8> {
    // SAFETY: no byte is written to a buffer of none, and then at most as many as there are.
    let len = unsafe { fill(ptr::null_mut(), 0) };
    let mut bytes = vec![0; len];
    let written = unsafe { fill(bytes.as_mut_ptr(), bytes.len()) };
    bytes.truncate(written);
    bytes
}

/// Returns the answer of a call that returned a length or a refusal.
fn answer(result: i64) -> Answer {
    if result < 0 { Answer::Number(result) } else { Answer::Bytes(filled(imports::answer)) }
}

pub(crate) fn context() -> String {
    String::from_utf8_lossy(&filled(imports::context)).into_owned()
}

pub(crate) fn log(level: u32, text: &str) {
    // SAFETY: the pointer and length are of one text, as for the calls below.
    unsafe { imports::log(level, text.as_ptr(), text.len()) }
}

pub(crate) fn config(name: &str) -> Answer {
    answer(unsafe { imports::config(name.as_ptr(), name.len()) })
}

pub(crate) fn secret(name: &str) -> Answer {
    answer(unsafe { imports::secret(name.as_ptr(), name.len()) })
}

pub(crate) fn http(request: &[u8]) -> Answer {
    answer(unsafe { imports::http(request.as_ptr(), request.len()) })
}

pub(crate) fn kv_get(key: &[u8]) -> Answer {
    answer(unsafe { imports::kv_get(key.as_ptr(), key.len()) })
}

pub(crate) fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64, expects: i64) -> Answer {
    let (ptr, len) = (value.as_ptr(), value.len());
    Answer::Number(unsafe { imports::kv_set(key.as_ptr(), key.len(), ptr, len, ttl_ms, expects) })
}

pub(crate) fn kv_delete(key: &[u8], expects: i64) -> Answer {
    Answer::Number(unsafe { imports::kv_delete(key.as_ptr(), key.len(), expects) })
}

pub(crate) fn kv_keys(prefix: &[u8], after: &[u8]) -> Answer {
    answer(unsafe { imports::kv_keys(prefix.as_ptr(), prefix.len(), after.as_ptr(), after.len()) })
}
