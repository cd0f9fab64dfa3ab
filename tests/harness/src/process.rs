//! A server as a child process: start it on a free port, kill it, drain it, start it again on the same store.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Client, eventually};

/// How long a server may take to say that it listens, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

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

/// A running server. Dropping it kills it.
pub struct Server {
    options: ServerOptions,
    child: Child,
    url: String,
}

impl Server {
    /// Starts `fusebox up` on a free port and waits until it listens.
    ///
    /// # Errors
    /// Where it ends first or does not say where it listens.
    pub fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let mut child = Command::new(&options.binary)
            .args(["up", "--listen", "127.0.0.1:0", "--log", "warn", "--store"])
            .arg(&options.store)
            .args(&options.args)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", options.binary.display()))?;
        let stdout = child.stdout.take().context("the server's stdout is piped")?;
        let url = read_url(stdout).inspect_err(|_| drop(child.kill()));
        Ok(Self { url: url?, options, child })
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

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
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
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end within `patience`.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let child = &mut self.child;
        eventually("the server's end", patience, || {
            let status = child.try_wait().ok().flatten();
            async move { status }
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines until one names a URL, and keeps reading afterwards so that the server never blocks on a full pipe.
fn read_url(stdout: impl std::io::Read + Send + 'static) -> anyhow::Result<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                let _ = sender.send(url.to_owned());
            }
        }
    });
    let deadline = Instant::now() + START_PATIENCE;
    receiver
        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        .context("the server ended, or did not say where it listens; its stderr above has the reason")
}
