//! Listens for messages of other hosts and of this one, and wakes waiters. Messages can be missed while the connection
//! is lost, so all waiters are woken when it is back, and from time to time until then. Reads no records.

use std::{sync::Arc, time::Duration};

use fusebox_core::id::TaskId;
use futures_util::StreamExt as _;
use redis::{Client, Msg};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, timeout},
};

use super::{
    address::{Address, Kind},
    errors,
    keys::{self, CANCELLED_CHANNEL, CHANGED_CHANNEL, ENDED_CHANNEL, IDENTITY_CHANNEL, READY_CHANNEL},
    link::{self, Patience},
};
use crate::{
    Result,
    hints::{Event, Hints},
};

/// Interval of checks that the server is still there.
const PING: Duration = Duration::from_secs(1);
/// After a lost connection a new one is tried after this long, then after twice as long, …
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Interval at which waiters are woken while nothing can be received.
const LOOK_DEAF: Duration = Duration::from_millis(250);
/// Number of letters of an id; a message has several without a space.
const ID: usize = 36;

/// Listener for messages. Dropping it stops the listening.
pub(super) struct PubSub {
    hints: Arc<Hints>,
    ears: Vec<Ear>,
}

/// Listener for the messages of one server, or of a Cluster.
struct Ear {
    hears: watch::Receiver<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl PubSub {
    /// Starts to listen. Messages sent after [`Self::listening`] returns are received.
    pub(super) fn start(address: &Address, patience: Patience) -> Self {
        let hints = Hints::new();
        let ears = address.links().into_iter().map(|address| {
            let (tell, hears) = watch::channel(false);
            let tasks = [
                tokio::spawn(run(address, patience, hints.clone(), tell)),
                tokio::spawn(wake_the_deaf(hints.clone(), hears.clone())),
            ];
            Ear { hears, tasks }
        });
        Self { ears: ears.collect(), hints }
    }

    /// Waits until it listens to every server.
    pub(super) async fn listening(&self) {
        for ear in &self.ears {
            // The sender is dropped together with this struct.
            let _ = ear.hears.clone().wait_for(|hears| *hears).await;
        }
    }

    /// Returns the registry of waiters.
    pub(super) const fn hints(&self) -> &Arc<Hints> {
        &self.hints
    }
}

/// Wakes all waiters periodically while nothing can be received.
async fn wake_the_deaf(hints: Arc<Hints>, mut hears: watch::Receiver<bool>) {
    while hears.wait_for(|hears| !*hears).await.is_ok() {
        if timeout(LOOK_DEAF, hears.wait_for(|hears| *hears)).await.is_err() {
            hints.wake_all();
        }
    }
}

async fn run(address: Address, patience: Patience, hints: Arc<Hints>, tell: watch::Sender<bool>) {
    let mut pause = PAUSE_MIN;
    for at in 0.. {
        let ended = listen(&address, at, patience, &hints, &tell).await;
        if tell.send_replace(false) {
            tracing::warn!(redis = %address, reason = ended, "cannot receive notifications; polling instead");
            pause = PAUSE_MIN;
        } else {
            tracing::debug!(redis = %address, reason = ended, "still cannot receive notifications");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Listens until the connection fails; returns the reason.
async fn listen(address: &Address, at: usize, patience: Patience, hints: &Hints, tell: &watch::Sender<bool>) -> String {
    let client = match listener(address, at, patience).await {
        Ok(client) => client,
        Err(error) => return error.to_string(),
    };
    let (prefix, suffix) = (address.access.prefix.as_str(), keys::channel_suffix(address.database));
    let opening = async {
        let mut pubsub = client.get_async_pubsub().await?;
        let channels = [CHANGED_CHANNEL, ENDED_CHANNEL, READY_CHANNEL, CANCELLED_CHANNEL, IDENTITY_CHANNEL];
        let channels: Vec<_> = channels.iter().map(|channel| format!("{prefix}{channel}{suffix}")).collect();
        pubsub.subscribe(channels).await?;
        redis::RedisResult::Ok(pubsub)
    };
    let (mut sink, mut messages) = match timeout(patience.connect, opening).await {
        Ok(Ok(pubsub)) => pubsub.split(),
        Ok(Err(error)) => return errors::reason(&error),
        Err(_) => return "does not answer in time".to_owned(),
    };
    hints.wake_all();
    tell.send_replace(true);
    let mut pings = tokio::time::interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => hints.tell(&events(&message, prefix, &suffix)),
                None => return "closed the connection".to_owned(),
            },
            _ = pings.tick() => match timeout(patience.connect, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return errors::reason(&error),
                Err(_) => return "does not answer in time".to_owned(),
            },
        }
    }
}

/// Returns a client to listen with. On a Cluster every node relays all messages; the nodes of the URL are tried in
/// turn.
async fn listener(address: &Address, at: usize, patience: Patience) -> Result<Client> {
    match &address.kind {
        Kind::Node | Kind::Sentinel { .. } | Kind::Shards => link::client(address, patience).await,
        Kind::Cluster => {
            let host = address.hosts.get(at % address.hosts.len().max(1)).cloned();
            address.server(host.map_or_else(|| address.first(), Ok)?)
        }
    }
}

/// Decodes a message into events; none if it is not one of this store.
fn events(message: &Msg, prefix: &str, suffix: &str) -> Vec<Event> {
    let text = std::str::from_utf8(message.get_payload_bytes()).unwrap_or_default();
    let ids = text.as_bytes().chunks(ID).filter_map(|id| std::str::from_utf8(id).ok()?.parse::<TaskId>().ok());
    let channel = message.get_channel_name().strip_prefix(prefix);
    match channel.and_then(|channel| channel.strip_suffix(suffix)) {
        Some(READY_CHANNEL) => ready(text).collect(),
        Some(CHANGED_CHANNEL) => ids.map(Event::Changed).collect(),
        Some(ENDED_CHANNEL) => ids.map(Event::Ended).collect(),
        Some(CANCELLED_CHANNEL) => ids.map(Event::Cancelled).collect(),
        Some(IDENTITY_CHANNEL) => vec![Event::Identity],
        _ => Vec::new(),
    }
}

/// Decodes alternating tenants and numbers of tasks.
fn ready(text: &str) -> impl Iterator<Item = Event> {
    let mut words = text.split(' ');
    std::iter::from_fn(move || Some((words.next()?, words.next()?)))
        .filter_map(|(tenant, more)| Some(Event::Ready(tenant.parse().ok()?, more.parse().ok()?)))
}
