//! Bodies of an exchange, on the parent's side: passed between the client, which may be slow, and the process of the run,
//! which may be compromised. A part of the request's body is sent when the run asks for it, and a piece of the response
//! is taken when the client has taken the one before.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::RunLimits,
    outcome::{Outcome, StopReason},
};
use fusebox_sandbox::{CLIENT_STALL, Call, Exchange, Piece, RequestBody};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use super::{
    messages::{self, Aside, FROM_SLOT_BYTES_MAX, FromSlot, PART_BYTES_MAX, Part, SentPiece, ToSlot, Word},
    process::{LOAD_TIME, MARGIN, TICK},
};
use crate::frames;

/// Largest piece that a run passes on: what fills one, and the write that filled it.
const PIECE_BYTES_MAX: usize = 128 << 10;

thread_local! {
    /// The thread's runtime, absent while it runs something.
    static RUNTIME: Cell<Option<Runtime>> = const { Cell::new(None) };
}

/// Line to the process of one run.
pub(super) struct Lines<'a> {
    pub(super) calls: &'a UnixStream,
    pub(super) asides: &'a UnixStream,
    /// Number of the run.
    pub(super) number: u64,
}

impl Lines<'_> {
    /// Says something aside. Blocks only if the process does not read.
    fn say(&self, word: Word) -> io::Result<()> {
        messages::write(&mut &*self.asides, &Aside { number: self.number, word })
    }
}

/// Passes bodies on until the process answers the call, and returns the answer; `None` if it is late. Host calls of the
/// run are answered by `ask`, and nothing else happens meanwhile.
///
/// # Errors
/// Fails if the process is gone or violates the protocol.
pub(super) fn run(
    lines: &Lines<'_>,
    (call, exchange): (&Call, &Exchange),
    limits: &RunLimits,
    until: Instant,
    ask: impl FnMut(HostCall) -> Result<HostAnswer, Refusal>,
) -> io::Result<Option<FromSlot>> {
    let runtime = match RUNTIME.take() {
        Some(runtime) => runtime,
        None => Builder::new_current_thread().enable_all().build()?,
    };
    let relay = Relay::new(lines, call, exchange, limits, until);
    lines.calls.set_nonblocking(true)?;
    let ended = relay.run(&runtime, ask);
    lines.calls.set_nonblocking(false)?;
    RUNTIME.set(Some(runtime));
    ended
}

/// State of an exchange.
struct Relay<'a> {
    lines: &'a Lines<'a>,
    call: &'a Call,
    exchange: &'a Exchange,
    limits: &'a RunLimits,
    /// End of the run's wall time.
    wall: Instant,
    /// Time at which the process must have answered.
    until: Instant,
    /// Body of the request, once the run reads it.
    body: Option<RequestBody>,
    /// Rest of a frame that is larger than a part.
    rest: Bytes,
    /// True while the run waits for a part of the body.
    is_read: bool,
    /// Piece that waits for the client, and the time since which it does.
    piece: Option<(Piece, Instant)>,
    /// True once the trailers have come, behind which there is nothing.
    is_complete: bool,
    is_stopped: bool,
    /// Outcome of a run whose client takes no more.
    gone: Option<Outcome>,
}

/// Occurrence that changes an exchange.
enum Event {
    Said(FromSlot),
    /// The client has room for the piece, which was passed on.
    Taken,
    /// The client is gone.
    Left,
    Arrived(Part),
    Tick,
}

/// Next step of an exchange.
enum Step {
    Ask(HostCall),
    Answer(FromSlot),
    Late,
}

impl<'a> Relay<'a> {
    fn new(lines: &'a Lines<'a>, call: &'a Call, exchange: &'a Exchange, limits: &'a RunLimits, wall: Instant) -> Self {
        Self {
            lines,
            call,
            exchange,
            limits,
            wall,
            until: wall + MARGIN,
            body: None,
            rest: Bytes::new(),
            is_read: false,
            piece: None,
            is_complete: false,
            is_stopped: false,
            gone: None,
        }
    }

    fn run(
        mut self,
        runtime: &Runtime,
        mut ask: impl FnMut(HostCall) -> Result<HostAnswer, Refusal>,
    ) -> io::Result<Option<FromSlot>> {
        let calls = self.lines.calls.try_clone()?;
        let mut process = runtime.block_on(async { Process::new(calls) })?;
        loop {
            match runtime.block_on(self.steps(&mut process))? {
                Step::Late => return Ok(None),
                Step::Answer(answer) => return self.ended(answer, &process).map(Some),
                Step::Ask(question) => {
                    let answer = ToSlot::Answered(ask(question));
                    runtime.block_on(process.send(&answer))?;
                }
            }
        }
    }

    async fn steps(&mut self, process: &mut Process) -> io::Result<Step> {
        loop {
            if self.look()? {
                return Ok(Step::Late);
            }
            match self.event(process).await? {
                Event::Said(FromSlot::Asks(question)) => return Ok(Step::Ask(question)),
                Event::Said(FromSlot::Piece(piece)) => self.receive(piece)?,
                Event::Said(FromSlot::Reads) if !self.is_read => self.read()?,
                Event::Said(FromSlot::Leaves) => (self.body, self.rest, self.is_read) = (None, Bytes::new(), false),
                Event::Said(answer) => return Ok(Step::Answer(answer)),
                Event::Taken => self.lines.say(Word::Taken)?,
                Event::Left => self.give_up(Outcome::Stopped(StopReason::Cancelled))?,
                Event::Arrived(part) => {
                    self.is_read = false;
                    self.lines.say(Word::Part(part))?;
                }
                Event::Tick => {}
            }
        }
    }

