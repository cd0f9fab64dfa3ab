//! Creates and locks the store's directory, and refuses formats that this version cannot read. Reads no records.
//!
//! ```text
//! DIR/lock     held while a process has the store open
//! DIR/format   layout of the files; written last, so that it exists only if the rest does
//! DIR/db       the engine's files
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::engine::Engine;
use crate::{
    Error, Result,
    layout::{DIRECTORY, LAYOUT, Marker},
};

/// Wait for the lock before the directory is reported to be in use. A process that starts another one shares its lock
/// with it until that one executes its program, so a store that was closed, or a process that was killed, can hold the
/// lock for some more milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Time between two attempts to lock the directory.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// Layout since which leases share values. A process of the one before would not find them, so it is refused once a later
/// one has opened the directory; the records of both are read, and need no rewriting.
const OF_SHARED_LEASES: u32 = 6;

/// Opens the directory's engine, creating it if needed. Other users have no access, since the files contain inputs and
/// outputs. Changes nothing in a directory that it refuses.
pub(super) fn engine(dir: &Path, own: u32) -> Result<Engine> {
    let failed = |reason: String| Error::Open { path: dir.display().to_string(), reason };
    // Before anything is written there.
    if dir.exists() {
        joined(dir, own).map_err(failed)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed(advised(&error)))?;
    let lock = lock(dir)?;
    match joined(dir, own).map_err(failed)? {
        Joined::As(None) => {}
        Joined::As(Some(mut raised)) => {
            raised.oldest = raised.oldest.max(OF_SHARED_LEASES);
            write_marker(dir, &raised).map_err(failed)?;
        }
        Joined::New => make(dir, own).map_err(failed)?,
    }
    Engine::open(&dir.join("db"), lock).map_err(failed)
}

/// Opens the engine of a directory that has a store, which may be half migrated to layout `own`.
pub(super) fn existing(dir: &Path, own: u32) -> Result<Engine> {
    let failed = |reason: String| Error::Open { path: dir.display().to_string(), reason };
    let Some(text) = marker(dir).map_err(failed)? else { return Err(failed("there is no store".to_owned())) };
    let known = Marker::read(&text).map_err(failed)?;
    if known.newest != own || known.migrating.is_none() {
        known.join(DIRECTORY.first, own).map_err(failed)?;
    }
    let lock = lock(dir)?;
    Engine::open(&dir.join("db"), lock).map_err(failed)
}

/// Returns the layout of a directory's store; `None` if it has none. Writes nothing.
///
/// # Errors
/// Returns [`Error::Open`] if this version cannot open it.
pub(super) fn layout(dir: &Path) -> Result<Option<String>> {
    let failed = |reason: String| Error::Open { path: dir.display().to_string(), reason };
    match joined(dir, LAYOUT).map_err(failed)? {
        Joined::New => Ok(None),
        Joined::As(_) => marker(dir).map(|text| text.map(|text| text.trim_end().to_owned())).map_err(failed),
    }
}

