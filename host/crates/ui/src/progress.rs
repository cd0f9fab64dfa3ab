//! Progress of long operations, on stderr and only if that is a terminal: scripts and logs stay clean.

use std::time::Duration;

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
