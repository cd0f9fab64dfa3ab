//! Reads a body at a minimum pace: it may take as long as its size needs at that pace and no longer, so that a slow
//! sender cannot hold its share of body memory without sending.

use std::{borrow::BorrowMut, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    http::HeaderMap,
};
use bytes::{Bytes, BytesMut};
use fusebox_sandbox::{BrokenBody, RequestBody};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::{Instant, timeout, timeout_at};

use crate::rest::error::Problem;

/// Minimum pace of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Time from the body's start during which its average is not checked: connections start slowly, and small bodies
    /// have arrived by then.
    pub(super) grace: Duration,
    /// Average required after that, in bytes per second.
    pub(super) bytes_per_second: u64,
    /// Longest pause between two chunks, whatever the average.
    pub(super) stall: Duration,
}

/// Slower than a mobile phone on a bad line: EDGE has about 25 KiB/s.
pub(super) const PACE: Pace =
    Pace { grace: Duration::from_secs(10), bytes_per_second: 16 << 10, stall: Duration::from_secs(10) };
/// Longest time for which a refused body is read on.
const LINGER: Duration = Duration::from_secs(1);
/// Largest part of a declared length that is allocated before it has arrived.
const AHEAD_BYTES_MAX: u64 = 64 << 10;

/// Reason why a body was not read to its end.
#[derive(Debug)]
pub(super) enum Unread {
    /// Longer than its bound.
    TooLarge,
    /// No memory or disk left for what has arrived; holds the answer.
    NoRoom(Problem),
    /// Stalled, or slower than its pace allows.
    TooSlow,
    /// Ended early, or its chunks are malformed.
    Broken,
}

impl Pace {
    /// Returns when the next bytes are due, given the body's start and the number of bytes so far.
    fn due(&self, began: Instant, bytes: u64, now: Instant) -> Instant {
        let earned = Duration::from_secs(bytes / self.bytes_per_second.max(1));
        (began + self.grace + earned).min(now + self.stall)
    }
}

/// Body that is being read.
pub(super) struct Arrival<B> {
    body: B,
    /// Trailers, once they have come.
    trailers: Option<HeaderMap>,
    bytes_max: u64,
    pace: Pace,
    bytes: u64,
    /// Time of the first wait. Most bodies have already arrived, and for those the clock is never read.
    began: Option<Instant>,
}

impl<B: BorrowMut<Body>> Arrival<B> {
    pub(super) const fn new(body: B, bytes_max: u64, pace: Pace) -> Self {
        Self { body, trailers: None, bytes_max, pace, bytes: 0, began: None }
    }

