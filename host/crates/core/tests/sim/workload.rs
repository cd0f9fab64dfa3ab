//! Tasks of a world, of several tenants and priorities, in bursts and alone; a few expire soon or are cancelled. Also
//! the quotas of the tenants.

use fusebox_core::{
    dispatch::Event,
    function::RunLimits,
    id::{FunctionId, TaskId},
    keep::Keep,
    limits::{ATTEMPTS_MAX, FUEL_DEFAULT},
    name::TenantId,
    quota::UNLIMITED,
    setup::Start,
    tags::Tags,
    task::{Priority, Task, TaskState},
    time::Millis,
};

use crate::faults::{Dice, Faults};

const TENANTS: [&str; 3] = ["one", "two", "three"];

pub(crate) fn tenants() -> impl Iterator<Item = TenantId> {
    TENANTS.into_iter().map(|name| name.parse().unwrap())
}

/// Returns the bytes of an id that sorts by `number`.
pub(crate) fn id_bytes(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// Returns the tasks, each to be accepted at its time of creation.
pub(crate) fn tasks(dice: &mut Dice) -> Vec<Task> {
    let tenants: Vec<TenantId> = tenants().collect();
    let count = dice.between(10, 120);
    let mut created_at = Millis(0);
    let mut tasks = Vec::new();
    for number in 0..count {
        if dice.percent(40) {
            created_at = created_at.plus(dice.between(1, 1_000));
        }
        let patience_ms = if dice.percent(5) { dice.between(10, 10_000) } else { 3_600_000 };
        let delay_ms = if dice.percent(5) { dice.between(1, 5_000) } else { 0 };
        tasks.push(Task {
            id: TaskId::from_bytes(id_bytes(number)),
            tenant: dice.pick(&tenants).unwrap(),
            function: FunctionId::from_bytes([0; 16]),
            limits: RunLimits { fuel: FUEL_DEFAULT * dice.between(1, 3), ..RunLimits::default() },
            priority: dice.pick(&Priority::HIGHEST_FIRST).unwrap(),
            created_at,
            expires_at: created_at.plus(patience_ms),
            attempt: 0,
            attempts_max: ATTEMPTS_MAX,
            releases: 0,
            fingerprint: None,
            retry_of: None,
            input_bytes: 0,
            start: Start::default(),
            keep: Keep::DEFAULT,
            tags: Tags::default(),
            past: Vec::new(),
            state: TaskState::Queued { not_before: created_at.plus(delay_ms) },
        });
    }
    tasks
}

/// Quota of a tenant.
#[derive(Clone, Copy)]
pub(crate) struct Quota {
    pub(crate) running_max: u64,
    pub(crate) fuel_per_minute: u64,
}

/// Draws quotas for some tenants: of concurrent attempts, of fuel, or both.
pub(crate) fn quotas(dice: &mut Dice) -> Vec<(TenantId, Quota)> {
    let mut quotas = Vec::new();
    for tenant in tenants().filter(|_| dice.percent(40)).collect::<Vec<_>>() {
        let running_max = if dice.percent(70) { dice.between(1, 6) } else { UNLIMITED };
        let fuel_per_minute = if dice.percent(50) { FUEL_DEFAULT * dice.between(30, 300) } else { UNLIMITED };
        quotas.push((tenant, Quota { running_max, fuel_per_minute }));
    }
    quotas
}

/// Returns the event that reports a quota to a dispatcher.
pub(crate) fn told((tenant, quota): &(TenantId, Quota)) -> Event {
    let Quota { running_max, fuel_per_minute } = *quota;
    Event::Quota { tenant: tenant.clone(), running_max, fuel_per_minute }
}

/// Draws the tasks to cancel, with the times.
pub(crate) fn cancels(tasks: &[Task], faults: &Faults, dice: &mut Dice) -> Vec<(Millis, TaskId)> {
    let mut cancel = |_| {
        let task = dice.pick(tasks)?;
        Some((task.created_at.plus(dice.between(0, 6_000)), task.id))
    };
    (0..faults.cancels).filter_map(&mut cancel).collect()
}

/// Draws the duration of a run: most are short, some outlast several heartbeats.
pub(crate) fn run_ms(dice: &mut Dice) -> u64 {
    match dice.between(0, 9) {
        0..6 => dice.between(1, 100),
        6..9 => dice.between(100, 2_000),
        _ => dice.between(2_000, 12_000),
    }
}
