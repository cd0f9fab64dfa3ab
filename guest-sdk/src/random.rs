//! Unpredictable bytes.

/// Fills a buffer. In native builds the bytes are suitable for tests only.
pub fn fill(buffer: &mut [u8]) {
    buffer.chunks_mut(CALL_BYTES_MAX).for_each(fill_chunk);
}

/// Returns an array of random bytes.
///
/// ```
/// let key: [u8; 16] = fusebox_guest::random::bytes();
/// ```
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Maximum size of one request to the host.
const CALL_BYTES_MAX: usize = 64 << 10;

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls the host")]
fn fill_chunk(buffer: &mut [u8]) {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        fn random(ptr: *mut u8, len: usize);
    }
    // SAFETY: the host writes only this buffer, which is not shared.
    unsafe { random(buffer.as_mut_ptr(), buffer.len()) }
}

#[cfg(not(target_arch = "wasm32"))]
fn fill_chunk(buffer: &mut [u8]) {
    use std::hash::{BuildHasher, RandomState};

    // Each state has different keys.
    let state = RandomState::new();
    for (at, bytes) in buffer.chunks_mut(8).enumerate() {
        bytes.copy_from_slice(&state.hash_one(at).to_le_bytes()[..bytes.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ() {
        assert_ne!(bytes::<16>(), bytes::<16>());
    }

    #[test]
    fn a_buffer_is_filled_to_its_end() {
        let mut buffer = vec![0; CALL_BYTES_MAX + 77];
        fill(&mut buffer);
        assert!(buffer.chunks(77).all(|chunk| chunk.len() < 77 || chunk.iter().any(|byte| *byte != 0)));
        assert!(buffer[CALL_BYTES_MAX..].iter().any(|byte| *byte != 0));
    }
}
