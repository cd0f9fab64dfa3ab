//! Files that one run makes. Their bytes, names and records count against the run's memory limit, and their number is
//! bounded. A file without a name lives as long as a descriptor is open.

use std::collections::BTreeMap;

use super::{FsError, Kind, pages::Pages};
use crate::limiter::Budget;

/// Number of a node within its scratch; the root is 0.
pub(super) type ScratchNode = u32;

/// Number of files, directories and links that a run can make, beside its memory limit: each is a record to walk over.
const NODES_MAX: usize = 16_384;
/// Levels of directories within which a directory can be moved: the longest path has no more.
const LEVELS_MAX: usize = 2_048;
/// Memory that a node, and each of its names, counts beside its bytes.
const NODE_COST: u64 = 256;

/// Nodes of one run.
pub(super) struct Scratch {
    /// `None` for a free place.
    nodes: Vec<Option<Node>>,
    free: Vec<ScratchNode>,
}

pub(super) struct Node {
    pub(super) body: Body,
    /// Number of names.
    names: u32,
    /// Number of open descriptors.
    opens: u32,
    pub(super) times: Times,
}

pub(super) enum Body {
    Directory(Directory),
    File(Pages),
    Link(Box<str>),
}

/// Times in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Last access. Reads do not change it.
    pub(crate) accessed: u64,
    /// Last change of the content.
    pub(crate) modified: u64,
    /// Last change of the record.
    pub(crate) changed: u64,
}

/// Entries by name and, for listings that go on while entries are removed, by the order of their making.
pub(super) struct Directory {
    /// Directory above; the root is its own.
    above: ScratchNode,
    by_name: BTreeMap<Box<str>, u64>,
    by_order: BTreeMap<u64, (Box<str>, ScratchNode)>,
    next: u64,
}

impl Directory {
    pub(super) const fn new(above: ScratchNode) -> Self {
        Self { above, by_name: BTreeMap::new(), by_order: BTreeMap::new(), next: 0 }
    }

    pub(super) fn get(&self, name: &str) -> Option<ScratchNode> {
        self.by_order.get(self.by_name.get(name)?).map(|(_, node)| *node)
    }

    /// Returns the entries from a place in their order on, each with its place.
    pub(super) fn entries(&self, from: u64) -> impl Iterator<Item = (u64, &str, ScratchNode)> {
        self.by_order.range(from..).map(|(at, (name, node))| (*at, &**name, *node))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn put(&mut self, name: &str, node: ScratchNode) {
        self.by_name.insert(name.into(), self.next);
        self.by_order.insert(self.next, (name.into(), node));
        self.next += 1;
    }

    fn take(&mut self, name: &str) -> Option<ScratchNode> {
        let at = self.by_name.remove(name)?;
        self.by_order.remove(&at).map(|(_, node)| node)
    }
}

impl Scratch {
    /// Returns a scratch with an empty root.
    pub(super) fn new(now: u64) -> Self {
        let body = Body::Directory(Directory::new(0));
        let root = Node { body, names: 1, opens: 0, times: Times::at(now) };
        Self { nodes: vec![Some(root)], free: Vec::new() }
    }

    pub(super) fn get(&self, node: ScratchNode) -> Option<&Node> {
        self.nodes.get(usize::try_from(node).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, node: ScratchNode) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(node).ok()?)?.as_mut()
    }

    pub(super) fn directory(&self, node: ScratchNode) -> Result<&Directory, FsError> {
        match self.get(node).map(|node| &node.body) {
            Some(Body::Directory(directory)) => Ok(directory),
            Some(_) => Err(FsError::NotDirectory),
            None => Err(FsError::NotFound),
        }
    }

    fn directory_mut(&mut self, node: ScratchNode, now: u64) -> Result<&mut Directory, FsError> {
        let node = self.get_mut(node).ok_or(FsError::NotFound)?;
        // A directory that was removed while it was open takes nothing new.
        if node.names == 0 {
            return Err(FsError::NotFound);
        }
        match &mut node.body {
            Body::Directory(directory) => {
                node.times.modified = now;
                node.times.changed = now;
                Ok(directory)
            }
            _ => Err(FsError::NotDirectory),
        }
    }

