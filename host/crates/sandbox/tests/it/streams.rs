//! HTTP exchanges with a client that is there: bodies are passed on in both directions as they are read and written,
//! within the limits of the run. Clients of these tests wait for what a function says before they go on, so a body that
//! is passed on late would wait until the run's deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    http::Response,
    outcome::{Outcome, StopReason},
};
use fusebox_hostile::component::{http, http_echo};
use fusebox_sandbox::{BrokenBody, Exchange, Piece, Pieces, RequestBody, Run};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::support::{ample, call, code, returned, run_call, sandbox, timed, wasm};

/// Far more than the delays of a loaded machine, far less than the duration of an unbounded guest.
const SLACK: Duration = Duration::from_secs(20);

/// Sender of a request's body.
type Sender = mpsc::Sender<Result<Bytes, BrokenBody>>;

/// Returns the body of a request, and its sender.
fn body() -> (Sender, RequestBody) {
    let (sender, mut received) = mpsc::channel::<Result<Bytes, BrokenBody>>(1);
    let frames = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
    let frames = futures_util::StreamExt::map(frames, |bytes| bytes.map(Frame::data));
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// Runs a module, given as text, while `client` uses the other end of its exchange.
fn exchanged<T>(
    text: &str,
    limits: RunLimits,
    body: Option<RequestBody>,
    client: impl FnOnce(Pieces) -> T,
) -> (Run, T) {
    let mut call = call(b"POST /\nhost: h.example\n\n", limits);
    call.invocation.is_http = true;
    let (exchange, pieces) = Exchange::new(body);
    call.exchange = Some(exchange);
    let wasm = wasm(text);
    thread::scope(|scope| {
        let running = scope.spawn(|| run_call(sandbox(), &wasm, call));
        let seen = client(pieces);
        (running.join().unwrap(), seen)
    })
}

/// Takes the head of a response.
fn head(pieces: &mut Pieces) -> Response {
    match pieces.blocking_recv() {
        Some(Piece::Head(head)) => *head,
        other => panic!("the head is first: {other:?}"),
    }
}

/// Takes the rest of a body; returns the sizes of its pieces.
fn rest(mut pieces: Pieces) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Head(head) => sizes.push(head.body.len()),
            Piece::Data(data) => sizes.push(data.len()),
            Piece::Trailers(_) => {}
        }
    }
    sizes
}

/// A command that writes this text, and then its stdin as it arrives; exits with the error of a read.
fn command(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 2) (data (i32.const 1024) "{bytes}")
            (func $put (param i32 i32)
                (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "_start") (local i32)
                (call $put (i32.const 1024) (i32.const {}))
                (loop $more
                    (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 60000))
                    (local.set 0 (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                    (if (local.get 0) (then (call $exit (local.get 0))))
                    (if (i32.load (i32.const 8)) (then
                        (call $put (i32.const 65536) (i32.load (i32.const 8)))
                        (br $more))))))"#,
        text.len()
    )
}

/// Functions that answer with a line, and then with the request's body.
fn mirrors() -> [String; 2] {
    [http("(call $mirror (local.get 0) (local.get 1))"), command("content-type: a/b\n\nfirst\n")]
}

/// Functions that write without end, `bytes` at a time.
fn endless(bytes: u32) -> [String; 2] {
    let component = format!(
        "(local.set 2 (call $open (call $head (local.get 1) (i32.const 200))))
        (loop (call $write (local.get 2) (i32.const 0) (i32.const {bytes}) (i32.const 8192)) (br 0))"
    );
    let command = command("status: 200\n\n").replace(
        "(loop $more",
        &format!("(loop (call $put (i32.const 65536) (i32.const {bytes})) (br 0)) (loop $more"),
    );
    [http(&component), command]
}

#[test]
fn bodies_are_passed_on_as_they_are_written_and_arrive() {
    for text in mirrors() {
        let (sender, body) = body();
        let (run, ()) = exchanged(&text, ample(), Some(body), |mut pieces| {
            let head = head(&mut pieces);
            assert_eq!((head.status, &head.body[..]), (200, b"first\n".as_slice()));
            for word in ["a", "bc"] {
                sender.blocking_send(Ok(word.into())).unwrap();
                assert_eq!(pieces.blocking_recv(), Some(Piece::Data(word.into())), "before the next is sent");
            }
            drop(sender);
            assert!(rest(pieces).is_empty());
        });
        assert_eq!((returned(&run), run.receipt.output_bytes), (b"".as_slice(), 9));
        assert!(run.receipt.fuel.is_some());
    }
}

