//! The connection: opened on demand, reopened after a loss, and never waited for without a bound. Sends commands and
//! reacts to their errors, independent of the commands' meaning.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value,
    aio::{ConnectionLike as _, MultiplexedConnection},
    cluster_async::ClusterConnection,
};
use tokio::{sync::Semaphore, time::timeout_at};

use super::{
    address::{Address, Kind},
    answers,
    errors::{self, Trouble},
    mark::Mark,
    sentinel,
};
use crate::{Error, Result};

/// Number of calls in flight: enough to keep Redis busy, few enough for their payloads to fit into memory.
const CALLS_MAX: usize = 128;
/// After a failed attempt to connect, calls fail at once for this long, then for twice as long, …
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Number of times that a call to a Cluster is repeated if a node redirects it or is down …
const CLUSTER_RETRIES: u32 = 4;
/// … after a pause that grows from this …
const CLUSTER_RETRY_MS_MIN: u64 = 50;
/// … to this, in milliseconds; all pauses together are shorter than the timeout of a call.
const CLUSTER_RETRY_MS_MAX: u64 = 400;

/// Timeouts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a connection.
    pub(super) connect: Duration,
    /// For an answer, including the time to connect first.
    pub(super) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(5) }
    }
}

/// Connection to Redis that reopens itself.
pub(super) struct Link {
    address: Address,
    shown: String,
    /// Ids of the store at the start, and the key that has the id on one server.
    mark: Mark,
    mark_key: String,
    patience: Patience,
    calls: Semaphore,
    /// Held by the call that is connecting; the others wait for its result.
    opening: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Calls that must fail.
    #[cfg(test)]
    pub(super) faults: super::tests::calls::Faults,
}

#[derive(Default)]
struct State {
    open: Option<Connection>,
    /// Number of the current connection: a report that one is lost may arrive after it was replaced.
    number: u64,
    failed: Option<Failed>,
}

struct Failed {
    until: Instant,
    pause: Duration,
    error: Error,
}

