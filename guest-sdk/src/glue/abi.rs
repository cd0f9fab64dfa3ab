//! The host's core ABI. The host calls `fusebox_alloc` for a buffer, writes the input into it, calls `fusebox_handle`,
//! and reads the record that the returned pointer refers to.

use std::cell::Cell;

use super::Reply;
use crate::{logger, panic};

thread_local! {
    /// Buffer of the input between the two calls. Kept here, it need not be reconstructed from a pointer.
    static INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Record read by the host: three words.
#[repr(C)]
pub struct Record {
    /// 0 for an output, 1 for an error.
    tag: u32,
    ptr: *const u8,
    len: usize,
}

#[expect(unsafe_code, reason = "the host finds the export by this name, which nothing else in a module has")]
#[unsafe(no_mangle)]
extern "C" fn fusebox_alloc(len: usize) -> *mut u8 {
    let mut input = vec![0; len];
    let ptr = input.as_mut_ptr();
    INPUT.set(input);
    ptr
}

/// Handles the call. The result is never freed: the host reads it after the call and then drops the instance.
pub fn handle(reply: fn(&mut Vec<u8>) -> Reply) -> *const Record {
    panic::report_to_host();
    logger::log_to_host();
    let (tag, bytes) = match reply(&mut INPUT.take()) {
        Ok(output) => (0, output),
        Err(error) => (1, error),
    };
    let bytes = bytes.leak();
    Box::leak(Box::new(Record { tag, ptr: bytes.as_ptr(), len: bytes.len() }))
}
