//! Cost of a task's steps in Redis: CPU time of the server's main thread, and bytes of its log, for calls of several
//! sizes. Counted by the server itself, so that the load of the host does not matter.

use std::sync::Arc;

use anyhow::Context as _;
use fusebox_core::{keep::Keep, name::TenantId};
use fusebox_harness::redis::RedisServer;
use fusebox_store::{
    Options, Store,
    redis::{Access, RedisStore},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::steps::Steps;

/// Number of tasks in a call of each step.
const BATCHES: [usize; 4] = [1, 10, 50, 500];
const STEPS: [&str; 5] = ["accept", "lease", "finish", "read", "purge"];

/// Use of the server since its start: CPU time in microseconds, and bytes of its log.
#[derive(Clone, Copy, Default)]
struct Used {
    cpu_us: f64,
    log: f64,
}

/// Prints the costs of each step; medians over the rounds.
pub(crate) async fn of_redis(rounds: usize, tasks: usize) -> anyhow::Result<()> {
    println!("Redis, AOF everysec: CPU in µs a task / bytes of the log a task; median of {rounds} rounds");
    for batch in BATCHES {
        let mut all: Vec<[Used; STEPS.len()]> = Vec::new();
        for _ in 0..rounds {
            all.push(round(batch, tasks.min(batch * 400)).await?);
        }
        let median = |pick: &dyn Fn(&[Used; STEPS.len()]) -> f64| crate::spread(all.iter().map(pick).collect())[1];
        let mut line = format!("batches of {batch}:");
        for (at, step) in STEPS.iter().enumerate() {
            line += &format!(" {step} {:.1}/{:.0}", median(&|used| used[at].cpu_us), median(&|used| used[at].log));
        }
        let cpu = median(&|used| used.iter().map(|used| used.cpu_us).sum());
        let log = median(&|used| used.iter().map(|used| used.log).sum());
        println!("{line} all {cpu:.1}/{log:.0}");
    }
    Ok(())
}

/// Performs all steps of `tasks` tasks, a step of all tasks after the other; returns the costs of a task.
async fn round(batch: usize, tasks: usize) -> anyhow::Result<[Used; STEPS.len()]> {
    let server = RedisServer::start(&["--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"])?;
    let store: Arc<dyn Store> =
        Arc::new(RedisStore::connect(&server.url(), Access::default(), Options::default()).await?);
    // Ended tasks are purged by the next tick.
    let keep = Keep { results_s: 0, failed_s: 0 };
    let (steps, tenant) = (Steps::new(store.clone(), "default", keep).await?, TenantId::default_tenant());
    let mut reports = Vec::new();
    let mut marks = vec![used(&server)?];
    for count in crate::parts(tasks, batch) {
        steps.accept(count).await?;
    }
    marks.push(used(&server)?);
    for count in crate::parts(tasks, batch) {
        reports.push(steps.lease(count).await?);
    }
    marks.push(used(&server)?);
    let ids: Vec<Vec<_>> = reports.iter().map(|some| some.iter().map(|report| report.claim.task).collect()).collect();
    for some in reports {
        steps.finish(some).await?;
    }
    marks.push(used(&server)?);
    for some in ids {
        let reads = stream::iter(some).map(|task| store.result(&tenant, task));
        let read: Vec<_> = reads.buffer_unordered(batch).try_collect().await?;
        anyhow::ensure!(read.iter().all(Option::is_some), "a result is missing");
    }
    marks.push(used(&server)?);
    let mut purged = 0;
    while purged < tasks as u64 {
        purged += store.tick().await?.purged;
    }
    marks.push(used(&server)?);
    let mut costs = [Used::default(); STEPS.len()];
    for (cost, pair) in costs.iter_mut().zip(marks.windows(2)) {
        let of = |mark: fn(&Used) -> f64| (mark(&pair[1]) - mark(&pair[0])) / tasks as f64;
        *cost = Used { cpu_us: of(|used| used.cpu_us), log: of(|used| used.log) };
    }
    Ok(costs)
}

fn used(server: &RedisServer) -> anyhow::Result<Used> {
    let info = server.command(&["INFO", "everything"])?;
    let number = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        anyhow::Ok(line.with_context(|| format!("{name} is missing"))?.trim().parse::<f64>()?)
    };
    let cpu = number("used_cpu_user_main_thread")? + number("used_cpu_sys_main_thread")?;
    Ok(Used { cpu_us: cpu * 1e6, log: number("aof_current_size")? })
}
