//! Ends the run as a guest error.

/// Ends the run; what follows is not run.
#[expect(unsafe_code, reason = "calls the host")]
pub(crate) fn fail(error: &[u8]) {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        fn fail(ptr: *const u8, len: usize);
    }
    // SAFETY: the host only reads, and only these bytes.
    unsafe { fail(error.as_ptr(), error.len()) }
}
