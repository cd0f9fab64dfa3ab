//! Pickled functions of the Python platform's clients: the modules of the operator that they name. What runs them is a
//! runtime, as for scripts; what reads them is `fusebox_core::pickle`.
//!
//! | module | holds |
//! |---|---|
//! | [`choose`] | the Python that runs a pickle |
//! | [`imports`] | the imports of a Python module, line by line |
//! | [`pack`] | the modules that a pickle needs, from the directories of `--python-path` |

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use fusebox_core::{pickle::PythonVersion, runtime::Language};

use crate::scripts::Runtimes;

pub mod choose;
pub mod imports;
pub mod pack;

/// Directory of a version's files in which its modules lie, as its pickle does.
const DIR: &str = "app";
/// File beside them that names what they import and the host did not find: the runtime puts placeholders there.
const IMPORTS: &str = "imports.txt";

/// Settings of pickled functions.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Pickled functions")]
pub struct PickleArgs {
    /// Directory of Python modules that pickled functions may name, such as a test module; can be repeated. All tenants
    /// can read what it holds
    #[arg(long, value_name = "DIR")]
    pub python_path: Vec<PathBuf>,
    /// Python that runs pickled functions which do not show their version [default: the newest runtime]
    #[arg(long, value_name = "VERSION")]
    pub python: Option<PythonVersion>,
}

impl PickleArgs {
    /// Returns the settings, with canonical paths.
    ///
    /// # Errors
    /// Fails if a directory is none, or if no runtime has the version.
    pub fn settings(&self, runtimes: &Runtimes) -> anyhow::Result<PickleSettings> {
        if let Some(version) = self.python {
            runtimes.choose(&format!("{}{version}", Language::Python), None).context("--python")?;
        }
        let mut path = Vec::new();
        for dir in &self.python_path {
            let found = dir.canonicalize().with_context(|| format!("--python-path {}", dir.display()))?;
            if !found.is_dir() {
                bail!("--python-path {} is no directory", dir.display());
            }
            path.push(found);
        }
        Ok(PickleSettings { path, default: self.python })
    }
}

/// Settings of pickled functions, checked.
#[derive(Clone, Debug, Default)]
pub struct PickleSettings {
    /// Directories of modules, the first one first; canonical.
    pub path: Vec<PathBuf>,
    /// Version of what does not show its own.
    pub default: Option<PythonVersion>,
}

/// Files of a version beside its pickle, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed(BTreeMap<String, Bytes>);

impl Packed {
    /// Returns the files as a tar; `None` if there are none.
    ///
    /// # Errors
    /// Never in memory.
    pub fn tar(&self) -> std::io::Result<Option<Bytes>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, &content[..])?;
        }
        Ok(Some(tar.into_inner()?.into()))
    }
}
