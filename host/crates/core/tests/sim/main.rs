//! Simulation of the dispatcher with the faults of a real system: 1,000 seeds in each mode. Time is a list of future
//! events, so minutes run in milliseconds and a seed repeats a run exactly.
//!
//! `cargo test --release -p fusebox-core --test sim -- --nocapture` prints the amount simulated. A failing seed is run
//! again by its test, which prints the seed and the end of the run.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test: it fails by panicking and tells by printing")]

mod calls;
mod checker;
mod clocks;
mod faults;
mod figures;
mod host;
mod plants;
mod store;
mod worker;
mod workload;
mod world;

use self::{
    checker::{Property, Violation},
    faults::Mode,
    figures::Figures,
    plants::Plant,
    world::World,
};

/// Number of seeds in each mode.
const SEEDS: u64 = 1_000;
/// Number of seeds within which a planted bug must be detected.
const PLANT_SEEDS_MAX: u64 = 1_000;
/// Number of lines printed of the end of a failing run. A seed repeats its run exactly, so a larger number shows all of
/// it.
const LINES_SHOWN_MAX: usize = 100;

const REMOTE: &[Mode] = &[Mode::Push, Mode::Pull];
const ALL: &[Mode] = &[Mode::Local, Mode::Push, Mode::Pull];

fn run(mode: Mode, seed: u64, plant: Option<Plant>) -> Result<Figures, Violation> {
    let mut world = World::new(mode, seed, plant);
    world.run().map(|()| world.figures)
}

/// Runs a seed without planted bugs, and fails on a violation.
fn hold(mode: Mode, seed: u64) -> Figures {
    run(mode, seed, None).unwrap_or_else(|violation| {
        let mut world = World::new(mode, seed, None);
        world.lines = Some(Vec::new());
        let _ = world.run();
        let lines = world.lines.unwrap_or_default();
        let shown = lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n");
        panic!("{mode:?}, seed {seed}: {violation}\n{shown}")
    })
}

fn every_seed_holds(mode: Mode) {
    let mut sum = Figures::new(0);
    for seed in 0..SEEDS {
        sum.add(&hold(mode, seed));
    }
    println!("{mode:?}: {SEEDS} seeds, {sum}");
    let rare = [
        "stop",
        "release",
        "retry",
        "stale save",
        "save failed",
        "lease failed",
        "lease lost",
        "lease again",
        "drained",
        "draw",
        "clock step",
    ];
    let of_mode: &[&str] = match mode {
        Mode::Local => &[],
        Mode::Push => &["worker lost", "worker drains"],
        Mode::Pull => &["worker lost", "worker drains", "nothing yet"],
    };
    for kind in rare.iter().chain(of_mode) {
        assert!(sum.of(kind) > SEEDS / 10, "too little of \"{kind}\" to mean anything: {sum}");
    }
    assert!(sum.of("give back") > 0, "no fuel was ever given back: {sum}");
}

#[test]
fn local_workers_end_every_task_once() {
    every_seed_holds(Mode::Local);
}

#[test]
fn push_workers_end_every_task_once() {
    every_seed_holds(Mode::Push);
}

#[test]
fn pull_workers_end_every_task_once() {
    every_seed_holds(Mode::Pull);
}

/// Checks that a planted bug is detected as a violation of one of `properties`.
fn notices(plant: Plant, modes: &[Mode], properties: &[Property]) {
    for &mode in modes {
        let noticed = (0..PLANT_SEEDS_MAX).find_map(|seed| {
            let violation = run(mode, seed, Some(plant)).err();
            hold(mode, seed);
            violation.map(|violation| (seed, violation))
        });
        let Some((seed, violation)) = noticed else { panic!("{plant:?} is not noticed in {mode:?}") };
        assert!(properties.contains(&violation.property), "{plant:?}, {mode:?}, seed {seed}: {violation}");
        println!("{plant:?} is noticed in {mode:?} after {} seeds: {violation}", seed + 1);
    }
}

#[test]
fn credit_that_is_never_spent_is_noticed() {
    notices(Plant::NeverSpendCredit, ALL, &[Property::Credit]);
}

#[test]
fn credit_beyond_a_workers_capacity_is_noticed() {
    notices(Plant::IgnoreTheCapacity, REMOTE, &[Property::Credit]);
}

