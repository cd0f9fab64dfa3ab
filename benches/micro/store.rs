//! Steps of a task in each store. Each iteration performs all three, so that the queue's length stays constant, and
//! measures one of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};
use fusebox_core::keep::Keep;
use fusebox_harness::redis::RedisServer;
use fusebox_store::{
    Options, Store,
    embedded::EmbeddedStore,
    redis::{Access, RedisStore},
};
use fusebox_system::clock::Clock;
use tokio::runtime::Runtime;

use crate::steps::Steps;

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Accept,
    Lease,
    Finish,
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let home = tempfile::tempdir().unwrap();
    let embedded = EmbeddedStore::open(home.path(), Clock::System).unwrap();
    of_store(criterion, &runtime, "embedded", Arc::new(embedded));
    // It syncs its log once a second, while the embedded store syncs before each answer.
    let server = RedisServer::start(&["--appendfsync", "everysec"]).unwrap();
    let redis = runtime.block_on(RedisStore::connect(&server.url(), Access::default(), Options::default())).unwrap();
    of_store(criterion, &runtime, "redis", Arc::new(redis));
}

fn of_store(criterion: &mut Criterion, runtime: &Runtime, name: &str, store: Arc<dyn Store>) {
    let steps = runtime.block_on(Steps::new(store, "default", Keep::DEFAULT)).unwrap();
    let mut group = criterion.benchmark_group(format!("store {name}"));
    for count in [1, 64] {
        group.throughput(Throughput::Elements(count as u64));
        for (what, step) in [("accept", Step::Accept), ("lease", Step::Lease), ("finish", Step::Finish)] {
            group.bench_function(BenchmarkId::new(what, format!("{count} a call")), |bencher| {
                bencher.iter_custom(|rounds| runtime.block_on(time(&steps, step, count, rounds)).unwrap());
            });
        }
    }
    group.finish();
}

/// Returns the time of one step over rounds of all three.
async fn time(steps: &Steps, timed: Step, count: usize, rounds: u64) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    let mut add = |step, began: Instant| {
        if step == timed {
            sum += began.elapsed();
        }
    };
    for _ in 0..rounds {
        let began = Instant::now();
        steps.accept(count).await?;
        add(Step::Accept, began);
        let began = Instant::now();
        let reports = steps.lease(count).await?;
        add(Step::Lease, began);
        let began = Instant::now();
        steps.finish(reports).await?;
        add(Step::Finish, began);
    }
    Ok(sum)
}
