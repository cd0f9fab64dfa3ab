//! Exchanges over the sockets of a slot's process: both ends of them, and processes that violate the protocol. The
//! process is a thread here, and its guest a closure.

use std::{
    io,
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::{Grants, RunLimits},
    http::{Header, Response},
    id::ModuleDigest,
    invocation::Invocation,
    name::TenantId,
    outcome::{Outcome, Receipt, StopReason, Traces},
};
use fusebox_sandbox::{BrokenBody, Call, Exchange, Piece, Pieces, RequestBody, StopFlag};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{HeaderMap, body::Frame, header::HeaderValue};

use super::{
    bodies::{Sending, ToParent},
    messages::{self, ASIDE_BYTES_MAX, Aside, FromSlot, PART_BYTES_MAX, Part, SentPiece, Word},
    relay::{self, Lines},
    slot::Current,
};

/// Longest wait for anything here, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const NUMBER: u64 = 7;

fn ended(outcome: Outcome) -> FromSlot {
    FromSlot::Ended { outcome, traces: Traces::default(), receipt: Receipt::default(), log: Bytes::new() }
}

fn head(body: &'static str) -> Piece {
    Piece::Head(Box::new(Response { body: body.into(), ..Response::of("a/b", Bytes::new()) }))
}

fn sent(piece: Piece) -> FromSlot {
    FromSlot::Piece(SentPiece::try_from(piece).unwrap())
}

/// Frames of a request's body.
type Frames = Vec<Result<Frame<Bytes>, BrokenBody>>;