#[test]
fn an_extra_slot_left_empty_is_noticed() {
    notices(Plant::IgnoreTheExtraSlot, ALL, &[Property::Served]);
}

#[test]
fn an_extra_slot_of_who_has_something_there_is_noticed() {
    notices(Plant::GiveTheExtraSlotToAnyone, ALL, &[Property::Extra]);
}

#[test]
fn an_ignored_fence_is_noticed() {
    notices(Plant::IgnoreTheFence, ALL, &[Property::Fence]);
}

#[test]
fn leases_kept_with_a_dead_worker_are_noticed() {
    notices(Plant::KeepADeadWorkersLeases, REMOTE, &[Property::DeadWorker]);
}

#[test]
fn a_goodbye_that_spends_attempts_is_noticed() {
    notices(Plant::SpendAGoodbye, REMOTE, &[Property::Fence]);
}

#[test]
fn a_silent_worker_taken_for_alive_is_noticed() {
    // If the silent worker holds no lease, the violation appears with its next one.
    notices(Plant::IgnoreSilence, REMOTE, &[Property::DeadWorker, Property::Credit]);
}

#[test]
fn an_assignment_before_its_lease_is_saved_is_noticed() {
    notices(Plant::AssignBeforeSaved, ALL, &[Property::SavedFirst]);
}

#[test]
fn attempts_lost_on_drain_are_noticed() {
    // If the drain takes long, the lost lease is not renewed in time. If the attempt is reported later, its worker is
    // notified although nothing was saved.
    notices(Plant::LoseOnDrain, ALL, &[Property::Drained, Property::Renewed, Property::ToldLast]);
}

#[test]
fn a_worker_told_before_its_end_is_saved_is_noticed() {
    notices(Plant::TellBeforeSaved, ALL, &[Property::ToldLast]);
}

#[test]
fn an_ignored_drain_is_noticed() {
    notices(Plant::IgnoreTheDrain, ALL, &[Property::Drain]);
}

#[test]
fn wakeups_never_asked_for_are_noticed() {
    // A dispatcher that is not woken does not process signs of life either.
    notices(Plant::NeverWake, &[Mode::Local], &[Property::Renewed, Property::DeadWorker]);
}

#[test]
fn failed_saves_that_are_forgotten_are_noticed() {
    notices(Plant::ForgetFailedSaves, ALL, &[Property::NothingLost]);
}

#[test]
fn an_attempt_assigned_twice_is_noticed() {
    notices(Plant::AssignTwice, ALL, &[Property::Grows]);
}

#[test]
fn runs_never_stopped_are_noticed() {
    notices(Plant::NeverStop, ALL, &[Property::Stopped]);
}

#[test]
fn a_forgotten_backlog_is_noticed() {
    notices(Plant::ForgetTheBacklog, ALL, &[Property::Served]);
}

#[test]
fn an_ignored_quota_is_noticed() {
    notices(Plant::IgnoreTheQuota, ALL, &[Property::Quota]);
}

#[test]
fn fuel_that_is_not_reserved_is_noticed() {
    notices(Plant::ReserveNothing, ALL, &[Property::Quota]);
}

#[test]
fn fuel_never_asked_for_is_noticed() {
    notices(Plant::NeverDraw, ALL, &[Property::NothingLost]);
}

#[test]
fn a_store_that_goes_by_the_wall_is_noticed() {
    // A clock set back prevents the store from ending leases and tasks.
    notices(Plant::StoreGoesByTheWall, ALL, &[Property::NothingEarly, Property::NothingLost]);
}

#[test]
fn a_dispatcher_that_goes_by_the_wall_is_noticed() {
    // A clock set back prevents renewals and stops the charging of active runs. A clock set forward makes live workers
    // appear silent, and verdicts are saved that they have not reported.
    let noticed = &[
        Property::Renewed,
        Property::DeadWorker,
        Property::Credit,
        Property::Answered,
        Property::Served,
        Property::Fence,
    ];
    notices(Plant::DispatcherGoesByTheWall, ALL, noticed);
}

#[test]
fn requests_never_answered_are_noticed() {
    notices(Plant::NeverAnswer, &[Mode::Pull], &[Property::Answered]);
}

#[test]
fn tokens_that_are_forgotten_are_noticed() {
    notices(Plant::ForgetTheTokens, ALL, &[Property::HandedOver]);
}
