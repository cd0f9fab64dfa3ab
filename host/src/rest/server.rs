//! Connections: what axum's own server does not bound. Handshakes and half-sent headers time out, whoever reads no answer
//! is cut off, connections are limited in number, and a drain lets open requests end.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use fusebox_core::limits::{CONNECTIONS_MAX, DRAIN_MS_MAX};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::tls::Tls;

mod line;
mod one;
mod pace;
mod requests;

/// Headers of one request, together; by number hyper takes at most 100.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// After an accept that failed (no descriptors left), others get time to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What strangers may take of a REST node by connecting to it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Open at once; more wait in the system's backlog.
    pub connections: usize,
    /// A TLS handshake, the first request's head from the connection's beginning, and the head of each later request
    /// from its first byte must arrive whole within this time. A client that closes its half of the connection is
    /// waited on for so long as well.
    pub headers: Duration,
    /// How long a connection may be idle between requests.
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
    let room = Arc::new(Semaphore::new(bounds.connections));
    let (stop, stopped) = watch::channel(false);
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
            (stream, permit) = accept(&listener, &room) => {
                let (server, mut stop) = (server.clone(), stopped.clone());
                tokio::spawn(async move {
                    server.connection(stream, &mut stop).await;
                    drop(permit);
                });
            }
            () = &mut follow => {}
            () = &mut shutdown => break,
        }
    }
    drop((listener, stopped));
    let _ = stop.send(true);
    // Each connection holds a receiver until it has ended.
    let drained = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), stop.closed());
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
    /// Serves one connection to its end.
    async fn connection(&self, stream: TcpStream, stop: &mut watch::Receiver<bool>) {
        let Some(tls) = &self.tls else { return self.requests(stream, stop).await };
        match tokio::time::timeout(self.bounds.headers, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, stop).await,
            // Whoever speaks no TLS, or not in time, is no event of the host's.
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake did not end in time"),
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        stop: &mut watch::Receiver<bool>,
    ) {
        one::serve(stream, self, stop).await;
    }
}

/// The next connection, once there is room for it: until then it waits in the system's backlog.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let permit = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
