//! The worker's side: connects to a dispatcher and joins.

use std::{io, ops::RangeInclusive, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Counters, HANDSHAKE_TIME, JoinToken, TOKEN_NEEDED, VERSIONS,
    handshake::{self, ANSWER_HEADER_BYTES, NOISE_BYTES, Verdict},
    link::Link,
};

/// Time limit of a connection: a first packet that is lost twice is sent again within 3 s.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Opens connections, either in this process or through a helper process.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// The error of the operating system.
    async fn dial(&self, address: &str) -> io::Result<TcpStream>;
}

/// Opens connections in this process.
pub struct Direct;

#[async_trait]
impl Dial for Direct {
    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

/// Error of joining.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is invalid.
    #[error("`{url}` is not a dispatcher's address: write tcp://HOST:PORT, such as tcp://10.0.0.1:7070")]
    BadUrl {
        /// URL of the dispatcher.
        url: String,
    },
    /// The dispatcher is on another machine, which takes a token.
    #[error("{url} is on another machine: set the join token of the dispatcher there")]
    TokenNeeded {
        /// URL of the dispatcher.
        url: String,
    },
    /// The connection failed.
    #[error(
        "cannot connect to {url} ({reason}): check that the dispatcher runs and that its port is open to this machine"
    )]
    Unreachable {
        /// URL of the dispatcher.
        url: String,
        /// Error of the operating system.
        reason: String,
    },
    /// The tokens of the two sides differ, or only one side has one.
    #[error("the dispatcher at {url} refuses this join token, or its absence: set the same on both sides")]
    Refused {
        /// URL of the dispatcher.
        url: String,
    },
    /// The dispatcher's host has keys, and the dispatcher has no token.
    #[error("the dispatcher at {url} admits no workers: {TOKEN_NEEDED}")]
    Closed {
        /// URL of the dispatcher.
        url: String,
    },
    /// The two sides come from releases that are too far apart.
    #[error(
        "the dispatcher at {url} uses version {theirs} of the workers' protocol, and this worker supports versions \
         {oldest} to {newest}: install consecutive releases, since each supports the protocol of the one before"
    )]
    Version {
        /// URL of the dispatcher.
        url: String,
        /// Oldest version that this side speaks.
        oldest: u16,
        /// Newest version that this side speaks.
        newest: u16,
        /// Newest version that the dispatcher speaks.
        theirs: u16,
    },
    /// Another service answers, or the connection was closed.
    #[error("the server at {url} is not a dispatcher ({reason}): check host and port")]
    NotADispatcher {
        /// URL of the dispatcher.
        url: String,
        /// Behaviour that shows it.
        reason: String,
    },
    /// The connection is open, and the peer sends nothing.
    #[error("{url} does not answer in time: check that this is a dispatcher's port for workers, or try again later")]
    Timeout {
        /// URL of the dispatcher.
        url: String,
    },
}

/// Joins the dispatcher at `url`, such as `tcp://10.0.0.1:7070`. Dropping the future cancels the attempt.
///
/// # Errors
/// Fails if the worker cannot join; the error includes advice.
pub async fn connect(url: &str, token: Option<&JoinToken>, dial: &dyn Dial) -> Result<Link, ConnectError> {
    connect_as(url, token, dial, VERSIONS, HANDSHAKE_TIME).await
}

pub(super) async fn connect_as(
    url: &str,
    token: Option<&JoinToken>,
    dial: &dyn Dial,
    versions: RangeInclusive<u16>,
    time: Duration,
) -> Result<Link, ConnectError> {
    let mut version = *versions.end();
    loop {
        let stream = reach(url, token, dial).await?;
        match tokio::time::timeout(time, join(stream, token, version)).await {
            // An older dispatcher returns its newest version. Each try uses an older one, so there are few.
            Ok(Err(Why::Version(theirs))) if theirs < version && versions.contains(&theirs) => version = theirs,
            Ok(joined) => return joined.map_err(|why| why.at(url, &versions)),
            Err(_) => return Err(ConnectError::Timeout { url: url.into() }),
        }
    }
}

