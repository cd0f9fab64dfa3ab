//! SIGHUP to a server: it reads its settings file again, takes what it can take while it runs, and says what waits for a
//! restart. Its certificate is read again by whoever speaks TLS.

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{self, Settings},
    telemetry::logs::LogControl,
};

/// The one setting that is taken while a server runs.
const LOG: &str = "log";

/// The settings that a server began with.
pub struct Reload {
    /// Its settings.
    pub settings: Settings,
    /// Its log.
    pub log: LogControl,
}

impl Reload {
    /// Reads the settings again at each SIGHUP. Ends never.
    pub async fn follow(mut self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        while hangup.recv().await.is_some() {
            match self.again() {
                Ok(()) => {}
                Err(error) => tracing::warn!(error = format!("{error:#}"), "SIGHUP: the settings stay as they are"),
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
            tracing::info!(log = filter, "SIGHUP: what is logged has changed");
        }
        if !waiting.is_empty() {
            tracing::warn!(
                settings = waiting.join(", "),
                "SIGHUP: these have changed, and are taken at the next start"
            );
        }
        if changed.is_empty() {
            tracing::info!("SIGHUP: no setting has changed");
        }
        Ok(())
    }
}