    /// Makes a node under a name that is free.
    pub(super) fn make(
        &mut self,
        above: ScratchNode,
        name: &str,
        body: Body,
        now: u64,
        budget: &Budget,
    ) -> Result<ScratchNode, FsError> {
        self.directory_mut(above, now)?;
        if self.nodes.len() - self.free.len() >= NODES_MAX || !budget.take(NODE_COST + cost(&body)) {
            return Err(FsError::NoSpace);
        }
        let node = Node { body, names: 0, opens: 0, times: Times::at(now) };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.nodes.push(None);
                u32::try_from(self.nodes.len() - 1).map_err(|_| FsError::NoSpace)?
            }
        };
        if let Some(place) = usize::try_from(at).ok().and_then(|at| self.nodes.get_mut(at)) {
            *place = Some(node);
        }
        if let Err(error) = self.name(above, name, at, now, budget) {
            self.drop_unused(at, budget);
            return Err(error);
        }
        Ok(at)
    }

    /// Gives a node another name, which must be free.
    pub(super) fn name(
        &mut self,
        above: ScratchNode,
        name: &str,
        node: ScratchNode,
        now: u64,
        budget: &Budget,
    ) -> Result<(), FsError> {
        self.directory_mut(above, now)?;
        if !budget.take(name_cost(name)) {
            return Err(FsError::NoSpace);
        }
        self.directory_mut(above, now)?.put(name, node);
        if let Some(node) = self.get_mut(node) {
            node.names += 1;
            node.times.changed = now;
            if let Body::Directory(directory) = &mut node.body {
                directory.above = above;
            }
        }
        Ok(())
    }

    /// Returns true if a directory is another one or lies below it.
    ///
    /// # Errors
    /// [`FsError::NameTooLong`] below more than [`LEVELS_MAX`] directories.
    pub(super) fn is_below(&self, directory: ScratchNode, top: ScratchNode) -> Result<bool, FsError> {
        let mut at = directory;
        for _ in 0..LEVELS_MAX {
            if at == top {
                return Ok(true);
            }
            if at == 0 {
                return Ok(false);
            }
            at = self.directory(at)?.above;
        }
        Err(FsError::NameTooLong)
    }

    /// Removes a name, and its node if it is the last one and no descriptor is open.
    pub(super) fn unname(&mut self, above: ScratchNode, name: &str, now: u64, budget: &Budget) -> Result<(), FsError> {
        let node = self.directory_mut(above, now)?.take(name).ok_or(FsError::NotFound)?;
        budget.give(name_cost(name));
        if let Some(node) = self.get_mut(node) {
            node.names = node.names.saturating_sub(1);
            node.times.changed = now;
        }
        self.drop_unused(node, budget);
        Ok(())
    }

    /// Counts a descriptor.
    pub(super) fn open(&mut self, node: ScratchNode) {
        if let Some(node) = self.get_mut(node) {
            node.opens += 1;
        }
    }

    /// Counts the end of a descriptor.
    pub(super) fn close(&mut self, node: ScratchNode, budget: &Budget) {
        if let Some(node) = self.get_mut(node) {
            node.opens = node.opens.saturating_sub(1);
        }
        self.drop_unused(node, budget);
    }

    fn drop_unused(&mut self, node: ScratchNode, budget: &Budget) {
        let Some(place) = usize::try_from(node).ok().and_then(|node| self.nodes.get_mut(node)) else { return };
        if place.as_ref().is_some_and(|node| node.names == 0 && node.opens == 0)
            && let Some(mut unused) = place.take()
        {
            budget.give(NODE_COST + cost(&unused.body));
            if let Body::File(pages) = &mut unused.body {
                pages.free(budget);
            }
            self.free.push(node);
        }
    }
}

impl Node {
    /// Returns the number of names.
    pub(super) const fn names(&self) -> u32 {
        self.names
    }

    /// Returns the type.
    pub(super) const fn kind(&self) -> Kind {
        match self.body {
            Body::Directory(_) => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Link(_) => Kind::Link,
        }
    }

    /// Returns the size as programs see it.
    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::File(pages) => pages.len(),
            Body::Link(target) => target.len() as u64,
            Body::Directory(_) => 0,
        }
    }
}

impl Times {
    const fn at(now: u64) -> Self {
        Self { accessed: now, modified: now, changed: now }
    }
}

/// Returns what a body costs besides its node; the pages of a file count on their own.
fn cost(body: &Body) -> u64 {
    match body {
        Body::Link(target) => target.len() as u64,
        Body::Directory(_) | Body::File(_) => 0,
    }
}

fn name_cost(name: &str) -> u64 {
    NODE_COST + 2 * name.len() as u64
}