#[test]
fn a_small_response_is_the_output_of_its_run() {
    for (text, status) in [(http_echo(), 201), (command("status: 203\n\nsmall"), 203)] {
        let (run, pieces) = exchanged(&text, ample(), None, rest);
        let response = Response::parse(&Bytes::copy_from_slice(returned(&run))).unwrap();
        assert_eq!((response.status, pieces.len()), (status, 0));
    }
}

#[test]
fn a_failure_before_the_first_piece_has_no_part() {
    let trap = http("(drop (call $open (call $head (local.get 1) (i32.const 200)))) (unreachable)");
    let (run, pieces) = exchanged(&trap, ample(), None, rest);
    assert_eq!((code(&run), pieces.len()), (ErrorCode::Trap, 0));
    let (run, pieces) = exchanged(&command("no head\n\n"), ample(), None, rest);
    assert_eq!((code(&run), pieces.len()), (ErrorCode::GuestError, 0));
    let unending = command("status: 200\n")
        .replace("(loop $more", "(loop (call $put (i32.const 65536) (i32.const 99)) (br 0)) (loop $more");
    let (run, pieces) = exchanged(&unending, ample(), None, rest);
    assert_eq!((code(&run), pieces.len()), (ErrorCode::GuestError, 0), "its head does not end");
}

#[test]
fn a_client_gets_what_was_written_before_a_guest_computes() {
    let [component, command] = endless(5).map(|text| text.replace("(br 0)", "(loop (br 0))"));
    for text in [component, command] {
        let limits = RunLimits { wall_ms: 500, ..ample() };
        let (run, ()) = exchanged(&text, limits, None, |mut pieces| {
            assert_eq!(head(&mut pieces).body.len(), 5);
            assert!(rest(pieces).is_empty());
        });
        assert_eq!(run.outcome, Outcome::DeadlineExceeded { limit_ms: 500 });
    }
}

#[test]
fn the_whole_response_counts_toward_the_limit_of_the_output() {
    for text in endless(4_096) {
        let limits = RunLimits { output_bytes: 100_000, ..ample() };
        let (run, sizes) = exchanged(&text, limits, None, rest);
        assert_eq!(code(&run), ErrorCode::OutputTooLarge);
        let passed: usize = sizes.iter().sum();
        assert!((16 << 10..=100_000).contains(&passed) && run.receipt.output_bytes == passed as u64, "{sizes:?}");
    }
}

