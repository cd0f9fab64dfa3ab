//! Cost of a task's steps in the embedded store: CPU time of the process, and bytes that it writes, for calls of several
//! sizes. Most of the system's part is the flush of a commit, so it depends on the machine and its load.

use std::sync::Arc;

use fusebox_core::{keep::Keep, name::TenantId};
use fusebox_store::{Store, embedded::EmbeddedStore};
use fusebox_system::clock::Clock;
use rustix::time::{ClockId, clock_gettime};

use crate::{CLIENTS, Plan, steps::Steps};

/// Number of tasks in a call of each step.
const BATCHES: [usize; 4] = [1, 10, 64, 500];
const STEPS: [&str; 5] = ["accept", "lease", "finish", "read", "purge"];

/// Use of the machine by this process since its start: CPU time in microseconds, the part of it that the system took,
/// and bytes written.
#[derive(Clone, Copy, Default)]
struct Used {
    cpu_us: f64,
    system_us: f64,
    written: f64,
}

/// Prints the costs of each step; medians over the rounds.
pub(crate) async fn costs(rounds: usize, tasks: usize) -> anyhow::Result<()> {
    println!("embedded: CPU in µs a task / bytes written a task; median of {rounds} rounds");
    for batch in BATCHES {
        let mut all: Vec<[Used; STEPS.len()]> = Vec::new();
        for _ in 0..rounds {
            all.push(round(batch, tasks.min(batch * 1_000)).await?);
        }
        let median = |pick: &dyn Fn(&[Used; STEPS.len()]) -> f64| crate::spread(all.iter().map(pick).collect())[1];
        let mut line = format!("batches of {batch}:");
        for (at, step) in STEPS.iter().enumerate() {
            line += &format!(" {step} {:.1}/{:.0}", median(&|used| used[at].cpu_us), median(&|used| used[at].written));
        }
        let cpu = median(&|used| used.iter().map(|used| used.cpu_us).sum());
        let written = median(&|used| used.iter().map(|used| used.written).sum());
        let system = median(&|used| used.iter().map(|used| used.system_us).sum());
        println!("{line} all {cpu:.1}/{written:.0}, of the CPU {system:.1} in the system");
    }
    Ok(())
}

/// Prints the times after which durable accepts are answered.
pub(crate) async fn accepts(plan: &Plan) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let store = EmbeddedStore::open(&home.path().join("store"), Clock::System)?;
    let (steps, mut rates, mut waits) =
        (Steps::new(Arc::new(store), "default", Keep::DEFAULT).await?, Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        rates.push(crate::accepts_of(&steps, plan.accepts, &mut waits).await?);
    }
    let ([p50, p99], [_, rate, _]) = (crate::percentiles(&mut waits), crate::spread(rates));
    println!("embedded: {rate:.0} accepts a second, {CLIENTS} clients, each answered in p50 {p50:.1?}, p99 {p99:.1?}");
    Ok(())
}

/// Performs all steps of `tasks` tasks, a step of all tasks after the other; returns the costs of a task.
async fn round(batch: usize, tasks: usize) -> anyhow::Result<[Used; STEPS.len()]> {
    let home = tempfile::tempdir()?;
    // Ended tasks are purged by the next tick.
    let keep = Keep { results_s: 0, failed_s: 0 };
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&home.path().join("store"), Clock::System)?);
    let (steps, tenant) = (Steps::new(store.clone(), "default", keep).await?, TenantId::default_tenant());
    let mut reports = Vec::new();
    let mut marks = vec![used()?];
    for count in crate::parts(tasks, batch) {
        steps.accept(count).await?;
    }
    marks.push(used()?);
    for count in crate::parts(tasks, batch) {
        reports.push(steps.lease(count).await?);
    }
    marks.push(used()?);
    let ids: Vec<_> = reports.iter().flatten().map(|report| report.claim.task).collect();
    for some in reports {
        steps.finish(some).await?;
    }
    marks.push(used()?);
    for task in ids {
        anyhow::ensure!(store.result(&tenant, task).await?.is_some(), "a result is missing");
    }
    marks.push(used()?);
    let mut purged = 0;
    while purged < tasks as u64 {
        purged += store.tick().await?.purged;
    }
    marks.push(used()?);
    let mut costs = [Used::default(); STEPS.len()];
    for (cost, pair) in costs.iter_mut().zip(marks.windows(2)) {
        let of = |mark: fn(&Used) -> f64| (mark(&pair[1]) - mark(&pair[0])) / tasks as f64;
        let (cpu_us, system_us) = (of(|used| used.cpu_us), of(|used| used.system_us));
        *cost = Used { cpu_us, system_us, written: of(|used| used.written) };
    }
    Ok(costs)
}

fn used() -> anyhow::Result<Used> {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let process = procfs::process::Process::myself()?;
    // In ticks, which are coarse beside the clock.
    let system_us = process.stat()?.stime as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64;
    let cpu_us = cpu.tv_sec as f64 * 1e6 + cpu.tv_nsec as f64 / 1e3;
    Ok(Used { cpu_us, system_us, written: process.io()?.write_bytes as f64 })
}
