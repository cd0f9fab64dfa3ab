//! `poll_oneoff`, the only call in which a WASI guest can wait. This implementation waits at most until the run's
//! deadline and polls the stop flag. Streams are buffers and therefore always ready.

use std::time::{Duration, Instant};

use wasmtime::{Caller, Extern, Result};

use crate::{ending::Ending, host::Host, imports::checked, metered::CALL};

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;
/// Maximum number of subscriptions: a guest has three streams and any number of timers, and no program waits for this
/// many.
const SUBSCRIPTIONS_MAX: u32 = 1_024;

// Constants of the preview 1 interface.
const SUCCESS: u16 = 0;
const BADF: u16 = 8;
const INVAL: u16 = 28;
const REALTIME: u32 = 0;
const ABSOLUTE: u16 = 1;

/// Event to wait for.
#[derive(Clone, Copy)]
enum Source {
    /// A point in time.
    Clock(Instant),
    /// A stream, which is ready at once or does not exist.
    Stream { kind: u8, errno: u16 },
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
const SUBSCRIPTION: u64 = 200;

/// Waits for the first of `count` subscriptions.
pub(super) fn poll_oneoff(
    caller: &mut Caller<'_, Host>,
    ins: u32,
    outs: u32,
    count: u32,
    count_out: u32,
) -> Result<u32> {
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Ok(INVAL.into());
    }
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(Ending::BadPointer("the module exports no memory named \"memory\"".to_owned()).into());
    };
    let raw = checked(memory.data_mut(&mut *caller), "poll_oneoff", ins, count * SUBSCRIPTION_BYTES)?;
    let Some(subscriptions) = raw.chunks_exact(48).map(subscription).collect::<Option<Vec<_>>>() else {
        return Ok(INVAL.into());
    };
    let streams = subscriptions.iter().any(|subscription| matches!(subscription.source, Source::Stream { .. }));
    let earliest = subscriptions.iter().filter_map(|subscription| subscription.source.moment()).min();
    if let Some(earliest) = earliest.filter(|_| !streams) {
        caller.data().wait(earliest)?;
    }
    let now = Instant::now();
    let ready = subscriptions.iter().filter(|subscription| subscription.source.moment().is_none_or(|at| at <= now));
    let events: Vec<u8> = ready.flat_map(event).collect();
    let happened = u32::try_from(events.len()).unwrap_or_default() / EVENT_BYTES;
    let data = memory.data_mut(&mut *caller);
    checked(data, "poll_oneoff", outs, happened * EVENT_BYTES)?.copy_from_slice(&events);
    checked(data, "poll_oneoff", count_out, 4)?.copy_from_slice(&happened.to_le_bytes());
    Ok(SUCCESS.into())
}

impl Source {
    fn moment(&self) -> Option<Instant> {
        match self {
            Self::Clock(at) => Some(*at),
            Self::Stream { .. } => None,
        }
    }
}

/// Decodes a subscription: userdata at 0, kind at 8, followed by a clock (id at 16, timeout at 24, flags at 40) or a
/// descriptor (at 16).
fn subscription(raw: &[u8]) -> Option<Subscription> {
    let userdata = raw.get(..8)?.try_into().ok()?;
    let word = |at: usize| Some(u32::from_le_bytes(raw.get(at..at + 4)?.try_into().ok()?));
    let source = match raw.get(8)? {
        0 => {
            let timeout = u64::from_le_bytes(raw.get(24..32)?.try_into().ok()?);
            let absolute = u16::from_le_bytes(raw.get(40..42)?.try_into().ok()?) & ABSOLUTE != 0;
            let now = match word(16)? {
                REALTIME => super::wall_ms().saturating_mul(1_000_000),
                _ => super::monotonic_ns(),
            };
            let left = if absolute { timeout.saturating_sub(now) } else { timeout };
            // A wait longer than the longest run is equivalent to an infinite one.
            Source::Clock(Instant::now() + Duration::from_nanos(left).min(Duration::from_secs(1 << 32)))
        }
        kind @ (1 | 2) => {
            let known = if *kind == 1 { word(16)? == 0 } else { matches!(word(16)?, 1 | 2) };
            Source::Stream { kind: *kind, errno: if known { SUCCESS } else { BADF } }
        }
        _ => return None,
    };
    Some(Subscription { userdata, source })
}

/// Encodes an event: userdata at 0, errno at 8, kind at 10, bytes ready at 16.
fn event(subscription: &Subscription) -> [u8; 32] {
    let (kind, errno) = match subscription.source {
        Source::Clock(_) => (0, SUCCESS),
        Source::Stream { kind, errno } => (kind, errno),
    };
    let mut event = [0; 32];
    event[..8].copy_from_slice(&subscription.userdata);
    event[8..10].copy_from_slice(&errno.to_le_bytes());
    event[10] = kind;
    event[16] = 1;
    event
}
