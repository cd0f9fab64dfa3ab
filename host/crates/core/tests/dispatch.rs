//! Single rules of the dispatcher, in cases that the simulation found or reaches too rarely.

use fusebox_core::{
    dispatch::{Cost, Dispatcher, Effect, Event, Report, RequestId, Reserved, Room, SaveVerdict, UNTIL_SPENT},
    id::{Attempt, TaskId, WorkerId},
    limits::{LEASE_BATCH_MAX, STORE_RETRY_MS, WORKER_CAPACITY_MAX, WORKER_SILENCE_MS_MAX},
    name::TenantId,
    outcome::StopReason,
    quota::UNLIMITED,
    time::Millis,
};

const WORKER: WorkerId = WorkerId::from_bytes([1; 16]);
const OTHER_WORKER: WorkerId = WorkerId::from_bytes([2; 16]);
const TASK: TaskId = TaskId::from_bytes([3; 16]);

/// A dispatcher driven with an explicit time for each event.
struct Bench(Dispatcher);

impl Bench {
    fn new() -> Self {
        Self(Dispatcher::new(0))
    }

    /// Handles an event and returns the effects, except wake-ups.
    fn handle(&mut self, at: u64, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.0.handle(event, Millis(at), &mut effects);
        effects.retain(|effect| !matches!(effect, Effect::WakeAt { .. }));
        effects
    }
}

#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn backlog(name: &str, ready: u64) -> Event {
    Event::Backlog { tenant: tenant(name), ready }
}

fn granted(worker: WorkerId, slots: u32) -> Event {
    Event::CreditGranted { worker, slots, expires_at: UNTIL_SPENT }
}

fn leased(request: u64, attempts: &[(TaskId, Attempt)]) -> Event {
    Event::Leased { request: RequestId(request), attempts: attempts.to_vec(), reserved: Reserved::default() }
}

fn lease(request: u64, name: &str, worker: WorkerId, count: u32) -> Effect {
    Effect::Lease { request: RequestId(request), tenant: tenant(name), worker, count, extra: false }
}

fn assign(worker: WorkerId, attempt: Attempt) -> Effect {
    Effect::Assign { worker, task: TASK, attempt, extra: false }
}

fn finished(worker: WorkerId, attempt: Attempt) -> Event {
    Event::Finished { worker, task: TASK, attempt, report: Report::Ended, cost: Cost::default() }
}

#[test]
fn a_backlog_read_during_a_lease_step_survives_its_short_answer() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 4));
    assert_eq!(bench.handle(0, backlog("a", 2)), [lease(0, "a", WORKER, 2)]);
    // One of the two was cancelled; another one was accepted after the lease step.
    bench.handle(1, backlog("a", 1));
    let effects = bench.handle(2, leased(0, &[(TASK, 1)]));
    assert_eq!(effects, [assign(WORKER, 1), lease(1, "a", WORKER, 1)]);
    assert_eq!(bench.handle(3, leased(1, &[])), [], "the answer is newer than any backlog: none is left");
}

#[test]
fn a_report_on_the_attempt_of_another_worker_changes_nothing() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 1));
    bench.handle(0, granted(OTHER_WORKER, 1));
    bench.handle(0, backlog("a", 1));
    let Effect::Assign { worker, .. } = bench.handle(1, leased(0, &[(TASK, 1)]))[0] else { panic!("not assigned") };
    let other = if worker == WORKER { OTHER_WORKER } else { WORKER };
    assert_eq!(bench.handle(2, finished(other, 1)), [], "told, the driver would forget what the right worker reports");
    let verdict = SaveVerdict::End;
    assert_eq!(bench.handle(3, finished(worker, 1)), [Effect::Save { worker, task: TASK, attempt: 1, verdict }]);
}

