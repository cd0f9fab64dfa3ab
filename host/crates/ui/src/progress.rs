//! Progress of long operations, on stderr and only if that is a terminal: scripts and logs stay clean.

use std::{sync::Arc, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Animation during a wait; dropping it clears the line.
pub struct Spinner(ProgressBar);

impl Spinner {
    /// Starts the animation.
    #[must_use]
    pub fn start(message: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Returns the bar, above which remarks can be printed.
    #[must_use]
    pub fn bar(&self) -> &ProgressBar {
        &self.0
    }

    /// Stops the animation and clears the line.
    pub fn end(self) {}
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Bar of a transfer, which becomes an animation once all bytes are sent. Cheap to clone; dropping the last clears it.
#[derive(Clone)]
pub struct Transfer {
    bar: Arc<Spinner>,
    bytes: u64,
    /// Message once all is sent.
    then: String,
}

impl Transfer {
    /// Starts a bar for this number of bytes.
    #[must_use]
    pub fn start(message: String, bytes: u64, then: String) -> Self {
        let spinner = Spinner::start(message);
        let style = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {bytes}/{total_bytes}");
        spinner.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        spinner.0.set_length(bytes);
        Self { bar: Arc::new(spinner), bytes, then }
    }

    /// Shows that this number of bytes is sent.
    pub fn sent(&self, bytes: u64) {
        self.bar.0.set_position(bytes);
        if bytes >= self.bytes {
            self.wait(self.then.clone());
        }
    }

    /// Shows another message, without a bar.
    pub fn wait(&self, message: String) {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        self.bar.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        self.bar.0.set_message(message);
    }
}

/// Creates a bar for work of a known size.
#[must_use]
pub fn bar(what: &'static str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:5} [{bar:30}] {pos}/{len}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps).with_style(style).with_message(what)
}

/// Creates bars below each other, for concurrent work of the same size.
#[must_use]
pub fn bars<const N: usize>(whats: [&'static str; N], steps: u64) -> [ProgressBar; N] {
    let all = MultiProgress::new();
    whats.map(|what| all.add(bar(what, steps)))
}

/// Creates a counter for work of an unknown size.
#[must_use]
pub fn counter(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {pos}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style).with_message(what)
}
