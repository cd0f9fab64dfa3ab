//! Planted bugs of faults that must cost no run, and effects that such faults may have.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    BEGAN_MS, Event, History, Kind, REDIS, REST, WORKER, change_end, check, clean, floors, insert, struck, task,
};

/// Change of a clock.
pub(super) const HOUR_MS: u64 = 3_600_000;

pub(super) fn end_at(history: &mut History, n: usize, at_ms: u64) {
    let at = UNIX_EPOCH + Duration::from_millis(at_ms);
    change_end(history, n, 0, |end| end.at = humantime::format_rfc3339_millis(at).to_string());
}

/// Replaces the kill that cost task 1 its first attempt by another kind of fault.
pub(super) fn make_harmless(history: &mut History, kind: Kind) {
    for entry in history.iter_mut() {
        if let Event::Struck { round: 1, fault, .. } = &mut entry.event {
            fault.kind = kind;
        }
    }
    floors(history).killed -= 1;
}

#[test]
fn a_store_whose_own_clock_was_set_may_tell_its_time() {
    let mut history = clean();
    end_at(&mut history, 3, BEGAN_MS + HOUR_MS);
    insert(&mut history, struck(3, REDIS, Kind::Clock, false));
    assert_eq!(check(&history), []);
}

#[test]
fn an_attempt_that_was_given_back_is_no_run() {
    let mut history = clean();
    make_harmless(&mut history, Kind::Answers);
    change_end(&mut history, 1, 0, |end| end.attempts_max += 1);
    assert_eq!(check(&history), []);
}

#[test]
fn a_run_that_goes_on_was_not_lost() {
    let mut history = clean();
    for (kind, part) in [(Kind::Clock, REST), (Kind::Answers, WORKER)] {
        let mut harmless = struck(3, part, kind, true);
        if let Event::Struck { running, .. } = &mut harmless {
            *running = vec![(task(3), 1), (task(1), 2)];
        }
        insert(&mut history, harmless);
    }
    assert_eq!(check(&history), []);
}
