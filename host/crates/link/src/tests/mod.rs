//! Tests of dispatcher and workers on real connections; this file has the shared parts.

mod joining;
mod links;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Admission, ConnectError, Counters, Direct, JoinToken, Link, Listener, PROTOCOL, connect, handshake};

/// Far longer than anything here takes, however busy the machine is.
const DEADLINE: Duration = Duration::from_secs(60);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// First bytes of nng on a connection: they announce PAIR0.
const NNG_HEADER: &[u8] = b"\0SP\0\0\x10\0\0";

fn token() -> JoinToken {
    "a token of the tests".parse().unwrap()
}

async fn bind(token: Option<JoinToken>) -> (Listener, String, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let admission = Admission { tokens: token.into_iter().collect(), ..Admission::default() };
    let listener = Listener::bind(LOCAL, admission, counters.clone()).await.unwrap();
    let url = format!("tcp://{}", listener.local_addr());
    (listener, url, counters)
}

/// Returns the dispatcher's end and the worker's end of a link.
async fn join(listener: &mut Listener, url: &str) -> (Link, Link) {
    let token = token();
    let (dispatcher, worker) = tokio::join!(listener.accept(), connect(url, Some(&token), &Direct));
    (dispatcher, worker.unwrap())
}

async fn pair() -> (Link, Link, Arc<Counters>) {
    let (mut listener, url, counters) = bind(Some(token())).await;
    let (dispatcher, worker) = join(&mut listener, &url).await;
    (dispatcher, worker, counters)
}

/// Returns the error of a worker that cannot join, while the dispatcher continues to accept.
async fn refusal(listener: &mut Listener, joining: impl Future<Output = Result<Link, ConnectError>>) -> ConnectError {
    tokio::select! {
        link = listener.accept() => panic!("{link:?} joined"),
        joined = joining => joined.unwrap_err(),
    }
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    let mut look = tokio::time::interval(Duration::from_millis(2));
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        look.tick().await;
    }
}

async fn in_time<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Completes the handshake by hand, so that later messages may violate the protocol.
async fn join_by_hand(url: &str) -> (TcpStream, handshake::Session) {
    let mut stream = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).await.unwrap();
    let (waiting, message) = handshake::begin(&JoinToken::key(Some(&token())), PROTOCOL).unwrap();
    stream.write_all(&[&handshake::hello_header(PROTOCOL)[..], &message].concat()).await.unwrap();
    let mut answer = [0; handshake::ANSWER_HEADER_BYTES + handshake::NOISE_BYTES];
    stream.read_exact(&mut answer).await.unwrap();
    let message = answer.last_chunk().unwrap();
    let (session, confirm) = waiting.confirm(message).unwrap();
    stream.write_all(&confirm).await.unwrap();
    (stream, session)
}
