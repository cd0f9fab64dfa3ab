//! HTTP/2 connections: over TLS where the client chose it (ALPN), and without it where it begins with the preface (prior
//! knowledge). Each carries many requests, so it has bounds of its own beside those of every connection.

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
    doors::Door,
    line::Line,
    pieces::{self, PIECE_BYTES, Pieces},
};

/// Requests at a time: what RFC 9113 (5.1.2) advises as the least.
const STREAMS_MAX: u32 = 100;
/// Streams that a client opened and took back before they were looked at. One more ends the connection: this is how
/// floods of resets (CVE-2023-44487) look, and few clients give up so fast.
const RESETS_MAX: usize = 20;
/// Body bytes of one request that may come before they are asked for: 2.5 MB/s at 50 ms.
const STREAM_WINDOW: u32 = 128 << 10;
/// Body bytes of all requests of a connection: what one client can make this process hold. With every connection open, 1
/// GiB.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// A client that does not answer a ping is gone: asked this often, and given this long.
const PING: Duration = Duration::from_secs(20);

/// Serves a connection to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    line: Line<S>,
    server: &Server,
    door: &Arc<Door>,
) {
    let (bounds, streams) = (server.bounds, Arc::new(Streams::new(door.clone())));
    let requests = Requests { router: TowerToHyperService::new(server.router.clone()), door: door.clone() };
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
    let mut connection = http.serve_connection(TokioIo::new(line), requests);
    tokio::select! {
        // A client that breaks off is no event of the host's.
        _ = &mut connection => return,
        () = door.closing() => {}
        () = streams.idle(bounds.headers, bounds.keep_alive) => {}
    }
    Pin::new(&mut connection).graceful_shutdown();
    tokio::select! {
        _ = &mut connection => {}
        // It was told to open no more, has nothing to get, and stays.
        () = streams.idle(bounds.headers, bounds.headers) => {}
    }
}

/// The requests of a connection that are under way.
struct Streams {
    under: Mutex<Under>,
    /// Gives way to other connections only while none is under way.
    door: Arc<Door>,
}

struct Under {
    way: usize,
    has_asked: bool,
    changed_at: Instant,
}

impl Streams {
    fn new(door: Arc<Door>) -> Self {
        Self { under: Mutex::new(Under { way: 0, has_asked: false, changed_at: Instant::now() }), door }
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut under = self.under.lock().unwrap_or_else(PoisonError::into_inner);
        *under = Under { way: change(under.way), has_asked: true, changed_at: Instant::now() };
        self.door.carries(under.way);
    }

    /// Ends once none has been under way for so long: `first` where there never was one.
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

/// A request under way, until it is dropped.
struct Stream(Arc<Streams>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.change(|way| way.saturating_sub(1));
    }
}

/// Runs each request as a task of its own, which ends where its client takes nothing of the answer.
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

/// The router, for HTTP/2.
struct Requests {
    router: TowerToHyperService<Router>,
    door: Arc<Door>,
}

type Routed = TowerToHyperServiceFuture<Router, Request<Incoming>>;

impl Service<Request<Incoming>> for Requests {
    type Response = hyper::Response<Pieces>;
    type Error = Infallible;
    type Future = MapOk<Routed, fn(Response) -> hyper::Response<Pieces>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.door.clone());
        self.router.call(request).map_ok(|response| response.map(Pieces::new))
    }
}
