//! A process of the project, started until it is ready: stopped for a while, told to end, killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// How long a process may take to say that it is ready, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A running process. Dropping it kills it.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    ready: String,
}

impl Program {
    /// Starts a command and waits until it prints a line with `ready`.
    ///
    /// # Errors
    /// Where it ends first or does not say so.
    pub fn start(mut command: Command, ready: &str) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("start {}", command.get_program().display()))?;
        let stdout = child.stdout.take().context("its stdout is piped")?;
        let (sender, lines) = channel();
        // Read on afterwards, so that the process never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut program = Self { child, lines, ready: String::new() };
        program.ready = program.said(ready)?;
        Ok(program)
    }

    /// The line that said that it was ready.
    #[must_use]
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// A word of the line that said that it was ready, or of a later one: the first that starts with `start`.
    ///
    /// # Errors
    /// Where it ends first or does not say so.
    pub fn word(&self, start: &str) -> anyhow::Result<String> {
        let line = if self.ready.contains(start) { self.ready.clone() } else { self.said(start)? };
        let word = line.split_whitespace().find(|word| word.starts_with(start));
        Ok(word.with_context(|| format!("a word that starts with {start:?} in {line:?}"))?.to_owned())
    }

    /// The next line with `words`.
    ///
    /// # Errors
    /// Where it ends first or does not say so.
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

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGHUP, at which servers read their files again.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Stops it as a machine does that swaps or sleeps: it says nothing, and its connections stay open.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where the process is gone.
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
    /// Where it does not end within `patience`.
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
