//! Decisions of the dispatcher core per second. A decision is an attempt that is leased, assigned, reported and
//! recorded. Its cost should not depend on the number of workers.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use crate::fleet::Fleet;

const SLOTS: u32 = 8;
/// Number of decisions in an iteration; ten samples exceed a million.
const DECISIONS: u64 = 100_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(DECISIONS)).sampling_mode(SamplingMode::Flat);
    for workers in [10, 100, 1_000] {
        let mut fleet = Fleet::new(workers, SLOTS);
        group.bench_function(BenchmarkId::new("decisions", format!("{workers} workers x {SLOTS} slots")), |bencher| {
            bencher.iter(|| fleet.run(DECISIONS));
        });
    }
    group.finish();
}
