//! HTTP/1 as written by old clients, health checkers and attackers, in raw bytes: each request is answered at once with
//! the correct status, and the connection stays open or closes as the protocol requires.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use fusebox::rest::server::Bounds;

use crate::{
    connections::{PATIENCE, SHORT, Served, serve, serve_with},
    support::Slots,
};

/// State of a connection after its responses.
#[derive(Clone, Copy)]
enum Then {
    /// Open: the next request is answered.
    Open,
    /// Closed by the host.
    Closed,
    /// After these further bytes there is another response.
    Rest(&'static str, u16),
}
use Then::{Closed, Open, Rest};

struct Case(&'static str, &'static str, &'static [u16], Then);

const PING: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Each begins with a complete request, which is answered regardless of what follows.
const FOLLOWED: &[Case] = &[
    Case("nothing", "GET /healthz HTTP/1.1\r\nhost: a.localhost:1\r\nhost: a.localhost:1\r\n\r\n", &[403], Open),
    Case("a request", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[200], Open),
    Case("an empty line", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n\r\n", &[200], Open),
    Case("a line feed", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n\n", &[200], Open),
    Case("many empty lines", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n\r\n\r\n\n\r\n", &[200], Open),
    Case("garbage", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n\x01\x02\x03\r\n\r\n", &[200, 400], Closed),
    Case(
        "half of the next one",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /healthz HT",
        &[200],
        Rest("TP/1.1\r\nhost: localhost\r\n\r\n", 200),
    ),
    Case(
        "a byte of the next one",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nG",
        &[200],
        Rest("ET /v9 HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
    ),
    Case(
        "two more",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /v9 HTTP/1.1\r\nhost: localhost\r\n\r\nHEAD /healthz \
         HTTP/1.1\r\nhost: localhost\r\n\r\n",
        &[200, 404, 200],
        Open,
    ),
    Case(
        "an empty line after a body",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi\r\n",
        &[200],
        Open,
    ),
    Case(
        "half of the next one after a body",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhiPOST /v1/functions/",
        &[200],
        Rest("echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n", 200),
    ),
    Case(
        "garbage after a body",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi{}{}\r\n\r\n",
        &[200, 400],
        Closed,
    ),
    Case("an empty line, 1.0", "GET /healthz HTTP/1.0\r\n\r\n\r\n", &[200], Closed),
    Case("garbage, 1.0", "GET /healthz HTTP/1.0\r\n\r\n\x01\x02", &[200], Closed),
    Case("nothing, 1.0 that stays", "GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", &[200], Open),
    Case("an empty line, 1.0 that stays", "GET /healthz HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n\r\n", &[200], Open),
    Case(
        "the next one after the last",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
        &[200],
        Closed,
    ),
    Case(
        "chunks",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n\
         0\r\nx-trailer: 1\r\n\r\n",
        &[200],
        Open,
    ),
];

/// Unusual forms that the protocol permits.
const UNUSUAL: &[Case] = &[
    Case("line feeds", "GET /healthz HTTP/1.1\nhost: localhost\n\n", &[200], Open),
    Case("empty lines before it", "\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[200], Open),
    Case("the absolute form", "GET http://localhost/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[200], Open),
    Case(
        "the absolute form, foreign",
        "GET http://evil.example/v1/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n",
        &[403],
        Open,
    ),
    Case("HEAD", "HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[200], Open),
    Case("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", &[204], Open),
    Case("an unknown method", "BREW /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[405], Open),
    Case("a method of lower case", "get /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[405], Open),
    Case("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n", &[403], Open),
    Case("an empty header", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-empty:\r\n\r\n", &[200], Open),
    Case("a header of Latin 1", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-name: \u{e9}\r\n\r\n", &[200], Open),
    Case(
        "a question first",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        &[100],
        Rest("hi", 200),
    ),
    Case(
        "a question that is refused",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: \
         99999999999\r\n\r\n",
        &[413],
        Closed,
    ),
    Case(
        "an upgrade",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        &[200],
        Open,
    ),
];

/// Requests that a host cannot or must not interpret.
const WRONG: &[Case] = &[
    Case("no Host", "GET /healthz HTTP/1.1\r\n\r\n", &[400], Open),
    Case("two Hosts", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: 127.0.0.1\r\n\r\n", &[400], Open),
    Case(
        "a Host and another authority",
        "GET http://localhost/healthz HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        &[403],
        Open,
    ),
    Case("no HTTP", "hello\r\n\r\n", &[400], Closed),
    Case("HTTP/0.9", "GET /healthz\r\n\r\n", &[400], Closed),
    Case("HTTP/3.0", "GET /healthz HTTP/3.0\r\nhost: localhost\r\n\r\n", &[400], Closed),
    Case("no target", "GET HTTP/1.1\r\nhost: localhost\r\n\r\n", &[400], Closed),
    Case("a bad method", "GE(T /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[400], Closed),
    Case("a bad target", "GET /heal\x01thz HTTP/1.1\r\nhost: localhost\r\n\r\n", &[400], Closed),
    Case("a bad name", "GET /healthz HTTP/1.1\r\nho st: localhost\r\n\r\n", &[400], Closed),
    Case("a blank before the colon", "GET /healthz HTTP/1.1\r\nhost : localhost\r\n\r\n", &[400], Closed),
    Case("a bad value", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n", &[400], Closed),
    Case("a folded header", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n", &[400], Closed),
    Case("a header without a colon", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nnonsense\r\n\r\n", &[400], Closed),
    Case(
        "two lengths",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        &[400],
        Closed,
    ),
    Case(
        "a length that is none",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: +2\r\n\r\nhi",
        &[400],
        Closed,
    ),
    Case(
        "a length and chunks",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: \
         chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        &[200],
        Closed,
    ),
    Case(
        "chunks, 1.0",
        "POST /v1/functions/echo/invoke HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        &[400],
        Closed,
    ),
    Case(
        "an unknown coding",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\nhi",
        &[400],
        Closed,
    ),
    Case(
        "a chunk of no size",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n",
        &[400],
        Closed,
    ),
    Case(
        "a chunk beyond its size",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhiho\r\n",
        &[400],
        Closed,
    ),
    Case(
        "a chunk of 2^64 bytes",
        "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
         ffffffffffffffff0\r\nhi\r\n",
        &[400],
        Closed,
    ),
    Case("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}\x03\x03", &[400], Closed),
];

struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn of(served: &Served) -> Self {
        Self(BufReader::new(served.connect().await))
    }

    async fn say(&mut self, bytes: &[u8]) {
        // A request that is refused early may be closed before it is written completely.
        let _ = self.0.get_mut().write_all(bytes).await;
    }

    /// Returns the status of the next response, 0 if the connection closed without one.
    async fn answer(&mut self, is_head: bool) -> u16 {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await.unwrap_or_default() == 0 {
                assert!(head.is_empty(), "it closed within an answer: {head}");
                return 0;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|text| text.parse());
        let mut body = vec![0; if is_head { 0 } else { length.map_or(0, Result::unwrap) }];
        self.0.read_exact(&mut body).await.unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).await.unwrap_or_default() == 0
    }
}

/// Runs a case; the error describes the difference.
async fn check(served: &Served, Case(_, sent, statuses, then): &Case) -> Result<(), String> {
    let mut peer = Peer::of(served).await;
    peer.say(sent.as_bytes()).await;
    for (number, expected) in statuses.iter().enumerate() {
        let is_head = sent.starts_with("HEAD") || sent.contains("HEAD") && number + 1 == statuses.len();
        let found = peer.answer(is_head).await;
        if found != *expected {
            return Err(format!("answer {number} is {found} and not {expected}"));
        }
    }
    let (more, expected) = match then {
        Closed => return if peer.is_closed().await { Ok(()) } else { Err("it is open".to_owned()) },
        Open => (PING, 200),
        Rest(rest, status) => (*rest, *status),
    };
    peer.say(more.as_bytes()).await;
    match peer.answer(false).await {
        found if found == expected => Ok(()),
        found => Err(format!("then it answered {found} and not {expected}")),
    }
}

async fn check_all(cases: &[Case]) {
    let served = serve(Bounds::default(), None).await;
    let mut wrong = Vec::new();
    for case in cases {
        match tokio::time::timeout(PATIENCE, check(&served, case)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => wrong.push(format!("{}: {error}", case.0)),
            Err(_) => wrong.push(format!("{}: no answer came", case.0)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_complete_request_is_answered_at_once_whatever_follows() {
    check_all(FOLLOWED).await;
}

#[tokio::test]
async fn what_the_protocol_allows_is_understood() {
    check_all(UNUSUAL).await;
}

#[tokio::test]
async fn what_is_malformed_is_told_so() {
    check_all(WRONG).await;
}

#[tokio::test]
async fn too_much_of_a_head_is_431() {
    let served = serve(Bounds::default(), None).await;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(256 << 10));
    let target = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(256 << 10));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200));
    let endless = "x".repeat(1 << 20);
    for sent in [long, target, many, endless] {
        let mut peer = Peer::of(&served).await;
        peer.say(sent.as_bytes()).await;
        assert_eq!(tokio::time::timeout(PATIENCE, peer.answer(false)).await.unwrap(), 431, "{}", &sent[..40]);
        assert!(peer.is_closed().await);
    }
}

/// Returns the bounds of a test in which either the time for a head or that for an idle connection expires.
const fn bounds(headers: Duration, keep_alive: Duration) -> Bounds {
    Bounds { connections: 64, trusted: &[], headers, keep_alive, stall: PATIENCE }
}

#[tokio::test]
async fn a_head_that_takes_too_long_is_408() {
    let served = serve(bounds(SHORT, 4 * PATIENCE), None).await;
    for before in ["", PING] {
        let mut peer = Peer::of(&served).await;
        peer.say(before.as_bytes()).await;
        assert!(before.is_empty() || peer.answer(false).await == 200);
        peer.say(b"GET /healthz HTTP/1.1\r\nhost: loc").await;
        assert_eq!(tokio::time::timeout(PATIENCE, peer.answer(false)).await.unwrap(), 408);
        assert!(peer.is_closed().await);
    }
    let mut silent = Peer::of(&served).await;
    assert!(tokio::time::timeout(PATIENCE, silent.is_closed()).await.unwrap(), "one that never asks is let go");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_own_time() {
    let served = serve(bounds(4 * PATIENCE, SHORT), None).await;
    let mut peer = Peer::of(&served).await;
    for _ in 0..2 {
        peer.say(PING.as_bytes()).await;
        assert_eq!(peer.answer(false).await, 200);
    }
    assert!(tokio::time::timeout(PATIENCE, peer.is_closed()).await.unwrap(), "without a word");
}

#[tokio::test]
async fn a_head_that_ends_early_is_400_and_a_whole_request_is_answered_after_the_last_word() {
    let served = serve(Bounds::default(), None).await;
    let invoke = "POST /v1/functions/echo/invoke HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi";
    for (sent, status) in [("GET /healthz HT", 400), (PING, 200), (invoke, 200), ("", 0)] {
        let mut peer = Peer::of(&served).await;
        peer.say(sent.as_bytes()).await;
        peer.0.get_mut().shutdown().await.unwrap();
        assert_eq!(tokio::time::timeout(PATIENCE, peer.answer(false)).await.unwrap(), status, "{sent:?}");
        assert!(peer.is_closed().await);
    }
}

#[tokio::test]
async fn who_has_closed_its_half_is_not_waited_for_while_nothing_comes() {
    let served = serve_with(Slots::Stuck, bounds(4 * PATIENCE, 4 * PATIENCE), None).await;
    for path in ["/v1/functions/echo/invoke", "/fn/echo/"] {
        let mut peer = Peer::of(&served).await;
        peer.say(format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi").as_bytes()).await;
        peer.0.get_mut().shutdown().await.unwrap();
        assert!(tokio::time::timeout(PATIENCE, peer.is_closed()).await.unwrap(), "{path}");
    }
}
