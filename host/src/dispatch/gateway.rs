//! Admits workers of other processes: checks joins, decodes messages, and passes requests for modules to `pieces` and
//! all others to the driver. A peer that violates the protocol loses its link; nothing else is affected.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fusebox_core::{
    dispatch::Mode,
    id::WorkerId,
    limits::WORKER_CAPACITY_MAX,
    wire::{self, FromDispatcher, FromWorker, Join},
};
use fusebox_sandbox::ArtifactKey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::pieces::{PieceRequest, Pieces};
use fusebox_link::{Counters, Link, LinkReceiver, LinkSender, Listener, TOKEN_NEEDED};

/// Longest time between the handshake and the join.
const JOIN_TIME: Duration = Duration::from_secs(5);
/// Messages queued for the driver. When it is full, links are not read, and their peers wait.
const WAITING_MAX: usize = 1_024;
/// Longest name of a worker, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Distinguishes the links of a worker: an old one may end after a new one has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId(u64);

/// Event on a link, for the driver.
pub enum FromLink {
    /// A worker has joined.
    Joined {
        /// Its link.
        link: LinkId,
        /// Sends messages to the worker.
        sender: LinkSender,
        /// Its join message.
        join: Join,
    },
    /// A worker has sent a message.
    Said {
        /// Id of the worker.
        worker: WorkerId,
        /// Link on which it arrived.
        link: LinkId,
        /// The message.
        message: FromWorker,
    },
    /// A link is closed.
    Left {
        /// Id of its worker.
        worker: WorkerId,
        /// The link.
        link: LinkId,
    },
}

/// Accepts workers' links.
pub struct Gateway {
    listener: Listener,
    server: Arc<LinkServer>,
}

struct LinkServer {
    mode: Mode,
    pieces: Arc<Pieces>,
    counters: Arc<Counters>,
    to_driver: mpsc::Sender<FromLink>,
    /// Cancelled once links without a join token must be closed.
    closed: CancellationToken,
}

impl Gateway {
    /// Creates a gateway for workers of one mode, with the channel that the driver reads.
    #[must_use]
    pub fn new(
        listener: Listener,
        mode: Mode,
        pieces: Arc<Pieces>,
        counters: Arc<Counters>,
    ) -> (Self, mpsc::Receiver<FromLink>) {
        let (to_driver, links) = mpsc::channel(WAITING_MAX);
        let server = LinkServer { mode, pieces, counters, to_driver, closed: listener.closed() };
        (Self { listener, server: Arc::new(server) }, links)
    }

    /// Admits workers until `stop`; open links stay.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut next = 0;
        while let Some(link) = stop.run_until_cancelled(self.listener.accept()).await {
            next += 1;
            tokio::spawn(self.server.clone().serve(LinkId(next), link));
        }
    }
}

impl LinkServer {
    async fn serve(self: Arc<Self>, id: LinkId, link: Link) {
        let Link { sender, mut receiver, peer, token } = link;
        let Some(join) = self.join(&sender, &mut receiver).await else {
            tracing::warn!(peer, "link closed: the peer did not join");
            return;
        };
        let worker = join.worker;
        tracing::info!(%worker, peer, name = join.name, slots = join.slots, version = join.version, "a worker has joined");
        if self.to_driver.send(FromLink::Joined { link: id, sender: sender.clone(), join }).await.is_err() {
            return;
        }
        let key = token.map(|token| ArtifactKey(token.artifact_key()));
        let may_stay = key.is_some();
        tokio::select! {
            () = self.read(worker, id, &sender, &mut receiver, key) => {}
            () = self.closed.cancelled(), if !may_stay => self.dismiss(worker, id, &sender, &mut receiver).await,
        }
        sender.close();
        let _ = self.to_driver.send(FromLink::Left { worker, link: id }).await;
        tracing::info!(%worker, peer, "worker's link closed");
    }