    async fn event(&mut self, process: &mut Process) -> io::Result<Event> {
        let Self { exchange, body, rest, is_read, piece, .. } = self;
        tokio::select! {
            biased;
            message = process.next() => message.map(Event::Said),
            permit = exchange.pieces().reserve(), if piece.is_some() => Ok(match permit {
                Ok(permit) => {
                    if let Some((piece, _)) = piece.take() {
                        permit.send(piece);
                    }
                    Event::Taken
                }
                Err(_) => Event::Left,
            }),
            part = part(body, rest), if *is_read => Ok(Event::Arrived(part)),
            () = sleep(TICK) => Ok(Event::Tick),
        }
    }

    /// Passes on a stop flag that was raised, and gives up a client that keeps the process waiting. Returns true if the
    /// process is late.
    fn look(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        if let Some(reason) = self.call.stop.reason().filter(|_| !self.is_stopped) {
            self.is_stopped = true;
            self.until = self.until.min(now + MARGIN);
            self.lines.say(Word::Stop(reason))?;
            self.give_up(Outcome::Stopped(reason))?;
        }
        if self.piece.as_ref().is_some_and(|(_, since)| now >= *since + CLIENT_STALL) {
            self.give_up(Outcome::Stopped(StopReason::Cancelled))?;
        }
        if self.piece.is_some() && now >= self.wall {
            self.give_up(Outcome::DeadlineExceeded { limit_ms: self.limits.wall_ms })?;
        }
        Ok(now >= self.until)
    }

    /// Takes no more of the response. A run that is over all the same has this outcome.
    fn give_up(&mut self, outcome: Outcome) -> io::Result<()> {
        self.gone.get_or_insert(outcome);
        if self.piece.take().is_some() { self.lines.say(Word::Gone) } else { Ok(()) }
    }

    /// Receives a piece of the response.
    fn receive(&mut self, piece: SentPiece) -> io::Result<()> {
        let piece = Piece::try_from(piece).map_err(|fault| io::Error::new(ErrorKind::InvalidData, fault))?;
        let (is_first, bytes) = match &piece {
            Piece::Head(head) => (true, head.body.len()),
            Piece::Data(data) => (false, data.len()),
            Piece::Trailers(_) => (false, 0),
        };
        let passed = self.exchange.passed();
        let in_order = self.piece.is_none() && !self.is_complete && is_first == passed.is_none();
        let is_bounded =
            bytes <= PIECE_BYTES_MAX && passed.unwrap_or_default() + bytes as u64 <= self.limits.output_bytes;
        if !in_order || !is_bounded {
            return Err(violated());
        }
        self.is_complete = matches!(piece, Piece::Trailers(_));
        self.exchange.record(&piece);
        match &self.gone {
            Some(_) => self.lines.say(Word::Gone),
            None => {
                self.piece = Some((piece, Instant::now()));
                Ok(())
            }
        }
    }

    /// Begins to wait for a part of the body.
    fn read(&mut self) -> io::Result<()> {
        self.is_read = true;
        match self.body.is_some() {
            true => Ok(()),
            false => {
                self.body = Some(self.exchange.take_body().ok_or_else(violated)?);
                Ok(())
            }
        }
    }

    /// Checks the last answer.
    fn ended(self, answer: FromSlot, process: &Process) -> io::Result<FromSlot> {
        match answer {
            _ if self.piece.is_some() || !process.arrived.is_empty() => Err(violated()),
            FromSlot::Ended { outcome, traces, receipt, log } => {
                let outcome = match (outcome, self.gone) {
                    (Outcome::Returned(_), Some(gone)) if self.exchange.status().is_some() => gone,
                    (outcome, _) => outcome,
                };
                Ok(FromSlot::Ended { outcome, traces, receipt, log })
            }
            answer => Ok(answer),
        }
    }
}

/// Returns the next part of a body.
async fn part(body: &mut Option<RequestBody>, rest: &mut Bytes) -> Part {
    while rest.is_empty() {
        let frame = match body {
            Some(arriving) => arriving.frame().await,
            None => None,
        };
        match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
            Some(Ok(Ok(data))) => *rest = data,
            Some(Ok(Err(frame))) => {
                *body = None;
                let trailers = frame.into_trailers().unwrap_or_default();
                let owned = trailers
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
                return Part::Trailers(owned.collect());
            }
            Some(Err(broken)) => {
                *body = None;
                return Part::Broken(broken);
            }
            None => {
                *body = None;
                return Part::End;
            }
        }
    }
    Part::Data(rest.split_to(rest.len().min(PART_BYTES_MAX)))
}

/// Socket of calls, and what has arrived on it.
struct Process {
    line: tokio::net::UnixStream,
    arrived: BytesMut,
}

impl Process {
    /// Must be called on a runtime.
    fn new(line: UnixStream) -> io::Result<Self> {
        Ok(Self { line: tokio::net::UnixStream::from_std(line)?, arrived: BytesMut::new() })
    }

    /// Returns the next message. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> io::Result<FromSlot> {
        loop {
            if let Some(frame) = frames::take(&mut self.arrived, FROM_SLOT_BYTES_MAX)? {
                return messages::decode(&frame);
            }
            if self.line.read_buf(&mut self.arrived).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn send(&mut self, message: &ToSlot) -> io::Result<()> {
        let mut frame = Vec::new();
        messages::write(&mut frame, message)?;
        timeout(LOAD_TIME, self.line.write_all(&frame)).await?
    }
}

fn violated() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it violates its protocol")
}
