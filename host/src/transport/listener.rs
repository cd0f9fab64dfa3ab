//! The dispatcher's side: one TCP port where workers join. Handshakes run beside each other, bounded in number and time,
//! so that whoever connects and says nothing, or nonsense, holds up nobody.

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::{
    Counters, HANDSHAKE_TIME, JoinToken, VERSIONS,
    handshake::{self, CONFIRM_BYTES, HELLO_HEADER_BYTES, NOISE_BYTES, Verdict},
    link::Link,
};

/// Handshakes at once. Each costs a descriptor and a few kilobytes; a fleet that joins again all at once fits.
const HANDSHAKES_MAX: usize = 256;

/// How long to wait where the system has no descriptor left: long enough to cost nothing, short enough for a worker.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a refused peer may still send before it is cut off: the rest of any handshake.
const REFUSED_BYTES_MAX: u64 = 1_024;

/// The port where workers join.
pub struct Listener {
    listener: TcpListener,
    local_addr: SocketAddr,
    key: [u8; 32],
    versions: RangeInclusive<u16>,
    counters: Arc<Counters>,
    handshake_time: Duration,
    handshakes: JoinSet<Option<Link>>,
    /// The same handshakes, the oldest first.
    oldest: VecDeque<AbortHandle>,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Others than this machine could join.
    #[error("{addr} can be reached from other machines: set a join token, or listen on 127.0.0.1")]
    TokenNeeded {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Somebody else listens there.
    #[error("{addr} is in use: stop what listens there, or choose another port for workers")]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The system refuses.
    #[error("cannot listen for workers on {addr}: {source}")]
    Failed {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Listener {
    /// Listens on `addr`. Without a token only loopback addresses are allowed.
    ///
    /// # Errors
    /// Where the address is open to others, in use or not this machine's.
    pub async fn bind(addr: SocketAddr, token: Option<JoinToken>, counters: Arc<Counters>) -> Result<Self, BindError> {
        if token.is_none() && !addr.ip().to_canonical().is_loopback() {
            return Err(BindError::TokenNeeded { addr });
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr },
            _ => BindError::Failed { addr, source },
        };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        Ok(Self {
            local_addr: listener.local_addr().map_err(failed)?,
            listener,
            key: JoinToken::key(token.as_ref()),
            versions: VERSIONS,
            counters,
            handshake_time: HANDSHAKE_TIME,
            handshakes: JoinSet::new(),
            oldest: VecDeque::new(),
        })
    }

    /// Where workers connect to; has the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next worker that joins. Handshakes go on between calls, but new connections wait for one. Cancellation safe.
    pub async fn accept(&mut self) -> Link {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(link)) = ended {
                        count(&self.counters.accepted);
                        return link;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a worker's connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.make_room();
        let (key, versions) = (self.key, self.versions.clone());
        let (counters, time) = (self.counters.clone(), self.handshake_time);
        let handshake = async move {
            match tokio::time::timeout(time, welcome(stream, &key, &versions, counters.clone())).await {
                Ok(Ok(link)) => return Some(link),
                Ok(Err(why)) => {
                    count(&counters.refused_handshakes);
                    tracing::debug!(%peer, %why, "a connection did not join");
                }
                Err(_) => count(&counters.expired_handshakes),
            }
            None
        };
        self.oldest.push_back(self.handshakes.spawn(handshake));
    }

    /// The oldest handshake makes room for the newest: a worker's takes milliseconds, so a crowd of silent strangers
    /// drives out its own.
    fn make_room(&mut self) {
        if self.oldest.len() < HANDSHAKES_MAX {
            return;
        }
        self.oldest.retain(|handshake| !handshake.is_finished());
        if self.oldest.len() >= HANDSHAKES_MAX
            && let Some(handshake) = self.oldest.pop_front()
        {
            handshake.abort();
            count(&self.counters.expired_handshakes);
        }
    }

    #[cfg(test)]
    pub(super) fn set_versions(&mut self, versions: RangeInclusive<u16>) {
        self.versions = versions;
    }

    #[cfg(test)]
    pub(super) fn set_handshake_time(&mut self, time: Duration) {
        self.handshake_time = time;
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of it.
        formatter.debug_struct("Listener").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it speaks another protocol")]
    Stranger,
    #[error("it speaks version {0} of the protocol")]
    Version(u16),
    #[error("its join token is another one, or it has none")]
    Token,
    #[error("{0}")]
    Gone(#[from] io::Error),
}

async fn welcome(
    mut stream: TcpStream,
    key: &[u8; 32],
    versions: &RangeInclusive<u16>,
    counters: Arc<Counters>,
) -> Result<Link, Refused> {
    stream.set_nodelay(true)?;
    let mut header = [0; HELLO_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let version = handshake::version_of(&header).ok_or(Refused::Stranger)?;
    if !versions.contains(&version) {
        refuse(stream, *versions.end(), Verdict::WrongVersion).await?;
        return Err(Refused::Version(version));
    }
    let mut message = [0; NOISE_BYTES];
    stream.read_exact(&mut message).await?;
    let Ok((waiting, message)) = handshake::answer(key, version, &message) else {
        refuse(stream, version, Verdict::WrongToken).await?;
        return Err(Refused::Token);
    };
    let answer = [&handshake::answer_header(version, Verdict::Welcome)[..], &message].concat();
    stream.write_all(&answer).await?;
    let mut confirm = [0; CONFIRM_BYTES];
    stream.read_exact(&mut confirm).await?;
    let session = waiting.finish(&confirm).map_err(|_| Refused::Token)?;
    Ok(Link::open(stream, session, version, counters).await?)
}

async fn refuse(mut stream: TcpStream, version: u16, verdict: Verdict) -> io::Result<()> {
    stream.write_all(&handshake::answer_header(version, verdict)).await?;
    stream.shutdown().await?;
    // Closing while there is something unread would take the answer back on its way.
    tokio::io::copy(&mut stream.take(REFUSED_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