#[derive(Clone)]
enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Creates a link without a connection.
    pub(super) fn new(address: Address, mark_key: String, patience: Patience) -> Self {
        let shown = address.to_string();
        Self {
            address,
            mark: Mark::new(shown.clone()),
            mark_key,
            shown,
            patience,
            calls: Semaphore::new(CALLS_MAX),
            opening: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            #[cfg(test)]
            faults: super::tests::calls::Faults::default(),
        }
    }

    /// Returns the servers, for display.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the mark by which a loss of data is detected.
    pub(super) const fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Sends a plain command.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value> {
        self.send(command, true).await.map_err(|(_, error)| error)
    }

    /// As [`Link::send_now`], except that tests can make calls fail.
    pub(super) async fn send(&self, command: &Cmd, again: bool) -> std::result::Result<Value, (Trouble, Error)> {
        #[cfg(test)]
        if let Some(fault) = self.faults.next() {
            if fault == super::tests::calls::Fault::AnswerLost {
                drop(self.send_now(command, again).await);
            }
            return Err((Trouble::Answered, Error::Unavailable("a test's fault".to_owned())));
        }
        self.send_now(command, again).await
    }

    /// Sends a command. With `again`, it is sent a second time if the connection was lost before the answer. Returns
    /// the consequence for the connection with each error.
    async fn send_now(&self, command: &Cmd, again: bool) -> std::result::Result<Value, (Trouble, Error)> {
        let deadline = tokio::time::Instant::now() + self.patience.answer;
        let silent = || (Trouble::Answered, errors::silent(&self.shown, self.patience.answer));
        let Ok(Ok(_permit)) = timeout_at(deadline, self.calls.acquire()).await else { return Err(silent()) };
        let mut second = false;
        loop {
            let connection = timeout_at(deadline, self.connection()).await.map_err(|_| silent())?;
            let (mut connection, number) = connection.map_err(|error| (Trouble::Answered, error))?;
            let error = match timeout_at(deadline, connection.send(command)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => {
                    // The connection may hang; the next call must not wait behind this one.
                    self.lost(number);
                    return Err(silent());
                }
            };
            let trouble = errors::trouble(&error);
            if matches!(trouble, Trouble::Dropped | Trouble::NotMaster) {
                self.lost(number);
            }
            if trouble == Trouble::Dropped && again && !second {
                second = true;
                continue;
            }
            return Err((trouble, errors::told(&self.shown, &error)));
        }
    }

    /// Connects if necessary, and returns the error if that fails.
    pub(super) async fn connect(&self) -> Result<()> {
        self.connection().await.map(drop)
    }

    async fn connection(&self) -> Result<(Connection, u64)> {
        if let Some(known) = self.state().known() {
            return known;
        }
        let _opening = self.opening.lock().await;
        // Another call may have finished connecting meanwhile.
        if let Some(known) = self.state().known() {
            return known;
        }
        let opened = self.open().await;
        let mut state = self.state();
        match opened {
            Ok(open) => {
                state.open = Some(open.clone());
                state.number += 1;
                state.failed = None;
                Ok((open, state.number))
            }
            Err(error) => {
                let pause = state.failed.as_ref().map_or(PAUSE_MIN, |failed| (failed.pause * 2).min(PAUSE_MAX));
                let until = Instant::now() + pause;
                state.failed = Some(Failed { until, pause, error: error.clone() });
                Err(error)
            }
        }
    }

    /// Drops a connection that is no longer usable. A Cluster's connection consists of many, which it reopens itself.
    fn lost(&self, number: u64) {
        let mut state = self.state();
        if state.number == number && !matches!(state.open, Some(Connection::Cluster(_))) {
            state.open = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection.
    async fn open(&self) -> Result<Connection> {
        match &self.address.kind {
            Kind::Cluster => {
                // A node that hangs takes the whole timeout; the answers of the others must still be heard after it.
                let opening = tokio::time::timeout(self.patience.connect * 2, self.open_cluster());
                match opening.await {
                    Ok(opened) => opened.map(Connection::Cluster),
                    Err(_) => Err(errors::silent_at_opening(&self.shown)),
                }
            }
            Kind::Node | Kind::Sentinel { .. } | Kind::Shards => {
                let client = client(&self.address, self.patience).await?;
                let mut connection = Connection::Node(open_node(&client, self.patience).await?);
                self.look_for_loss(&mut connection).await;
                Ok(connection)
            }
        }
    }

    /// Reads the store's id over a reopened connection, so that a store that came back empty is noticed at once. If it
    /// cannot be read now, the next check notices. A Cluster's connection reopens itself, so there only checks notice.
    async fn look_for_loss(&self, connection: &mut Connection) {
        if !self.mark.is_known() {
            return;
        }
        let mut command = redis::cmd("GET");
        command.arg(&self.mark_key);
        let read = tokio::time::timeout(self.patience.connect, connection.send(&command)).await;
        let id = read.ok().and_then(|read| answers::optional_text(read.ok()?).ok());
        if let Some(id) = id {
            // A loss is logged; the calls themselves continue with the data there is.
            let _ = self.mark.compare(&[id.unwrap_or_default()]);
        }
    }

    async fn open_cluster(&self) -> Result<ClusterConnection> {
        let builder = self
            .address
            .cluster()?
            .connection_timeout(self.patience.connect)
            .response_timeout(self.patience.answer)
            // For moved slots; longer outages are reported to the caller.
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(CLUSTER_RETRY_MS_MIN)
            .max_retry_wait(CLUSTER_RETRY_MS_MAX);
        let opening = async { builder.build()?.get_async_connection().await };
        opening.await.map_err(|error: RedisError| errors::at_opening(&self.shown, &error))
    }
}

impl State {
    /// Returns the open connection, or the error of a recent attempt; `None` if an attempt is due.
    fn known(&self) -> Option<Result<(Connection, u64)>> {
        if let Some(open) = &self.open {
            return Some(Ok((open.clone(), self.number)));
        }
        let failed = self.failed.as_ref().filter(|failed| Instant::now() < failed.until)?;
        Some(Err(failed.error.clone()))
    }
}

/// Returns a client of the server with the data, which Sentinels are queried for first.
pub(super) async fn client(address: &Address, patience: Patience) -> Result<Client> {
    let host = match &address.kind {
        Kind::Sentinel { service } => sentinel::master(address, service, patience.connect).await?,
        Kind::Node | Kind::Cluster | Kind::Shards => address.first()?,
    };
    address.server(host)
}

async fn open_node(client: &Client, patience: Patience) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience.connect))
        .set_response_timeout(Some(patience.answer));
    let address = client.get_connection_info().addr().to_string();
    let opening = client.get_multiplexed_async_connection_with_config(&config);
    match tokio::time::timeout(patience.connect, opening).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(errors::at_opening(&address, &error)),
        Err(_) => Err(errors::silent_at_opening(&address)),
    }
}

impl Connection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        let value = match self {
            Self::Node(connection) => connection.req_packed_command(command).await?,
            Self::Cluster(connection) => connection.req_packed_command(command).await?,
        };
        value.extract_error()
    }
}
