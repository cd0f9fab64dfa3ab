//! A complete host as a child process: start on a free port, kill, drain, restart on the same store.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use crate::{Client, program::Program};

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Path of the `fusebox` binary.
    pub binary: PathBuf,
    /// Directory of the store.
    pub store: PathBuf,
    /// Further arguments of `fusebox up`.
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
    /// Fails if the process ends first or does not print its address.
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

    /// Returns the URL at which it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a client of this server.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Returns its process.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Returns the directory of the store.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.options.store
    }

    /// Kills it with SIGKILL and restarts it on the same store, on another port.
    ///
    /// # Errors
    /// Fails if it does not restart.
    pub fn kill_and_restart(mut self) -> anyhow::Result<Self> {
        self.kill()?;
        Self::start(self.options.clone())
    }

    /// Kills it with SIGKILL and restarts it on the same store and port, calling `meanwhile` in between.
    ///
    /// # Errors
    /// Fails if it does not restart.
    pub fn kill_and_restart_there(mut self, meanwhile: impl FnOnce()) -> anyhow::Result<Self> {
        self.kill()?;
        meanwhile();
        let listen = self.url.trim_start_matches("http://");
        Self::start_at(self.options.clone(), listen)
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// Fails if it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.program.kill()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.program.terminate()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Fails if it does not end within `patience`.
    pub async fn exited(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.program.exited(patience).await
    }
}
