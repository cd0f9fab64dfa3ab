//! A whole host as a child process: start it on a free port, kill it, drain it, start it again on the same store.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use crate::{Client, program::Program};

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
    program: Program,
    url: String,
}

impl Server {
    /// Starts `fusebox up` on a free port and waits until it listens.
    ///
    /// # Errors
    /// Where it ends first or does not say where it listens.
    pub fn start(options: ServerOptions) -> anyhow::Result<Self> {
        Self::start_at(options, "127.0.0.1:0")
    }

    fn start_at(options: ServerOptions, listen: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(&options.binary);
        command.args(["up", "--listen", listen, "--log", "warn", "--store"]).arg(&options.store);
        command.args(&options.args);
        let program = Program::start(command, "http://")?;
        let url = program.word("http://")?;
        Ok(Self { url, options, program })
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
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
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

    /// Kills it with SIGKILL and starts it again on the same store and port, with something done in between.
    ///
    /// # Errors
    /// Where it does not start again.
    pub fn kill_and_restart_there(mut self, meanwhile: impl FnOnce()) -> anyhow::Result<Self> {
        self.kill()?;
        meanwhile();
        let listen = self.url.trim_start_matches("http://");
        Self::start_at(self.options.clone(), listen)
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.program.kill()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.program.terminate()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end within `patience`.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.program.exited(patience).await
    }
}
