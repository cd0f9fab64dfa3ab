//! Whether a task costs more where much is stored, and whether the embedded store keeps up with Redis. Each row is a ratio:
//! two stores of one kind, one with much and one with little, take turns within one run, so that a noisy machine disturbs
//! both alike.
//!
//! | module | holds |
//! |---|---|
//! | `steps` | the steps of a task through a store |
//! | `place` | a store that is measured: a directory, or a Redis server |
//!
//! Run by `cargo bench --workspace --bench store`: about 6 minutes, 4 GB on disk and 3 GB of memory for Redis. `-- --smoke`
//! for a short one, `-- --much N` for another number of queued tasks and results.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

mod place;
mod steps;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use place::{Kind, Place};
use steps::{BYTES, Steps};

/// Tasks of a call where their way is measured.
const BATCH: usize = 64;
/// Tasks of a call where a store is filled, and where what it holds is ended.
const FILL: usize = 1_000;
const DRAIN: usize = 256;
/// What little is.
const LITTLE: usize = 100;
const CLIENTS: usize = 64;

struct Plan {
    rounds: usize,
    /// Calls of each step in a round.
    calls: usize,
    /// How long a round of accepts takes.
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
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench(&plan))
}

async fn bench(plan: &Plan) -> anyhow::Result<()> {
    println!("{} rounds, {BATCH} tasks a call, inputs and outputs of {BYTES} bytes; medians", plan.rounds);
    for kind in [Kind::Embedded, Kind::Redis] {
        growth(kind, plan).await?;
    }
    accepts(plan).await
}

/// What a task's way costs with much queued and with much recorded, as a multiple of what it costs with little.
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
    // What the rounds themselves record is all that this one has.
    let none = Place::open(kind).await?;
    let few = none.steps().await?;
    compare(&format!("{kind}: {} results / none", plan.much), &few, &many, plan).await?;
    drop(many);
    if let Some(took) = much.reopen().await? {
        println!("{kind}: opened again in {took:.1?}");
    }
    Ok(())
}

/// Takes turns, and tells the ratio of what a task costs.
async fn compare(what: &str, few: &Steps, many: &Steps, plan: &Plan) -> anyhow::Result<()> {
    let (mut little, mut much, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let (base, cost) = (round_us(few, plan.calls).await?, round_us(many, plan.calls).await?);
        // The first one fills caches.
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

/// What the whole way of a task takes: accepted, leased and finished, each step a batch. The queue stays as long as it is.
async fn round_us(steps: &Steps, calls: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    for _ in 0..calls {
        steps.accept(BATCH).await?;
        steps.finish(steps.lease(BATCH).await?).await?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / (calls * BATCH) as f64)
}

/// Durable accepts a second: 64 clients, a task a call, each sends the next when it has its answer.
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
        waits.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| waits[waits.len() * percent / 100]);
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

/// A number in parts of one size, the last one smaller.
fn parts(number: usize, size: usize) -> impl Iterator<Item = usize> {
    (0..number).step_by(size).map(move |done| size.min(number - done))
}

/// The least, the middle and the most.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
}
