//! Files of runtimes: `NAME.wasm` in the directory that an operator names, or else beside the program and in the host's
//! data directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use fusebox_core::runtime::RuntimeName;

use super::Runtimes;

/// Name of the directory beside the program and in the data directory.
const DIR: &str = "runtimes";
/// Ending of a runtime's file.
const ENDING: &str = ".wasm";

/// Directory of runtimes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Scripts")]
pub struct RuntimeArgs {
    /// Directory of the runtimes of scripts, such as python3.13.wasm [default: `runtimes` beside this program, and in the
    /// directory of compiled modules]
    #[arg(long, env = "FUSEBOX_RUNTIMES", value_name = "DIR")]
    pub runtimes: Option<PathBuf>,
}

impl RuntimeArgs {
    /// Finds the runtimes; `data` is the host's data directory. Reads none of them.
    ///
    /// # Errors
    /// Fails if the directory that is named cannot be read.
    pub fn find(&self, data: &Path) -> anyhow::Result<Runtimes> {
        if let Some(dir) = &self.runtimes {
            let found = in_dir(dir).with_context(|| format!("cannot read --runtimes {}", dir.display()))?;
            return Ok(Runtimes::new(found));
        }
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(DIR)));
        // The first directory that has a name decides.
        let mut all = BTreeMap::new();
        for dir in beside.into_iter().chain([data.join(DIR)]) {
            for (name, path) in in_dir(&dir).unwrap_or_default() {
                all.entry(name).or_insert(path);
            }
        }
        Ok(Runtimes::new(all))
    }
}

/// Returns the runtimes in a directory.
fn in_dir(dir: &Path) -> std::io::Result<Vec<(RuntimeName, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) else { continue };
        match name.parse() {
            Ok(name) => found.push((name, entry.path())),
            Err(error) => tracing::warn!(file = %entry.path().display(), %error, "a file is no runtime"),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_named_is_the_only_one() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(DIR);
        std::fs::create_dir(&dir).unwrap();
        for name in ["python3.13.wasm", "javascript.wasm", "ruby.wasm", "python3.13.py"] {
            std::fs::write(dir.join(name), b"").unwrap();
        }
        let find = |runtimes: Option<&Path>, data: &Path| {
            let args = RuntimeArgs { runtimes: runtimes.map(Path::to_owned) };
            args.find(data).map(|found| found.names()).map_err(|error| error.to_string())
        };
        assert_eq!(find(Some(&dir), home.path()).as_deref(), Ok("javascript, python3.13"));
        assert_eq!(find(Some(home.path()), home.path()).as_deref(), Ok(""));
        let from_data = RuntimeArgs::default().find(home.path()).unwrap();
        assert!(from_data.all().any(|runtime| runtime.path == dir.join("python3.13.wasm")));
        let told = find(Some(&home.path().join("missing")), home.path()).unwrap_err();
        assert!(told.contains("--runtimes") && told.contains("missing"), "{told}");
    }
}
