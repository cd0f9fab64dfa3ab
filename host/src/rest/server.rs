//! Connections: what axum's own server does not bound. Half-sent headers time out, connections are limited in number,
//! and a drain lets open requests end.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use fusebox_core::limits::{CONNECTIONS_MAX, DRAIN_MS_MAX};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Headers must arrive whole within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of one request, together; by number hyper takes at most 100.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// After an accept that failed (no descriptors left), others get time to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then lets open requests end within [`DRAIN_MS_MAX`].
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .pipeline_flush(true);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            (stream, permit) = accept(&listener, &room) => {
                let service = TowerToHyperService::new(router.clone());
                let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    // A client that breaks off is no event of the host's.
                    let _ = connection.await;
                    drop(permit);
                });
            }
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), graceful.shutdown());
    if drained.await.is_err() {
        tracing::warn!("some requests were still open when the drain's time was over");
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
