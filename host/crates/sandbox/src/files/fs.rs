//! File system of one run: the read-only tree, with the scratch at `/tmp`. Paths start at a directory and never lead out
//! of it. Every operation takes time in proportion to its path and to the bytes that it handles.

use std::{cell::Cell, sync::Arc};

use super::{
    FsError, Kind, SCRATCH,
    pages::Pages,
    scratch::{Body, Directory, Scratch, ScratchNode, Times},
    tree::{Tree, TreeNode},
};
use crate::limiter::Budget;

/// Times of all files of the tree: the start of 1980, the first that every archive format can express.
const TREE_TIME_NS: u64 = 315_532_800_000_000_000;
/// Places of `.` and `..` in a listing, before the entries.
const DOTS: u64 = 2;

/// File, directory or link of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// Of the read-only tree.
    Tree(TreeNode),
    /// Of the scratch.
    Scratch(ScratchNode),
}

/// Facts about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Number that no other node of the run has meanwhile.
    pub(crate) inode: u64,
    /// Type.
    pub(crate) kind: Kind,
    /// Number of names.
    pub(crate) names: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Times.
    pub(crate) times: Times,
}

/// Entry of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Place of the next entry.
    pub(crate) next: u64,
    /// Name.
    pub(crate) name: &'a str,
    /// Node.
    pub(crate) node: Node,
}

/// Ways to open a path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenOptions {
    /// Follows a link at the end of the path.
    pub(crate) follow: bool,
    /// Makes a file if there is none.
    pub(crate) create: bool,
    /// Fails if something is there.
    pub(crate) exclusive: bool,
    /// Empties the file.
    pub(crate) truncate: bool,
    /// Fails if it is no directory.
    pub(crate) directory: bool,
    /// The file will be written.
    pub(crate) write: bool,
}

/// File system of a run.
pub(crate) struct Files {
    pub(super) tree: Arc<Tree>,
    pub(super) scratch: Scratch,
    pub(super) budget: Budget,
    /// Names followed since [`Files::take_steps`].
    pub(super) steps: Cell<u64>,
}

impl Files {
    /// Root directory.
    pub(crate) const ROOT: Node = Node::Tree(0);

    /// Mounts a tree and an empty scratch, whose bytes count against `budget`; `now` is in nanoseconds since 1970.
    pub(crate) fn new(tree: Arc<Tree>, budget: Budget, now: u64) -> Self {
        Self { tree, scratch: Scratch::new(now), budget, steps: Cell::new(0) }
    }

    /// Returns the number of names that paths have followed since the last call, those of links included: what each call
    /// costs besides its own bytes.
    pub(crate) fn take_steps(&self) -> u64 {
        self.steps.take()
    }

    /// Counts names that a listing returned.
    pub(crate) fn add_steps(&self, names: u64) {
        self.steps.set(self.steps.get() + names);
    }

    /// Returns facts about a node.
    pub(crate) fn stat(&self, node: Node) -> Result<Stat, FsError> {
        match node {
            Node::Tree(at) => {
                let kind = self.tree.kind(at).ok_or(FsError::NotFound)?;
                let (accessed, modified, changed) = (TREE_TIME_NS, TREE_TIME_NS, TREE_TIME_NS);
                let times = Times { accessed, modified, changed };
                Ok(Stat { inode: u64::from(at) + 1, kind, names: 1, size: self.tree.size(at), times })
            }
            Node::Scratch(at) => {
                let node = self.scratch.get(at).ok_or(FsError::NotFound)?;
                let (kind, names, size) = (node.kind(), node.names().into(), node.size());
                Ok(Stat { inode: (1 << 32) + u64::from(at), kind, names, size, times: node.times })
            }
        }
    }

    pub(super) fn kind(&self, node: Node) -> Result<Kind, FsError> {
        match node {
            Node::Tree(node) => self.tree.kind(node),
            Node::Scratch(node) => self.scratch.get(node).map(super::scratch::Node::kind),
        }
        .ok_or(FsError::NotFound)
    }

    /// Opens a path, and counts the descriptor until [`Files::close`].
    pub(crate) fn open(&mut self, from: Node, path: &str, how: OpenOptions, now: u64) -> Result<Node, FsError> {
        let found = self.walk(from, path, how.follow)?;
        let node = match (found.node, found.name) {
            (Some(_), _) if how.create && how.exclusive => return Err(FsError::Exists),
            (Some(node), _) => {
                self.check_open(node, found.wants_directory, how)?;
                if how.truncate {
                    self.set_size(node, 0, now)?;
                }
                node
            }
            (None, Some(_)) if !how.create || how.directory => return Err(FsError::NotFound),
            (None, Some(_)) if found.wants_directory => return Err(FsError::IsDirectory),
            (None, Some(name)) => {
                let above = writable(found.directory)?;
                let file = Body::File(Pages::default());
                Node::Scratch(self.scratch.make(above, &name, file, now, &self.budget)?)
            }
            (None, None) => return Err(FsError::NotFound),
        };
        self.reopen(node);
        Ok(node)
    }

