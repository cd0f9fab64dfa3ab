//! Arguments that several commands have: the log, and the host that a command connects to.

use std::{io::IsTerminal as _, path::PathBuf};

use clap::Args;
use fusebox_client::{Client, ClientError, Credentials};

use crate::telemetry::{
    self,
    logs::{LogControl, LogFormat},
};

/// Help heading of the options that every command has.
pub(super) const EVERYWHERE: &str = "Options of every command";

/// Settings of the host's own log, which goes to stderr.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Filter of the log, such as `info` or `fusebox=debug,warn` [default: info for servers, warn otherwise]; servers
    /// always log `audit`, unless the filter names it
    #[arg(long, global = true, env = "FUSEBOX_LOG", value_name = "FILTER", help_heading = EVERYWHERE)]
    pub log: Option<String>,
    /// Format of log lines
    #[arg(long, global = true, env = "FUSEBOX_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT", help_heading = EVERYWHERE)]
    pub log_format: LogFormat,
}

impl LogArgs {
    /// Starts logging, with the filter `default` if none is given.
    ///
    /// # Errors
    /// Fails if the filter cannot be parsed.
    pub fn start(&self, default: &str) -> anyhow::Result<LogControl> {
        let color = std::io::stderr().is_terminal();
        telemetry::logs::start(&self.filter(default), self.log_format, color)
    }

    /// Returns the log's filter; `default` if none is given.
    #[must_use]
    pub fn filter(&self, default: &str) -> String {
        match self.log.as_deref() {
            // The audit log of administrative acts stays on unless the filter names it.
            Some(filter) if default == "info" && !filter.contains("audit") => format!("{filter},audit=info"),
            filter => filter.unwrap_or(default).to_owned(),
        }
    }
}

/// The host that a command connects to.
#[derive(Clone, Debug, Args)]
pub struct HostArgs {
    /// The host's address
    #[arg(long, env = "FUSEBOX_URL", default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub url: String,
    /// Certificate authority of an https host, in PEM [default: the authorities of this system]
    #[arg(long, env = "FUSEBOX_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// API key, if the host has keys; the environment hides it from other users of the machine
    #[arg(long, env = "FUSEBOX_API_KEY", hide_env_values = true, hide_default_value = true, value_name = "KEY")]
    pub api_key: Option<Credentials>,
}

impl HostArgs {
    /// Creates a client of this host.
    ///
    /// # Errors
    /// Fails if the address or the API key is invalid, or the certificate authority cannot be read.
    pub fn client(&self) -> Result<Client, ClientError> {
        Client::build(&self.url, self.ca.as_deref(), self.api_key.as_ref())
    }
}
