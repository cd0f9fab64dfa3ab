//! Ending the run with an error.

/// Ends the run as a guest error; does not return.
#[expect(unsafe_code, reason = "calls the host")]
pub(crate) fn fail(error: &[u8]) {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        fn fail(ptr: *const u8, len: usize);
    }
    // SAFETY: the host only reads these bytes.
    unsafe { fail(error.as_ptr(), error.len()) }
}