    fn check_open(&self, node: Node, wants_directory: bool, how: OpenOptions) -> Result<(), FsError> {
        match self.kind(node)? {
            // A link that is not followed cannot be opened.
            Kind::Link => Err(FsError::Loop),
            Kind::File if wants_directory || how.directory => Err(FsError::NotDirectory),
            Kind::Directory if how.write || how.truncate => Err(FsError::IsDirectory),
            Kind::File if how.write || how.truncate => writable(node).map(drop),
            Kind::File | Kind::Directory => Ok(()),
        }
    }

    /// Counts another descriptor of a node.
    pub(crate) fn reopen(&mut self, node: Node) {
        if let Node::Scratch(node) = node {
            self.scratch.open(node);
        }
    }

    /// Counts the end of a descriptor.
    pub(crate) fn close(&mut self, node: Node) {
        if let Node::Scratch(node) = node {
            self.scratch.close(node, &self.budget);
        }
    }

    /// Copies bytes of a file from a position into a buffer; returns their number, 0 at the end.
    pub(crate) fn read(&self, file: Node, at: u64, buffer: &mut [u8]) -> Result<usize, FsError> {
        match file {
            Node::Tree(node) => {
                let content = self.tree.content(node).ok_or(FsError::IsDirectory)?;
                let from = usize::try_from(at).ok().and_then(|at| content.get(at..)).unwrap_or_default();
                let many = from.len().min(buffer.len());
                buffer.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                Ok(many)
            }
            Node::Scratch(node) => match self.scratch.get(node).map(|node| &node.body) {
                Some(Body::File(pages)) => Ok(pages.read(at, buffer)),
                _ => Err(FsError::IsDirectory),
            },
        }
    }

    /// Writes bytes of a file at a position; all of them, or none.
    pub(crate) fn write(&mut self, file: Node, at: u64, bytes: &[u8], now: u64) -> Result<(), FsError> {
        let Self { scratch, budget, .. } = self;
        let node = scratch.get_mut(writable(file)?).ok_or(FsError::NotFound)?;
        let Body::File(pages) = &mut node.body else { return Err(FsError::IsDirectory) };
        pages.write(at, bytes, budget)?;
        (node.times.modified, node.times.changed) = (now, now);
        Ok(())
    }

    /// Changes the size of a file; added bytes are zeros.
    pub(crate) fn set_size(&mut self, file: Node, size: u64, now: u64) -> Result<(), FsError> {
        let Self { scratch, budget, .. } = self;
        let node = scratch.get_mut(writable(file)?).ok_or(FsError::NotFound)?;
        let Body::File(pages) = &mut node.body else { return Err(FsError::IsDirectory) };
        pages.resize(size, budget)?;
        (node.times.modified, node.times.changed) = (now, now);
        Ok(())
    }

    /// Sets times of a node; those that are `None` stay.
    pub(crate) fn set_times(
        &mut self,
        node: Node,
        accessed: Option<u64>,
        modified: Option<u64>,
        now: u64,
    ) -> Result<(), FsError> {
        let node = self.scratch.get_mut(writable(node)?).ok_or(FsError::NotFound)?;
        let times = &mut node.times;
        times.accessed = accessed.unwrap_or(times.accessed);
        times.modified = modified.unwrap_or(times.modified);
        times.changed = now;
        Ok(())
    }

    /// Returns the entries of a directory from a place on; 0 is the first. `.` and `..` are among them.
    pub(crate) fn entries(&self, directory: Node, from: u64) -> Result<impl Iterator<Item = Entry<'_>>, FsError> {
        let rest = from.saturating_sub(DOTS);
        let (in_tree, in_scratch) = match directory {
            Node::Tree(at) if self.tree.kind(at) == Some(Kind::Directory) => (Some(at), None),
            Node::Tree(_) => return Err(FsError::NotDirectory),
            Node::Scratch(at) => (None, Some(self.scratch.directory(at)?)),
        };
        let skipped = usize::try_from(from.min(DOTS)).unwrap_or(0);
        let dots = [".", ".."].into_iter().zip(1..).skip(skipped);
        let dots = dots.map(move |(name, next)| Entry { next, name, node: directory });
        // In the root, the scratch comes before the tree's entries.
        let is_root = directory == Self::ROOT;
        let of_scratch =
            (is_root && rest == 0).then_some(Entry { next: DOTS + 1, name: SCRATCH, node: Node::Scratch(0) });
        let skipped = usize::try_from(rest.saturating_sub(u64::from(is_root))).unwrap_or(usize::MAX);
        let first = skipped as u64 + DOTS + u64::from(is_root) + 1;
        let tree = in_tree.into_iter().flat_map(move |at| self.tree.entries(at, skipped)).zip(first..);
        let tree = tree.map(|((name, node), next)| Entry { next, name, node: Node::Tree(node) });
        let scratch = in_scratch.into_iter().flat_map(move |held: &Directory| held.entries(rest));
        let scratch = scratch.map(|(at, name, node)| Entry { next: at + DOTS + 1, name, node: Node::Scratch(node) });
        Ok(dots.chain(of_scratch).chain(tree).chain(scratch))
    }
}

/// Returns a node of the scratch.
///
/// # Errors
/// [`FsError::ReadOnly`] for the tree's.
pub(super) const fn writable(node: Node) -> Result<ScratchNode, FsError> {
    match node {
        Node::Scratch(node) => Ok(node),
        Node::Tree(_) => Err(FsError::ReadOnly),
    }
}
