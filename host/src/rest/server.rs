//! HTTP server of REST, with bounds that axum's own server lacks: time-outs for handshakes, headers and unread
//! responses, a limit on connections, and a drain that lets open requests end.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use fusebox_core::limits::DRAIN_MS_MAX;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

pub use self::bounds::{Bounds, KEEP_ALIVE};
use self::{
    connections::{Connection, Connections, Open},
    line::Line,
};
use super::tls::{self, Tls};

mod bounds;
pub(super) mod connections;
mod line;
mod one;
mod pace;
mod pieces;
mod requests;
mod two;

/// Largest size of a request's headers together; hyper limits their number to 100.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Pause after a failed accept, as when no descriptors are left, so that other connections can close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Response to a connection for which there is no room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until `shutdown`, then lets open requests end within [`DRAIN_MS_MAX`].
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let stop = CancellationToken::new();
    let connections = Connections::new(bounds, stop.clone());
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
            (stream, open) = accept(&listener, &connections) => {
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
        tracing::warn!("some requests were still open when the drain timed out");
    }
}

/// State shared by all connections.
#[derive(Clone)]
struct Server {
    router: Router,
    tls: Option<Arc<Tls>>,
    bounds: Bounds,
}

impl Server {
    /// Serves one connection until it ends, or must give way to others.
    async fn connection(&self, stream: TcpStream, connection: &Arc<Connection>) {
        let Some(tls) = &self.tls else { return self.requests(stream, connection).await };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.bounds.headers, tls.acceptor().accept(stream)) => shaken,
            () = connection.gives_way() => return,
        };
        match shaken {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2) => {
                Box::pin(two::serve(Line::of_streams(stream, self.bounds), self, connection)).await;
            }
            Ok(Ok(stream)) => self.requests(stream, connection).await,
            // A client without TLS, or a slow one, is not a fault of the host.
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake did not end in time"),
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        connection: &Arc<Connection>,
    ) {
        if let Some(line) = one::serve(stream, self, connection).await {
            Box::pin(two::serve(line, self, connection)).await;
        }
    }
}

/// Accepts the next connection that may stay. Others get a 503, which clients with TLS cannot read, and are closed.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>) -> (TcpStream, Open) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                match connections.open(address.ip()) {
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
