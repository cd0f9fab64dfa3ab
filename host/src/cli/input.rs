//! The input of a run: text of the command line, a file, or stdin.

use std::{
    io::{IsTerminal as _, Read as _},
    path::Path,
};

use anyhow::Context as _;
use fusebox_core::limits::INPUT_BYTES_MAX;
use fusebox_ui as ui;

/// Reads the input; `flag` is the one that names the file.
///
/// # Errors
/// Fails if it cannot be read, or is larger than an input may be.
pub(super) fn read(data: Option<&str>, file: Option<&Path>, flag: &str) -> anyhow::Result<Vec<u8>> {
    if let Some(text) = data {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(path) = file.filter(|path| *path != Path::new("-")) {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        return bounded(file).with_context(|| format!("cannot read {}", path.display()));
    }
    if std::io::stdin().is_terminal() {
        ui::note(format!("reading the input from the terminal: end it with Ctrl-D, or use --data or {flag}"));
    }
    bounded(std::io::stdin().lock()).context("cannot read stdin")
}

/// Reads at most as much as an input may have.
pub(super) fn bounded(source: impl std::io::Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() as u64 <= INPUT_BYTES_MAX, "an input has at most {INPUT_BYTES_MAX} bytes");
    Ok(bytes)
}
