//! A wall clock of one process's own, which can be set while the process runs. The machine's clock is everybody's and
//! root's to set, and Linux has namespaces only for clocks that cannot be set. So the process is started with a small
//! library before its others, which adds to the machine's time what a file says: `wall_clock.c`, compiled where it is
//! wanted.
//!
//! Only a process that is linked dynamically has such a clock, and of those that it starts only the ones that are given
//! its environment.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

const SOURCE: &str = include_str!("wall_clock.c");
/// A word of a clock's file, in bytes: the first is its milliseconds ahead, the second the process that reads it.
const WORD: usize = size_of::<i64>();
const READER_AT: u64 = WORD as u64;

/// The library, as a file.
#[derive(Clone, Debug)]
pub struct Library(PathBuf);

impl Library {
    /// Compiles the library into a directory.
    ///
    /// # Errors
    /// Where there is no C compiler, or it fails.
    pub fn build(dir: &Path) -> anyhow::Result<Self> {
        let library = dir.join("wall-clock.so");
        let mut compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-x", "c", "-", "-o"])
            .arg(&library)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("there is no C compiler `cc`, which the clock of a process needs to be set")?;
        // A compiler that does not read says why at its end.
        let _ = compiler.stdin.take().context("its stdin is piped")?.write_all(SOURCE.as_bytes());
        let done = compiler.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "the library of wall clocks does not compile: {said}");
        Ok(Self(library))
    }

    /// A clock that shows the machine's time until it is set, for one process at a time. `file` is where it is kept.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn clock(&self, file: PathBuf) -> anyhow::Result<WallClock> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&file);
        let words = options.with_context(|| format!("make {}", file.display()))?;
        words.set_len(2 * READER_AT)?;
        Ok(WallClock { library: self.0.clone(), file, words })
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
    words: File,
}

impl WallClock {
    /// Variables of the environment with which a process that has this clock is started.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.library.display().to_string()), ("WALL_CLOCK", self.file.display().to_string())]
    }

    /// Sets it so many milliseconds ahead of the machine's clock, or behind it. A process that is started again finds its
    /// clock as it was set.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub fn set(&self, ahead_ms: i64) -> anyhow::Result<()> {
        Ok(self.words.write_all_at(&ahead_ms.to_ne_bytes(), 0)?)
    }

    /// The process that goes by it, the last one of several.
    ///
    /// # Errors
    /// Where none has begun to: then setting it does nothing.
    pub fn reader(&self) -> anyhow::Result<u32> {
        let mut word = [0; WORD];
        self.words.read_exact_at(&mut word, READER_AT)?;
        let reader = u32::try_from(i64::from_ne_bytes(word)).unwrap_or_default();
        anyhow::ensure!(reader != 0, "its clock cannot be set: is it linked statically?");
        Ok(reader)
    }
}
