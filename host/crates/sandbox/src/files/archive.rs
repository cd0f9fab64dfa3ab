//! Archives of files: a tar as a client sends it is checked entry by entry, and kept in one canonical form, so that the
//! same files have the same digest whoever packed them. Times, owners and permissions are left out.

use std::{
    collections::BTreeMap,
    io::{self, Cursor},
};

use bytes::Bytes;
use fusebox_core::{
    id::FilesDigest,
    limits::{FILES_BYTES_MAX, FILES_MAX},
};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::{NAME_BYTES_MAX, PATH_BYTES_MAX, SCRATCH};

/// Size of a header, which counts for each entry, and to a multiple of which contents are padded.
const BLOCK: u64 = 512;
/// Number of characters of a path that an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// Error of files that cannot be deployed: a sentence that says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// The bytes are not an archive.
    #[error("the files are not a tar archive: {0}")]
    NotTar(String),
    /// An entry is neither a file nor a directory nor a link.
    #[error("{path:?} is {what}, and only files, directories and links inside can be deployed: leave it out")]
    Kind {
        /// Path of the entry.
        path: String,
        /// Type of the entry.
        what: &'static str,
    },
    /// A path is absolute or contains `..`.
    #[error("the path {0:?} leads out of the directory: use relative paths without \"..\"")]
    Escapes(String),
    /// A link leads out of the directory.
    #[error("the link {path:?} leads to {target:?}, outside the directory or nowhere in it: copy the file instead")]
    LinkEscapes {
        /// Path of the link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A path occurs twice.
    #[error("the path {0:?} occurs twice: pack it once")]
    Twice(String),
    /// A path continues below something else than a directory.
    #[error("the path {0:?} lies below something that is no directory: rename one of them")]
    BelowFile(String),
    /// A path is the scratch's.
    #[error("the path {0:?} would be hidden by the scratch in /tmp: place it elsewhere")]
    Scratch(String),
    /// A path is not text, or too long.
    #[error(
        "the path {0:?} is not UTF-8, has a name longer than {NAME_BYTES_MAX} bytes, or is longer than \
         {PATH_BYTES_MAX} bytes: rename it"
    )]
    Name(String),
    /// There are too many entries.
    #[error("a version has at most {FILES_MAX} files and directories: pack many small ones into one")]
    TooMany,
    /// The files are too large.
    #[error("the files of a version have at most {FILES_BYTES_MAX} bytes together: leave some out")]
    TooLarge,
}

/// Entry of an archive. Contents are parts of the archive's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Directory,
    File(Bytes),
    Link(String),
}

/// Archive in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesArchive {
    /// SHA-256 of its bytes.
    pub digest: FilesDigest,
    /// Bytes of a tar.
    pub bytes: Bytes,
}

impl FilesArchive {
    /// Checks a tar and brings it into its canonical form. Takes time linear in its size.
    ///
    /// # Errors
    /// Returns the first problem found.
    pub fn of(tar: &Bytes) -> Result<Self, FilesError> {
        Self::canonical(&read(tar)?)
    }

    /// Returns the archive of one more file beside those of a tar, if there are any.
    ///
    /// # Errors
    /// As [`FilesArchive::of`]; also if the tar has the file with another content.
    pub fn with(tar: Option<&Bytes>, path: &str, content: Bytes) -> Result<Self, FilesError> {
        let mut items = tar.map_or_else(|| Ok(BTreeMap::new()), read)?;
        let shown = shown(path.as_bytes());
        let path = normal(path.as_bytes(), &shown)?.ok_or(FilesError::Name(shown))?;
        let file = Item::File(content);
        if items.get(&path) != Some(&file) {
            add(&mut items, path, file)?;
        }
        Self::canonical(&items)
    }

    fn canonical(items: &BTreeMap<String, Item>) -> Result<Self, FilesError> {
        let bytes = write(items).map_err(|error| FilesError::NotTar(error.to_string()))?;
        if bytes.len() as u64 > FILES_BYTES_MAX {
            return Err(FilesError::TooLarge);
        }
        Ok(Self { digest: digest(&bytes), bytes: bytes.into() })
    }
}

/// Returns the digest of an archive.
pub(crate) fn digest(archive: &[u8]) -> FilesDigest {
    FilesDigest(Sha256::digest(archive).into())
}