#[test]
fn a_lease_that_was_overtaken_does_not_push_out_the_next_one() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 2));
    bench.handle(0, granted(OTHER_WORKER, 1));
    let asked = [lease(0, "a", WORKER, 1), lease(1, "a", OTHER_WORKER, 1)];
    assert_eq!(bench.handle(0, backlog("a", 2)), asked);
    // The first answer is delayed until its lease has lapsed; the other step leases the next attempt.
    assert_eq!(bench.handle(11_001, leased(1, &[(TASK, 2)])), [assign(OTHER_WORKER, 2)]);
    let told = Effect::Acknowledge { worker: WORKER, task: TASK, attempt: 1 };
    assert_eq!(bench.handle(11_002, leased(0, &[(TASK, 1)])), [told]);
    assert_eq!(bench.handle(11_003, backlog("a", 1)), [lease(2, "a", WORKER, 1)], "its credit is free again");
}

#[test]
fn what_becomes_ready_during_a_lease_step_is_leased_at_its_answer() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 5));
    let more = |more| Event::MoreReady { tenant: tenant("a"), more };
    assert_eq!(bench.handle(0, more(1)), [lease(0, "a", WORKER, 1)]);
    assert_eq!(bench.handle(1, more(1)), []);
    assert_eq!(bench.handle(1, more(2)), []);
    assert_eq!(bench.handle(2, leased(0, &[(TASK, 1)])), [assign(WORKER, 1), lease(1, "a", WORKER, 3)]);
}

#[test]
fn credit_that_expires_during_a_lease_step_is_not_used_again() {
    let mut bench = Bench::new();
    bench.handle(0, Event::CreditGranted { worker: WORKER, slots: 1, expires_at: Millis(100) });
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    bench.handle(1, backlog("b", 1));
    assert_eq!(bench.handle(150, leased(0, &[])), [Effect::NothingYet { worker: WORKER, slots: 1 }]);
}

#[test]
fn credit_of_a_lost_worker_does_not_come_back_with_it() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 3));
    assert_eq!(bench.handle(0, backlog("a", 3)), [lease(0, "a", WORKER, 3)]);
    bench.handle(1, Event::WorkerLost { worker: WORKER });
    // The worker was only silent, like a pull worker behind a broken connection, and reconnects under its id.
    bench.handle(2, granted(WORKER, 1));
    bench.handle(3, Event::LeaseFailed { request: RequestId(0) });
    assert_eq!(bench.handle(1_000, Event::Tick), [lease(1, "a", WORKER, 1)]);
}

#[test]
fn what_a_worker_holds_at_its_goodbye_is_given_back_at_once() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 2));
    bench.handle(0, backlog("a", 1));
    bench.handle(1, leased(0, &[(TASK, 1)]));
    let release = Effect::Save { worker: WORKER, task: TASK, attempt: 1, verdict: SaveVerdict::Release };
    assert_eq!(bench.handle(2, Event::WorkerLeft { worker: WORKER }), [release]);
    let told = Effect::Acknowledge { worker: WORKER, task: TASK, attempt: 1 };
    let saved = Event::Saved { task: TASK, attempt: 1 };
    assert_eq!(bench.handle(3, saved), [told]);
    assert_eq!(bench.handle(60_000, Event::Tick), [], "nobody waits for it any more");
}

#[test]
fn a_request_of_a_worker_that_drains_is_answered() {
    let mut bench = Bench::new();
    bench.handle(0, Event::CreditGranted { worker: WORKER, slots: 1, expires_at: Millis(100) });
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    bench.handle(1, Event::WorkerDrains { worker: WORKER });
    let release = Effect::Save { worker: WORKER, task: TASK, attempt: 1, verdict: SaveVerdict::Release };
    assert_eq!(bench.handle(2, leased(0, &[(TASK, 1)])), [release]);
    assert_eq!(bench.handle(100, Event::Tick), [Effect::NothingYet { worker: WORKER, slots: 1 }]);
}

#[test]
fn a_store_that_did_not_answer_is_asked_again_in_time() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 1));
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    let mut effects = Vec::new();
    bench.0.handle(Event::LeaseFailed { request: RequestId(0) }, Millis(3), &mut effects);
    let at = Millis(3 + STORE_RETRY_MS);
    assert_eq!(effects, [Effect::WakeAt { at }]);
    assert_eq!(bench.handle(at.0, Event::Tick), [lease(1, "a", WORKER, 1)]);
}

