//! Connections: what axum's own server does not bound. Handshakes and half-sent headers time out, whoever reads no answer
//! is cut off, connections are limited in number, and a drain lets open requests end.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use fusebox_core::limits::{CONNECTIONS_MAX, DRAIN_MS_MAX};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use self::{
    doors::{Door, Doors, Open},
    line::Line,
};
use super::tls::{self, Tls};
use crate::egress::address::Cidr;

pub(super) mod doors;
mod line;
mod one;
mod pace;
mod pieces;
mod requests;
mod two;

/// Headers of one request, together; by number hyper takes at most 100.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// After an accept that failed (no descriptors left), others get time to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Said to a connection that there is no room for.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What strangers may take of a REST node by connecting to it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Open at once, and a sixteenth more as a reserve; see `doors.rs`.
    pub connections: usize,
    /// Networks of proxies, by which many come: their addresses are not bounded.
    pub trusted: &'static [Cidr],
    /// A TLS handshake, the first request's head from the connection's beginning, and the head of each later request
    /// from its first byte must arrive whole within this time. A client that closes its half of the connection is
    /// waited on for so long as well.
    pub headers: Duration,
    /// How long a connection may be idle, without a request under way.
    pub keep_alive: Duration,
    /// A client that takes nothing of its answer for this long is cut off.
    pub stall: Duration,
}

/// Longer than the idle time of the balancers that are in use (60 s: Amazon, Azure, nginx), so that they close first and
/// never send a request to a connection that is closing.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            trusted: &[],
            headers: Duration::from_secs(10),
            keep_alive: KEEP_ALIVE,
            stall: Duration::from_secs(30),
        }
    }
}

/// Serves until `shutdown`, then lets open requests end within [`DRAIN_MS_MAX`].
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let stop = CancellationToken::new();
    let doors = Doors::new(bounds, stop.clone());
    // Each connection holds a receiver until it has ended.
    let (held, hold) = watch::channel(());
    let server = Server { router, tls, bounds };
    let follow = async {
        match &server.tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(shutdown, follow);
    loop {
        tokio::select! {
            (stream, open) = accept(&listener, &doors) => {
                let (server, hold) = (server.clone(), hold.clone());
                tokio::spawn(async move {
                    server.connection(stream, &open.0).await;
                    drop(hold);
                });
            }
            () = &mut follow => {}
            () = &mut shutdown => break,
        }
    }
    drop((listener, hold));
    stop.cancel();
    let drained = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), held.closed());
    if drained.await.is_err() {
        tracing::warn!("some requests were still open when the drain's time was over");
    }
}

/// What every connection is served with.
#[derive(Clone)]
struct Server {
    router: Router,
    tls: Option<Arc<Tls>>,
    bounds: Bounds,
}

impl Server {
    /// Serves one connection to its end, or until it is to give way to others.
    async fn connection(&self, stream: TcpStream, door: &Arc<Door>) {
        let Some(tls) = &self.tls else { return self.requests(stream, door).await };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.bounds.headers, tls.acceptor().accept(stream)) => shaken,
            () = door.gives_way() => return,
        };
        match shaken {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2) => {
                Box::pin(two::serve(Line::of_streams(stream, self.bounds), self, door)).await;
            }
            Ok(Ok(stream)) => self.requests(stream, door).await,
            // Whoever speaks no TLS, or not in time, is no event of the host's.
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake did not end in time"),
        }
    }

    async fn requests(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, door: &Arc<Door>) {
        if let Some(line) = one::serve(stream, self, door).await {
            Box::pin(two::serve(line, self, door)).await;
        }
    }
}

/// The next connection that may stay. One that may not is told so, where it speaks no TLS, and closed.
async fn accept(listener: &TcpListener, doors: &Arc<Doors>) -> (TcpStream, Open) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                match doors.open(address.ip()) {
                    Some(open) => return (stream, open),
                    None => drop(stream.try_write(FULL)),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
