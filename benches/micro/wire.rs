//! Messages between dispatcher and workers: 32 attempts in each direction, as under load.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use fusebox_core::{
    function::{Grants, RunLimits},
    id::{LeaseToken, ModuleDigest, TaskId, WorkerId},
    invocation::Invocation,
    name::TenantId,
    outcome::{Ended, Receipt},
    wire::{Assignment, AttemptId, AttemptReport, End, FromDispatcher, FromWorker, HeldAttempt, decode, encode},
};

const ATTEMPTS: u8 = 32;
const BODY: [u8; 128] = [7; 128];

pub(crate) fn bench(criterion: &mut Criterion) {
    let (assign, reports) = (assign(), reports());
    let (assign_bytes, reports_bytes) = (encode(&assign).unwrap(), encode(&reports).unwrap());
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(ATTEMPTS.into()));
    group.bench_function("assignments written", |bencher| bencher.iter(|| encode(black_box(&assign)).unwrap()));
    group.bench_function("assignments read", |bencher| {
        bencher.iter(|| decode::<FromDispatcher>(black_box(&assign_bytes)).unwrap());
    });
    group.bench_function("reports written", |bencher| bencher.iter(|| encode(black_box(&reports)).unwrap()));
    group.bench_function("reports read", |bencher| {
        bencher.iter(|| decode::<FromWorker>(black_box(&reports_bytes)).unwrap());
    });
    group.finish();
}

fn held(number: u8) -> HeldAttempt {
    let id = AttemptId { task: TaskId::from_bytes([number; 16]), attempt: 1 };
    HeldAttempt { id, token: LeaseToken([number; 16]) }
}

fn assign() -> FromDispatcher {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "hello".parse().unwrap(),
        ModuleDigest([4; 32]),
        RunLimits::default(),
        Grants::default(),
        Bytes::from_static(&BODY),
    );
    let assignment = |number| Assignment { held: held(number), invocation: invocation.clone() };
    FromDispatcher::Run { attempts: (0..ATTEMPTS).map(assignment).collect(), extra: false }
}

fn reports() -> FromWorker {
    let receipt =
        Receipt { fuel: Some(1_234), wall_us: 56, worker: Some(WorkerId::from_bytes([5; 16])), ..Receipt::default() };
    let report = |number| {
        let (output, log) = (Bytes::from_static(&BODY), Bytes::new());
        let end = End::Ended(Ended { failure: None, output, log, receipt: receipt.clone() });
        AttemptReport { held: held(number), cpu_us: 50, end }
    };
    FromWorker::Reports((0..ATTEMPTS).map(report).collect())
}
