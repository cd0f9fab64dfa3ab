//! Responses of servers, and how malicious ones are contained.

use fusebox_core::limits::{HTTP_ANSWER_BYTES_MAX, HTTP_HEADERS_BYTES_MAX, HTTP_HEADERS_MAX};

use super::*;

const GET: &str = "GET http://a.example.com/x?y=z\naccept: text/plain\n\n";

async fn answered(answer: impl Into<Vec<u8>>) -> Result<String, Refused> {
    send(&public(server(answer).await.0), GET).await
}

/// Starts a server that sends `start` and then `more` repeatedly, with a pause after each.
async fn endless(start: &str, more: Vec<u8>, pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let start = start.to_owned();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut pauses = time::interval(pause.max(Duration::from_nanos(1)));
        while stream.write_all(&more).await.is_ok() {
            pauses.tick().await;
        }
    });
    address
}

#[tokio::test]
async fn a_server_sees_what_the_guest_said_and_the_host_adds() {
    let (address, seen) = server("HTTP/1.1 201 Created\r\nx-a: 1\r\nX-A: 2\r\ncontent-length: 2\r\n\r\nhi").await;
    let request = "POST http://a.example.com:8080/x?y=z\nx-own: 1\n\nthe body";
    assert_eq!(send(&public(address), request).await.unwrap(), "201\nx-a: 1\nx-a: 2\ncontent-length: 2\n\nhi");
    let seen = seen.lock().unwrap()[0].clone();
    assert!(seen.starts_with("POST /x?y=z HTTP/1.1\r\n"), "{seen}");
    for line in ["x-own: 1", "host: a.example.com:8080", "content-length: 8", "connection: close"] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line}: {seen}");
    }
    assert!(seen.ends_with("\r\n\r\nthe body"), "{seen}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n";
    let (address, seen) = server(redirect).await;
    let (egress, network) = egress(network(address, &[&[PUBLIC]]));
    let answer = send(&egress, GET).await.unwrap();
    assert!(answer.starts_with("302\nlocation: http://169.254.169.254/latest/\n"), "{answer}");
    assert_eq!((network.connected().len(), seen.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn pieces_are_put_together() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-trailer: 1\r\n\r\n";
    assert_eq!(answered(chunked).await.unwrap(), "200\n\nabc");
    assert_eq!(answered("HTTP/1.0 200 OK\r\n\r\nuntil the end").await.unwrap(), "200\n\nuntil the end");
    let continued = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(answered(continued).await.unwrap(), "204\n\n");
}

#[tokio::test]
async fn a_body_without_end_is_too_large() {
    for start in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n"] {
        let address = endless(start, vec![b'a'; 64 << 10], Duration::ZERO).await;
        assert_eq!(send(&public(address), GET).await, Err(Refused::TooLarge), "{start}");
    }
    let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
    let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let address = endless(start, chunk, Duration::ZERO).await;
    assert_eq!(send(&public(address), GET).await, Err(Refused::TooLarge));
}

#[tokio::test]
async fn the_largest_answer_is_given_and_one_byte_more_is_not() {
    let body = |bytes: usize| [b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![b'a'; bytes]].concat();
    let head = "200\n\n".len();
    let largest = answered(body(HTTP_ANSWER_BYTES_MAX - head)).await.unwrap();
    assert_eq!(largest.len(), HTTP_ANSWER_BYTES_MAX);
    assert_eq!(answered(body(HTTP_ANSWER_BYTES_MAX - head + 1)).await, Err(Refused::TooLarge));
}

#[tokio::test]
async fn a_head_without_end_is_too_large() {
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: a\r\n")).collect::<String>();
    let ok = answered(format!("HTTP/1.1 204 No Content\r\n{}\r\n", many(HTTP_HEADERS_MAX))).await;
    assert!(ok.is_ok(), "{ok:?}");
    let more = answered(format!("HTTP/1.1 204 No Content\r\n{}\r\n", many(HTTP_HEADERS_MAX + 1))).await;
    assert_eq!(more, Err(Refused::TooLarge));
    let large = format!("HTTP/1.1 204 No Content\r\nx: {}\r\n\r\n", "a".repeat(HTTP_HEADERS_BYTES_MAX));
    assert_eq!(answered(large).await, Err(Refused::TooLarge));
    let address = endless("HTTP/1.1 200 OK\r\n", b"x: a\r\n".repeat(1_000), Duration::ZERO).await;
    assert_eq!(send(&public(address), GET).await, Err(Refused::TooLarge));
    let address =
        endless("HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Duration::ZERO).await;
    let stop = StopFlag::default();
    let refused = send_within(&public(address), GET, Duration::from_millis(300), &stop).await;
    assert!(matches!(refused, Err(Refused::TimedOut | Refused::TooLarge)), "{refused:?}");
}

#[tokio::test]
async fn a_slow_answer_ends_with_the_run() {
    for start in ["HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let address = endless(start, vec![b'a'], Duration::from_millis(20)).await;
        let started = Instant::now();
        let refused = send_within(&public(address), GET, Duration::from_millis(200), &StopFlag::default()).await;
        assert_eq!(refused, Err(Refused::TimedOut), "{start:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_stopped_run_does_not_wait() {
    let address = endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'a'], Duration::from_millis(20)).await;
    let (egress, network) = egress(network(address, &[&[PUBLIC]]));
    let stop = StopFlag::default();
    let sent = send_within(&egress, GET, Duration::from_secs(60), &stop);
    let stopped = async {
        while network.connected().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.raise(StopReason::Cancelled);
    };
    let (refused, ()) = tokio::join!(sent, stopped);
    assert_eq!(refused, Err(Refused::Stopped));
}

#[tokio::test]
async fn what_is_no_http_is_not_available() {
    for answer in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "HTTP/1.1 200"] {
        let refused = answered(answer).await;
        assert!(matches!(refused, Err(Refused::Unreachable { .. })), "{answer:?}: {refused:?}");
    }
    let smuggled = "HTTP/1.1 200 OK\r\nx: a\r\n b: folded\r\ncontent-length: 0\r\n\r\n";
    assert!(answered(smuggled).await.is_err());
}

/// 10 MiB of zeros compressed to 10 KiB: the guest gets the 10 KiB.
#[tokio::test]
async fn nothing_is_unpacked() {
    let packed = include_bytes!("zeros.gz");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let (address, seen) = server([head.as_bytes(), packed].concat()).await;
    let limit = WaitLimit::new(Instant::now() + Duration::from_secs(60), StopFlag::default());
    let answer = public(address).send(&Bytes::from_static(GET.as_bytes()), guest(), &limit).await.unwrap();
    assert!(answer.ends_with(packed) && answer.starts_with(b"200\ncontent-encoding: gzip\n"));
    assert!(!seen.lock().unwrap()[0].contains("accept-encoding"), "nothing is asked for either");
}

#[tokio::test]
async fn answers_and_refusals_are_counted() {
    let egress = public(server("HTTP/1.1 204 No Content\r\n\r\n").await.0);
    send(&egress, GET).await.unwrap();
    send(&egress, "GET http://127.0.0.1/\n\n").await.unwrap_err();
    send(&egress, "GET http://b.example.com/\n\n").await.unwrap_err();
    let counters = egress.counters();
    assert_eq!(counters.answered.load(std::sync::atomic::Ordering::Relaxed), 1);
    let counted: Vec<_> = counters.refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("host", 1), ("address", 1)]);
}
