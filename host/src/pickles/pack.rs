//! Modules that a pickle names, with those that they import, as files of its version. They are looked up in the
//! directories of `--python-path` as Python does: a package before a module, the first directory that has the first part
//! of the name. Sources alone are packed, no other files of a package.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use fusebox_core::limits::MIB;

use super::{DIR, IMPORTS, Packed, imports};

/// Modules that are packed with one function: larger programs should be a script with its packages.
const MODULES_MAX: usize = 1_000;
/// Total size of their sources.
const BYTES_MAX: u64 = MIB;
/// Names that are looked up for one function, found or not.
const NAMES_MAX: usize = 20_000;

/// Reason why modules cannot be packed. Its text is a sentence that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// There are too many.
    #[error("it needs more than {MODULES_MAX} modules of this host: import less in {0}")]
    TooMany(String),
    /// They are too large.
    #[error("the modules of this host that it needs have more than {BYTES_MAX} bytes together: import less in {0}")]
    TooLarge(String),
    /// A file cannot be read, or is no text.
    #[error("the module {module} of this host cannot be read: {error}")]
    Unreadable {
        /// Path below its directory.
        module: String,
        /// Reason.
        error: io::Error,
    },
    /// A file lies elsewhere.
    #[error("the module {0} of this host is a link that leads out of its directory: copy the file there")]
    Outside(String),
}

/// Packs the modules that the names lead to, with their own imports.
///
/// # Errors
/// Returns the bound that is exceeded, or the file that cannot be read.
pub fn pack(path: &[PathBuf], names: &[String]) -> Result<Packed, PackError> {
    let mut packing = Packing { path, ..Packing::default() };
    let mut next: Vec<String> = names.to_vec();
    while let Some(name) = next.pop() {
        next.extend(packing.take(&name)?);
    }
    let Packing { mut files, top_level, .. } = packing;
    if !files.is_empty() {
        let is_packed = |name: &str| {
            let file = format!("{DIR}/{}", name.replace('.', "/"));
            files.contains_key(&format!("{file}.py")) || files.contains_key(&format!("{file}/__init__.py"))
        };
        let missing: String =
            top_level.iter().filter(|name| !is_packed(name)).map(|name| format!("{name}\n")).collect();
        files.insert(format!("{DIR}/{IMPORTS}"), Bytes::from(missing));
    }
    Ok(Packed(files))
}

/// Modules found so far.
#[derive(Default)]
struct Packing<'a> {
    path: &'a [PathBuf],
    /// Sources by their path in the version's files.
    files: BTreeMap<String, Bytes>,
    bytes: u64,
    /// Names looked up.
    seen: BTreeSet<String>,
    /// Modules that packed ones import at their top level.
    top_level: BTreeSet<String>,
}

impl Packing<'_> {
    /// Packs one module with the packages around it, and returns the names that they import.
    fn take(&mut self, name: &str) -> Result<Vec<String>, PackError> {
        if self.seen.len() >= NAMES_MAX {
            return Err(PackError::TooMany(name.to_owned()));
        }
        if !self.seen.insert(name.to_owned()) {
            return Ok(Vec::new());
        }
        let parts: Vec<&str> = name.split('.').collect();
        let Some(dir) = self.path.iter().find(|dir| is_there(&dir.join(parts[0]))) else { return Ok(Vec::new()) };
        let mut more = Vec::new();
        let mut place = PathBuf::new();
        for (depth, part) in (1..).zip(&parts) {
            place.push(part);
            let package = place.join("__init__.py");
            let module = place.with_extension("py");
            if dir.join(&package).is_file() {
                more.extend(self.add(dir, &package, &parts[..depth], true)?);
            } else if dir.join(&module).is_file() {
                more.extend(self.add(dir, &module, &parts[..depth], false)?);
                break;
            } else if !dir.join(&place).is_dir() {
                break;
            }
        }
        Ok(more)
    }

    /// Packs one file, and returns the names that it imports.
    fn add(&mut self, dir: &Path, file: &Path, name: &[&str], is_package: bool) -> Result<Vec<String>, PackError> {
        let shown = file.display().to_string();
        let packed = format!("{DIR}/{shown}");
        if self.files.contains_key(&packed) {
            return Ok(Vec::new());
        }
        if self.files.len() >= MODULES_MAX {
            return Err(PackError::TooMany(shown));
        }
        let source = self.read(dir, file, &shown)?;
        let package = if is_package { name } else { &name[..name.len() - 1] };
        let mut more = Vec::new();
        for import in imports::of(&source) {
            let Some(module) = absolute(package, import.level, &import.module) else { continue };
            more.extend(import.names.iter().map(|taken| format!("{module}.{taken}")));
            if import.is_top_level && import.level == 0 {
                self.top_level.insert(module.clone());
            }
            more.push(module);
        }
        self.files.insert(packed, Bytes::from(source));
        Ok(more)
    }

    fn read(&mut self, dir: &Path, file: &Path, shown: &str) -> Result<String, PackError> {
        let unreadable = |error| PackError::Unreadable { module: shown.to_owned(), error };
        let real = dir.join(file).canonicalize().map_err(unreadable)?;
        if !real.starts_with(dir) {
            return Err(PackError::Outside(shown.to_owned()));
        }
        self.bytes = self.bytes.saturating_add(fs::metadata(&real).map_err(unreadable)?.len());
        if self.bytes > BYTES_MAX {
            return Err(PackError::TooLarge(shown.to_owned()));
        }
        fs::read_to_string(&real).map_err(unreadable)
    }
}

/// Returns true if a name is a package, a directory of modules, or a module.
fn is_there(place: &Path) -> bool {
    place.is_dir() || place.with_extension("py").is_file()
}

/// Returns the full name of what a module of this package imports; `None` beyond the uppermost package.
fn absolute(package: &[&str], level: usize, module: &str) -> Option<String> {
    if level == 0 {
        return Some(module.to_owned());
    }
    let base = package.get(..(package.len() + 1).checked_sub(level)?)?;
    let parts: Vec<&str> = base.iter().copied().chain(Some(module).filter(|module| !module.is_empty())).collect();
    Some(parts.join(".")).filter(|name| !name.is_empty())
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
