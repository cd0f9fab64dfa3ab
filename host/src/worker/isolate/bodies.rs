//! Run's end of an exchange, in the slot's process: the request's body is fetched from the parent part by part, and the
//! pieces of the response are sent to it one by one. Both wait for the parent, which waits for the client.

use std::{
    io,
    os::unix::net::UnixStream,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Poll, ready},
    thread,
};

use bytes::Bytes;
use fusebox_sandbox::{BrokenBody, Exchange, Pieces};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::{Body, Frame},
    header::{HeaderName, HeaderValue},
};
use tokio::sync::mpsc;

use super::messages::{self, FromSlot, Part, SentPiece, Word};

/// Line to the parent, which the threads of the process share. Cheap to clone.
#[derive(Clone)]
pub(super) struct ToParent(Arc<Mutex<UnixStream>>);

impl ToParent {
    pub(super) fn new(line: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(line)))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Fails if the parent is gone.
    pub(super) fn send(&self, message: &FromSlot) -> io::Result<()> {
        messages::write(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), message)
    }
}

/// Thread that sends the pieces of responses, also while their runs compute.
#[derive(Clone)]
pub(super) struct Sending {
    line: ToParent,
    responses: Sender<Sent>,
}

/// Response to be sent.
struct Sent {
    pieces: Pieces,
    answers: Receiver<Word>,
    is_over: Sender<()>,
}

impl Sending {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails if the system cannot create it.
    pub(super) fn start(line: ToParent) -> io::Result<Self> {
        let (responses, received) = channel();
        let own = line.clone();
        thread::Builder::new().name("pieces".to_owned()).spawn(move || send_all(&own, &received))?;
        Ok(Self { line, responses })
    }

    /// Opens the exchange of a run.
    pub(super) fn open(&self, has_body: bool) -> (Opened, Words) {
        let (part, parts) = mpsc::channel(1);
        let body = has_body.then(|| {
            Arriving { line: self.line.clone(), parts, is_asked: false, has_begun: false, is_over: false }
                .boxed_unsync()
        });
        let (exchange, pieces) = Exchange::new(body);
        let (answer, answers) = channel();
        let (is_over, over) = channel();
        // If the thread were gone, its end of the exchange would be too, and with it the run.
        let _ = self.responses.send(Sent { pieces, answers, is_over });
        (Opened { exchange, over }, Words { part, answer })
    }
}

/// Sends the pieces of one response after the other.
fn send_all(line: &ToParent, responses: &Receiver<Sent>) {
    for Sent { mut pieces, answers, is_over } in responses {
        while let Some(piece) = pieces.blocking_recv() {
            let piece = SentPiece::try_from(piece).map_err(io::Error::other);
            let sent = piece.and_then(|piece| line.send(&FromSlot::Piece(piece)));
            if sent.is_err() || answers.recv() != Ok(Word::Taken) {
                break;
            }
        }
        // Ends a run that still writes.
        drop(pieces);
        let _ = is_over.send(());
    }
}

/// Exchange of a run that is under way.
pub(super) struct Opened {
    pub(super) exchange: Exchange,
    over: Receiver<()>,
}

impl Opened {
    /// Waits until the parent has taken what the run passed on. The run is over, and with it every other clone of the
    /// exchange.
    pub(super) fn close(self) {
        let has_passed = self.exchange.status().is_some();
        drop(self.exchange);
        if has_passed {
            let _ = self.over.recv();
        }
    }
}

/// Receiver of what the parent says to an exchange.
pub(super) struct Words {
    part: mpsc::Sender<Part>,
    answer: Sender<Word>,
}

impl Words {
    /// Passes a word on; never blocks. Words that nobody waits for are dropped.
    pub(super) fn say(&self, word: Word) {
        match word {
            Word::Part(part) => drop(self.part.try_send(part)),
            word => drop(self.answer.send(word)),
        }
    }
}

/// Body of a request that arrives.
struct Arriving {
    line: ToParent,
    parts: mpsc::Receiver<Part>,
    /// True while the parent owes a part.
    is_asked: bool,
    has_begun: bool,
    is_over: bool,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if !self.is_asked {
            (self.is_asked, self.has_begun) = (true, true);
            if self.line.send(&FromSlot::Reads).is_err() {
                self.is_over = true;
                return Poll::Ready(Some(Err(BrokenBody::Incomplete)));
            }
        }
        let part = ready!(self.parts.poll_recv(context));
        self.is_asked = false;
        self.is_over = !matches!(part, Some(Part::Data(_)));
        Poll::Ready(match part {
            Some(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(map(trailers)))),
            Some(Part::End) => None,
            Some(Part::Broken(broken)) => Some(Err(broken)),
            None => Some(Err(BrokenBody::Incomplete)),
        })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.has_begun && !self.is_over {
            // A parent that is gone reads no body either.
            let _ = self.line.send(&FromSlot::Leaves);
        }
    }
}

/// Returns trailers as the engine has them.
fn map(trailers: Vec<(String, Bytes)>) -> HeaderMap {
    let sound = |(name, value): (String, Bytes)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_maybe_shared(value).ok()?))
    };
    let mut map = HeaderMap::new();
    for (name, value) in trailers.into_iter().filter_map(sound) {
        map.append(name, value);
    }
    map
}
