//! Cost of a task with many stored items relative to few, and of the embedded store relative to Redis. Each row is a
//! ratio: two stores take turns within one run, so that a noisy machine disturbs both alike.
//!
//! | module | contains |
//! |---|---|
//! | `steps` | steps of a task in a store |
//! | `place` | a store to measure: a directory, or a Redis server |
//! | `costs` | costs of each step in Redis, as the server counts them |
//! | `embedded` | costs of each step in the embedded store |
//! | `queued` | memory, disk space and opening of the embedded store with a deep queue |
//!
//! Run by `cargo bench --workspace --bench store`: about 6 minutes, 4 GB on disk, and 3 GB of memory for Redis. `--
//! --smoke` for a short run, `-- --much N` for another number of queued tasks and results, `-- --costs` for the costs of
//! each step alone (`-- --costs --embedded` without those of Redis), `-- --queued N` for the embedded store with N queued tasks, before and after a kill.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

mod costs;
mod embedded;
mod place;
mod queued;
mod steps;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use place::{Kind, Place};
use steps::{BYTES, Steps};

/// Number of tasks in a measured call.
const BATCH: usize = 64;
/// Number of tasks in a call that fills a store; `DRAIN` applies to ending what it holds.
const FILL: usize = 1_000;
const DRAIN: usize = 256;
/// Number of items that counts as few.
const LITTLE: usize = 100;
const CLIENTS: usize = 64;

