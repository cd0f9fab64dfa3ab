//! Archives on disk and trees in memory, by digest. The bytes of an archive are checked against its digest wherever they
//! come from, so nothing authenticates them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fusebox_core::{id::FilesDigest, limits::LOADED_FILES_BYTES_MAX};

use super::{archive::FilesError, tree::Tree};
use crate::{SandboxError, disk::Disk};

/// Trees in memory, the most recently used one last. There are few: each has at least the size of a page or two.
#[derive(Default)]
pub(crate) struct Trees(Mutex<VecDeque<(FilesDigest, Arc<Tree>)>>);

/// Number of trees in memory.
const TREES_MAX: usize = 1_024;

impl Trees {
    /// Returns a tree from memory or disk; `None` if neither has it.
    pub(crate) fn load(&self, disk: Option<&Disk>, digest: &FilesDigest) -> Result<Option<Arc<Tree>>, SandboxError> {
        if let Some(tree) = self.get(digest) {
            return Ok(Some(tree));
        }
        let Some(archive) = read(disk, digest)? else { return Ok(None) };
        match Tree::of(digest, &archive) {
            Ok(tree) => Ok(Some(self.put(digest, tree))),
            Err(error) => {
                tracing::warn!(%digest, %error, "files on disk are damaged and are not used; they are fetched again");
                Ok(None)
            }
        }
    }

    /// Adds an archive, in memory and on disk.
    ///
    /// # Errors
    /// Fails if it is not the archive of this digest, or cannot be stored.
    pub(crate) fn add(&self, disk: Option<&Disk>, digest: &FilesDigest, archive: &Bytes) -> Result<(), AddError> {
        let tree = Tree::of(digest, archive)?;
        if let Some(disk) = disk {
            let stored = disk.write(&name(digest), &[archive]);
            stored.map_err(|error| SandboxError(format!("files cannot be stored: {error}")))?;
        }
        self.put(digest, tree);
        Ok(())
    }

    fn get(&self, digest: &FilesDigest) -> Option<Arc<Tree>> {
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = trees.iter().rposition(|(known, _)| known == digest)?;
        let found = trees.remove(at)?;
        let tree = found.1.clone();
        trees.push_back(found);
        Some(tree)
    }

    fn put(&self, digest: &FilesDigest, tree: Tree) -> Arc<Tree> {
        let tree = Arc::new(tree);
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees.retain(|(known, _)| known != digest);
        trees.push_back((*digest, tree.clone()));
        let bytes =
            |trees: &VecDeque<(FilesDigest, Arc<Tree>)>| trees.iter().map(|(_, tree)| tree.bytes()).sum::<u64>();
        while trees.len() > 1 && (trees.len() > TREES_MAX || bytes(&trees) > LOADED_FILES_BYTES_MAX) {
            trees.pop_front();
        }
        tree
    }
}

/// Error of an archive that is not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is not the archive that it should be.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// It cannot be stored.
    #[error(transparent)]
    Disk(#[from] SandboxError),
}

/// Returns an archive on disk; `None` if there is none.
pub(crate) fn read(disk: Option<&Disk>, digest: &FilesDigest) -> Result<Option<Bytes>, SandboxError> {
    let Some(disk) = disk else { return Ok(None) };
    let archive = disk.read(&name(digest));
    let archive = archive.map_err(|error| SandboxError(format!("files cannot be read: {error}")))?;
    Ok(archive.map(Bytes::from))
}

fn name(digest: &FilesDigest) -> String {
    format!("{digest}.files")
}
