//! Imports of capabilities in the host's form: numbers, pointers and lengths. The linker drops the unused ones, so a
//! module imports only what it needs grants for. Native builds use the fakes.

use crate::Refusal;

#[cfg(target_arch = "wasm32")]
pub(crate) use imports::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::fake::host::*;

/// Returns the bytes of the last call's result if `result` indicates one; `None` if the value does not exist.
pub(crate) fn bytes(result: i64) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(len) = Refusal::check(result)? else { return Ok(None) };
    // The host returns no more than fits into a module's memory.
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Refusal::TooLarge)?];
    answer(&mut bytes);
    Ok(Some(bytes))
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls the host")]
mod imports {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        #[link_name = "config"]
        fn host_config(name: *const u8, name_len: usize) -> i64;
        #[link_name = "secret"]
        fn host_secret(name: *const u8, name_len: usize) -> i64;
        #[link_name = "kv_get"]
        fn host_kv_get(key: *const u8, key_len: usize) -> i64;
        #[link_name = "kv_set"]
        fn host_kv_set(
            key: *const u8,
            key_len: usize,
            value: *const u8,
            value_len: usize,
            ttl_ms: i64,
            expects: i64,
        ) -> i64;
        #[link_name = "kv_delete"]
        fn host_kv_delete(key: *const u8, key_len: usize, expects: i64) -> i64;
        #[link_name = "kv_keys"]
        fn host_kv_keys(prefix: *const u8, prefix_len: usize, after: *const u8, after_len: usize) -> i64;
        #[link_name = "http"]
        fn host_http(request: *const u8, request_len: usize) -> i64;
        #[link_name = "answer"]
        fn host_answer(buffer: *mut u8, cap: usize) -> i32;
    }

    pub(crate) fn config(name: &str) -> i64 {
        // SAFETY: the host only reads this name. The same holds for the arguments below.
        unsafe { host_config(name.as_ptr(), name.len()) }
    }

    pub(crate) fn secret(name: &str) -> i64 {
        // SAFETY: as above.
        unsafe { host_secret(name.as_ptr(), name.len()) }
    }

    pub(crate) fn kv_get(key: &[u8]) -> i64 {
        // SAFETY: as above.
        unsafe { host_kv_get(key.as_ptr(), key.len()) }
    }

    pub(crate) fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64, expects: i64) -> i64 {
        // SAFETY: as above.
        unsafe { host_kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms, expects) }
    }

    pub(crate) fn kv_delete(key: &[u8], expects: i64) -> i64 {
        // SAFETY: as above.
        unsafe { host_kv_delete(key.as_ptr(), key.len(), expects) }
    }

    pub(crate) fn kv_keys(prefix: &[u8], after: &[u8]) -> i64 {
        // SAFETY: as above.
        unsafe { host_kv_keys(prefix.as_ptr(), prefix.len(), after.as_ptr(), after.len()) }
    }

    pub(crate) fn http(request: &[u8]) -> i64 {
        // SAFETY: as above.
        unsafe { host_http(request.as_ptr(), request.len()) }
    }

    /// Copies the last call's result, up to the length of the buffer.
    pub(crate) fn answer(buffer: &mut [u8]) {
        // SAFETY: the host writes only this buffer, which is not shared.
        unsafe { host_answer(buffer.as_mut_ptr(), buffer.len()) };
    }
}
