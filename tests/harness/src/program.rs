//! A process of the project: started until ready, paused, terminated, killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// Maximum time until a process is ready, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Variable that names the directory of the runtimes of scripts.
const RUNTIMES: &str = "FUSEBOX_RUNTIMES";
/// Directory without any.
const NO_RUNTIMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// A running process. Dropping it kills it.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    ready: String,
}

impl Program {
    /// Starts a command and waits until it prints a line that contains `ready`.
    ///
    /// # Errors
    /// Fails if it ends first or does not print such a line.
    pub fn start(mut command: Command, ready: &str) -> anyhow::Result<Self> {
        // Compiling the runtimes beside the binary would take a machine's time from the tests.
        if command.get_envs().all(|(name, _)| name != RUNTIMES) {
            command.env(RUNTIMES, NO_RUNTIMES);
        }
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("start {}", command.get_program().display()))?;
        let stdout = child.stdout.take().context("its stdout is piped")?;
        let (sender, lines) = channel();
        // Reading continues afterwards, so that the process never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut program = Self { child, lines, ready: String::new() };
        program.ready = program.said(ready)?;
        Ok(program)
    }

    /// Returns the line printed when it was ready.
    #[must_use]
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Returns the first word that starts with `start`, in the line printed when it was ready or in a later one.
    ///
    /// # Errors
    /// Fails if it ends first or does not print such a word.
    pub fn word(&self, start: &str) -> anyhow::Result<String> {
        let line = if self.ready.contains(start) { self.ready.clone() } else { self.said(start)? };
        let word = line.split_whitespace().find(|word| word.starts_with(start));
        Ok(word.with_context(|| format!("a word that starts with {start:?} in {line:?}"))?.to_owned())
    }

    /// Returns the next line that contains `words`.
    ///
    /// # Errors
    /// Fails if it ends first or does not print such a line.
    pub fn said(&self, words: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(patience);
            let line =
                line.with_context(|| format!("it ended, or did not say {words:?}; its stderr above may say why"))?;
            if line.contains(words) {
                return Ok(line);
            }
        }
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// Fails if it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGHUP, on which servers reload their files.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Pauses it, like a machine that swaps or is suspended: it stays silent while its connections stay open.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes it.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Fails if it does not end within `patience`.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let child = &mut self.child;
        eventually("the process's end", patience, || {
            let status = child.try_wait().ok().flatten();
            async move { status }
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