/// Connects to the current address of `url`.
async fn reach(url: &str, token: Option<&JoinToken>, dial: &dyn Dial) -> Result<TcpStream, ConnectError> {
    let address = address(url)?;
    let unreachable = |reason: String| ConnectError::Unreachable { url: url.into(), reason };
    let stream = match tokio::time::timeout(CONNECT_TIME, dial.dial(address)).await {
        Ok(connected) => connected.map_err(|error| unreachable(error.to_string()))?,
        Err(_) => return Err(unreachable("no answer".into())),
    };
    let peer = stream.peer_addr().map_err(|error| unreachable(error.to_string()))?;
    if token.is_none() && !peer.ip().to_canonical().is_loopback() {
        return Err(ConnectError::TokenNeeded { url: url.into() });
    }
    Ok(stream)
}

/// Returns `HOST:PORT` of a dispatcher's URL.
///
/// # Errors
/// [`ConnectError::BadUrl`] if `url` is not `tcp://HOST:PORT`.
pub fn address(url: &str) -> Result<&str, ConnectError> {
    read(url).ok_or_else(|| ConnectError::BadUrl { url: url.into() })
}

fn read(url: &str) -> Option<&str> {
    let address = url.strip_prefix("tcp://")?;
    let (host, port) = address.rsplit_once(':')?;
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    (is_host && is_port).then_some(address)
}

/// Reason for the end of a handshake.
enum Why {
    Refused,
    Closed,
    Version(u16),
    NotADispatcher(String),
}

impl Why {
    fn at(self, url: &str, versions: &RangeInclusive<u16>) -> ConnectError {
        let (url, oldest, newest) = (url.into(), *versions.start(), *versions.end());
        match self {
            Self::Refused => ConnectError::Refused { url },
            Self::Closed => ConnectError::Closed { url },
            Self::Version(theirs) => ConnectError::Version { url, oldest, newest, theirs },
            Self::NotADispatcher(reason) => ConnectError::NotADispatcher { url, reason },
        }
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::NotADispatcher(match error.kind() {
            io::ErrorKind::UnexpectedEof => "it closed the connection".into(),
            _ => error.to_string(),
        })
    }
}

async fn join(mut stream: TcpStream, token: Option<&JoinToken>, version: u16) -> Result<Link, Why> {
    stream.set_nodelay(true)?;
    let (waiting, message) = handshake::begin(&JoinToken::key(token), version).map_err(|_| Why::Refused)?;
    stream.write_all(&[&handshake::hello_header(version)[..], &message].concat()).await?;
    let mut header = [0; ANSWER_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    match handshake::verdict_of(&header) {
        Some((theirs, Verdict::Welcome)) if theirs == version => {}
        Some((_, Verdict::WrongToken)) => return Err(Why::Refused),
        Some((_, Verdict::TokenNeeded)) => return Err(Why::Closed),
        Some((theirs, _)) => return Err(Why::Version(theirs)),
        None => return Err(Why::NotADispatcher("it uses another protocol".into())),
    }
    let mut message = [0; NOISE_BYTES];
    stream.read_exact(&mut message).await?;
    // An error here means that the dispatcher welcomes this worker but does not know the token itself.
    let (session, confirm) = waiting.confirm(&message).map_err(|_| Why::Refused)?;
    stream.write_all(&confirm).await?;
    Ok(Link::open(stream, session, version, token.cloned(), Arc::new(Counters::default())).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        for good in ["tcp://10.0.0.1:7070", "tcp://dispatcher.local:1", "tcp://[::1]:65535"] {
            assert_eq!(read(good), good.strip_prefix("tcp://"), "{good}");
        }
        let bad = ["", "10.0.0.1:7070", "http://a:1", "tcp://", "tcp://a", "tcp://:1", "tcp://a:", "tcp://a:0"];
        for bad in bad.into_iter().chain(["tcp://a:65536", "tcp://a:+1", "tcp://a:1/", "tcp://a/b:1", "tcp://u@a:1"]) {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
