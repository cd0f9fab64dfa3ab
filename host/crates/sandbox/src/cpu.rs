//! CPU time charged to runs. Reading the thread's clock is a system call of 0.6 us, an eighth of a short run, so it is
//! not read for every run. A short run is charged its wall time, which is an upper bound, and the next reading corrects
//! the excess.

use std::{cell::Cell, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Runs shorter than this are charged their wall time. A thread that had to wait for a core rarely resumes this
/// quickly.
const SHORT: Duration = Duration::from_micros(50);
/// Maximum number of short runs between two readings, which keeps the excess below 1 ms.
const SHORT_IN_A_ROW_MAX: u32 = 16;

thread_local! {
    static CHARGED: Cell<Option<Charged>> = const { Cell::new(None) };
}

/// Charges of a thread's runs.
#[derive(Clone, Copy)]
struct Charged {
    /// CPU time of the thread that has been charged to runs.
    total: Duration,
    /// Number of short runs since the last reading.
    unread: u32,
}

/// Initializes the clock; must be called before a thread's first run.
pub(crate) fn start() {
    if CHARGED.get().is_none() {
        CHARGED.set(Some(Charged { total: read(), unread: 0 }));
    }
}

/// Returns the CPU time to charge for a run with the given wall time, at most that. Work of the thread between two runs
/// is charged to the second one.
pub(crate) fn charge(wall: Duration) -> Duration {
    let before = CHARGED.get().unwrap_or(Charged { total: Duration::ZERO, unread: 0 });
    let (charged, after) = match wall < SHORT && before.unread < SHORT_IN_A_ROW_MAX {
        true => (wall, Charged { total: before.total + wall, unread: before.unread + 1 }),
        false => {
            let total = read();
            (total.saturating_sub(before.total).min(wall), Charged { total, unread: 0 })
        }
    };
    CHARGED.set(Some(after));
    charged
}

/// Returns the CPU time of the current run so far, with the excess that short runs before it may have been charged.
pub(crate) fn used() -> Duration {
    let charged = CHARGED.get().map_or(Duration::ZERO, |charged| charged.total);
    read().saturating_sub(charged)
}

fn read() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_is_charged_what_it_used_and_no_more_than_it_took() {
        let (began, started) = (read(), Instant::now());
        start();
        let mut charged = Duration::ZERO;
        for _ in 0..100 {
            let run = Instant::now();
            while run.elapsed() < Duration::from_micros(20) {}
            let wall = run.elapsed();
            let run_charged = charge(wall);
            assert!(run_charged <= wall);
            charged += run_charged;
        }
        while read() - began < Duration::from_millis(5) {}
        charged += charge(started.elapsed());
        let used = read() - began;
        assert!(charged <= used + SHORT * 100 && used <= charged + Duration::from_millis(5));
    }

    #[test]
    fn a_sleeper_is_not_charged_its_sleep() {
        start();
        let began = read();
        assert!(charge(Duration::from_secs(60)) <= read() - began + Duration::from_millis(1));
    }
}
