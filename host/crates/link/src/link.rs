//! An open link: a sending half and a receiving half. A separate task seals and sends the queued messages, in order.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::{net::TcpStream, sync::mpsc};

use super::{
    Counters, JoinToken, MESSAGE_BYTES_MAX,
    frame::{BadFrame, FRAME_BYTES_MAX, Frame, Parts},
    handshake::Session,
    pair::{self, Incoming, Message, Outgoing, Socket},
    seal::{Broken, Opener, Opening, Sealer, sealed_bytes},
};

/// Largest number of queued messages. Credit keeps it to some tens; a peer this far behind does not read.
const QUEUE_MESSAGES_MAX: usize = 1_024;
/// Largest size of the queued messages, in bytes: room for a few of the largest, and the most memory that a peer that
/// does not read can cost.
const QUEUE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// Open link to a peer that knows the join token, or that needed none.
#[derive(Debug)]
pub struct Link {
    /// Sending half; may be cloned.
    pub sender: LinkSender,
    /// Receiving half. Dropping it closes the link.
    pub receiver: LinkReceiver,
    /// Address of the peer, for display.
    pub peer: String,
    /// Token that both sides have proven to know.
    pub token: Option<JoinToken>,
}

/// Sending half. After all clones are dropped, queued messages are still sent.
#[derive(Clone)]
pub struct LinkSender {
    queue: mpsc::Sender<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    socket: Arc<Socket>,
    version: u16,
}

/// Receiving half. Dropping it closes the link.
pub struct LinkReceiver {
    incoming: Incoming,
    opener: Opener,
    opening: Option<Opening<Message>>,
    /// Rest of the last received frame.
    parts: Parts,
    is_broken: bool,
    socket: Arc<Socket>,
    peer: String,
    counters: Arc<Counters>,
}

/// Reason why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link is closed.
    #[error("the link is closed: join again")]
    Closed,
    /// The peer is too far behind; the link is now closed.
    #[error("the peer does not read its messages, and the link was closed: join again")]
    Full,
    /// The message is larger than [`MESSAGE_BYTES_MAX`]; the link is unaffected.
    #[error("the message is larger than {MESSAGE_BYTES_MAX} bytes: send it in parts")]
    TooLarge,
}

impl Link {
    /// Creates a link from a connection after its handshake with this version of the protocol.
    pub(super) async fn open(
        stream: TcpStream,
        session: Session,
        version: u16,
        token: Option<JoinToken>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let peer = stream.peer_addr()?.to_string();
        let (outgoing, incoming) = pair::attach(stream.into_std()?, sealed_bytes(FRAME_BYTES_MAX)).await?;
        let socket = outgoing.socket().clone();
        let (queue, queued) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let pump = Pump { queued, queued_bytes: queued_bytes.clone(), sealer: session.sealer, outgoing };
        tokio::spawn(pump.run());
        Ok(Self {
            sender: LinkSender { queue, queued_bytes, socket: socket.clone(), version },
            receiver: LinkReceiver {
                incoming,
                opener: session.opener,
                opening: None,
                parts: Parts::default(),
                is_broken: false,
                socket,
                peer: peer.clone(),
                counters,
            },
            peer,
            token,
        })
    }
}

impl LinkSender {
    /// Returns the version of the protocol that both sides speak; the peer does not know messages of later ones.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Queues a message without waiting. A queued message may not arrive.
    ///
    /// # Errors
    /// [`SendError`] if the link is closed, the message too large, or the peer so far behind that this call closes the
    /// link.
    pub fn send(&self, message: Bytes) -> Result<(), SendError> {
        let bytes = message.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let result = match queued + bytes > QUEUE_BYTES_MAX {
            true => Err(SendError::Full),
            false => self.queue.try_send(message).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Closed,
            }),
        };
        if result.is_err() {
            // After a lost message, none after it may be taken for the next.
            self.close();
        }
        result
    }

    /// Closes the link in both directions at once: messages queued or in transit may be lost.
    pub fn close(&self) {
        self.socket.close();
    }

    /// Returns true if the link is closed, by either side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.socket.closed().is_cancelled()
    }
}

impl LinkReceiver {
    /// Receives the next message; `None` once the link is closed or the peer violated the protocol. Cancellation safe.
    pub async fn recv(&mut self) -> Option<Bytes> {
        while !self.is_broken {
            match self.parts.next() {
                Ok(Some(message)) => return Some(message),
                Ok(None) => self.open_next().await?,
                Err(BadFrame) => self.is_broken = true,
            }
            if self.is_broken {
                self.opening = None;
                self.counters.broken_messages.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(peer = self.peer, "link closed: a message was modified or forged in transit");
                self.socket.close();
            }
        }
        None
    }

    /// Opens the next frame, or marks the link as broken.
    async fn open_next(&mut self) -> Option<()> {
        loop {
            if self.opening.is_none() {
                let sealed = self.incoming.recv().await?;
                match self.opener.start(sealed) {
                    Ok(opening) => self.opening = Some(opening),
                    Err(Broken) => {
                        self.is_broken = true;
                        return Some(());
                    }
                }
            }
            match self.opening.as_mut().map(|opening| opening.step(&mut self.opener)) {
                Some(Ok(Some(frame))) => {
                    self.opening = None;
                    self.parts = Parts::new(frame);
                    return Some(());
                }
                // A large message: other tasks may run before it continues.
                Some(Ok(None)) => tokio::task::yield_now().await,
                Some(Err(Broken)) => {
                    self.is_broken = true;
                    return Some(());
                }
                None => {}
            }
        }
    }
}

/// Seals and sends queued messages. It is the only user of the sealer, so messages are numbered in the order of the
/// queue.
struct Pump {
    queued: mpsc::Receiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    sealer: Sealer,
    outgoing: Outgoing,
}

impl Pump {
    async fn run(mut self) {
        let socket = self.outgoing.socket().clone();
        // Once the link closes, work in progress is dropped.
        if let Some(Err(Stopped)) = socket.closed().run_until_cancelled(self.send_all()).await {
            socket.close();
        }
    }

    async fn send_all(&mut self) -> Result<(), Stopped> {
        let mut frame = Frame::default();
        while let Some(message) = self.queued.recv().await {
            let mut bytes = message.len();
            frame.add(&message);
            while frame.has_room()
                && let Ok(message) = self.queued.try_recv()
            {
                bytes += message.len();
                frame.add(&message);
            }
            let sealed = self.seal(&frame.take()).await?;
            self.outgoing.send(sealed).await.map_err(|_| Stopped)?;
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn seal(&mut self, frame: &[u8]) -> Result<Message, Stopped> {
        let mut sealed = Message::zeros(sealed_bytes(frame.len())).ok_or(Stopped)?;
        let mut sealing = self.sealer.start(frame, sealed.as_mut()).map_err(|Broken| Stopped)?;
        while !sealing.step(&mut self.sealer).map_err(|Broken| Stopped)? {
            tokio::task::yield_now().await;
        }
        Ok(sealed)
    }
}

/// The link can send no more.
struct Stopped;

impl fmt::Debug for LinkSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LinkSender").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkReceiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LinkReceiver").finish_non_exhaustive()
    }
}
