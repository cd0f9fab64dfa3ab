//! `poll_oneoff`, the only call in which a WASI guest can wait. This implementation waits at most until the run's
//! deadline and polls the stop flag. Streams and files are in memory and therefore always ready.

use std::time::{Duration, Instant};

use wasmtime::{Caller, Result};

use super::{
    clocks,
    errno::{BADF, Errno, Fail, INVAL, SUCCESS, answer},
    fds::{Descriptor, Fds},
    guest::guest,
};
use crate::{host::Host, metered::CALL};

const EVENT_BYTES: u32 = 32;
/// Maximum number of subscriptions: a guest has three streams and any number of timers, and no program waits for this
/// many.
const SUBSCRIPTIONS_MAX: u32 = 1_024;

/// Flag of a time that is not counted from now.
const ABSOLUTE: u16 = 1;

/// Layout of a subscription: that of preview 1, or of the draft, which has 8 more bytes before the clock.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Preview1,
    Unstable,
}

impl Form {
    const fn bytes(self) -> u32 {
        match self {
            Self::Preview1 => 48,
            Self::Unstable => 56,
        }
    }
}

/// Event to wait for.
#[derive(Clone, Copy)]
enum Source {
    /// A point in time.
    Clock(Instant),
    /// A descriptor, which is ready at once or not open.
    Ready { kind: u8, errno: Errno },
}

struct Subscription {
    userdata: [u8; 8],
    source: Source,
}

/// Fuel of subscriptions: each is read, and an event is written for it.
pub(super) const fn cost(count: u32) -> u64 {
    CALL + if count > SUBSCRIPTIONS_MAX { 0 } else { count as u64 * SUBSCRIPTION }
}

/// Fuel of one subscription, for which the clock is read.
const SUBSCRIPTION: u64 = 4_000;

/// Waits for the first of `count` subscriptions.
pub(super) fn poll_oneoff(
    caller: &mut Caller<'_, Host>,
    form: Form,
    (ins, outs): (u32, u32),
    count: u32,
    count_out: u32,
) -> Result<i32> {
    answer(|| {
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(INVAL.into());
        }
        let mut guest = guest(caller)?;
        let (raw, wasi) = guest.split(ins, count * form.bytes())?;
        let size = usize::try_from(form.bytes()).unwrap_or(usize::MAX);
        let read = raw.chunks_exact(size).map(|raw| subscription(raw, &wasi.fds));
        let subscriptions = read.collect::<Option<Vec<_>>>().ok_or(Fail::Errno(INVAL))?;
        let is_ready = subscriptions.iter().any(|one| matches!(one.source, Source::Ready { .. }));
        let earliest = subscriptions.iter().filter_map(|one| one.source.moment()).min();
        if let Some(earliest) = earliest.filter(|_| !is_ready) {
            caller.data_mut().wasi()?.flush()?;
            caller.data().wait(earliest)?;
        }
        let now = Instant::now();
        let happened = subscriptions.iter().filter(|one| one.source.moment().is_none_or(|at| at <= now));
        let events: Vec<u8> = happened.flat_map(event).collect();
        let mut guest = self::guest(caller)?;
        guest.put(outs, &events)?;
        guest.put_u32(count_out, u32::try_from(events.len()).unwrap_or_default() / EVENT_BYTES)
    })
}

impl Source {
    fn moment(&self) -> Option<Instant> {
        match self {
            Self::Clock(at) => Some(*at),
            Self::Ready { .. } => None,
        }
    }
}

/// Decodes a subscription: userdata at 0, kind at 8, followed by a descriptor at 16 or, in the last 32 bytes of either
/// form, a clock: its id at 0, timeout at 8, flags at 24.
fn subscription(raw: &[u8], fds: &Fds) -> Option<Subscription> {
    let userdata = raw.get(..8)?.try_into().ok()?;
    let word = |at: usize| Some(u32::from_le_bytes(raw.get(at..at + 4)?.try_into().ok()?));
    let source = match raw.get(8)? {
        0 => {
            let clock = raw.get(raw.len() - 32..)?;
            let id = u32::from_le_bytes(clock.get(..4)?.try_into().ok()?);
            let timeout = u64::from_le_bytes(clock.get(8..16)?.try_into().ok()?);
            let absolute = u16::from_le_bytes(clock.get(24..26)?.try_into().ok()?) & ABSOLUTE != 0;
            let now = clocks::now(id).ok()?;
            let left = if absolute { timeout.saturating_sub(now) } else { timeout };
            // A wait longer than the longest run is equivalent to an infinite one.
            Source::Clock(Instant::now() + Duration::from_nanos(left).min(Duration::from_secs(1 << 32)))
        }
        kind @ (1 | 2) => {
            let descriptor = fds.get(word(16)?).ok();
            let fits = |one: &Descriptor| if *kind == 1 { one.can_read } else { one.can_write };
            let errno = if descriptor.is_some_and(fits) { SUCCESS } else { BADF };
            Source::Ready { kind: *kind, errno }
        }
        _ => return None,
    };
    Some(Subscription { userdata, source })
}

/// Encodes an event: userdata at 0, errno at 8, kind at 10, bytes ready at 16.
fn event(subscription: &Subscription) -> [u8; 32] {
    let (kind, errno) = match subscription.source {
        Source::Clock(_) => (0, SUCCESS),
        Source::Ready { kind, errno } => (kind, errno),
    };
    let mut event = [0; 32];
    event[..8].copy_from_slice(&subscription.userdata);
    event[8..10].copy_from_slice(&errno.to_le_bytes());
    event[10] = kind;
    event[16] = 1;
    event
}
