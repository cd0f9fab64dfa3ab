//! Operations on names: making, linking, renaming and removing files and directories.

use super::{
    FsError, Kind, PATH_BYTES_MAX,
    fs::{Files, Node, writable},
    scratch::{Body, Directory, ScratchNode},
};

impl Files {
    /// Makes a directory.
    pub(crate) fn create_directory(&mut self, from: Node, path: &str, now: u64) -> Result<(), FsError> {
        let (above, name) = self.free_name(from, path, true)?;
        self.scratch.make(above, &name, Body::Directory(Directory::new(above)), now, &self.budget).map(drop)
    }

    /// Makes a symbolic link. Its target is relative, and is checked when the link is followed.
    pub(crate) fn symlink(&mut self, target: &str, from: Node, path: &str, now: u64) -> Result<(), FsError> {
        match target {
            "" => return Err(FsError::Invalid),
            _ if target.starts_with('/') => return Err(FsError::NotPermitted),
            _ if target.len() > PATH_BYTES_MAX => return Err(FsError::NameTooLong),
            _ => {}
        }
        let (above, name) = self.free_name(from, path, false)?;
        self.scratch.make(above, &name, Body::Link(target.into()), now, &self.budget).map(drop)
    }

    /// Returns the target of the link at a path.
    pub(crate) fn read_link(&self, from: Node, path: &str) -> Result<&str, FsError> {
        self.target(self.look_up(from, path, false)?)
    }

    /// Gives a file another name.
    pub(crate) fn link(
        &mut self,
        (from, path): (Node, &str),
        (to, new): (Node, &str),
        follow: bool,
        now: u64,
    ) -> Result<(), FsError> {
        let node = self.look_up(from, path, follow)?;
        if self.kind(node)? == Kind::Directory {
            return Err(FsError::NotPermitted);
        }
        let (above, name) = self.free_name(to, new, false)?;
        match node {
            Node::Scratch(node) => self.scratch.name(above, &name, node, now, &self.budget),
            Node::Tree(_) => Err(FsError::CrossDevice),
        }
    }

    /// Removes the name of a file or link.
    pub(crate) fn unlink(&mut self, from: Node, path: &str, now: u64) -> Result<(), FsError> {
        let (above, name, node) = self.named(from, path)?;
        match self.kind(node)? {
            Kind::Directory => Err(FsError::IsDirectory),
            Kind::File | Kind::Link if path.ends_with('/') => Err(FsError::NotDirectory),
            Kind::File | Kind::Link => self.scratch.unname(writable(above)?, &name, now, &self.budget),
        }
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&mut self, from: Node, path: &str, now: u64) -> Result<(), FsError> {
        let (above, name, node) = self.named(from, path)?;
        if self.kind(node)? != Kind::Directory {
            return Err(FsError::NotDirectory);
        }
        let above = writable(above)?;
        if !self.scratch.directory(writable(node)?)?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.scratch.unname(above, &name, now, &self.budget)
    }

    /// Renames a file, link or directory, in place of what has the new name.
    pub(crate) fn rename(
        &mut self,
        (from, path): (Node, &str),
        (to, new): (Node, &str),
        now: u64,
    ) -> Result<(), FsError> {
        let (above, name, node) = self.named(from, path)?;
        let found = self.walk(to, new, false)?;
        let (directory, there, wants_directory) = (found.directory, found.node, found.wants_directory);
        let new_name = found.name.ok_or(FsError::Invalid)?;
        let (above, node, directory) = match (above, node, directory) {
            (Node::Scratch(above), Node::Scratch(node), Node::Scratch(directory)) => (above, node, directory),
            (Node::Scratch(_), _, _) => return Err(FsError::CrossDevice),
            (Node::Tree(_), _, _) => return Err(FsError::ReadOnly),
        };
        let is_directory = self.kind(Node::Scratch(node))? == Kind::Directory;
        if wants_directory && !is_directory {
            return Err(FsError::NotDirectory);
        }
        if is_directory && self.scratch.is_below(directory, node)? {
            return Err(FsError::Invalid);
        }
        match there {
            Some(there) if there == Node::Scratch(node) => return Ok(()),
            Some(there) => match (is_directory, self.kind(there)?) {
                (true, Kind::Directory) if !self.scratch.directory(writable(there)?)?.is_empty() => {
                    return Err(FsError::NotEmpty);
                }
                (true, Kind::Directory) | (false, Kind::File | Kind::Link) => {
                    self.scratch.unname(directory, &new_name, now, &self.budget)?;
                }
                (true, _) => return Err(FsError::NotDirectory),
                (false, Kind::Directory) => return Err(FsError::IsDirectory),
            },
            None => {}
        }
        self.scratch.name(directory, &new_name, node, now, &self.budget)?;
        self.scratch.unname(above, &name, now, &self.budget)
    }

    /// Returns the directory and name at which something can be made.
    fn free_name(&self, from: Node, path: &str, may_end_in_separator: bool) -> Result<(ScratchNode, String), FsError> {
        let found = self.walk(from, path.trim_end_matches('/'), false)?;
        match (found.node, found.name) {
            (Some(_), _) => Err(FsError::Exists),
            (None, Some(_)) if path.ends_with('/') && !may_end_in_separator => Err(FsError::NotFound),
            (None, Some(name)) => Ok((writable(found.directory)?, name)),
            (None, None) => Err(FsError::Exists),
        }
    }

    /// Returns what has a name, with its directory.
    fn named(&self, from: Node, path: &str) -> Result<(Node, String, Node), FsError> {
        let found = self.walk(from, path.trim_end_matches('/'), false)?;
        let name = found.name.ok_or(FsError::Invalid)?;
        Ok((found.directory, name, found.node.ok_or(FsError::NotFound)?))
    }
}
