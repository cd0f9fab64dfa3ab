//! Schedules the requests of an open loop, accurate to about 50 µs: the runtime's own timers only have millisecond
//! resolution.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::thread::nanosleep;
use rustix::time::Timespec;
use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Time from the start to the first beat.
const LEAD: Duration = Duration::from_millis(5);

/// A schedule of evenly spaced beats.
pub(super) struct Metronome {
    beats: Mutex<UnboundedReceiver<Instant>>,
    began: Instant,
}

impl Metronome {
    /// Starts a thread that beats `count` times at this rate, shortly after now.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn start(per_second: u32, count: u64) -> anyhow::Result<Self> {
        let began = Instant::now() + LEAD;
        let interval = Duration::from_secs(1) / per_second.max(1);
        // Unbounded, so that no beat waits: a late receiver finds all past beats, and there are no more of them than
        // requests.
        let (told, beats) = unbounded_channel();
        let beat = move || beat(began, interval, count, &told);
        std::thread::Builder::new().name("metronome".to_owned()).spawn(beat).context("start a thread")?;
        Ok(Self { beats: Mutex::new(beats), began })
    }

    /// Returns the time of the first beat.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Waits for the next beat and returns its scheduled time.
    ///
    /// # Errors
    /// Fails after the last beat.
    pub(super) async fn beat(&self) -> anyhow::Result<Instant> {
        self.beats.lock().await.recv().await.context("the metronome has stopped")
    }
}

/// Sends the beats. Ends early if the receiver is gone.
fn beat(began: Instant, interval: Duration, count: u64, told: &UnboundedSender<Instant>) {
    for number in 0..count {
        let meant = meant(began, interval, number);
        let left = meant.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            let _ = nanosleep(&Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() });
        }
        if told.send(meant).is_err() {
            break;
        }
    }
}

/// Scheduled time of a request.
fn meant(began: Instant, interval: Duration, number: u64) -> Instant {
    began + Duration::from_secs_f64(interval.as_secs_f64() * super::load::to_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        let began = Instant::now();
        let third = Duration::from_secs(1) / 3_000;
        let far = meant(began, third, 3_000_000) - began;
        assert!((far.as_secs_f64() - 1_000.0).abs() < 0.001, "{far:?}");
        assert_eq!(meant(began, third, 0), began);
    }

    #[tokio::test]
    async fn who_comes_late_is_told_when_it_should_have_been() {
        let metronome = Metronome::start(1_000, 3).unwrap();
        let first = metronome.beat().await.unwrap();
        assert_eq!(first, metronome.began());
        assert!(Instant::now() >= first);
        let rest = [metronome.beat().await.unwrap(), metronome.beat().await.unwrap()];
        assert_eq!(rest.map(|beat| beat - first), [1, 2].map(Duration::from_millis));
        assert!(metronome.beat().await.is_err());
    }
}
