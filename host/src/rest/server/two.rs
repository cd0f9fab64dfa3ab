//! HTTP/2 connections: over TLS if the client selected it (ALPN), without TLS if the connection starts with the preface
//! (prior knowledge). Each carries many requests and so has further bounds.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, response::Response};
use futures_util::{TryFutureExt as _, future::MapOk};
use hyper::{Request, body::Incoming, server::conn::http2, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::{TowerToHyperService, TowerToHyperServiceFuture},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    HEADER_BYTES_MAX, Server,
    connections::Connection,
    line::Line,
    pieces::{self, PIECE_BYTES, Pieces},
};

/// Number of concurrent requests: the minimum that RFC 9113 (5.1.2) recommends.
const STREAMS_MAX: u32 = 100;
/// Number of streams that may be reset before they are accepted; one more ends the connection. Floods of resets
/// (CVE-2023-44487) look like this, and few clients cancel so fast.
const RESETS_MAX: usize = 20;
/// Body bytes of one request that may arrive before they are read: 2.5 MB/s at a round trip of 50 ms.
const STREAM_WINDOW: u32 = 128 << 10;
/// The same for all requests of a connection, which bounds the memory one client can take: 1 GiB with every connection
/// open.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Interval of pings, and the time after which a client that does not answer one is gone.
const PING: Duration = Duration::from_secs(20);

/// Serves a connection to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    line: Line<S>,
    server: &Server,
    connection: &Arc<Connection>,
) {
    let (bounds, streams) = (server.bounds, Arc::new(Streams::new(connection.clone())));
    let requests = Requests { router: TowerToHyperService::new(server.router.clone()), connection: connection.clone() };
    let mut http = http2::Builder::new(Spawner { streams: streams.clone(), stall: bounds.stall });
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(4 * PIECE_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let mut serving = http.serve_connection(TokioIo::new(line), requests);
    tokio::select! {
        // A client that disconnects is not a fault of the host.
        _ = &mut serving => return,
        () = connection.closing() => {}
        () = streams.idle(bounds.headers, bounds.keep_alive) => {}
    }
    Pin::new(&mut serving).graceful_shutdown();
    tokio::select! {
        _ = &mut serving => {}
        // The client has received GOAWAY, has nothing left to receive, and stays connected.
        () = streams.idle(bounds.headers, bounds.headers) => {}
    }
}

/// Requests in progress on a connection.
struct Streams {
    under: Mutex<Under>,
    /// The connection, which is closed for others only while it has no request in progress.
    connection: Arc<Connection>,
}

struct Under {
    way: usize,
    has_asked: bool,
    changed_at: Instant,
}

impl Streams {
    fn new(connection: Arc<Connection>) -> Self {
        Self { under: Mutex::new(Under { way: 0, has_asked: false, changed_at: Instant::now() }), connection }
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut under = self.under.lock().unwrap_or_else(PoisonError::into_inner);
        *under = Under { way: change(under.way), has_asked: true, changed_at: Instant::now() };
        self.connection.carries(under.way);
    }

    /// Completes once no request has been in progress for `later`, or for `first` if there never was one.
    async fn idle(&self, first: Duration, later: Duration) {
        let began = Instant::now();
        loop {
            let due = {
                let under = self.under.lock().unwrap_or_else(PoisonError::into_inner);
                let since = under.changed_at.max(began);
                match (under.way, under.has_asked) {
                    (0, false) => since + first,
                    (0, true) => since + later,
                    (..) => Instant::now() + later,
                }
            };
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

/// Request in progress, until dropped.
struct Stream(Arc<Streams>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.change(|way| way.saturating_sub(1));
    }
}

/// Runs each request as a task of its own, which ends if the client does not read the response.
#[derive(Clone)]
struct Spawner {
    streams: Arc<Streams>,
    stall: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.streams.change(|way| way + 1);
        let (stream, stall) = (Stream(self.streams.clone()), self.stall);
        tokio::spawn(async move {
            pieces::taken(future, stall).await;
            drop(stream);
        });
    }
}

/// Router for HTTP/2.
struct Requests {
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
}

type Routed = TowerToHyperServiceFuture<Router, Request<Incoming>>;

impl Service<Request<Incoming>> for Requests {
    type Response = hyper::Response<Pieces>;
    type Error = Infallible;
    type Future = MapOk<Routed, fn(Response) -> hyper::Response<Pieces>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.connection.clone());
        self.router.call(request).map_ok(|response| response.map(Pieces::new))
    }
}
