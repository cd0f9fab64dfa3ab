//! Waits for the end of tasks across interruptions: a host that restarts, drains or is busy. Reports once that the host
//! does not answer, and once that it answers again.

use std::{future::Future, time::Duration};

use fusebox_api::tasks::TaskView;
use fusebox_client::{Client, ClientError};
use fusebox_core::limits::WAIT_SECONDS_MAX;
use fusebox_system::random;
use fusebox_ui as ui;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::cli::report::Late;
use fusebox_ui::OutputFormat;

/// First pause before a request is repeated to a host that does not answer; it doubles each time, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause before a request is repeated.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Least interval between waits: a draining host answers them at once.
const PACE: Duration = Duration::from_millis(500);

/// State of one command's waits.
pub(super) struct Waiting<'a> {
    client: &'a Client,
    format: OutputFormat,
    bar: ProgressBar,
    end: Option<Instant>,
    timeout: Duration,
    /// True once the host has answered this command. A host that never has is not waited for: its address may be wrong.
    has_answered: bool,
    is_away: bool,
    pause: Duration,
}

impl<'a> Waiting<'a> {
    /// Creates waits that end `timeout` from now, or never if there is none. Remarks are printed above `bar`.
    pub(super) fn new(client: &'a Client, timeout: Option<Duration>, format: OutputFormat, bar: &ProgressBar) -> Self {
        Self {
            client,
            format,
            bar: bar.clone(),
            end: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            timeout: timeout.unwrap_or_default(),
            has_answered: false,
            is_away: false,
            pause: PAUSE_MIN,
        }
    }

    /// Prints the ids of tasks that the host has accepted, before waiting for them, so that they can be found again
    /// after an interruption.
    pub(super) fn accepted<'b>(mut self, ids: impl IntoIterator<Item = &'b str>) -> Self {
        const TOLD_MAX: usize = 10;
        self.has_answered = true;
        let ids: Vec<&str> = ids.into_iter().collect();
        self.bar.suspend(|| match self.format {
            OutputFormat::Json => ui::note(json!({"tasks": ids}).to_string()),
            OutputFormat::Text => {
                ids.iter().take(TOLD_MAX).for_each(|id| ui::note(format!("task {id}")));
                if let Some(more) = ids.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
                    ui::note(format!("and {} more: --output json lists all", ui::count(more as u64)));
                }
            }
        });
        self
    }

    /// Waits for a task's end and returns the task.
    ///
    /// # Errors
    /// Fails if there is no such task, `--timeout` has passed, or the host has never answered.
    pub(super) async fn ended(&mut self, task: &str) -> anyhow::Result<TaskView> {
        let client = self.client;
        loop {
            let asked = Instant::now();
            let view = self.ask(|| client.wait_for(task, WAIT_SECONDS_MAX)).await?;
            if view.is_ended() {
                return Ok(view);
            }
            self.pace(asked).await?;
        }
    }

    /// Calls `told` with each change of a task until it has ended. Resumes a stream that breaks off at the last event
    /// received.
    ///
    /// # Errors
    /// Fails as [`Waiting::ended`] does, and if `told` fails.
    pub(super) async fn events(
        &mut self,
        task: &str,
        mut told: impl FnMut(&TaskView) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let client = self.client;
        let mut last: Option<String> = None;
        loop {
            let asked = Instant::now();
            let mut events = self.ask(|| client.events(task, last.as_deref())).await?;
            loop {
                match self.in_time(events.next()).await? {
                    Ok(Some(event)) => {
                        told(&event.task)?;
                        if event.task.is_ended() {
                            return Ok(());
                        }
                        last = Some(event.id);
                    }
                    Ok(None) => break,
                    Err(error) if error.is_transient() => {
                        self.away(&error).await?;
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            self.pace(asked).await?;
        }
    }

    /// Repeats an idempotent request until it is answered.
    ///
    /// # Errors
    /// Fails with the answer's own error, or if `--timeout` has passed, or if the host has never answered.
    pub(super) async fn ask<T, F>(&mut self, request: impl Fn() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        loop {
            match self.in_time(request()).await? {
                Err(error) if self.has_answered && error.is_transient() => self.away(&error).await?,
                answer => {
                    self.back();
                    return Ok(answer?);
                }
            }
        }
    }

    /// Pauses if less than [`PACE`] has passed since `asked`, when a wait was answered before the task's end.
    ///
    /// # Errors
    /// Fails if `--timeout` has passed.
    pub(super) async fn pace(&self, asked: Instant) -> anyhow::Result<()> {
        self.in_time(sleep_until(asked + PACE)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        match self.end {
            None => Ok(work.await),
            Some(end) => timeout_at(end, work).await.map_err(|_| Late(self.timeout).into()),
        }
    }

    /// Waits before the next try, with random jitter so that many clients do not return at once.
    async fn away(&mut self, error: &ClientError) -> anyhow::Result<()> {
        if !self.is_away {
            self.is_away = true;
            let reason = error.reason();
            self.remark("host-away", &format!("the host does not answer ({reason}): waiting until it does"));
        }
        let [draw] = random::bytes::<1>();
        let pause = self.pause / 2 + self.pause * u32::from(draw) / 512;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.in_time(tokio::time::sleep(pause)).await
    }

    fn back(&mut self) {
        (self.has_answered, self.pause) = (true, PAUSE_MIN);
        if std::mem::take(&mut self.is_away) {
            self.remark("host-back", "the host answers again");
        }
    }

    fn remark(&self, code: &str, detail: &str) {
        self.bar.suspend(|| match self.format {
            OutputFormat::Text => ui::note(detail),
            OutputFormat::Json => ui::note(json!({"code": code, "detail": detail}).to_string()),
        });
    }
}
