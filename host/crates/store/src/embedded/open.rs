//! Creates and locks the store's directory, and refuses formats that this version cannot read. Reads no records.
//!
//! ```text
//! DIR/lock     held while a process has the store open
//! DIR/format   layout of the files; written last, so that it exists only if the rest does
//! DIR/db       the engine's files
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::engine::Engine;
use crate::{Error, Result};

/// Content of `format`. A change that older versions cannot read increments the number.
const FORMAT: &str = "fusebox store 2\n";

/// Opens the directory's engine, creating it if needed. Other users have no access, since the files contain inputs and
/// outputs.
pub(super) fn engine(dir: &Path) -> Result<Engine> {
    let failed = |reason: String| Error::Open { path: dir.display().to_string(), reason };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed(error.to_string()))?;
    let lock = lock(dir)?;
    match format(dir).map_err(|error| failed(error.to_string()))? {
        Some(format) if format == FORMAT => {}
        Some(format) => {
            let reason = format!("its format is {:?}, and this version reads {:?}", format.trim(), FORMAT.trim());
            return Err(failed(reason));
        }
        None => make(dir).map_err(failed)?,
    }
    Engine::open(&dir.join("db"), lock).map_err(|error| failed(error.to_string()))
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.display().to_string();
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock"));
    let file = match open {
        Ok(file) => file,
        Err(error) => return Err(Error::Open { path, reason: error.to_string() }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path }),
        Err(TryLockError::Error(error)) => Err(Error::Open { path, reason: error.to_string() }),
    }
}

fn format(dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(dir.join("format")) {
        Ok(format) => Ok(Some(format)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates the engine's files, then writes `format`. Removes leftovers of a creation that was killed: without `format`,
/// no answer was ever given.
fn make(dir: &Path) -> std::result::Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let database = dir.join("db");
    match fs::remove_dir_all(&database) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(text(error)),
    }
    DirBuilder::new().mode(0o700).create(&database).map_err(text)?;
    Engine::make(&database).map_err(|error| error.to_string())?;
    sync(&database).map_err(text)?;
    let written = dir.join("format.new");
    let mut file = File::create(&written).map_err(text)?;
    file.write_all(FORMAT.as_bytes()).and_then(|()| file.sync_all()).map_err(text)?;
    fs::rename(&written, dir.join("format")).map_err(text)?;
    sync(dir).map_err(text)
}

/// Makes the entries of a directory durable.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