#[test]
fn a_run_whose_task_is_leased_again_is_stopped() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 1));
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    assert_eq!(bench.handle(1, leased(0, &[(TASK, 1)])), [assign(WORKER, 1)]);
    bench.handle(2, granted(OTHER_WORKER, 1));
    assert_eq!(bench.handle(2, backlog("a", 1)), [lease(1, "a", OTHER_WORKER, 1)]);
    let reason = StopReason::Interrupted;
    let stop = Effect::Stop { worker: WORKER, task: TASK, attempt: 1, reason };
    assert_eq!(bench.handle(3, leased(1, &[(TASK, 2)])), [stop, assign(OTHER_WORKER, 2)]);
}

#[test]
fn a_lease_lost_while_its_verdict_is_saved_is_told_by_the_save() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 1));
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    assert_eq!(bench.handle(1, leased(0, &[(TASK, 1)])), [assign(WORKER, 1)]);
    let (worker, task, attempt) = (WORKER, TASK, 1);
    let save = Effect::Save { worker, task, attempt, verdict: SaveVerdict::End };
    assert_eq!(bench.handle(2, finished(WORKER, 1)), [save]);
    assert_eq!(bench.handle(3, Event::LeaseLost { task, attempt }), []);
    let saved = Event::Saved { task, attempt };
    assert_eq!(bench.handle(4, saved), [Effect::Acknowledge { worker, task, attempt }]);
}

#[test]
fn free_workers_share_what_is_ready() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 32));
    bench.handle(0, granted(OTHER_WORKER, 32));
    let effects = bench.handle(0, backlog("a", 10));
    assert_eq!(effects, [lease(0, "a", OTHER_WORKER, 5), lease(1, "a", WORKER, 5)]);
}

#[test]
fn a_worker_away_is_sent_nothing_until_it_is_back() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 2));
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    assert_eq!(bench.handle(1, leased(0, &[(TASK, 1)])), [assign(WORKER, 1)]);
    assert_eq!(bench.handle(2, Event::WorkerAway { worker: WORKER }), []);
    assert_eq!(bench.handle(3, backlog("a", 1)), [], "its credit is void");
    assert_eq!(bench.handle(4, granted(WORKER, 1)), [lease(1, "a", WORKER, 1)]);
    let (worker, task, attempt) = (WORKER, TASK, 1);
    let save = Effect::Save { worker, task, attempt, verdict: SaveVerdict::End };
    assert_eq!(bench.handle(5, finished(WORKER, 1)), [save], "its run went on");
}

#[test]
fn a_silent_worker_is_given_up_and_its_attempts_are_tried_again() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 1));
    assert_eq!(bench.handle(0, backlog("a", 1)), [lease(0, "a", WORKER, 1)]);
    assert_eq!(bench.handle(1, leased(0, &[(TASK, 1)])), [assign(WORKER, 1)]);
    let effects = bench.handle(WORKER_SILENCE_MS_MAX, Event::Tick);
    assert!(matches!(effects[0], Effect::Save { verdict: SaveVerdict::Retry { .. }, .. }), "{effects:?}");
    assert_eq!(effects[1], Effect::GaveUp { worker: WORKER });
}

#[test]
fn a_tenant_at_its_quota_waits_and_others_are_served() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 4));
    bench.handle(0, Event::Quota { tenant: tenant("a"), running_max: 1, fuel_per_minute: UNLIMITED });
    assert_eq!(bench.handle(0, backlog("a", 9)), [lease(0, "a", WORKER, 1)]);
    assert_eq!(bench.handle(1, leased(0, &[(TASK, 1)])), [assign(WORKER, 1)]);
    assert_eq!(bench.handle(2, backlog("b", 9)), [lease(1, "b", WORKER, 3)]);
    bench.handle(3, finished(WORKER, 1));
    bench.handle(3, granted(WORKER, 1));
    let saved = Event::Saved { task: TASK, attempt: 1 };
    bench.handle(4, leased(1, &[]));
    let told = Effect::Acknowledge { worker: WORKER, task: TASK, attempt: 1 };
    assert_eq!(bench.handle(5, saved), [told, lease(2, "a", WORKER, 1)], "its place is free once its end is saved");
}