    /// Reads the first message; `None` if it is not a join, or one that is refused.
    async fn join(&self, sender: &LinkSender, receiver: &mut LinkReceiver) -> Option<Join> {
        let first = tokio::time::timeout(JOIN_TIME, receiver.recv()).await.ok()??;
        let Ok(FromWorker::Join(join)) = wire::decode(&first) else {
            self.counters.broken_messages.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let Some(reason) = refusal(&join, self.mode) else { return Some(join) };
        tracing::warn!(worker = %join.worker, reason, "worker refused");
        refuse(reason, sender, receiver).await;
        None
    }

    /// Closes the link of a worker without a join token as if it had sent a goodbye: attempts it holds are returned at
    /// once.
    async fn dismiss(&self, worker: WorkerId, link: LinkId, sender: &LinkSender, receiver: &mut LinkReceiver) {
        tracing::warn!(%worker, "worker without a join token dismissed");
        let message = FromWorker::Goodbye;
        if self.to_driver.send(FromLink::Said { worker, link, message }).await.is_ok() {
            refuse(TOKEN_NEEDED.to_owned(), sender, receiver).await;
        }
    }

    async fn read(
        &self,
        worker: WorkerId,
        link: LinkId,
        sender: &LinkSender,
        receiver: &mut LinkReceiver,
        key: Option<ArtifactKey>,
    ) {
        let ask = self.pieces.clone().answer(sender.clone(), key);
        while let Some(bytes) = receiver.recv().await {
            match wire::decode(&bytes) {
                Ok(FromWorker::Fetch { module, form, offset }) => {
                    ask.send_replace(Some(PieceRequest { module, form, offset }));
                }
                Ok(FromWorker::Join(_)) | Err(_) => {
                    self.counters.broken_messages.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%worker, "link closed: malformed message");
                    return;
                }
                Ok(message) => {
                    if self.to_driver.send(FromLink::Said { worker, link, message }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Sends the reason of a refusal, and waits a moment for the peer to read it and close the link.
async fn refuse(reason: String, sender: &LinkSender, receiver: &mut LinkReceiver) {
    if let Ok(message) = wire::encode(&FromDispatcher::Refused { reason }) {
        let _ = sender.send(message.into());
        let closed = async { while receiver.recv().await.is_some() {} };
        let _ = tokio::time::timeout(JOIN_TIME, closed).await;
    }
}

/// Returns the reason why a worker is refused, `None` if it is admitted.
fn refusal(join: &Join, mode: Mode) -> Option<String> {
    if join.mode != mode {
        let (ours, theirs) = (mode.as_str(), join.mode.as_str());
        return Some(format!(
            "this dispatcher serves {ours} workers and this is a {theirs} worker: start `fusebox {ours}-worker`, or the \
             dispatcher with `-m {theirs}`"
        ));
    }
    let held_max = WORKER_CAPACITY_MAX as usize * 2;
    let fits = (1..=WORKER_CAPACITY_MAX).contains(&join.capacity)
        && (1..=join.capacity).contains(&join.slots)
        && join.held.len() <= held_max
        && join.name.len() <= NAME_BYTES_MAX
        && join.version.len() <= NAME_BYTES_MAX;
    (!fits)
        .then(|| format!("a worker can have 1 to {WORKER_CAPACITY_MAX} attempts and a name of {NAME_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_of_another_mode_is_told_what_to_start() {
        let join = Join {
            worker: WorkerId::from_bytes([1; 16]),
            mode: Mode::Pull,
            name: "a".to_owned(),
            version: "1".to_owned(),
            slots: 1,
            capacity: 2,
            held: Vec::new(),
        };
        assert_eq!(refusal(&join, Mode::Pull), None);
        assert!(refusal(&join, Mode::Push).unwrap().contains("`fusebox push-worker`"));
        assert!(refusal(&Join { slots: 0, ..join.clone() }, Mode::Pull).is_some());
        assert!(refusal(&Join { slots: 3, ..join.clone() }, Mode::Pull).is_some());
        assert!(refusal(&Join { capacity: u32::MAX, ..join }, Mode::Pull).is_some());
    }
}