    /// Returns the next bytes, `None` at the end.
    ///
    /// # Errors
    /// Fails if they are late, too many or malformed.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        loop {
            let body: &mut Body = self.body.borrow_mut();
            let frame = match body.frame().now_or_never() {
                Some(frame) => frame,
                None => {
                    let now = Instant::now();
                    let due = self.pace.due(*self.began.get_or_insert(now), self.bytes, now);
                    timeout_at(due, body.frame()).await.map_err(|_| Unread::TooSlow)?
                }
            };
            let Some(frame) = frame else { return Ok(None) };
            let bytes = match frame.map_err(|_| Unread::Broken)?.into_data() {
                Ok(bytes) => bytes,
                Err(other) => {
                    self.trailers = other.into_trailers().ok();
                    continue;
                }
            };
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
            if self.bytes > self.bytes_max {
                return Err(Unread::TooLarge);
            }
            return Ok(Some(bytes));
        }
    }

    /// Returns the whole body; `claim` reserves memory for the bytes received so far. A body of one chunk, the usual
    /// case, is not copied.
    ///
    /// # Errors
    /// Fails if the body is late, too long or malformed, or if `claim` fails.
    pub(super) async fn whole(
        mut self,
        declared: Option<u64>,
        mut claim: impl FnMut(u64) -> Result<(), Problem>,
    ) -> Result<Bytes, Unread> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        claim(self.bytes).map_err(Unread::NoRoom)?;
        let body: &Body = self.body.borrow();
        if body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.next().await? else { return Ok(first) };
        let ahead = declared.unwrap_or_default().min(AHEAD_BYTES_MAX);
        let mut whole = BytesMut::with_capacity(usize::try_from(ahead).unwrap_or_default());
        whole.extend_from_slice(&first);
        claim(self.bytes).map_err(Unread::NoRoom)?;
        whole.extend_from_slice(&second);
        while let Some(bytes) = self.next().await? {
            claim(self.bytes).map_err(Unread::NoRoom)?;
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

impl Arrival<Body> {
    /// Returns the start of the body: its first bytes, until there are more than `bytes_max` or the sender pauses for
    /// longer than `pause`. The flag is true if they are the whole body.
    ///
    /// # Errors
    /// Fails if the body is late, too long or malformed.
    pub(super) async fn start(&mut self, bytes_max: u64, pause: Duration) -> Result<(Bytes, bool), Unread> {
        let mut start = BytesMut::new();
        while start.len() as u64 <= bytes_max && !self.body.is_end_stream() {
            let pause = if start.is_empty() { Duration::MAX } else { pause };
            match timeout(pause, self.next()).await {
                Ok(next) => match next? {
                    Some(bytes) => start.extend_from_slice(&bytes),
                    None => return Ok((start.freeze(), self.trailers.is_none())),
                },
                Err(_) => break,
            }
        }
        Ok((start.freeze(), self.body.is_end_stream()))
    }

    /// Returns the body as it arrives, after the start that was read, and the trailers as `passing` returns them.
    pub(super) fn into_body(self, start: Bytes, passing: fn(HeaderMap) -> HeaderMap) -> RequestBody {
        let start = stream::iter((!start.is_empty()).then(|| Ok(Frame::data(start))));
        let rest = stream::try_unfold(Some(self), move |arrival| async move {
            let Some(mut arrival) = arrival else { return Ok(None) };
            let next = arrival.next().await.map_err(|unread| match unread {
                Unread::TooLarge | Unread::NoRoom(_) => BrokenBody::TooLarge,
                Unread::TooSlow => BrokenBody::TooSlow,
                Unread::Broken => BrokenBody::Incomplete,
            })?;
            Ok(match next {
                Some(bytes) => Some((Frame::data(bytes), Some(arrival))),
                None => arrival.trailers.take().map(|trailers| (Frame::trailers(passing(trailers)), None)),
            })
        });
        StreamBody::new(start.chain(rest)).boxed_unsync()
    }

    /// Returns what is left of the body.
    pub(super) fn into_rest(self) -> Body {
        self.body
    }
}

/// Reads and discards the rest of a body. Many clients read no response before they have sent their body; closing early
/// would show them a broken connection instead of the reason. Stops at twice the bound or after a second.
pub(super) async fn linger(body: &mut Body, bytes_max: u64) {
    let mut left = bytes_max.saturating_mul(2);
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns true if a body of `pieces` chunks, each after a pause, arrives in time.
    fn is_in_time(pieces: u32, bytes: u64, pause: Duration) -> bool {
        let began = Instant::now();
        (0..pieces).all(|count| {
            let now = began + pause * count;
            now + pause <= PACE.due(began, u64::from(count) * bytes, now)
        })
    }

    #[test]
    fn a_body_takes_as_long_as_it_needs_at_a_modest_pace() {
        let millis = Duration::from_millis;
        assert!(is_in_time(512, 10 << 10, millis(66)), "5 MiB at 150 KiB/s, 34 s");
        assert!(is_in_time(6_144, 1 << 10, millis(60)), "17 KiB/s for 6 minutes");
        assert!(!is_in_time(6_144, 1 << 10, millis(80)), "13 KiB/s");
        assert!(is_in_time(9, 1, millis(1_000)), "a small one within the grace");
        assert!(!is_in_time(12, 1, millis(1_000)), "a byte a second");
        assert!(!is_in_time(2, 6 << 20, PACE.stall + millis(1)), "a burst, and then nothing");
    }

    async fn read(
        pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static,
        bytes_max: u64,
    ) -> Result<usize, Unread> {
        let mut body = Body::from_stream(pieces.map(Ok::<_, std::io::Error>));
        let strict = Pace { stall: Duration::from_millis(50), ..PACE };
        Arrival::new(&mut body, bytes_max, strict).whole(Some(u64::MAX), |_| Ok(())).await.map(|body| body.len())
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up_however_much_has_come() {
        let piece = || Bytes::from_static(&[7; 4_096]);
        let burst = stream::iter((0..64).map(move |_| piece()));
        assert!(matches!(read(burst.chain(stream::pending()), 6 << 20).await, Err(Unread::TooSlow)));
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_large() {
        let pieces = || stream::iter([Bytes::from_static(b"a"), Bytes::from_static(b"b"), Bytes::from_static(b"c")]);
        assert!(matches!(read(pieces(), 3).await, Ok(3)));
        assert!(matches!(read(pieces(), 2).await, Err(Unread::TooLarge)));
        assert!(matches!(read(stream::empty(), 0).await, Ok(0)));
    }
}
