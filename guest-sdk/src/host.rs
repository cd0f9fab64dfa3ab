//! The host's capabilities as it offers them: numbers, pointers and lengths. What a function does not use, the linker
//! leaves out, so that its module imports only what it needs a grant for. Natively the fakes answer.

use crate::Refusal;

#[cfg(target_arch = "wasm32")]
pub(crate) use imports::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::fake::host::*;

/// The bytes that the last call answered with, where `result` says that it did; `None` where there are none.
pub(crate) fn bytes(result: i64) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(len) = Refusal::check(result)? else { return Ok(None) };
    // The host answers with no more than a module's memory could hold.
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
        #[link_name = "http"]
        fn host_http(request: *const u8, request_len: usize) -> i64;
        #[link_name = "answer"]
        fn host_answer(buffer: *mut u8, cap: usize) -> i32;
    }

    pub(crate) fn config(name: &str) -> i64 {
        // SAFETY: the host only reads, and only this name. So it is below with what it is given.
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

    pub(crate) fn http(request: &[u8]) -> i64 {
        // SAFETY: as above.
        unsafe { host_http(request.as_ptr(), request.len()) }
    }

    /// Copies the last call's answer, as much of it as fits.
    pub(crate) fn answer(buffer: &mut [u8]) {
        // SAFETY: the host writes this buffer, which is ours alone, and nothing else.
        unsafe { host_answer(buffer.as_mut_ptr(), buffer.len()) };
    }
}