struct Plan {
    rounds: usize,
    /// Number of calls of each step in a round.
    calls: usize,
    /// Duration of a round of accepts.
    accepts: Duration,
    much: usize,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let mut plan = match args.iter().any(|arg| arg == "--smoke") {
        true => Plan { rounds: 1, calls: 2, accepts: Duration::from_millis(100), much: 2_000 },
        false => Plan { rounds: 9, calls: 64, accepts: Duration::from_secs(2), much: 1_000_000 },
    };
    if let Some(at) = args.iter().position(|arg| arg == "--much") {
        plan.much = args.get(at + 1).context("--much needs a number")?.parse()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(at) = args.iter().position(|arg| arg == queued::FILLS) {
        let (tasks, dir) = args.get(at + 1).zip(args.get(at + 2)).context("a number and a directory are missing")?;
        return runtime.block_on(queued::fill(tasks.parse()?, dir.as_ref()));
    }
    if let Some(at) = args.iter().position(|arg| arg == "--queued") {
        let tasks = args.get(at + 1).context("--queued needs a number")?.parse()?;
        return runtime.block_on(queued::queued(tasks));
    }
    if args.iter().any(|arg| arg == "--costs") {
        let rounds = plan.rounds.min(3);
        runtime.block_on(embedded::costs(rounds, 20_000))?;
        runtime.block_on(embedded::accepts(&plan))?;
        if args.iter().any(|arg| arg == "--embedded") {
            return Ok(());
        }
        return runtime.block_on(costs::of_redis(rounds, 20_000));
    }
    runtime.block_on(bench(&plan))
}

async fn bench(plan: &Plan) -> anyhow::Result<()> {
    println!("{} rounds, {BATCH} tasks a call, inputs and outputs of {BYTES} bytes; medians", plan.rounds);
    for kind in [Kind::Embedded, Kind::Redis] {
        growth(kind, plan).await?;
    }
    accepts(plan).await
}

/// Compares the cost of a task with many queued tasks, and with many results, to the cost with few.
async fn growth(kind: Kind, plan: &Plan) -> anyhow::Result<()> {
    let (little, much) = (Place::open(kind).await?, Place::open(kind).await?);
    let (few, many) = (little.steps().await?, much.steps().await?);
    few.accept(LITTLE).await?;
    let (before, start) = (much.cost()?, Instant::now());
    for count in parts(plan.much, FILL) {
        many.accept(count).await?;
    }
    println!("{kind}: queued {} tasks in {:.1?}: {}", plan.much, start.elapsed(), much.cost()?.since(&before));
    compare(&format!("{kind}: {} queued / {LITTLE} queued", plan.much), &few, &many, plan).await?;

    let start = Instant::now();
    for count in parts(plan.much, DRAIN) {
        many.finish(many.lease(count).await?).await?;
    }
    println!("{kind}: ended {} tasks in {:.1?}: {}", plan.much, start.elapsed(), much.cost()?.since(&before));
    drop(few);
    drop(little);
    // Contains only what the rounds themselves record.
    let none = Place::open(kind).await?;
    let few = none.steps().await?;
    compare(&format!("{kind}: {} results / none", plan.much), &few, &many, plan).await?;
    drop(many);
    if let Some(took) = much.reopen().await? {
        println!("{kind}: opened again in {took:.1?}");
    }
    Ok(())
}

/// Alternates between two stores; prints the ratio of the cost of a task.
async fn compare(what: &str, few: &Steps, many: &Steps, plan: &Plan) -> anyhow::Result<()> {
    let (mut little, mut much, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let (base, cost) = (round_us(few, plan.calls).await?, round_us(many, plan.calls).await?);
        // The first round fills caches.
        if round > 0 {
            little.push(base);
            much.push(cost);
            ratios.push(cost / base);
        }
    }
    let (little, much, [least, middle, most]) = (spread(little)[1], spread(much)[1], spread(ratios));
    println!("{what}: {much:.1} µs a task / {little:.1} µs = {middle:.2} ({least:.2} to {most:.2})");
    Ok(())
}

/// Returns the time for all steps of a task: accepted, leased and finished, each step in a batch. The queue's length
/// stays constant.
async fn round_us(steps: &Steps, calls: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    for _ in 0..calls {
        steps.accept(BATCH).await?;
        steps.finish(steps.lease(BATCH).await?).await?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / (calls * BATCH) as f64)
}

/// Measures durable accepts per second: 64 clients, one task per call, each client sending the next after its answer.
async fn accepts(plan: &Plan) -> anyhow::Result<()> {
    let places = [Place::open(Kind::Embedded).await?, Place::open(Kind::Redis).await?];
    let stores = [places[0].steps().await?, places[1].steps().await?];
    let (mut rates, mut waits) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..plan.rounds {
        for ((steps, rates), waits) in stores.iter().zip(&mut rates).zip(&mut waits) {
            rates.push(accepts_of(steps, plan.accepts, waits).await?);
        }
    }
    let ratios = rates[0].iter().zip(&rates[1]).map(|(embedded, redis)| embedded / redis).collect();
    for ((kind, rates), waits) in ["embedded", "redis everysec"].iter().zip(rates).zip(&mut waits) {
        let [p50, p99] = percentiles(waits);
        let [least, middle, most] = spread(rates);
        println!(
            "{kind}: {middle:.0} accepts a second ({least:.0} to {most:.0}), {CLIENTS} clients, each answered in \
             p50 {p50:.1?}, p99 {p99:.1?}"
        );
    }
    let [least, middle, most] = spread(ratios);
    println!("accepts, embedded / redis everysec: {middle:.2} ({least:.2} to {most:.2})");
    Ok(())
}

async fn accepts_of(steps: &Steps, round: Duration, waits: &mut Vec<Duration>) -> anyhow::Result<f64> {
    let start = Instant::now();
    let client = |steps: Steps| async move {
        let mut waits = Vec::new();
        while start.elapsed() < round {
            let sent = Instant::now();
            steps.accept(1).await?;
            waits.push(sent.elapsed());
        }
        anyhow::Ok(waits)
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(steps.clone()))).collect();
    let before = waits.len();
    for client in clients {
        waits.extend(client.await??);
    }
    Ok((waits.len() - before) as f64 / start.elapsed().as_secs_f64())
}

/// Returns the median and the 99th percentile.
fn percentiles(waits: &mut [Duration]) -> [Duration; 2] {
    waits.sort_unstable();
    [50, 99].map(|percent| waits[waits.len() * percent / 100])
}

/// Splits a number into parts of one size, the last one possibly smaller.
fn parts(number: usize, size: usize) -> impl Iterator<Item = usize> {
    (0..number).step_by(size).map(move |done| size.min(number - done))
}

/// Returns minimum, median and maximum.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
}
