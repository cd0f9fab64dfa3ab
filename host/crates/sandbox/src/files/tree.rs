//! Read-only tree of an archive. Made once and shared by runs; the contents of its files are parts of the archive's bytes.

use bytes::Bytes;
use fusebox_core::id::FilesDigest;

use super::{
    Kind,
    archive::{self, FilesError, Item},
};

/// Number of a node within its tree; the root is 0.
pub(super) type TreeNode = u32;

/// Tree of directories, files and links.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Held>,
    bytes: u64,
}

#[derive(Debug)]
enum Held {
    /// Entries, sorted by name.
    Directory(Vec<(Box<str>, TreeNode)>),
    File(Bytes),
    Link(Box<str>),
}

/// Bytes of memory that a node takes beside the archive, about.
const NODE_BYTES: u64 = 200;

impl Tree {
    /// Returns the tree without files.
    pub(crate) fn empty() -> Self {
        Self { nodes: vec![Held::Directory(Vec::new())], bytes: 0 }
    }

    /// Builds the tree of an archive with this digest, which may come from another host.
    ///
    /// # Errors
    /// Fails if the bytes have another digest, or are no archive that could be deployed.
    pub(crate) fn of(digest: &FilesDigest, archive: &Bytes) -> Result<Self, FilesError> {
        if archive::digest(archive) != *digest {
            return Err(FilesError::NotTar("its digest is another one".to_owned()));
        }
        let mut tree = Self::empty();
        let items = archive::read(archive)?;
        tree.bytes = archive.len() as u64 + items.len() as u64 * NODE_BYTES;
        // Sorted by path, a directory comes before everything in it, and its entries come sorted by name.
        for (path, item) in items {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let node = u32::try_from(tree.nodes.len()).map_err(|_| FilesError::TooMany)?;
            let Some(directory) = tree.directory(above) else { return Err(FilesError::BelowFile(path)) };
            directory.push((name.into(), node));
            tree.nodes.push(match item {
                Item::Directory => Held::Directory(Vec::new()),
                Item::File(content) => Held::File(content),
                Item::Link(target) => Held::Link(target.into()),
            });
        }
        Ok(tree)
    }

    fn directory(&mut self, path: &str) -> Option<&mut Vec<(Box<str>, TreeNode)>> {
        let mut at = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.child(at, name)?;
        }
        match self.nodes.get_mut(usize::try_from(at).ok()?) {
            Some(Held::Directory(entries)) => Some(entries),
            _ => None,
        }
    }

    /// Returns the memory that the tree takes, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn held(&self, node: TreeNode) -> Option<&Held> {
        self.nodes.get(usize::try_from(node).ok()?)
    }

    /// Returns the type of a node.
    pub(super) fn kind(&self, node: TreeNode) -> Option<Kind> {
        Some(match self.held(node)? {
            Held::Directory(_) => Kind::Directory,
            Held::File(_) => Kind::File,
            Held::Link(_) => Kind::Link,
        })
    }

    /// Returns the size of a node as programs see it: of a file its content, of a link its target.
    pub(super) fn size(&self, node: TreeNode) -> u64 {
        match self.held(node) {
            Some(Held::File(content)) => content.len() as u64,
            Some(Held::Link(target)) => target.len() as u64,
            Some(Held::Directory(_)) | None => 0,
        }
    }

    /// Returns the entry of a directory with this name.
    pub(super) fn child(&self, directory: TreeNode, name: &str) -> Option<TreeNode> {
        match self.held(directory) {
            Some(Held::Directory(entries)) => {
                let at = entries.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
                entries.get(at).map(|(_, node)| *node)
            }
            _ => None,
        }
    }

    /// Returns the entries of a directory from a place on, sorted by name.
    pub(super) fn entries(&self, directory: TreeNode, from: usize) -> impl Iterator<Item = (&str, TreeNode)> {
        let entries = match self.held(directory) {
            Some(Held::Directory(entries)) => entries.get(from..).unwrap_or_default(),
            _ => &[],
        };
        entries.iter().map(|(name, node)| (&**name, *node))
    }

    /// Returns the content of a file; `None` for anything else.
    pub(super) fn content(&self, file: TreeNode) -> Option<&Bytes> {
        match self.held(file) {
            Some(Held::File(content)) => Some(content),
            _ => None,
        }
    }

    /// Returns the target of a link; `None` for anything else.
    pub(super) fn target(&self, link: TreeNode) -> Option<&str> {
        match self.held(link) {
            Some(Held::Link(target)) => Some(target),
            _ => None,
        }
    }
}
