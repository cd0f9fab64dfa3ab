//! Tests of a process with its own clock, set forward and back, while other processes read the machine's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{process::Command, time::UNIX_EPOCH};

use fusebox_harness::wall_clock::{Library, WallClock};

/// Longer than any test takes, in seconds.
const FAR_S: i64 = 600;

/// Returns the time that a process reads minus this process's own, in seconds.
fn ahead_s(clock: Option<&WallClock>) -> i64 {
    let mut date = Command::new("date");
    date.arg("+%s");
    if let Some(clock) = clock {
        date.envs(clock.environment());
    }
    let told: i64 = String::from_utf8(date.output().unwrap().stdout).unwrap().trim().parse().unwrap();
    told - i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

#[test]
fn a_process_reads_the_clock_that_is_its_own() {
    let home = tempfile::tempdir().unwrap();
    let library = Library::build(home.path()).unwrap();
    let clock = library.clock(home.path().join("clock")).unwrap();
    let other = library.clock(home.path().join("other")).unwrap();
    assert!(clock.reader().unwrap_err().to_string().contains("cannot be set"));
    for ahead in [0, 6 * FAR_S, -6 * FAR_S] {
        clock.set(ahead * 1_000 + ahead.signum() * 999).unwrap();
        assert!((ahead_s(Some(&clock)) - ahead).abs() < FAR_S, "{ahead}");
        assert!(ahead_s(Some(&other)).abs() < FAR_S && ahead_s(None).abs() < FAR_S);
    }
    assert!(clock.reader().unwrap() > 0);
}
