//! Connections: what axum's own server does not bound. Handshakes and half-sent headers time out, whoever reads no answer
//! is cut off, connections are limited in number, and a drain lets open requests end.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use fusebox_core::limits::{CONNECTIONS_MAX, DRAIN_MS_MAX};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{stall::Impatient, tls::Tls};

/// Headers of one request, together; by number hyper takes at most 100.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// After an accept that failed (no descriptors left), others get time to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What strangers may take of a REST node by connecting to it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Open at once; more wait in the system's backlog.
    pub connections: usize,
    /// A TLS handshake, and then the headers of each request, must arrive whole within this time. Counts while a
    /// connection is idle too.
    pub headers: Duration,
    /// A client that takes nothing of its answer for this long is cut off.
    pub stall: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: CONNECTIONS_MAX, headers: Duration::from_secs(10), stall: Duration::from_secs(30) }
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
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.headers)
        .max_buf_size(HEADER_BYTES_MAX)
        .pipeline_flush(true);
    let server = Server { http, router, tls, bounds };
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
                let (server, watcher) = (server.clone(), graceful.watcher());
                tokio::spawn(async move {
                    server.connection(stream, watcher).await;
                    drop(permit);
                });
            }
            () = &mut follow => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), graceful.shutdown());
    if drained.await.is_err() {
        tracing::warn!("some requests were still open when the drain's time was over");
    }
}

/// What every connection is served with.
#[derive(Clone)]
struct Server {
    http: http1::Builder,
    router: Router,
    tls: Option<Arc<Tls>>,
    bounds: Bounds,
}

impl Server {
    /// One connection to its end.
    async fn connection(&self, stream: TcpStream, watcher: Watcher) {
        let Some(tls) = &self.tls else { return self.requests(stream, watcher).await };
        match tokio::time::timeout(self.bounds.headers, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, watcher).await,
            // Whoever speaks no TLS, or not in time, is no event of the host's.
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake did not end in time"),
        }
    }

    async fn requests(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, watcher: Watcher) {
        let stream = Impatient::new(stream, self.bounds.stall);
        let service = TowerToHyperService::new(self.router.clone());
        // A client that breaks off is no event of the host's.
        let _ = watcher.watch(self.http.serve_connection(TokioIo::new(stream), service)).await;
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
