//! The tasks of a world: of several tenants and priorities, in bursts and alone; a few expire soon or are cancelled.

use fusebox_core::{
    function::RunLimits,
    id::{FunctionId, TaskId},
    limits::ATTEMPTS_MAX,
    name::TenantId,
    task::{Priority, Task, TaskState},
    time::Millis,
};

use crate::faults::{Dice, Faults};

const TENANTS: [&str; 3] = ["one", "two", "three"];

pub(crate) fn tenants() -> impl Iterator<Item = TenantId> {
    TENANTS.into_iter().map(|name| name.parse().unwrap())
}

/// An id's bytes: numbered, so that ids sort by age.
pub(crate) fn id_bytes(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// The tasks; each is accepted when it was created.
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
            limits: RunLimits::default(),
            priority: dice.pick(&Priority::HIGHEST_FIRST).unwrap(),
            created_at,
            expires_at: created_at.plus(patience_ms),
            attempt: 0,
            attempts_max: ATTEMPTS_MAX,
            releases: 0,
            fingerprint: None,
            retry_of: None,
            state: TaskState::Queued { not_before: created_at.plus(delay_ms) },
        });
    }
    tasks
}

/// When who cancels which task.
pub(crate) fn cancels(tasks: &[Task], faults: &Faults, dice: &mut Dice) -> Vec<(Millis, TaskId)> {
    let mut cancel = |_| {
        let task = dice.pick(tasks)?;
        Some((task.created_at.plus(dice.between(0, 6_000)), task.id))
    };
    (0..faults.cancels).filter_map(&mut cancel).collect()
}

/// How long a run takes: most are short, some outlast several beats.
pub(crate) fn run_ms(dice: &mut Dice) -> u64 {
    match dice.between(0, 9) {
        0..6 => dice.between(1, 100),
        6..9 => dice.between(100, 2_000),
        _ => dice.between(2_000, 12_000),
    }
}
