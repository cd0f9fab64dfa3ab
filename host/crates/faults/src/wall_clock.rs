//! Wall clock for a single process, which can be set while the process runs. The machine's clock is shared and only
//! root can set it, and Linux has namespaces only for clocks that cannot be set. So the process is started with a
//! preloaded library that adds an offset, read from a file, to the machine's time: `wall_clock.c`, compiled on demand.
//!
//! Works only for dynamically linked processes. Of the processes that they start, only those with the same environment
//! are affected.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

const SOURCE: &str = include_str!("wall_clock.c");
/// Size of a word of a clock's file, in bytes: the first word is the offset in milliseconds, the second the process
/// that reads it.
const WORD: usize = size_of::<i64>();
const READER_AT: u64 = WORD as u64;

/// Path of the compiled library.
#[derive(Clone, Debug)]
pub struct Library(PathBuf);

impl Library {
    /// Compiles the library into a directory.
    ///
    /// # Errors
    /// Fails if there is no C compiler, or if it fails.
    pub fn build(dir: &Path) -> anyhow::Result<Self> {
        let library = dir.join("wall-clock.so");
        let mut compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-x", "c", "-", "-o"])
            .arg(&library)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the C compiler `cc`, which setting the clock of a process requires, is missing")?;
        // A compiler that stops reading reports the reason when it ends.
        let _ = compiler.stdin.take().context("the compiler has no stdin")?.write_all(SOURCE.as_bytes());
        let done = compiler.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "cannot compile the wall clock library: {said}");
        Ok(Self(library))
    }

    /// Creates a clock in `file`, for one process at a time. It shows the machine's time until it is set.
    ///
    /// # Errors
    /// Fails if the file cannot be created.
    pub fn clock(&self, file: PathBuf) -> anyhow::Result<WallClock> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&file);
        let words = options.with_context(|| format!("make {}", file.display()))?;
        words.set_len(2 * READER_AT)?;
        Ok(WallClock { library: self.0.clone(), file, words })
    }
}

/// Settable wall clock of one process. See the module's documentation.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
    words: File,
}

impl WallClock {
    /// Returns the environment variables with which a process must be started to use this clock.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.library.display().to_string()), ("WALL_CLOCK", self.file.display().to_string())]
    }

    /// Sets the clock `ahead_ms` milliseconds ahead of the machine's clock, or behind it if negative. The setting
    /// survives a restart of the process.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn set(&self, ahead_ms: i64) -> anyhow::Result<()> {
        Ok(self.words.write_all_at(&ahead_ms.to_ne_bytes(), 0)?)
    }

    /// Returns the process that uses the clock; of several, the last that started.
    ///
    /// # Errors
    /// Fails if no process uses it, so that setting it has no effect.
    pub fn reader(&self) -> anyhow::Result<u32> {
        let mut word = [0; WORD];
        self.words.read_exact_at(&mut word, READER_AT)?;
        let reader = u32::try_from(i64::from_ne_bytes(word)).unwrap_or_default();
        anyhow::ensure!(
            reader != 0,
            "the clock cannot be set, since no process uses it: is the program statically linked?"
        );
        Ok(reader)
    }
}
