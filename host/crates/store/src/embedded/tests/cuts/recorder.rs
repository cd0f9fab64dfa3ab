//! Recorder of what this process does to the files of a directory. The calls of the C library that change files are
//! defined here once more: the linker takes these, for LMDB and the standard library alike, and each passes the call on.
//! Files are named by their path at the time of the call, relative to the directory.

#![expect(unsafe_code, reason = "functions in the place of the C library's have their signatures")]

use std::{
    ffi::{CStr, OsStr},
    mem::transmute,
    os::{fd::BorrowedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use libc::{c_char, c_int, c_void, iovec, mode_t, off_t, size_t, ssize_t};
use rustix::fs::{CWD, readlinkat, tell};

/// Successful call.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A new directory.
    Mkdir(PathBuf),
    /// Bytes at an offset of a file, which is new if it was never written to. With `synced`, durable on return.
    Write { path: PathBuf, at: usize, bytes: Vec<u8>, synced: bool },
    /// A new name.
    Rename(PathBuf, PathBuf),
    /// The end of a name.
    Remove(PathBuf),
    /// A flush of a file, or of the names in a directory.
    Sync(PathBuf),
    /// Everything that was done so far was acknowledged.
    Mark,
}

/// A directory and what was done there.
type Recording = (PathBuf, Vec<Op>);

/// Recordings in progress, of tests that run at the same time.
static RECORDINGS: Mutex<Vec<Recording>> = Mutex::new(Vec::new());
/// Number of recordings, so that other tests pay nothing.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

fn recordings() -> MutexGuard<'static, Vec<Recording>> {
    RECORDINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to record what happens below a directory, whose path has no links.
pub(super) fn start(root: &Path) {
    recordings().push((root.to_owned(), Vec::new()));
    ACTIVE.fetch_add(1, Ordering::SeqCst);
}

/// Records that everything was acknowledged.
pub(super) fn mark(root: &Path) {
    record(|other| (other == root).then_some(Op::Mark));
}

/// Ends a recording and returns it.
pub(super) fn stop(root: &Path) -> Vec<Op> {
    ACTIVE.fetch_sub(1, Ordering::SeqCst);
    let mut recordings = recordings();
    let at = recordings.iter().position(|(other, _)| other == root).unwrap();
    recordings.swap_remove(at).1
}

/// Adds an operation to each recording of whose directory it is one.
fn record(op: impl Fn(&Path) -> Option<Op>) {
    if ACTIVE.load(Ordering::SeqCst) > 0 {
        for (root, ops) in recordings().iter_mut() {
            ops.extend(op(root));
        }
    }
}

/// Returns the path of an open file below `root`.
fn path_of(fd: c_int, root: &Path) -> Option<PathBuf> {
    let link = readlinkat(CWD, format!("/proc/self/fd/{fd}"), Vec::new()).ok()?;
    let path = Path::new(OsStr::from_bytes(link.as_bytes()));
    path.strip_prefix(root).ok().map(Path::to_owned)
}

/// Returns a path below `root`, which is relative to an open directory if it is not absolute.
fn named(dir: c_int, path: *const c_char, root: &Path) -> Option<PathBuf> {
    // SAFETY: the caller of the C library gave it this text.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    match path.strip_prefix(root) {
        Ok(path) => Some(path.to_owned()),
        Err(_) if path.is_absolute() || dir == libc::AT_FDCWD => None,
        Err(_) => Some(path_of(dir, root)?.join(path)),
    }
}

