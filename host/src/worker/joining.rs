//! How a worker gets its link: it tries its dispatchers in turn, waits longer each time, and says once a minute why it has
//! none. Being refused is no end: tokens and releases change one process at a time, and what a worker runs outlives that.

use std::time::{Duration, Instant};

use fusebox_core::wire::{self, FromDispatcher, FromWorker, Join};
use tokio_util::sync::CancellationToken;

use super::pace;
use crate::transport::{self, ConnectError, Dial, JoinToken, Link, Seldom};

/// The dispatcher answers a join within this time.
const WELCOME_TIME: Duration = Duration::from_secs(5);

/// Where a worker may join, and how.
pub struct Doors {
    /// The dispatchers' addresses, in the order in which they are tried; each name is resolved again at each try.
    pub urls: Vec<String>,
    /// Connects to them.
    pub dial: Box<dyn Dial>,
    /// Proves that this worker belongs to them.
    pub token: Option<JoinToken>,
    /// Called with the address each time the worker has joined.
    pub joined: Box<dyn Fn(&str) + Send + Sync>,
}

/// Why a worker has no link.
#[derive(Debug, thiserror::Error)]
pub enum NotJoined {
    /// There is no connection, or the handshake failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The dispatcher does not want it.
    #[error("the dispatcher at {url} refused this worker: {reason}")]
    Refused {
        /// The address.
        url: String,
        /// A sentence that says what to do.
        reason: String,
    },
    /// The dispatcher let it in and said nothing.
    #[error("the dispatcher at {url} does not answer")]
    Silent {
        /// The address.
        url: String,
    },
}

impl NotJoined {
    /// Whether the dispatcher is there and lets this worker not in: a person has to change something.
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

    /// Whether this worker was started wrongly, so that no change elsewhere would let it in.
    fn is_of_its_start(&self) -> bool {
        use ConnectError as E;
        matches!(self, Self::Refused { .. } | Self::Connect(E::BadUrl { .. } | E::TokenNeeded { .. }))
    }
}

/// See the module's documentation.
pub(super) struct Joining {
    doors: Doors,
    /// The place of the address that is tried next.
    at: usize,
    wait: Duration,
    has_joined: bool,
    said: Seldom,
}

impl Joining {
    pub(super) fn new(doors: Doors) -> Self {
        Self { doors, at: 0, wait: pace::REJOIN.0, has_joined: false, said: Seldom::default() }
    }

    /// Tries each address once, from the last one that let it in; `None` where none did, after a wait.
    ///
    /// # Errors
    /// Where the worker never joined and was started in a way that no dispatcher takes.
    pub(super) async fn round(&mut self, join: &Join, stop: &CancellationToken) -> Result<Option<Link>, NotJoined> {
        let mut is_refused = false;
        for _ in 0..self.doors.urls.len() {
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

    /// The next round begins with another address, if there is one.
    pub(super) fn next(&mut self) {
        self.at = (self.at + 1) % self.doors.urls.len().max(1);
    }

    /// A link has ended. A dispatcher that said so before is tried last, since it ends.
    pub(super) async fn broken(&mut self, was_announced: bool, stop: &CancellationToken) {
        match was_announced {
            true => {
                tracing::info!(url = self.url(), "the dispatcher has drained: joining another one, or waiting for it");
                self.next();
            }
            false => tracing::warn!(url = self.url(), "the link to the dispatcher is broken: joining again"),
        }
        self.pause(false, stop).await;
    }

    /// The dispatcher has ended a link and said why: it is tried again, last and not at once.
    pub(super) async fn refused(&mut self, reason: String, stop: &CancellationToken) {
        let url = self.url().to_owned();
        self.say(&NotJoined::Refused { url, reason });
        self.next();
        self.pause(true, stop).await;
    }

    /// The address that is tried next, or that this worker has joined.
    pub(super) fn url(&self) -> &str {
        self.doors.urls.get(self.at).map_or("", String::as_str)
    }

    fn say(&mut self, error: &NotJoined) {
        let text = error.to_string();
        if self.said.allows(&text, Instant::now()) {
            match error.is_refusal() {
                true => {
                    tracing::error!("{text}; this worker keeps what it runs and tries again, and says so each minute")
                }
                false => tracing::warn!(error = text, "cannot join the dispatcher; trying again"),
            }
        }
    }

    /// Waits, longer than last time. The end of a worker that holds nothing is not waited for.
    async fn pause(&mut self, is_refused: bool, stop: &CancellationToken) {
        let most = if is_refused { pace::REFUSED_WAIT_MAX } else { pace::REJOIN.1 };
        let pause = tokio::time::sleep(pace::jittered(self.wait.min(most)));
        match stop.is_cancelled() {
            true => pause.await,
            false => drop(stop.run_until_cancelled(pause).await),
        }
        self.wait = (self.wait * 2).min(most);
    }

    /// Connects and presents the worker; `None` where it is to end and holds nothing.
    async fn try_one(&self, join: &Join, stop: &CancellationToken) -> Option<Result<Link, NotJoined>> {
        let Doors { dial, token, joined, .. } = &self.doors;
        let connect = || transport::connect(self.url(), token.as_ref(), dial.as_ref());
        let connected = match stop.run_until_cancelled(connect()).await {
            Some(connected) => connected,
            None if join.held.is_empty() => return None,
            // It still has reports to hand in.
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
