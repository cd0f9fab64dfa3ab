//! The proxy injects the faults it is set to. Tests of processes behind it rely on this.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use fusebox_faults::proxy::{Faults, Proxy};
use fusebox_harness::{eventually, stays_silent};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a proxy in front of an echo server.
async fn proxy() -> Proxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Proxy::start(target).unwrap()
}

async fn connected(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    echo(&mut stream, b"hello").await;
    stream
}

/// Sends bytes and receives them back.
async fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    expect(stream, bytes).await;
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert!(back == bytes);
}

#[tokio::test]
async fn without_faults_everything_passes_and_the_end_as_well() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut from, mut to) = stream.split();
    let mut back = vec![0; large.len()];
    let (sent, read) = tokio::join!(to.write_all(&large), from.read_exact(&mut back));
    sent.unwrap();
    read.unwrap();
    assert!(back == large);
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_delay_holds_every_byte_up_and_keeps_their_order() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    proxy.set(Faults::delayed(Duration::from_millis(60)));
    let started = Instant::now();
    stream.write_all(b"one ").await.unwrap();
    stream.write_all(b"two").await.unwrap();
    expect(&mut stream, b"one two").await;
    assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_black_hole_swallows_nothing_for_good() {
    let proxy = proxy().await;
    for faults in [Faults::black_hole(), Faults::deaf_client(), Faults::deaf_target()] {
        let mut stream = connected(&proxy).await;
        let before = proxy.bytes();
        proxy.set(faults);
        stream.write_all(b"held up").await.unwrap();
        assert!(stays_silent(&stream).await.unwrap(), "{faults:?}");
        let arrived = if faults == Faults::deaf_client() { 7 } else { 0 };
        let is_so = || async { (proxy.bytes() - before == arrived).then_some(()) };
        eventually("what passes one way", PATIENCE, is_so).await.unwrap();
        // A new connection is established, and then silent as well.
        let mut other = TcpStream::connect(proxy.address()).await.unwrap();
        other.write_all(b"new").await.unwrap();
        assert!(stays_silent(&other).await.unwrap(), "{faults:?}");
        proxy.heal();
        expect(&mut stream, b"held up").await;
        expect(&mut other, b"new").await;
    }
}

#[tokio::test]
async fn slices_arrive_whole() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    let (bytes, writes) = (proxy.bytes(), proxy.writes());
    proxy.set(Faults::sliced());
    echo(&mut stream, &b"a message that crosses in pieces".repeat(8)).await;
    assert_eq!(proxy.writes() - writes, 2 * 8 * 32);
    assert_eq!(proxy.bytes() - bytes, 2 * 8 * 32);
}

#[tokio::test]
async fn a_reset_ends_every_open_connection_and_no_new_one() {
    let proxy = proxy().await;
    let mut streams = [connected(&proxy).await, connected(&proxy).await];
    proxy.reset();
    for stream in &mut streams {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    connected(&proxy).await;
}

#[tokio::test]
async fn a_reset_ends_a_connection_that_a_black_hole_holds() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    proxy.set(Faults::black_hole());
    proxy.reset();
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// A request arrives, its answer does not, and the connection is lost with it.
#[tokio::test]
async fn what_is_held_up_is_lost_in_a_reset() {
    let proxy = proxy().await;
    for _ in 0..20 {
        let mut stream = connected(&proxy).await;
        let before = proxy.bytes();
        proxy.set(Faults::deaf_client());
        stream.write_all(b"held up").await.unwrap();
        eventually("the question to arrive", PATIENCE, || async { (proxy.bytes() - before == 7).then_some(()) })
            .await
            .unwrap();
        proxy.reset();
        proxy.heal();
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.bytes() - before, 7, "the answer was delivered");
    }
    connected(&proxy).await;
}

#[tokio::test]
async fn new_connections_are_refused_while_open_ones_go_on() {
    let proxy = proxy().await;
    let mut open = connected(&proxy).await;
    proxy.set(Faults::refusing());
    let refused = async {
        let mut stream = TcpStream::connect(proxy.address()).await?;
        stream.read(&mut [0; 1]).await
    };
    let error = tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    echo(&mut open, b"still here").await;
    proxy.heal();
    connected(&proxy).await;
}
