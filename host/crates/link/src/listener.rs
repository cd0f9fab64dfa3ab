//! The dispatcher's side: one TCP port where workers join. Handshakes run concurrently, bounded in number and time, so
//! that silent or malformed connections delay no one.

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    Admission, Counters, HANDSHAKE_TIME, TOKEN_NEEDED, VERSIONS,
    admission::Answered,
    handshake::{self, CONFIRM_BYTES, HELLO_HEADER_BYTES, NOISE_BYTES, Verdict},
    link::Link,
    log_limiter::LogLimiter,
};

/// Largest number of concurrent handshakes. Each takes a descriptor and a few kilobytes; a whole fleet can reconnect at
/// once.
const HANDSHAKES_MAX: usize = 256;

/// Pause when the system has no descriptor left: long enough to cost nothing, short enough for a worker.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Number of bytes that a refused peer may still send before it is cut off: the rest of any handshake.
const REFUSED_BYTES_MAX: u64 = 1_024;

/// Port where workers join.
pub struct Listener {
    listener: TcpListener,
    local_addr: SocketAddr,
    admission: Admission,
    versions: RangeInclusive<u16>,
    counters: Arc<Counters>,
    handshake_time: Duration,
    handshakes: JoinSet<Result<Link, NotIn>>,
    /// Handles of the same handshakes, oldest first.
    oldest: VecDeque<AbortHandle>,
    said: LogLimiter,
}

/// Error of listening.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Other machines could join without a token.
    #[error("{addr} can be reached from other machines: set a join token, or listen on 127.0.0.1")]
    TokenNeeded {
        /// Requested address.
        addr: SocketAddr,
    },
    /// The address is in use.
    #[error("{addr} is in use: stop what listens there, or choose another port for workers")]
    InUse {
        /// Requested address.
        addr: SocketAddr,
    },
    /// The operating system refuses.
    #[error("cannot listen for workers on {addr}: {source}")]
    Failed {
        /// Requested address.
        addr: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl Listener {
    /// Listens on `addr`. Without a token, only loopback addresses are allowed.
    ///
    /// # Errors
    /// [`BindError`] if the address is reachable from other machines without a token, is in use, or is not this
    /// machine's.
    pub async fn bind(addr: SocketAddr, admission: Admission, counters: Arc<Counters>) -> Result<Self, BindError> {
        if admission.tokens.is_empty() && !addr.ip().to_canonical().is_loopback() {
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
            admission,
            versions: VERSIONS,
            counters,
            handshake_time: HANDSHAKE_TIME,
            handshakes: JoinSet::new(),
            oldest: VecDeque::new(),
            said: LogLimiter::default(),
        })
    }

    /// Returns the address to connect to; its port is the one chosen by the system if 0 was requested.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns a token that is cancelled once workers without a token are no longer admitted. Those that have joined
    /// must then leave.
    #[must_use]
    pub fn closed(&self) -> CancellationToken {
        self.admission.closed.clone()
    }

    /// Returns the next worker that joins. Handshakes continue between calls, but new connections wait for a call.
    /// Cancellation safe.
    pub async fn accept(&mut self) -> Link {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.handshakes.join_next() => match ended {
                    Ok(Ok(link)) => {
                        count(&self.counters.accepted);
                        return link;
                    }
                    Ok(Err(not_in)) => self.note(&not_in),
                    // It was aborted to make room for another one.
                    Err(_) => {}
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a worker's connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.make_room();
        let (admission, versions) = (self.admission.clone(), self.versions.clone());
        let (counters, time) = (self.counters.clone(), self.handshake_time);
        let handshake = async move {
            match tokio::time::timeout(time, welcome(stream, &admission, &versions, counters)).await {
                Ok(joined) => joined.map_err(|why| NotIn { peer, why }),
                Err(_) => Err(NotIn { peer, why: Refused::Late }),
            }
        };
        self.oldest.push_back(self.handshakes.spawn(handshake));
    }

    /// Counts a refused connection, and logs a warning if it is a worker's, since an operator has to act.
    fn note(&mut self, NotIn { peer, why }: &NotIn) {
        match why {
            Refused::Late => count(&self.counters.expired_handshakes),
            _ => count(&self.counters.refused_handshakes),
        }
        let is_worker = matches!(why, Refused::Version(_) | Refused::Token | Refused::TokenNeeded);
        match is_worker && self.said.allows(&why.to_string(), Instant::now()) {
            true => tracing::warn!(%peer, "worker refused: {why}"),
            false => tracing::debug!(%peer, %why, "connection closed without joining"),
        }
    }

    /// Aborts the oldest handshake if there are too many. A worker's handshake takes milliseconds, so silent
    /// connections mostly displace each other.
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
        formatter.debug_struct("Listener").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Connection that did not become a link.
struct NotIn {
    peer: SocketAddr,
    why: Refused,
}

/// Reason why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it uses another protocol")]
    Stranger,
    #[error("it uses version {0} of the protocol: install consecutive releases")]
    Version(u16),
    #[error("its join token differs or is missing")]
    Token,
    #[error("{TOKEN_NEEDED}")]
    TokenNeeded,
    #[error("its handshake did not end in time")]
    Late,
    #[error("{0}")]
    Gone(#[from] io::Error),
}

async fn welcome(
    mut stream: TcpStream,
    admission: &Admission,
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
    let Some(Answered { waiting, message, token }) = admission.answer(version, &message) else {
        let needs_token = admission.needs_token();
        refuse(stream, version, if needs_token { Verdict::TokenNeeded } else { Verdict::WrongToken }).await?;
        return Err(if needs_token { Refused::TokenNeeded } else { Refused::Token });
    };
    let answer = [&handshake::answer_header(version, Verdict::Welcome)[..], &message].concat();
    stream.write_all(&answer).await?;
    let mut confirm = [0; CONFIRM_BYTES];
    stream.read_exact(&mut confirm).await?;
    let session = waiting.finish(&confirm).map_err(|_| Refused::Token)?;
    Ok(Link::open(stream, session, version, token, counters).await?)
}

async fn refuse(mut stream: TcpStream, version: u16, verdict: Verdict) -> io::Result<()> {
    stream.write_all(&handshake::answer_header(version, verdict)).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would discard the answer on its way.
    tokio::io::copy(&mut stream.take(REFUSED_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