#[test]
fn a_status_of_an_error_fails_the_run_however_much_was_passed_on() {
    let component = http(
        "(local.set 3 (call $head (local.get 1) (i32.const 503))) (local.set 2 (call $open (local.get 3)))
        (loop (call $write (local.get 2) (i32.const 0) (i32.const 4096) (i32.const 8192))
            (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
            (br_if 0 (i32.lt_u (i32.load (i32.const 512)) (i32.const 9))))
        (call $drop (local.get 2)) (call $finish (local.get 3) (i32.const 0) (i32.const 0) (i32.const 48))",
    );
    let command = command(&format!("status: 503\n\n{}", "x".repeat(9 * 4_096)));
    for text in [component, command] {
        let (run, sizes) = exchanged(&text, ample(), None, rest);
        assert_eq!(run.outcome, Outcome::GuestError { error: "503\n\n".into(), exit_code: None });
        assert_eq!((sizes.iter().sum::<usize>(), run.receipt.output_bytes), (9 * 4_096, 9 * 4_096));
        assert!(sizes.len() > 1, "it was passed on");
    }
}

#[test]
fn more_than_may_be_kept_whole_is_passed_on() {
    let bytes = 100 << 20;
    for text in endless(4_096) {
        let limits = RunLimits { output_bytes: bytes, ..ample() };
        let (run, sizes) = exchanged(&text, limits, None, rest);
        assert_eq!(code(&run), ErrorCode::OutputTooLarge);
        let passed = sizes.iter().sum::<usize>() as u64;
        assert!((bytes - (64 << 10)..=bytes).contains(&passed), "{passed}");
        assert!(sizes.iter().all(|size| *size <= 128 << 10), "{:?}", sizes.iter().max());
        assert!(run.receipt.memory_bytes < 1 << 20);
    }
}

#[test]
fn single_bytes_are_passed_on_together() {
    for text in endless(1) {
        let limits = RunLimits { output_bytes: 100_000, ..ample() };
        let ((run, sizes), took) = timed(|| exchanged(&text, limits, None, rest));
        assert_eq!(code(&run), ErrorCode::OutputTooLarge);
        let most = 100_000 / (16 << 10) + took.as_millis() as usize / 10 + 2;
        assert!(sizes.len() <= most, "{} pieces in {took:?}", sizes.len());
    }
}

#[test]
fn a_client_that_takes_nothing_holds_a_run_no_longer_than_its_wall_time() {
    for text in endless(4_096) {
        let limits = RunLimits { wall_ms: 300, output_bytes: 1 << 30, ..ample() };
        let ((run, _pieces), took) = timed(|| exchanged(&text, limits, None, |pieces| pieces));
        assert_eq!(run.outcome, Outcome::DeadlineExceeded { limit_ms: 300 });
        assert!(took >= Duration::from_millis(300) && took < SLACK, "{took:?}");
        assert!(run.receipt.cpu_us < run.receipt.wall_us, "it waits: {:?}", run.receipt);
    }
}

#[test]
fn a_client_that_leaves_ends_its_run() {
    for text in endless(4_096) {
        let limits = RunLimits { output_bytes: 1 << 30, ..ample() };
        let ((run, ()), took) = timed(|| exchanged(&text, limits, None, |mut pieces| drop(head(&mut pieces))));
        assert_eq!(run.outcome, Outcome::Stopped(StopReason::Cancelled));
        assert!(took < SLACK, "{took:?}");
    }
}

#[test]
fn a_body_that_does_not_come_ends_at_the_deadline() {
    for text in mirrors() {
        let (_sender, body) = body();
        let started = Instant::now();
        let (run, ()) = exchanged(&text, RunLimits { wall_ms: 300, ..ample() }, Some(body), |mut pieces| {
            assert_eq!(&head(&mut pieces).body[..], b"first\n");
            assert!(rest(pieces).is_empty());
        });
        assert_eq!(run.outcome, Outcome::DeadlineExceeded { limit_ms: 300 });
        assert!(started.elapsed() < SLACK);
    }
}

#[test]
fn a_body_that_is_broken_off_is_an_error_for_its_reader() {
    for text in mirrors() {
        let (sender, body) = body();
        let (run, ()) = exchanged(&text, ample(), Some(body), |mut pieces| {
            assert_eq!(&head(&mut pieces).body[..], b"first\n");
            sender.blocking_send(Err(BrokenBody::Incomplete)).unwrap();
            assert!(rest(pieces).is_empty());
        });
        match run.outcome {
            Outcome::Trapped { .. } => {}
            Outcome::GuestError { exit_code, .. } => assert_eq!(exit_code, Some(29)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_part_of_a_stated_length_must_become_the_whole() {
    for (length, is_right) in [(8, true), (7, false), (9, false)] {
        let (sender, body) = body();
        let text = command(&format!("status: 200\ncontent-length: {length}\n\nfirst\n"));
        let (run, ()) = exchanged(&text, ample(), Some(body), |mut pieces| {
            head(&mut pieces);
            sender.blocking_send(Ok("ab".into())).unwrap();
            drop(sender);
            rest(pieces);
        });
        let failure = run.outcome.failure();
        assert_eq!(failure.is_none(), is_right, "{failure:?}");
        assert!(failure.is_none_or(|failure| failure.message.contains("Content-Length")));
    }
}

#[test]
fn functions_that_return_a_whole_response_do_not_stream() {
    let echo = crate::support::echo();
    let (run, sizes) = exchanged(&echo, RunLimits { output_bytes: 1 << 30, ..ample() }, None, rest);
    assert_eq!((returned(&run), sizes.len()), (b"200\ncontent-type: text/plain; charset=utf-8\n\n".as_slice(), 0));
    let module = |text: &str| sandbox().prepare(&wasm(text)).unwrap().inspected.digest;
    let streams = [http_echo(), command("")].map(|text| sandbox().streams(&module(&text)));
    assert_eq!((streams, sandbox().streams(&module(&echo))), ([Some(true); 2], Some(false)));
}
