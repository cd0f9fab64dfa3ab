//! Folders of an engine's directory: one environment each, named by a number that grows with each compaction. The
//! highest number counts; everything else is a leftover of a kill.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Number of the first folder.
pub(super) const FIRST: u64 = 1;

/// Returns the folder of a number.
pub(super) fn numbered(dir: &Path, number: u64) -> PathBuf {
    dir.join(number.to_string())
}

/// Creates an empty folder that only its owner can read.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

/// Returns the folder of a copy that is to get a number.
pub(super) fn copy(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.new"))
}

/// Creates the folder of a copy, without leftovers of an earlier one.
pub(super) fn make_copy(dir: &Path, number: u64) -> io::Result<PathBuf> {
    drop_copy(dir, number)?;
    let folder = copy(dir, number);
    make(&folder)?;
    Ok(folder)
}

/// Removes a copy if there is one.
pub(super) fn drop_copy(dir: &Path, number: u64) -> io::Result<()> {
    match fs::remove_dir_all(copy(dir, number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives the complete copy its number, by which the next opening finds it; durable only with the next [`sync`].
pub(super) fn number_copy(dir: &Path, number: u64) -> io::Result<()> {
    fs::rename(copy(dir, number), numbered(dir, number))
}

/// Returns the highest number and removes all other folders.
pub(super) fn keep_newest(dir: &Path) -> io::Result<u64> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let number = |name: &std::ffi::OsString| name.to_str().and_then(|name| name.parse::<u64>().ok());
    let newest = names.iter().filter_map(number).max();
    let newest = newest.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the store's files are missing"))?;
    for name in names.iter().filter(|name| number(name) != Some(newest)) {
        fs::remove_dir_all(dir.join(name))?;
    }
    Ok(newest)
}

/// Makes the entries of a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