/// Copies a store into the directory `to`, which must be empty or missing. It has the copy once all of that is durable,
/// and until then nothing.
pub(super) fn copy(engine: &Engine, to: &Path) -> Result<()> {
    let failed = |reason: String| Error::Open { path: to.display().to_string(), reason };
    let unusable = |error: io::Error| failed(advised(&error));
    match fs::read_dir(to).map(|mut entries| entries.next().is_some()) {
        Ok(false) => {}
        Ok(true) => return Err(failed("it is not empty: choose another directory".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(error)),
    }
    let from = engine.dir().parent().unwrap_or_else(|| engine.dir());
    let text = marker(from).map_err(failed)?.ok_or_else(|| failed("the store has no layout".to_owned()))?;
    let layout = Marker::read(&text).map_err(failed)?;
    let (Some(home), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(failed("it has no name: choose another directory".to_owned()));
    };
    let home = if home.as_os_str().is_empty() { Path::new(".") } else { home };
    let mut part = name.to_owned();
    part.push(".new");
    let part = home.join(part);
    // A leftover of a copy that was killed.
    match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    DirBuilder::new().recursive(true).mode(0o700).create(part.join("db")).map_err(unusable)?;
    engine.copy_into(&part.join("db"))?;
    write_marker(&part, &layout).map_err(failed)?;
    fs::rename(&part, to).and_then(|()| sync(home)).map_err(unusable)
}

/// Decision about a directory.
enum Joined {
    /// It has a store, whose marker is to be replaced if there is another.
    As(Option<Marker>),
    /// It has none, or one whose creation was killed.
    New,
}

fn joined(dir: &Path, own: u32) -> std::result::Result<Joined, String> {
    if let Some(text) = marker(dir)? {
        return Marker::read(&text)?.join(DIRECTORY.first, own).map(Joined::As);
    }
    let entries = match fs::read_dir(dir.join("db")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Joined::New),
        Err(error) => return Err(advised(&error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| advised(&error))?.file_name();
        if !Engine::FILES.iter().any(|file| name == *file) {
            let name = dir.join("db").join(name).display().to_string();
            return Err(format!("{name} belongs to another program: choose another directory with --store"));
        }
    }
    Ok(Joined::New)
}

#[expect(clippy::disallowed_methods, reason = "a file's lock has no wait with a deadline")]
fn lock(dir: &Path) -> Result<File> {
    let path = dir.display().to_string();
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock"));
    let file = match open {
        Ok(file) => file,
        Err(error) => return Err(Error::Open { path, reason: advised(&error) }),
    };
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(Error::Open { path, reason: error.to_string() }),
        }
    }
}

/// Returns an error's text with what to do about it.
fn advised(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "let this user write there, or choose another directory with --store"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some room on its disk",
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}

/// Returns the content of `format`; `None` if there is no such file.
pub(super) fn marker(dir: &Path) -> std::result::Result<Option<String>, String> {
    match fs::read(dir.join("format")) {
        Ok(format) => Ok(Some(String::from_utf8_lossy(&format).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(advised(&error)),
    }
}

/// Creates the engine's files, then writes `format`. Removes leftovers of a creation that was killed: without `format`,
/// no answer was ever given.
fn make(dir: &Path, own: u32) -> std::result::Result<(), String> {
    let text = |error: io::Error| advised(&error);
    let database = dir.join("db");
    match fs::remove_dir_all(&database) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(text(error)),
    }
    DirBuilder::new().mode(0o700).create(&database).map_err(text)?;
    Engine::make(&database)?;
    write_marker(dir, &Marker::of(own))
}

/// Replaces `format`; durable when this returns, and never half written.
pub(super) fn write_marker(dir: &Path, marker: &Marker) -> std::result::Result<(), String> {
    let written = dir.join("format.new");
    let write = || {
        let mut file = File::create(&written)?;
        file.write_all(format!("{marker}\n").as_bytes()).and_then(|()| file.sync_all())?;
        fs::rename(&written, dir.join("format"))?;
        sync(dir)
    };
    write().map_err(|error: io::Error| advised(&error))
}

/// Makes the entries of a directory durable.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_or_read_only_is_told_with_what_to_do() {
        for (kind, words) in [
            (ErrorKind::StorageFull, "free some room on its disk"),
            (ErrorKind::QuotaExceeded, "free some room on its disk"),
            (ErrorKind::ReadOnlyFilesystem, "choose another directory with --store"),
            (ErrorKind::PermissionDenied, "choose another directory with --store"),
        ] {
            assert!(advised(&io::Error::from(kind)).ends_with(words), "{kind}");
        }
        // The kernel's own file system lets nobody make a directory.
        let told = engine(Path::new("/proc/self/store"), LAYOUT).err().unwrap().to_string();
        assert!(told.starts_with("cannot open the store in /proc/self/store: "), "{told}");
    }
}
