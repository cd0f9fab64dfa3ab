//! Error numbers of preview 1, and the ways in which a call fails.

use wasmtime::{Error, Result};

use crate::{ending::Ending, files::FsError};

/// Error number; 0 is success.
pub(super) type Errno = u16;

pub(super) const SUCCESS: Errno = 0;
pub(super) const BADF: Errno = 8;
pub(super) const EXIST: Errno = 20;
pub(super) const ILSEQ: Errno = 25;
pub(super) const INVAL: Errno = 28;
pub(super) const IO: Errno = 29;
pub(super) const ISDIR: Errno = 31;
pub(super) const LOOP: Errno = 32;
pub(super) const MFILE: Errno = 33;
pub(super) const NAMETOOLONG: Errno = 37;
pub(super) const NOENT: Errno = 44;
pub(super) const NOSPC: Errno = 51;
pub(super) const NOTDIR: Errno = 54;
pub(super) const NOTEMPTY: Errno = 55;
pub(super) const NOTSOCK: Errno = 57;
pub(super) const NOTSUP: Errno = 58;
pub(super) const PERM: Errno = 63;
pub(super) const ROFS: Errno = 69;
pub(super) const SPIPE: Errno = 70;
pub(super) const XDEV: Errno = 75;

/// Failure of a call: an error number for the guest, or the end of the run.
pub(super) enum Fail {
    Errno(Errno),
    End(Error),
}

/// Result of a call.
pub(super) type Answer<T = ()> = Result<T, Fail>;

/// Makes a call and returns what the guest gets.
pub(super) fn answer(call: impl FnOnce() -> Answer) -> Result<i32> {
    told(call())
}

/// Returns what the guest gets: the error number, unless the run ends.
pub(super) fn told(answer: Answer) -> Result<i32> {
    match answer {
        Ok(()) => Ok(SUCCESS.into()),
        Err(Fail::Errno(errno)) => Ok(errno.into()),
        Err(Fail::End(error)) => Err(error),
    }
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::End(error)
    }
}

impl From<Ending> for Fail {
    fn from(ending: Ending) -> Self {
        Self::End(ending.into())
    }
}

impl From<FsError> for Fail {
    fn from(error: FsError) -> Self {
        Self::Errno(match error {
            FsError::NotFound => NOENT,
            FsError::Exists => EXIST,
            FsError::NotDirectory => NOTDIR,
            FsError::IsDirectory => ISDIR,
            FsError::NotEmpty => NOTEMPTY,
            FsError::ReadOnly => ROFS,
            FsError::NotPermitted => PERM,
            FsError::NameTooLong => NAMETOOLONG,
            FsError::Loop => LOOP,
            FsError::NoSpace => NOSPC,
            FsError::Invalid => INVAL,
            FsError::CrossDevice => XDEV,
        })
    }
}
