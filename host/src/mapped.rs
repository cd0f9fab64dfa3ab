//! Files mapped into memory: their pages are read when they are used, and the system takes them back when it needs memory.

use std::{fs::File, io, num::NonZeroUsize, ptr::NonNull, slice};

use bytes::Bytes;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Mapping of a whole file; unmapped when dropped.
struct Mapped {
    start: NonNull<u8>,
    bytes: NonZeroUsize,
}

/// Maps a file that nobody else can open or change: one without a name, whose descriptor the caller drops. Returns its
/// bytes.
///
/// # Errors
/// Fails if the system cannot map it.
pub(crate) fn read_only(file: &File) -> io::Result<Bytes> {
    let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let Some(bytes) = NonZeroUsize::new(bytes) else { return Ok(Bytes::new()) };
    #[expect(unsafe_code, reason = "the system can map memory over other memory if it is asked to")]
    // SAFETY: the system chooses the address, so the mapping replaces none.
    let start = unsafe { mmap(std::ptr::null_mut(), bytes.get(), ProtFlags::READ, MapFlags::PRIVATE, file, 0) };
    let start = NonNull::new(start?.cast()).ok_or_else(|| io::Error::other("the mapping is at address 0"))?;
    Ok(Bytes::from_owner(Mapped { start, bytes }))
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        #[expect(unsafe_code, reason = "a mapping is memory that Rust does not know")]
        // SAFETY: the memory is mapped for reading while this value lives. Nothing writes to it: the file has no name, and
        // its only writer has ended before it was mapped. Its blocks are allocated, so a full disk cannot fail a read.
        unsafe {
            slice::from_raw_parts(self.start.as_ptr(), self.bytes.get())
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a mapping must not be used after this")]
        // SAFETY: this value owns the mapping, and no slice of it outlives the value.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.bytes.get()) };
        if let Err(error) = unmapped {
            tracing::error!(%error, "a file stays mapped");
        }
    }
}

#[expect(unsafe_code, reason = "a pointer is not sent by default")]
// SAFETY: the memory is only read, and unmapped by any thread.
unsafe impl Send for Mapped {}

#[expect(unsafe_code, reason = "a pointer is not shared by default")]
// SAFETY: the memory is only read.
unsafe impl Sync for Mapped {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_without_a_name_is_read_after_it_is_closed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 5_000]).unwrap();
        let bytes = read_only(&file).unwrap();
        drop(file);
        assert_eq!(bytes.slice(4_990..), vec![7; 10]);
        assert_eq!(read_only(&tempfile::tempfile().unwrap()).unwrap(), "");
    }
}