fn body(frames: Frames) -> RequestBody {
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Exchange of a test: the ends of the sockets, and the client's end.
struct Rig {
    calls: UnixStream,
    asides: UnixStream,
    process: (UnixStream, UnixStream),
    call: Call,
    exchange: Exchange,
    pieces: Pieces,
    until: Instant,
}

impl Rig {
    fn new(body: Option<RequestBody>) -> Self {
        let ((calls, process_calls), (asides, process_asides)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let limits = RunLimits { output_bytes: 1_000_000, ..RunLimits::default() };
        let (tenant, name) = (TenantId::default_tenant(), "f".parse().unwrap());
        let call =
            Call::new(Invocation::plain(tenant, name, ModuleDigest([0; 32]), limits, Grants::default(), Bytes::new()));
        let (exchange, pieces) = Exchange::new(body);
        let process = (process_calls, process_asides);
        Self { calls, asides, process, call, exchange, pieces, until: Instant::now() + PATIENCE }
    }

    /// Relays while `process` has the process's ends, and `client` the client's.
    fn relay<T: Send>(
        self,
        process: impl FnOnce(UnixStream, UnixStream) + Send,
        client: impl FnOnce(Pieces, StopFlag) -> T + Send,
    ) -> (io::Result<Option<FromSlot>>, T) {
        let Self { calls, asides, process: (process_calls, process_asides), call, exchange, pieces, until } = self;
        let stop = call.stop.clone();
        thread::scope(|scope| {
            scope.spawn(move || process(process_calls, process_asides));
            let client = scope.spawn(move || client(pieces, stop));
            let lines = Lines { calls: &calls, asides: &asides, number: NUMBER };
            let refuse = |_: HostCall| -> Result<HostAnswer, Refusal> { Err(Refusal::Absent) };
            let ended = relay::run(&lines, (&call, &exchange), &call.invocation.limits, until, refuse);
            drop((calls, asides, exchange, call));
            (ended, client.join().unwrap())
        })
    }

    /// Relays while a process says these things, whatever it is answered. Returns its outcome.
    fn says(self, messages: Vec<FromSlot>) -> io::Result<Option<FromSlot>> {
        let say = move |mut calls: UnixStream, _asides| {
            for message in &messages {
                // The parent may have had enough.
                let _ = messages::write(&mut calls, message);
            }
            stay(calls);
        };
        self.relay(say, |mut pieces, _| while pieces.blocking_recv().is_some() {}).0
    }
}

/// Keeps a process alive until its parent has given up.
fn stay(mut calls: UnixStream) {
    let _ = io::copy(&mut calls, &mut io::sink());
}

/// Returns a process whose guest is a closure, in the way of a slot.
fn guest(has_body: bool, run: impl FnOnce(Exchange) -> Outcome + Send) -> impl FnOnce(UnixStream, UnixStream) + Send {
    move |calls, asides| {
        let (line, current) = (ToParent::new(calls), Arc::new(Current::default()));
        let listening = current.clone();
        thread::spawn(move || listening.listen(asides));
        let (opened, words) = Sending::start(line.clone()).unwrap().open(has_body);
        current.begin(NUMBER, StopFlag::default(), Some(words));
        let outcome = run(opened.exchange.clone());
        opened.close();
        // A parent that gave up is gone.
        let _ = line.send(&ended(outcome));
    }
}

fn outcome(ended: io::Result<Option<FromSlot>>) -> Outcome {
    match ended {
        Ok(Some(FromSlot::Ended { outcome, .. })) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Passes on a piece, as a run does.
fn pass(exchange: &Exchange, piece: Piece) -> bool {
    exchange.record(&piece);
    exchange.pieces().blocking_send(piece).is_ok()
}

/// Reads the next frame of a body.
fn frame(body: &mut RequestBody) -> Option<Result<Frame<Bytes>, BrokenBody>> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body.frame())
}

#[test]
fn bodies_and_trailers_pass_in_both_directions() {
    let trailers = [("x-sum".parse().unwrap(), HeaderValue::from_static("7"))];
    let frames: Frames = vec![
        Ok(Frame::data(vec![b'a'; 2 * PART_BYTES_MAX + 1].into())),
        Ok(Frame::data("b".into())),
        Ok(Frame::trailers(HeaderMap::from_iter(trailers))),
    ];
    let mirror = guest(true, |exchange| {
        let mut body = exchange.take_body().unwrap();
        assert!(pass(&exchange, head("first")));
        while let Some(frame) = frame(&mut body) {
            assert!(match frame.unwrap().into_data() {
                Ok(data) => {
                    assert!(data.len() <= PART_BYTES_MAX);
                    pass(&exchange, Piece::Data(data))
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap();
                    let of = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
                        Header::new(name.as_str(), Bytes::copy_from_slice(value.as_bytes())).unwrap()
                    };
                    pass(&exchange, Piece::Trailers(trailers.iter().map(of).collect()))
                }
            });
        }
        Outcome::Returned(Bytes::new())
    });
    let (ended, pieces) = Rig::new(Some(body(frames)))
        .relay(mirror, |mut pieces, _| std::iter::from_fn(|| pieces.blocking_recv()).collect::<Vec<_>>());
    assert_eq!(outcome(ended), Outcome::Returned(Bytes::new()));
    let sizes = pieces.iter().map(|piece| match piece {
        Piece::Head(head) => head.body.len(),
        Piece::Data(data) => data.len(),
        Piece::Trailers(trailers) => trailers.len(),
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [5, PART_BYTES_MAX, PART_BYTES_MAX, 1, 1, 1]);
    let sum = Header::new("x-sum", "7").unwrap();
    assert_eq!(pieces.last(), Some(&Piece::Trailers(vec![sum])));
}

#[test]
fn a_body_that_is_broken_off_is_so_for_the_run() {
    let frames = vec![Ok(Frame::data("a".into())), Err(BrokenBody::TooSlow)];
    let reader = guest(true, |exchange| {
        let mut body = exchange.take_body().unwrap();
        assert_eq!(frame(&mut body).unwrap().unwrap().into_data().unwrap(), "a");
        assert_eq!(frame(&mut body).unwrap().unwrap_err(), BrokenBody::TooSlow);
        assert!(frame(&mut body).is_none());
        Outcome::Returned("whole".into())
    });
    let (ended, ()) = Rig::new(Some(body(frames))).relay(reader, |_, _| ());
    assert_eq!(outcome(ended), Outcome::Returned("whole".into()), "nothing was passed on");
}

#[test]
fn a_body_is_read_no_further_than_the_run_reads_it() {
    let polled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = polled.clone();
    let frames = stream::repeat_with(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Frame::data(Bytes::from_static(b"a")))
    });
    let reader = guest(true, |exchange| {
        let mut body = exchange.take_body().unwrap();
        for _ in 0..3 {
            frame(&mut body).unwrap().unwrap();
        }
        drop(body);
        Outcome::Returned(Bytes::new())
    });
    let (ended, ()) = Rig::new(Some(StreamBody::new(frames.take(100)).boxed_unsync())).relay(reader, |_, _| ());
    assert_eq!(outcome(ended), Outcome::Returned(Bytes::new()));
    assert_eq!(polled.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[test]
fn a_client_that_leaves_ends_the_run_whatever_the_process_says() {
    let writer = guest(false, |exchange| {
        assert!(pass(&exchange, head("")));
        while pass(&exchange, Piece::Data("a".into())) {}
        Outcome::Returned(Bytes::new())
    });
    let (ended, ()) = Rig::new(None).relay(writer, |mut pieces, _| drop(pieces.blocking_recv()));
    assert_eq!(outcome(ended), Outcome::Stopped(StopReason::Cancelled));
}

#[test]
fn a_stop_frees_a_process_whose_client_takes_nothing() {
    let writer = guest(false, |exchange| {
        assert!(pass(&exchange, head("")));
        while pass(&exchange, Piece::Data("a".into())) {}
        Outcome::Returned(Bytes::new())
    });
    let (ended, pieces) = Rig::new(None).relay(writer, |mut pieces, stop| {
        drop(pieces.blocking_recv());
        stop.raise(StopReason::Interrupted);
        pieces
    });
    assert_eq!(outcome(ended), Outcome::Stopped(StopReason::Interrupted));
    drop(pieces);
}

#[test]
fn the_wall_time_bounds_a_client_that_takes_nothing() {
    let rig = Rig::new(None);
    let rig = Rig { until: Instant::now(), ..rig };
    let limit_ms = rig.call.invocation.limits.wall_ms;
    let writer = guest(false, |exchange| {
        assert!(pass(&exchange, head("")));
        while pass(&exchange, Piece::Data("a".into())) {}
        Outcome::Returned(Bytes::new())
    });
    let (ended, pieces) = rig.relay(writer, |pieces, _| pieces);
    // On a busy machine, the process may be late too, which is the same to the parent.
    if !matches!(ended, Ok(None)) {
        assert_eq!(outcome(ended), Outcome::DeadlineExceeded { limit_ms });
    }
    drop(pieces);
}

#[test]
fn a_process_that_does_not_answer_is_late() {
    let rig = Rig { until: Instant::now(), ..Rig::new(None) };
    let (late, ()) = rig.relay(|calls, _asides| stay(calls), |_, _| ());
    assert!(matches!(late, Ok(None)), "{late:?}");
}

#[test]
fn a_process_that_violates_the_protocol_is_found_out() {
    let data = |bytes: usize| FromSlot::Piece(SentPiece::Data(vec![b'a'; bytes].into()));
    let taken = |text: &'static str| FromSlot::Piece(SentPiece::Head(Bytes::from_static(text.as_bytes())));
    let trailers = |text: &'static str| FromSlot::Piece(SentPiece::Trailers(Bytes::from_static(text.as_bytes())));
    for (why, messages) in [
        ("data before the head", vec![data(1)]),
        ("a piece above its bound", vec![sent(head("")), data((128 << 10) + 1)]),
        ("a head that controls the connection", vec![taken("200\ntransfer-encoding: chunked\n\n")]),
        ("a head that is none", vec![taken("200\nx: a\rb\n\n")]),
        ("a part of a body where there is none", vec![FromSlot::Reads]),
        ("trailers that control the connection", vec![sent(head("")), trailers("200\nfusebox-trailer: te: a\n\n")]),
        ("data behind the trailers", vec![sent(head("")), trailers("200\nfusebox-trailer: x: 1\n\n"), data(1)]),
    ] {
        let said = Rig::new(None).says(messages);
        assert_eq!(said.unwrap_err().kind(), io::ErrorKind::InvalidData, "{why}");
    }
    let (ends, ()) = Rig::new(None).relay(|_, _| (), |_, _| ());
    assert_eq!(ends.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "it ends");
}

#[test]
fn a_process_that_does_not_wait_for_the_client_is_found_out() {
    let says = |mut calls: UnixStream, _asides: UnixStream| {
        for piece in [head(""), Piece::Data("a".into()), Piece::Data("b".into())] {
            let _ = messages::write(&mut calls, &sent(piece));
        }
        stay(calls);
    };
    let (ended, pieces) = Rig::new(None).relay(says, |pieces, _| pieces);
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(pieces);
}

/// Reads words until one is `wanted`.
fn hear(asides: &mut UnixStream, wanted: &Word) {
    loop {
        let Aside { number, word } = messages::read(asides, ASIDE_BYTES_MAX).unwrap();
        assert_eq!(number, NUMBER);
        if word == *wanted {
            return;
        }
    }
}

#[test]
fn the_limit_of_the_output_holds_for_the_pieces_of_a_compromised_process() {
    let flood = |mut calls: UnixStream, mut asides: UnixStream| {
        messages::write(&mut calls, &sent(head(""))).unwrap();
        hear(&mut asides, &Word::Taken);
        for _ in 0..9 {
            messages::write(&mut calls, &FromSlot::Piece(SentPiece::Data(vec![b'a'; 100_000].into()))).unwrap();
            hear(&mut asides, &Word::Taken);
        }
        let _ = messages::write(&mut calls, &FromSlot::Piece(SentPiece::Data(vec![b'a'; 100_001].into())));
    };
    let (flooded, passed) =
        Rig::new(None).relay(flood, |mut pieces, _| std::iter::from_fn(|| pieces.blocking_recv()).count());
    assert_eq!((flooded.unwrap_err().kind(), passed), (io::ErrorKind::InvalidData, 10));
}

#[test]
fn the_second_read_of_a_part_is_a_violation() {
    let frames = stream::pending::<Result<Frame<Bytes>, BrokenBody>>();
    let rig = Rig::new(Some(StreamBody::new(frames).boxed_unsync()));
    let twice = rig.says(vec![FromSlot::Reads, FromSlot::Reads]);
    assert!(matches!(twice, Ok(Some(FromSlot::Reads)) | Err(_)), "an answer that is none: {twice:?}");
}

#[test]
fn words_carry_parts_within_their_bound() {
    let part = Word::Part(Part::Data(vec![0; PART_BYTES_MAX].into()));
    let mut written = Vec::new();
    messages::write(&mut written, &Aside { number: u64::MAX, word: part }).unwrap();
    assert!((written.len() as u64) < ASIDE_BYTES_MAX);
}
