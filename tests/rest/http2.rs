//! HTTP/2 over real sockets: negotiated in the TLS handshake or started with its preface, with limits for each
//! connection. Frames are written manually where a compliant client cannot misbehave.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use bytes::Bytes;
use fusebox::rest::{server::Bounds, tls::Tls};
use fusebox_core::limits::INPUT_BYTES_MAX;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    HeaderMap,
    body::{Frame, Incoming},
    client::conn::http2::{SendRequest, handshake},
    header::HeaderValue,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use crate::{
    connections::{PATIENCE, SHORT, Served, certificate, secured_for, serve, serve_with},
    hand::returned,
    support::Slots,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types and error codes of frames (RFC 9113, sections 6 and 7).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn client(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Body> {
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &mut SendRequest<Body>, request: Request<Body>) -> (StatusCode, Bytes) {
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    let (head, body) = answer.into_parts();
    (head.status, timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes())
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap()
}

/// Main functionality over one connection: concurrent requests, large bodies, streams and waits.
async fn works(served: &Served, mut client: SendRequest<Body>) {
    assert_eq!(ask(&mut client, get("/healthz")).await, (StatusCode::OK, Bytes::from_static(b"ok")));
    let input = Bytes::from(vec![7; usize::try_from(INPUT_BYTES_MAX).unwrap()]);
    let invoke =
        |input: Bytes| Request::post("http://localhost/v1/functions/echo/invoke").body(Body::from(input)).unwrap();
    assert_eq!(ask(&mut client, invoke(input.clone())).await, (StatusCode::OK, input));
    let many = (0..50_u8).map(|number| {
        let mut client = client.clone();
        async move { assert_eq!(ask(&mut client, invoke(Bytes::from(vec![number]))).await.1[..], [number]) }
    });
    futures_util::future::join_all(many).await;
    let task = served.rest.submit("x").await;
    let events = client.send_request(get(&format!("/v1/tasks/{task}/events"))).await.unwrap();
    let waiting = Request::get(format!("http://localhost/v1/tasks/{task}")).header("prefer", "wait=50");
    let waiting = client.send_request(waiting.body(Body::empty()).unwrap());
    served.rest.run(returned("done")).await;
    let waited: Response<hyper::body::Incoming> = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(waited.headers()["preference-applied"], "wait=50");
    let events = timeout(PATIENCE, events.into_body().collect()).await.unwrap().unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&events).contains("COMPLETED"), "{events:?}");
    let foreign = Request::get("http://evil.example/v1/tasks").body(Body::empty()).unwrap();
    assert_eq!(ask(&mut client, foreign).await.0, StatusCode::FORBIDDEN, "its authority is its host");
    let large = Request::get("http://localhost/healthz").header("x", "x".repeat(48 << 10)).body(Body::empty());
    assert_eq!(ask(&mut client, large.unwrap()).await.0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let refused = Request::post("http://localhost/v1/functions/echo/invoke").header("content-length", 1_u64 << 40);
    let refused = client.send_request(
        refused.body(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>())).unwrap(),
    );
    assert_eq!(timeout(PATIENCE, refused).await.unwrap().unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(ask(&mut client, get("/healthz")).await.0, StatusCode::OK, "the connection goes on");
}

#[tokio::test]
async fn it_is_spoken_over_tls_where_the_client_chooses_it() {
    let dir = tempfile::tempdir().unwrap();
    let (files, certificate) = certificate(dir.path());
    let served = serve(Bounds::default(), Some(Arc::new(Tls::load(files).unwrap()))).await;
    let stream = secured_for(&served, &certificate, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    works(&served, client(stream).await).await;
}

#[tokio::test]
async fn it_is_spoken_without_tls_to_whoever_begins_with_its_preface() {
    let served = serve(Bounds::default(), None).await;
    works(&served, client(served.connect().await).await).await;
}

/// Opens a request to a function that passes on a line and what it reads; returns the sender of its body, and the
/// response.
async fn exchange(client: &mut SendRequest<Body>) -> (mpsc::Sender<io::Result<Frame<Bytes>>>, Incoming) {
    let (sender, mut frames) = mpsc::channel(1);
    let frames = stream::poll_fn(move |context| frames.poll_recv(context));
    let request = Request::post("http://localhost/fn/echo/").body(Body::new(StreamBody::new(frames))).unwrap();
    sender.send(Ok(Frame::data("a".into()))).await.unwrap();
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["trailer"], "fusebox-receipt");
    let mut body = answer.into_body();
    expect(&mut body, "first\na").await;
    (sender, body)
}

/// Reads this text from a body, and no more of it.
async fn expect(body: &mut Incoming, text: &str) {
    let mut read = Vec::new();
    while read.len() < text.len() {
        let frame = timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        read.extend_from_slice(&frame.into_data().unwrap());
    }
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

#[tokio::test]
async fn bodies_of_functions_are_passed_on_in_both_directions() {
    let served = serve_with(Slots::Live, Bounds::default(), None).await;
    let mut client = client(served.connect().await).await;
    let (sender, mut received) = exchange(&mut client).await;
    sender.send(Ok(Frame::data("b".into()))).await.unwrap();
    expect(&mut received, "b").await;
    // Many times the windows of the connection, while a second request has a stream of its own.
    let (other, mut second) = exchange(&mut client).await;
    let piece = "x".repeat(100_000);
    for _ in 0..20 {
        sender.send(Ok(Frame::data(piece.clone().into()))).await.unwrap();
        expect(&mut received, &piece).await;
    }
    other.send(Ok(Frame::data("c".into()))).await.unwrap();
    expect(&mut second, "c").await;
    let trailers = [("x-sum", "7"), ("fusebox-receipt", "forged")];
    let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    sender.send(Ok(Frame::trailers(HeaderMap::from_iter(trailers)))).await.unwrap();
    drop(sender);
    let trailers = timeout(PATIENCE, received.frame()).await.unwrap().unwrap().unwrap().into_trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (2, &HeaderValue::from_static("7")));
    assert!(trailers["fusebox-receipt"].to_str().unwrap().starts_with('{'));
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_alone_at_either_end() {
    let served = serve_with(Slots::Live, Bounds::default(), None).await;
    let mut client = client(served.connect().await).await;
    let (failing, mut cut) = exchange(&mut client).await;
    let (left, received) = exchange(&mut client).await;
    let (other, mut second) = exchange(&mut client).await;
    failing.send(Ok(Frame::data("fail".into()))).await.unwrap();
    timeout(PATIENCE, cut.frame()).await.unwrap().unwrap().unwrap_err();
    left.send(Err(io::Error::other("the client leaves"))).await.unwrap();
    drop(received);
    other.send(Ok(Frame::data("b".into()))).await.unwrap();
    expect(&mut second, "b").await;
    assert_eq!(ask(&mut client, get("/healthz")).await.0, StatusCode::OK, "the connection goes on");
}

/// Encodes a frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes the head of a request without a body, using the static table (RFC 7541, appendix A).
fn head(path: &str, stream: u32) -> Vec<u8> {
    const GET: u8 = 0x82;
    const END: u8 = 5;
    let mut block = vec![GET, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(b"\x01\x09localhost");
    frame(HEADERS, END, stream, &block)
}

struct Frames(TcpStream);

impl Frames {
    async fn open(served: &Served, settings: &[u8]) -> Self {
        let mut stream = served.connect().await;
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        Self(stream)
    }

    /// Returns the type, stream and payload of the next frame; `None` if the connection has ended.
    async fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.unwrap().ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut payload)).await.unwrap().ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Returns the stream and error code of the next frame of a type; `None` if none arrives before the end.
    async fn code(&mut self, wanted: u8) -> Option<(u32, u32)> {
        while let Some((kind, stream, payload)) = self.next().await {
            let at = if wanted == GOAWAY { 4 } else { 0 };
            if kind == wanted {
                return Some((stream, u32::from_be_bytes(payload[at..at + 4].try_into().unwrap())));
            }
        }
        None
    }

    async fn is_ended(&mut self) -> bool {
        while self.next().await.is_some() {}
        true
    }
}

#[tokio::test]
async fn a_preface_in_pieces_is_one() {
    let served = serve(Bounds::default(), None).await;
    let mut stream = served.connect().await;
    for byte in PREFACE {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream.write_all(&head("/healthz", 1)).await.unwrap();
    let mut frames = Frames(stream);
    while let Some((kind, stream, payload)) = frames.next().await {
        if kind == HEADERS {
            assert_eq!((stream, payload[0]), (1, 0x88), "the index of :status 200");
            return;
        }
    }
    panic!("no answer came");
}

#[tokio::test]
async fn more_requests_at_a_time_than_may_be_are_refused_and_the_others_go_on() {
    let served = serve(Bounds::default(), None).await;
    let events = format!("/v1/tasks/{}/events", served.rest.submit("x").await);
    let mut frames = Frames::open(&served, &[]).await;
    // The task never ends.
    let opened: Vec<u8> = (0..101).flat_map(|count| head(&events, 2 * count + 1)).collect();
    frames.0.write_all(&opened).await.unwrap();
    assert_eq!(frames.code(RST_STREAM).await, Some((201, REFUSED_STREAM)));
    // The end of one stream makes room for another.
    let cancel = frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
    frames.0.write_all(&[cancel, head("/healthz", 203)].concat()).await.unwrap();
    while let Some((kind, stream, _)) = frames.next().await {
        assert_ne!(kind, GOAWAY);
        if (kind, stream) == (HEADERS, 203) {
            return;
        }
    }
    panic!("no answer came");
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection_and_no_other() {
    let served = serve(Bounds::default(), None).await;
    let mut other = client(served.connect().await).await;
    let mut frames = Frames::open(&served, &[]).await;
    // As many as are read at once, so that unread bytes do not cause the response to be lost.
    let flood = (0..40).flat_map(|count| {
        let stream = 2 * count + 1;
        [head("/v1/tasks", stream), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    let _ = frames.0.write_all(&flood.collect::<Vec<u8>>()).await;
    assert_eq!(frames.code(GOAWAY).await.map(|(_, code)| code), Some(ENHANCE_YOUR_CALM));
    assert_eq!(ask(&mut other, get("/healthz")).await.0, StatusCode::OK);
}

/// Returns the bounds of a test in which one of these times expires.
const fn bounds(headers: Duration, keep_alive: Duration, stall: Duration) -> Bounds {
    Bounds { connections: 64, trusted: &[], headers, keep_alive, stall }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_dropped() {
    const LONG: Duration = Duration::from_secs(600);
    let served = serve(bounds(LONG, LONG, SHORT), None).await;
    // One byte of each response fits, and no more is ever requested.
    let mut frames = Frames::open(&served, &[0, 4, 0, 0, 0, 1]).await;
    frames.0.write_all(&head("/docs/swagger-ui-bundle.js", 1)).await.unwrap();
    assert_eq!(frames.code(RST_STREAM).await, Some((1, CANCEL)));
    frames.0.write_all(&head("/healthz", 3)).await.unwrap();
    while let Some((kind, stream, _)) = frames.next().await {
        if (kind, stream) == (HEADERS, 3) {
            return;
        }
    }
    panic!("the connection goes on");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_after_its_time() {
    const LONG: Duration = Duration::from_secs(600);
    let strangers = serve(bounds(SHORT, LONG, LONG), None).await;
    assert!(Frames::open(&strangers, &[]).await.is_ended().await, "one that asks nothing is let go");
    let clients = serve(bounds(SHORT, SHORT, LONG), None).await;
    let mut frames = Frames::open(&clients, &[]).await;
    frames.0.write_all(&head("/healthz", 1)).await.unwrap();
    assert_eq!(frames.code(GOAWAY).await.map(|(_, code)| code), Some(0), "in an orderly way");
    assert!(frames.is_ended().await, "also where it does not close itself");
}
