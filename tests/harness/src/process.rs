//! `fusebox` as child processes: start one, read what it says of itself, pause it, kill it, drain it.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Client, eventually};

/// How long a process may take to say that it is ready, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A child process whose stdout is read. Dropping it kills it.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `binary` with arguments.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(binary: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the process's stdout is piped")?;
        let (sender, lines) = std::sync::mpsc::channel();
        // Reads to the end, so that the process never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a word of its stdout that starts with `start`, such as `http://`.
    ///
    /// # Errors
    /// Where it ends first, or does not say it in time.
    pub fn word(&self, start: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let line = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("the process ended; its stderr above has the reason")
                }
                Err(RecvTimeoutError::Timeout) => anyhow::bail!("the process does not say {start}…"),
            };
            if let Some(word) = line.split_whitespace().find(|word| word.starts_with(start)) {
                return Ok(word.to_owned());
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

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The `fusebox` binary.
    pub binary: PathBuf,
    /// The store's directory.
    pub store: PathBuf,
    /// More arguments of `fusebox up`.
    pub args: Vec<String>,
}

/// A running `fusebox up`. Dropping it kills it.
pub struct Server {
    options: ServerOptions,
    process: Process,
    url: String,
}

impl Server {
    /// Starts `fusebox up` on a free port and waits until it listens.
    ///
    /// # Errors
    /// Where it ends first or does not say where it listens.
    pub fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let fixed = ["up", "--listen", "127.0.0.1:0", "--log", "warn", "--store"].map(OsStr::new);
        let own = [options.store.as_os_str()].into_iter().chain(options.args.iter().map(OsStr::new));
        let process = Process::start(&options.binary, fixed.into_iter().chain(own))?;
        let url = process.word("http://")?;
        Ok(Self { url, options, process })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of this server.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The store's directory.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.options.store
    }

    /// Kills it with SIGKILL and starts it again on the same store, on another port.
    ///
    /// # Errors
    /// Where it does not start again.
    pub fn kill_and_restart(mut self) -> anyhow::Result<Self> {
        self.kill()?;
        Self::start(self.options.clone())
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.process.terminate()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end within `patience`.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.process.exited(patience).await
    }
}
