//! Files of a sandbox: those that are here, and the tree of each run.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_core::{
    id::FilesDigest,
    outcome::{Outcome, Receipt, StopReason, Traces},
};

use super::{
    store::{AddError, read},
    tree::Tree,
};
use crate::{Call, Run, Sandbox, SandboxError};

impl Sandbox {
    /// Returns true if the files of a run are here, or it has none. Blocks for a disk read unless they are in memory.
    ///
    /// # Errors
    /// Fails if the cache directory cannot be read.
    pub fn has_files(&self, files: Option<&FilesDigest>) -> Result<bool, SandboxError> {
        match files {
            None => Ok(true),
            Some(files) => Ok(self.cache.trees.load(self.cache.disk.as_ref(), files)?.is_some()),
        }
    }

    /// Returns an archive of files, for a process started by this one; `None` if it is not here. Blocks for a disk read.
    ///
    /// # Errors
    /// Fails if the cache directory cannot be read.
    pub fn files(&self, digest: &FilesDigest) -> Result<Option<Bytes>, SandboxError> {
        read(self.cache.disk.as_ref(), digest)
    }

    /// Adds an archive of files. Blocks for a disk write.
    ///
    /// # Errors
    /// Fails if it is not the archive of this digest, or cannot be stored.
    pub fn add_files(&self, digest: &FilesDigest, archive: &Bytes) -> Result<(), AddError> {
        self.cache.trees.add(self.cache.disk.as_ref(), digest, archive)
    }

    /// Returns the tree of a run, empty without files.
    ///
    /// # Errors
    /// Returns an interrupted run if the files are gone: its caller has just seen them, so another run may succeed.
    pub(crate) fn tree_of(&self, call: &Call) -> Result<Arc<Tree>, Box<Run>> {
        let Some(files) = &call.invocation.files else { return Ok(Tree::empty().into()) };
        let missing = match self.cache.trees.load(self.cache.disk.as_ref(), files) {
            Ok(Some(tree)) => return Ok(tree),
            Ok(None) => "not in the cache".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!(%files, missing, "the files of a run are gone; the task may be retried");
        let outcome = Outcome::Stopped(StopReason::Interrupted);
        Err(Box::new(Run { outcome, traces: Traces::default(), receipt: Receipt::default(), log: Bytes::new() }))
    }
}
