//! Requests through the router, in process: the cost of HTTP without slots and store. A test double answers in place of
//! the slots; the embedded store syncs before each answer, so submissions are made 64 at a time.

use axum::{body::Body, http::StatusCode};
use criterion::{Criterion, Throughput};
use futures_util::future::join_all;

use crate::support::{Answer, Rest, Slots};

const TOGETHER: usize = 64;

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rest = runtime.block_on(Rest::new(Slots::Echo).with_echo());
    let submitted = runtime.block_on(submit(&rest));
    let task = submitted.header("location").to_owned();
    let mut group = criterion.benchmark_group("rest");
    group.throughput(Throughput::Elements(1));
    group.bench_function("invoke", |bencher| {
        bencher.iter(|| {
            let answer = runtime.block_on(rest.post("/v1/functions/echo/invoke", Body::from("Ada")));
            assert_eq!((answer.status, answer.body.as_ref()), (StatusCode::OK, b"Ada".as_slice()));
        });
    });
    group.bench_function("read a task", |bencher| {
        bencher.iter(|| assert_eq!(runtime.block_on(rest.get(&task)).status, StatusCode::OK));
    });
    group.throughput(Throughput::Elements(TOGETHER as u64));
    group.bench_function("submit, 64 at a time", |bencher| {
        bencher.iter(|| {
            let answers = runtime.block_on(join_all((0..TOGETHER).map(|_| submit(&rest))));
            assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
        });
    });
    group.finish();
}

async fn submit(rest: &Rest) -> Answer {
    rest.post("/v1/functions/echo/tasks", Body::from("Ada")).await
}