#[test]
fn a_tenant_without_fuel_waits_for_it() {
    let mut bench = Bench::new();
    bench.handle(0, granted(WORKER, 4));
    bench.handle(0, Event::Quota { tenant: tenant("a"), running_max: 9, fuel_per_minute: 1_600 });
    assert_eq!(bench.handle(0, backlog("a", 9)), [Effect::Draw { tenant: tenant("a"), fuel: 100 }]);
    let empty = Event::Drawn { tenant: tenant("a"), fuel: 0 };
    assert_eq!(bench.handle(1, empty), [], "the store has none, and is not asked again at once");
    assert_eq!(bench.handle(1_000, Event::Tick), [Effect::Draw { tenant: tenant("a"), fuel: 100 }]);
    let drawn = Event::Drawn { tenant: tenant("a"), fuel: 100 };
    assert_eq!(bench.handle(1_001, drawn), [lease(0, "a", WORKER, 1)]);
    let reserved = Reserved { fuel: 30, most: 30 };
    let first = Event::Leased { request: RequestId(0), attempts: vec![(TASK, 1)], reserved };
    assert_eq!(bench.handle(1_002, first), [assign(WORKER, 1), lease(1, "a", WORKER, 2)], "70 is enough for two");
}

/// Returns the number of attempts leased for a worker in addition to those known, given an unlimited number of ready
/// tasks.
fn leased_in_all(bench: &mut Bench, mut effects: Vec<Effect>) -> u32 {
    let mut all = 0;
    while let Some(Effect::Lease { request, count, .. }) = effects.pop() {
        let tasks = (all..all + count).map(|n| TaskId::from_bytes(u128::from(n).to_be_bytes()));
        let attempts = tasks.map(|task| (task, 1)).collect();
        all += count;
        effects = bench.handle(2, Event::Leased { request, attempts, reserved: Reserved::default() });
    }
    all
}

#[test]
fn a_worker_is_sent_no_more_than_it_said_it_can_hold() {
    for (announced, capacity) in [(3, 3), (u32::MAX, WORKER_CAPACITY_MAX)] {
        let mut bench = Bench::new();
        bench.handle(
            0,
            Event::WorkerJoined { worker: WORKER, room: Room { slots: 1, capacity: announced, has_extra: false } },
        );
        for forged in [2, u32::MAX, u32::MAX] {
            bench.handle(0, Event::CreditGranted { worker: WORKER, slots: forged, expires_at: UNTIL_SPENT });
        }
        let effects = bench.handle(0, backlog("a", 100_000));
        assert_eq!(effects, [lease(0, "a", WORKER, capacity.min(LEASE_BATCH_MAX))]);
        // Credit granted while the first lease step is pending, and again once the worker is full.
        bench.handle(1, Event::CreditGranted { worker: WORKER, slots: u32::MAX, expires_at: UNTIL_SPENT });
        assert_eq!(leased_in_all(&mut bench, effects), capacity);
        let again = Event::CreditGranted { worker: WORKER, slots: u32::MAX, expires_at: UNTIL_SPENT };
        assert_eq!(bench.handle(3, again.clone()), []);
        let report = bench.handle(
            4,
            Event::Finished {
                worker: WORKER,
                task: TaskId::from_bytes([0; 16]),
                attempt: 1,
                report: Report::Ended,
                cost: Cost::default(),
            },
        );
        assert!(matches!(report[..], [Effect::Save { .. }]), "what was granted is spent: {report:?}");
        assert!(matches!(bench.handle(5, again)[..], [Effect::Lease { count: 1, .. }]), "it has room for one");
    }
}

#[test]
fn a_run_that_was_stopped_leaves_its_workers_room() {
    let mut bench = Bench::new();
    let granted = Event::CreditGranted { worker: WORKER, slots: 1, expires_at: UNTIL_SPENT };
    bench.handle(0, Event::WorkerJoined { worker: WORKER, room: Room { slots: 1, capacity: 1, has_extra: false } });
    bench.handle(0, granted.clone());
    bench.handle(0, backlog("a", 1));
    bench.handle(1, leased(0, &[(TASK, 1)]));
    bench.handle(2, Event::LeaseLost { task: TASK, attempt: 1 });
    bench.handle(3, granted);
    assert_eq!(bench.handle(4, backlog("a", 1)), [lease(1, "a", WORKER, 1)]);
}

