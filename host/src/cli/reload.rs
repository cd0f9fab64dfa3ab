//! Reload of a server at SIGHUP: it reads its settings file again, applies the settings that it can apply while it
//! runs, and logs those that need a restart. The TLS code reloads the certificate by itself.

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::config::{self, Settings},
    telemetry::logs::LogControl,
};

/// The only setting that applies while a server runs.
const LOG: &str = "log";

/// Settings in effect, for comparison with those of a reload.
pub struct Reload {
    /// Settings in effect.
    pub settings: Settings,
    /// Control over the filter of the log.
    pub log: LogControl,
}

impl Reload {
    /// Reloads the settings at each SIGHUP. Never returns, unless the signal cannot be handled.
    pub async fn follow(mut self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        while hangup.recv().await.is_some() {
            match self.again() {
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "SIGHUP: the settings file is invalid; the settings are unchanged"
                ),
            }
        }
    }

    fn again(&mut self) -> anyhow::Result<()> {
        let read = config::again()?;
        let changed = self.settings.changed(&read.settings);
        let (taken, waiting): (Vec<&str>, Vec<&str>) =
            changed.iter().map(String::as_str).partition(|name| *name == LOG);
        if !taken.is_empty() {
            let filter = read.cli.log.filter(read.cli.command.log_filter());
            self.log.set(&filter)?;
            self.settings.take(LOG, &read.settings);
            tracing::info!(log = filter, "SIGHUP: the log filter has changed");
        }
        if !waiting.is_empty() {
            tracing::warn!(settings = waiting.join(", "), "SIGHUP: settings that need a restart have changed");
        }
        if changed.is_empty() {
            tracing::info!("SIGHUP: no setting has changed");
        }
        Ok(())
    }
}
