//! Joins of a worker: tries its dispatchers in turn, waits longer each time, and logs once a minute why it has no link.
//! A refusal is not final: tokens and releases change one process at a time, and the worker's runs outlive that.

use std::time::{Duration, Instant};

use fusebox_core::wire::{self, FromDispatcher, FromWorker, Join};
use tokio_util::sync::CancellationToken;

use super::pace;
use fusebox_link::{ConnectError, Dial, JoinToken, Link, LogLimiter};

/// Longest wait for the answer to a join.
const WELCOME_TIME: Duration = Duration::from_secs(5);

/// Dispatchers that a worker may join, and how it connects.
pub struct Dispatchers {
    /// Addresses of the dispatchers in the order of trial. Names are resolved again at each try.
    pub urls: Vec<String>,
    /// Opens connections.
    pub dial: Box<dyn Dial>,
    /// Token that proves the worker's membership.
    pub token: Option<JoinToken>,
    /// Called with the address after each join.
    pub joined: Box<dyn Fn(&str) + Send + Sync>,
}

/// Reason why a worker has no link.
#[derive(Debug, thiserror::Error)]
pub enum NotJoined {
    /// The connection or the handshake failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The dispatcher refused the join.
    #[error("the dispatcher at {url} refused this worker: {reason}")]
    Refused {
        /// Address of the dispatcher.
        url: String,
        /// Sentence that says what to do.
        reason: String,
    },
    /// The dispatcher did not answer the join.
    #[error("the dispatcher at {url} does not answer")]
    Silent {
        /// Address of the dispatcher.
        url: String,
    },
}

impl NotJoined {
    /// Returns true if a dispatcher is there but refuses this worker, which needs a change by a person.
    fn is_refusal(&self) -> bool {
        use ConnectError as E;
        match self {
            Self::Connect(error) => {
                matches!(error, E::Refused { .. } | E::Closed { .. } | E::Version { .. } | E::TokenNeeded { .. })
            }
            Self::Refused { .. } => true,
            Self::Silent { .. } => false,
        }
    }

    /// Returns true if the fault lies in the worker's own settings, so that no change elsewhere can help.
    fn is_of_its_start(&self) -> bool {
        use ConnectError as E;
        matches!(self, Self::Refused { .. } | Self::Connect(E::BadUrl { .. } | E::TokenNeeded { .. }))
    }
}

/// State of the joins.
pub(super) struct Joining {
    dispatchers: Dispatchers,
    /// Index of the next address to try.
    at: usize,
    wait: Duration,
    has_joined: bool,
    said: LogLimiter,
}

impl Joining {
    pub(super) fn new(dispatchers: Dispatchers) -> Self {
        Self { dispatchers, at: 0, wait: pace::REJOIN.0, has_joined: false, said: LogLimiter::default() }
    }

    /// Tries each address once, starting with the last one that succeeded; `None` after a pause if none did.
    ///
    /// # Errors
    /// Fails if the worker's own settings keep every dispatcher from admitting it, and it has never joined.
    pub(super) async fn round(&mut self, join: &Join, stop: &CancellationToken) -> Result<Option<Link>, NotJoined> {
        let mut is_refused = false;
        for _ in 0..self.dispatchers.urls.len() {
            let Some(tried) = self.try_one(join, stop).await else { return Ok(None) };
            match tried {
                Ok(link) => {
                    (self.wait, self.has_joined) = (pace::REJOIN.0, true);
                    self.said.forget();
                    return Ok(Some(link));
                }
                Err(error) if !self.has_joined && error.is_of_its_start() => return Err(error),
                Err(error) => {
                    is_refused |= error.is_refusal();
                    self.say(&error);
                    self.next();
                }
            }
        }
        self.pause(is_refused, stop).await;
        Ok(None)
    }

    /// Makes the next round begin with another address, if there is one.
    pub(super) fn next(&mut self) {
        self.at = (self.at + 1) % self.dispatchers.urls.len().max(1);
    }

    /// Handles the end of a link. A dispatcher that announced its end is tried last.
    pub(super) async fn broken(&mut self, was_announced: bool, stop: &CancellationToken) {
        match was_announced {
            true => {
                tracing::info!(url = self.url(), "the dispatcher has drained: joining another one, or waiting for it");
                self.next();
            }
            false => tracing::warn!(url = self.url(), "the link to the dispatcher broke: rejoining"),
        }
        self.pause(false, stop).await;
    }

    /// Handles a link that the dispatcher ended with a reason: it is retried last, after a pause.
    pub(super) async fn refused(&mut self, reason: String, stop: &CancellationToken) {
        let url = self.url().to_owned();
        self.say(&NotJoined::Refused { url, reason });
        self.next();
        self.pause(true, stop).await;
    }

    /// Returns the address that is tried next, or that the worker has joined.
    pub(super) fn url(&self) -> &str {
        self.dispatchers.urls.get(self.at).map_or("", String::as_str)
    }

    fn say(&mut self, error: &NotJoined) {
        let text = error.to_string();
        if self.said.allows(&text, Instant::now()) {
            match error.is_refusal() {
                true => {
                    tracing::error!("{text}; this worker keeps its attempts and retries; logged once a minute")
                }
                false => tracing::warn!(error = text, "cannot join the dispatcher; retrying"),
            }
        }
    }

    /// Pauses, longer each time. A worker that is to end does not pause if it holds nothing.
    async fn pause(&mut self, is_refused: bool, stop: &CancellationToken) {
        let most = if is_refused { pace::REFUSED_WAIT_MAX } else { pace::REJOIN.1 };
        let pause = tokio::time::sleep(pace::jittered(self.wait.min(most)));
        match stop.is_cancelled() {
            true => pause.await,
            false => drop(stop.run_until_cancelled(pause).await),
        }
        self.wait = (self.wait * 2).min(most);
    }

    /// Connects and joins; `None` if the worker is to end and holds nothing.
    async fn try_one(&self, join: &Join, stop: &CancellationToken) -> Option<Result<Link, NotJoined>> {
        let Dispatchers { dial, token, joined, .. } = &self.dispatchers;
        let connect = || fusebox_link::connect(self.url(), token.as_ref(), dial.as_ref());
        let connected = match stop.run_until_cancelled(connect()).await {
            Some(connected) => connected,
            None if join.held.is_empty() => return None,
            // Reports are still to be delivered.
            None => connect().await,
        };
        let link = match connected {
            Ok(link) => present(self.url(), link, join.clone()).await,
            Err(error) => Err(error.into()),
        };
        if link.is_ok() {
            joined(self.url());
        }
        Some(link)
    }
}

async fn present(url: &str, mut link: Link, join: Join) -> Result<Link, NotJoined> {
    let url = || url.to_owned();
    let silent = || NotJoined::Silent { url: url() };
    let join = wire::encode(&FromWorker::Join(join)).map_err(|_| silent())?;
    link.sender.send(join.into()).map_err(|_| silent())?;
    let answer = tokio::time::timeout(WELCOME_TIME, link.receiver.recv()).await;
    match answer.ok().flatten().map(|bytes| wire::decode(&bytes)) {
        Some(Ok(FromDispatcher::Welcome { dispatcher })) => {
            tracing::info!(%dispatcher, url = url(), version = link.sender.version(), "joined");
            Ok(link)
        }
        Some(Ok(FromDispatcher::Refused { reason })) => Err(NotJoined::Refused { url: url(), reason }),
        _ => Err(silent()),
    }
}