/// Reads an archive into its entries by their paths; directories that are only implied are among them.
pub(super) fn read(tar: &Bytes) -> Result<BTreeMap<String, Item>, FilesError> {
    let not_tar = |error: io::Error| FilesError::NotTar(error.to_string());
    let (mut items, mut total) = (BTreeMap::new(), 0_u64);
    let mut archive = tar::Archive::new(Cursor::new(&tar[..]));
    for entry in archive.entries().map_err(not_tar)? {
        let entry = entry.map_err(not_tar)?;
        let shown = shown(&entry.path_bytes());
        let Some(path) = normal(&entry.path_bytes(), &shown)? else { continue };
        let kind = entry.header().entry_type();
        let item = match kind {
            EntryType::Directory => Item::Directory,
            EntryType::Regular | EntryType::Continuous => {
                Item::File(content(tar, entry.raw_file_position(), entry.size())?)
            }
            EntryType::Symlink => Item::Link(link(&path, entry.link_name_bytes().as_deref())?),
            EntryType::Link => same(&items, &path, entry.link_name_bytes().as_deref())?,
            other => return Err(FilesError::Kind { path: shown, what: word(other) }),
        };
        let bytes = match &item {
            Item::File(content) => content.len() as u64,
            Item::Directory | Item::Link(_) => 0,
        };
        total = total.saturating_add(BLOCK).saturating_add(bytes.next_multiple_of(BLOCK));
        if total > FILES_BYTES_MAX {
            return Err(FilesError::TooLarge);
        }
        add(&mut items, path, item)?;
    }
    Ok(items)
}

/// Adds an entry with the directories above it.
fn add(items: &mut BTreeMap<String, Item>, path: String, item: Item) -> Result<(), FilesError> {
    for (at, _) in path.match_indices('/') {
        let above = path.get(..at).unwrap_or_default();
        match items.get(above) {
            Some(Item::Directory) => {}
            Some(_) => return Err(FilesError::BelowFile(shown(path.as_bytes()))),
            None => drop(items.insert(above.to_owned(), Item::Directory)),
        }
    }
    match (items.get(&path), &item) {
        (None, _) => {}
        // A directory may be implied before it is listed.
        (Some(Item::Directory), Item::Directory) => return Ok(()),
        (Some(_), _) => return Err(FilesError::Twice(shown(path.as_bytes()))),
    }
    items.insert(path, item);
    if items.len() > FILES_MAX { Err(FilesError::TooMany) } else { Ok(()) }
}

/// Returns a path without `.` and surplus separators; `None` for the archive's own directory.
fn normal(path: &[u8], shown: &str) -> Result<Option<String>, FilesError> {
    let text = str::from_utf8(path).map_err(|_| FilesError::Name(shown.to_owned()))?;
    if text.starts_with('/') {
        return Err(FilesError::Escapes(shown.to_owned()));
    }
    let mut normal = String::new();
    for name in text.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            return Err(FilesError::Escapes(shown.to_owned()));
        }
        if name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return Err(FilesError::Name(shown.to_owned()));
        }
        if normal.is_empty() && name == SCRATCH {
            return Err(FilesError::Scratch(shown.to_owned()));
        }
        if !normal.is_empty() {
            normal.push('/');
        }
        normal.push_str(name);
    }
    if normal.len() > PATH_BYTES_MAX {
        return Err(FilesError::Name(shown.to_owned()));
    }
    Ok((!normal.is_empty()).then_some(normal))
}

/// Returns the bytes of a file, as a part of the archive's.
fn content(tar: &Bytes, at: u64, size: u64) -> Result<Bytes, FilesError> {
    let cut = || FilesError::NotTar("it is cut short".to_owned());
    let from = usize::try_from(at).map_err(|_| cut())?;
    let to = usize::try_from(size).ok().and_then(|size| from.checked_add(size)).ok_or_else(cut)?;
    if to > tar.len() { Err(cut()) } else { Ok(tar.slice(from..to)) }
}

/// Returns the target of a symbolic link that stays inside. Where its directories are links themselves, each step is
/// checked again when a run follows it.
fn link(path: &str, target: Option<&[u8]>) -> Result<String, FilesError> {
    let target = target.unwrap_or_default();
    let escapes = || FilesError::LinkEscapes { path: shown(path.as_bytes()), target: shown(target) };
    let text = str::from_utf8(target).map_err(|_| escapes())?;
    if text.is_empty() || text.starts_with('/') || text.contains('\0') || text.len() > PATH_BYTES_MAX {
        return Err(escapes());
    }
    let mut depth = path.matches('/').count();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or_else(escapes)?,
            _ => depth += 1,
        }
    }
    Ok(text.to_owned())
}

/// Returns a copy of the file to which a hard link leads, which must come before it.
fn same(items: &BTreeMap<String, Item>, path: &str, target: Option<&[u8]>) -> Result<Item, FilesError> {
    let target = target.unwrap_or_default();
    let shown_target = shown(target);
    let found = normal(target, &shown_target).ok().flatten().and_then(|target| items.get(&target));
    match found {
        Some(Item::File(content)) => Ok(Item::File(content.clone())),
        _ => Err(FilesError::LinkEscapes { path: shown(path.as_bytes()), target: shown_target }),
    }
}

/// Writes entries in their canonical form.
fn write(items: &BTreeMap<String, Item>) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, item) in items {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(if matches!(item, Item::Directory) { 0o755 } else { 0o644 });
        header.set_size(0);
        match item {
            Item::Directory => {
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Item::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, path, target)?;
            }
            Item::File(content) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, &content[..])?;
            }
        }
    }
    builder.into_inner()
}

/// Returns the words for an entry that cannot be deployed.
const fn word(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown type",
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(SHOWN_CHARS_MAX).collect()
}
