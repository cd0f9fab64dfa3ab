//! Look-up of paths.

use super::{
    FsError, Kind, NAME_BYTES_MAX, PATH_BYTES_MAX, SCRATCH,
    fs::{Files, Node},
    scratch::Body,
};

/// Symbolic links followed for one path, as on Linux.
const LINKS_MAX: usize = 40;
/// Names followed for one path, those of links included: each takes time.
const NAMES_MAX: usize = 1_024;

/// Where a path leads: the last directory, and the name in it.
pub(super) struct Found {
    pub(super) directory: Node,
    /// `None` if the path leads to `directory` itself.
    pub(super) name: Option<String>,
    /// Node of that name.
    pub(super) node: Option<Node>,
    /// True if the path ends in a separator, so that only a directory fits.
    pub(super) wants_directory: bool,
}

impl Files {
    /// Returns what a directory has under a name.
    fn child(&self, directory: Node, name: &str) -> Result<Option<Node>, FsError> {
        match directory {
            Self::ROOT if name == SCRATCH => Ok(Some(Node::Scratch(0))),
            Node::Tree(at) => match self.tree.kind(at) {
                Some(Kind::Directory) => Ok(self.tree.child(at, name).map(Node::Tree)),
                _ => Err(FsError::NotDirectory),
            },
            Node::Scratch(at) => Ok(self.scratch.directory(at)?.get(name).map(Node::Scratch)),
        }
    }

    /// Returns the target of a link.
    ///
    /// # Errors
    /// [`FsError::Invalid`] if the node is no link.
    pub(super) fn target(&self, link: Node) -> Result<&str, FsError> {
        match link {
            Node::Tree(at) => self.tree.target(at),
            Node::Scratch(at) => match self.scratch.get(at).map(|node| &node.body) {
                Some(Body::Link(target)) => Some(&**target),
                _ => None,
            },
        }
        .ok_or(FsError::Invalid)
    }

    /// Follows a path from a directory; with `follow`, also a link at its end.
    pub(super) fn walk(&self, from: Node, path: &str, follow: bool) -> Result<Found, FsError> {
        if path.is_empty() {
            return Err(FsError::NotFound);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(FsError::NameTooLong);
        }
        let mut above = vec![from];
        // Names still to be followed, the next one last.
        let mut rest = Vec::new();
        let mut wants_directory = push(&mut rest, path)?;
        let (mut links, mut names) = (0, 0);
        loop {
            let directory = *above.last().ok_or(FsError::NotPermitted)?;
            let Some(name) = rest.pop() else {
                return Ok(Found { directory, name: None, node: Some(directory), wants_directory: true });
            };
            names += 1;
            self.steps.set(self.steps.get() + 1);
            if names > NAMES_MAX {
                return Err(FsError::NameTooLong);
            }
            if self.kind(directory)? != Kind::Directory {
                return Err(FsError::NotDirectory);
            }
            if name == ".." {
                above.pop();
                // The last element is the directory of the start, above which nothing may be seen.
                if above.is_empty() {
                    return Err(FsError::NotPermitted);
                }
                continue;
            }
            let node = self.child(directory, &name)?;
            let is_last = rest.is_empty();
            match node {
                Some(node) if self.kind(node)? == Kind::Link && (!is_last || follow || wants_directory) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(FsError::Loop);
                    }
                    let target = self.target(node)?;
                    wants_directory |= push(&mut rest, target)? && is_last;
                }
                node if is_last => return Ok(Found { directory, name: Some(name), node, wants_directory }),
                Some(node) => above.push(node),
                None => return Err(FsError::NotFound),
            }
        }
    }

    /// Returns the node at a path.
    pub(crate) fn look_up(&self, from: Node, path: &str, follow: bool) -> Result<Node, FsError> {
        let found = self.walk(from, path, follow)?;
        let node = found.node.ok_or(FsError::NotFound)?;
        if found.wants_directory && self.kind(node)? != Kind::Directory {
            return Err(FsError::NotDirectory);
        }
        Ok(node)
    }
}

/// Adds the names of a path so that its first one is the last of `rest`. Returns true if the path ends in a separator.
fn push(rest: &mut Vec<String>, path: &str) -> Result<bool, FsError> {
    if path.starts_with('/') {
        return Err(FsError::NotPermitted);
    }
    for name in path.split('/').rev().filter(|name| !matches!(*name, "" | ".")) {
        if name.len() > NAME_BYTES_MAX {
            return Err(FsError::NameTooLong);
        }
        rest.push(name.to_owned());
    }
    Ok(path.ends_with('/') || path.ends_with("/."))
}