fn with_extra(worker: WorkerId) -> Event {
    Event::WorkerJoined { worker, room: Room { slots: 1, capacity: 2, has_extra: true } }
}

fn extra(request: u64, name: &str, worker: WorkerId) -> Effect {
    Effect::Lease { request: RequestId(request), tenant: tenant(name), worker, count: 1, extra: true }
}

/// Returns the id of one of the other tenants' tasks.
fn task(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

fn ended(number: u8) -> Event {
    let (task, report, cost) = (task(number), Report::Ended, Cost::default());
    Event::Finished { worker: WORKER, task, attempt: 1, report, cost }
}

#[test]
fn who_has_nothing_at_a_worker_is_served_beyond_its_credit() {
    let mut bench = Bench::new();
    bench.handle(0, with_extra(WORKER));
    bench.handle(0, granted(WORKER, 2));
    assert_eq!(bench.handle(0, backlog("a", 9)), [lease(0, "a", WORKER, 2)]);
    bench.handle(1, leased(0, &[(task(10), 1), (task(11), 1)]));
    assert_eq!(bench.handle(2, backlog("a", 9)), [], "it has something there");
    assert_eq!(bench.handle(2, backlog("b", 9)), [extra(1, "b", WORKER)]);
    let assigned = Effect::Assign { worker: WORKER, task: task(20), attempt: 1, extra: true };
    assert_eq!(bench.handle(3, leased(1, &[(task(20), 1)])), [assigned]);
    assert_eq!(bench.handle(3, backlog("c", 9)), [], "there is one such attempt");
    // The extra slot is freed by the report of its own attempt only; then the next tenant without attempts is served.
    assert!(matches!(bench.handle(4, ended(10))[..], [Effect::Save { .. }]));
    let effects = bench.handle(5, ended(20));
    assert!(matches!(&effects[..], [Effect::Save { .. }, next] if *next == extra(2, "c", WORKER)), "{effects:?}");
    assert_eq!(bench.handle(6, leased(2, &[])), [extra(3, "b", WORKER)], "an answer with nothing frees it too");
}

#[test]
fn an_extra_attempt_goes_to_nobody_who_is_away_or_drains() {
    for leaves in [Event::WorkerAway { worker: WORKER }, Event::WorkerDrains { worker: WORKER }] {
        let mut bench = Bench::new();
        bench.handle(0, with_extra(WORKER));
        bench.handle(1, leaves.clone());
        assert_eq!(bench.handle(2, backlog("a", 1)), [], "{leaves:?}");
    }
    let mut bench = Bench::new();
    bench.handle(0, with_extra(WORKER));
    bench.handle(1, Event::WorkerAway { worker: WORKER });
    bench.handle(2, with_extra(WORKER));
    assert_eq!(bench.handle(3, backlog("a", 1)), [extra(0, "a", WORKER)]);
    bench.handle(4, Event::WorkerAway { worker: WORKER });
    let release = Effect::Save { worker: WORKER, task: TASK, attempt: 1, verdict: SaveVerdict::Release };
    assert_eq!(bench.handle(5, leased(0, &[(TASK, 1)])), [release], "it cannot be reached");
    bench.handle(6, with_extra(WORKER));
    assert_eq!(bench.handle(7, backlog("a", 1)), [extra(1, "a", WORKER)]);
}

#[test]
fn an_extra_attempt_is_free_again_where_its_run_is_stopped() {
    let mut bench = Bench::new();
    bench.handle(0, with_extra(WORKER));
    bench.handle(0, backlog("a", 1));
    bench.handle(1, leased(0, &[(TASK, 1)]));
    bench.handle(2, Event::LeaseLost { task: TASK, attempt: 1 });
    assert_eq!(bench.handle(3, backlog("a", 1)), [extra(1, "a", WORKER)]);
}
