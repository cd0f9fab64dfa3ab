//! Files of a deploy: directories, each with the place at which runs see it, packed into one tar.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;
use fusebox_core::limits::FILES_BYTES_MAX;

/// Directory, and where runs see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Directory on this machine.
    dir: PathBuf,
    /// Path within the root directory of a run; empty for the root itself.
    at: PathBuf,
}

impl FromStr for Mount {
    type Err = String;

    /// Parses `DIR` and `DIR:/at`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (dir, at) = match text.rsplit_once(":/") {
            Some((dir, at)) => (dir, at.trim_matches('/')),
            None => (text, ""),
        };
        let is_plain = at.split('/').all(|name| !matches!(name, "." | ".."));
        if dir.is_empty() || !is_plain {
            return Err("write DIR, or DIR:/at with a path without . and ..".to_owned());
        }
        Ok(Self { dir: dir.into(), at: at.into() })
    }
}

impl Mount {
    /// Returns the mount with its directory taken from `folder`, unless it is absolute.
    #[must_use]
    pub fn below(&self, folder: &Path) -> Self {
        Self { dir: folder.join(&self.dir), at: self.at.clone() }
    }
}

/// Packs directories; `None` if there are none. Symbolic links are packed as links.
///
/// # Errors
/// Fails if a directory cannot be read, or there is too much in them.
pub fn pack(mounts: &[Mount]) -> anyhow::Result<Option<Vec<u8>>> {
    if mounts.is_empty() {
        return Ok(None);
    }
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    for Mount { dir, at } in mounts {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        tar.append_dir_all(at, dir).with_context(|| format!("cannot pack {}", dir.display()))?;
        let size = tar.get_ref().len() as u64;
        anyhow::ensure!(
            size <= FILES_BYTES_MAX,
            "the files have more than {} MiB, the maximum of a version: leave some out",
            FILES_BYTES_MAX >> 20
        );
    }
    Ok(Some(tar.into_inner()?))
}

/// Size of the zeros at the end of a tar.
const END_BYTES: usize = 1_024;

/// Joins two tars; `None` if there is neither.
#[must_use]
pub fn joined(one: Option<Vec<u8>>, other: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match (one, other) {
        (Some(mut one), Some(other)) => {
            one.truncate(one.len().saturating_sub(END_BYTES));
            one.extend_from_slice(&other);
            Some(one)
        }
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_a_directory_and_a_place() {
        let mount = |dir: &str, at: &str| Ok(Mount { dir: dir.into(), at: at.into() });
        assert_eq!("data".parse(), mount("data", ""));
        assert_eq!("/var/data:/".parse(), mount("/var/data", ""));
        assert_eq!("a:b:/usr/share/".parse(), mount("a:b", "usr/share"));
        for bad in ["", ":/at", "data:/../etc", "data:/./x"] {
            assert!(bad.parse::<Mount>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn directories_are_packed_with_their_places() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("sub")).unwrap();
        std::fs::write(home.path().join("sub/file"), b"content").unwrap();
        std::os::unix::fs::symlink("sub/file", home.path().join("link")).unwrap();
        let at = |at: &str| Mount { dir: home.path().into(), at: at.into() };
        assert_eq!(pack(&[]).unwrap(), None);
        let packed = pack(&[at(""), at("usr/share")]).unwrap().unwrap();
        let mut tar = tar::Archive::new(&packed[..]);
        let entries = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.size())
        });
        let files: Vec<_> = entries.filter(|(_, size)| *size > 0).collect();
        assert_eq!(files, [("sub/file".to_owned(), 7), ("usr/share/sub/file".to_owned(), 7)]);
        let two = joined(pack(&[at("a")]).unwrap(), pack(&[at("b")]).unwrap()).unwrap();
        let mut tar = tar::Archive::new(&two[..]);
        let paths = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        let paths: Vec<_> = paths.filter(|path| path.ends_with("file")).collect();
        assert_eq!(paths, ["a/sub/file", "b/sub/file"]);
        assert_eq!((joined(None, Some(vec![1])), joined(None, None)), (Some(vec![1]), None));
        let missing = Mount { dir: home.path().join("missing"), at: PathBuf::new() };
        assert!(pack(&[missing]).unwrap_err().to_string().contains("missing"));
    }
}
