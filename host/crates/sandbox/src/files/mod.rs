//! Files of runs: a read-only tree, deployed with a version, and a scratch that is empty at each run's start and gone
//! after it. All of it is in memory, so that no run needs files or system calls of the host. Independent of WASI, whose
//! calls translate to it.
//!
//! | module | holds |
//! |---|---|
//! | [`archive`] | archives as they are uploaded, checked, and as they are kept |
//! | [`tree`] | the read-only tree of an archive, shared by runs |
//! | [`scratch`], `pages` | files of one run, within its memory limit |
//! | [`fs`], `walk`, `names` | both as one file system: open files, look-up of paths, operations on names |
//! | [`store`], `sandbox` | trees on disk and in memory, and as a sandbox has them |

pub(crate) mod archive;
pub(crate) mod fs;
mod names;
mod pages;
mod sandbox;
pub(crate) mod scratch;
pub(crate) mod store;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
mod walk;

/// Path of the scratch, whose name no archive may use.
pub(crate) const SCRATCH: &str = "tmp";
/// Length of a name in a path, as common file systems allow.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Length of a path, as Linux allows.
pub(crate) const PATH_BYTES_MAX: usize = 4_096;

/// Reason for which an operation fails. Every file system has these, so WASI has a number for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FsError {
    /// There is nothing of that name.
    NotFound,
    /// Something of that name exists.
    Exists,
    /// A directory is expected.
    NotDirectory,
    /// Anything but a directory is expected.
    IsDirectory,
    /// The directory has entries.
    NotEmpty,
    /// The target is part of the read-only tree.
    ReadOnly,
    /// The path leads out of the directory that it starts from.
    NotPermitted,
    /// A path or a name is too long.
    NameTooLong,
    /// There are too many symbolic links on the way.
    Loop,
    /// The run's memory limit or the bound of files is reached.
    NoSpace,
    /// The arguments make no sense together.
    Invalid,
    /// The two names are on different file systems.
    CrossDevice,
}

/// Type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Directory.
    Directory,
    /// Regular file.
    File,
    /// Symbolic link.
    Link,
}