/// Records `done` bytes of a write that started at an offset, or ended at the file's own.
fn record_write(fd: c_int, parts: &[iovec], at: Option<off_t>, done: ssize_t) {
    let Ok(done) = usize::try_from(done) else { return };
    record(|root| {
        let path = path_of(fd, root)?;
        // SAFETY: the caller of the C library has the file open.
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        let at = match at {
            Some(at) => usize::try_from(at).ok()?,
            None => usize::try_from(tell(file).ok()?).ok()? - done,
        };
        let mut bytes = Vec::with_capacity(done);
        for part in parts {
            // SAFETY: the caller of the C library gave it these bytes, at least as many as were written.
            let part = unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) };
            bytes.extend_from_slice(&part[..part.len().min(done - bytes.len())]);
        }
        // rustix takes O_SYNC for O_DSYNC. SAFETY: reads the file's flags.
        let synced = unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_DSYNC != 0;
        Some(Op::Write { path, at, bytes, synced })
    });
}

/// Returns the parts of a write.
fn parts<'a>(vector: *const iovec, count: c_int) -> &'a [iovec] {
    // SAFETY: the caller of the C library gave it this many.
    unsafe { std::slice::from_raw_parts(vector, usize::try_from(count).unwrap_or(0)) }
}

/// Defines functions of the C library: each calls the library's own, and then `record` with the result.
macro_rules! in_place_of {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty, |$done:ident| $record:expr;)+) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            static OWN: OnceLock<usize> = OnceLock::new();
            let own = *OWN.get_or_init(|| {
                let name = concat!(stringify!($name), "\0");
                // SAFETY: the name ends with a zero.
                unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) as usize }
            });
            // SAFETY: the library's function of this name has this signature, and gets what its caller gave.
            let $done = unsafe { transmute::<usize, unsafe extern "C" fn($($type),*) -> $result>(own)($($arg),*) };
            $record;
            $done
        }
    )+};
}

/// Records an operation if the call succeeded.
fn record_if(done: c_int, op: impl Fn(&Path) -> Option<Op>) {
    if done == 0 {
        record(op);
    }
}

fn one(bytes: *const c_void, length: size_t) -> [iovec; 1] {
    [iovec { iov_base: bytes.cast_mut(), iov_len: length }]
}

in_place_of! {
    write(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t,
        |done| record_write(fd, &one(bytes, length), None, done);
    writev(fd: c_int, vector: *const iovec, count: c_int) -> ssize_t,
        |done| record_write(fd, parts(vector, count), None, done);
    pwrite(fd: c_int, bytes: *const c_void, length: size_t, at: off_t) -> ssize_t,
        |done| record_write(fd, &one(bytes, length), Some(at), done);
    pwrite64(fd: c_int, bytes: *const c_void, length: size_t, at: off_t) -> ssize_t,
        |done| record_write(fd, &one(bytes, length), Some(at), done);
    pwritev(fd: c_int, vector: *const iovec, count: c_int, at: off_t) -> ssize_t,
        |done| record_write(fd, parts(vector, count), Some(at), done);
    pwritev64(fd: c_int, vector: *const iovec, count: c_int, at: off_t) -> ssize_t,
        |done| record_write(fd, parts(vector, count), Some(at), done);
    fsync(fd: c_int) -> c_int,
        |done| record_if(done, |root| Some(Op::Sync(path_of(fd, root)?)));
    fdatasync(fd: c_int) -> c_int,
        |done| record_if(done, |root| Some(Op::Sync(path_of(fd, root)?)));
    mkdir(path: *const c_char, mode: mode_t) -> c_int,
        |done| record_if(done, |root| Some(Op::Mkdir(named(libc::AT_FDCWD, path, root)?)));
    rename(from: *const c_char, to: *const c_char) -> c_int,
        |done| record_if(done, |root| {
            Some(Op::Rename(named(libc::AT_FDCWD, from, root)?, named(libc::AT_FDCWD, to, root)?))
        });
    unlink(path: *const c_char) -> c_int,
        |done| record_if(done, |root| Some(Op::Remove(named(libc::AT_FDCWD, path, root)?)));
    rmdir(path: *const c_char) -> c_int,
        |done| record_if(done, |root| Some(Op::Remove(named(libc::AT_FDCWD, path, root)?)));
    unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int,
        |done| record_if(done, |root| Some(Op::Remove(named(dir, path, root)?)));
}
