//! A store that is nearly full, and one that is full: who stores more than its share is refused, others go on, and
//! everything that needs no more room goes on for all.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox::store_room;
use fusebox_harness::{eventually, guests, small_disk::SmallDisk};
use fusebox_store::{Acting, Scope};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    hand::returned,
    support::{Answer, Rest, assert_problem},
};

const MIB: usize = 1 << 20;
/// Size of the disk: large enough for two tenants with tasks of 1 MiB.
const DISK_BYTES: u64 = 32 << 20;
/// A disk that is not full after this many tasks is none of that size.
const TASKS_MAX: usize = 40;
/// Longest wait for the watch, which looks every second.
const SOON: Duration = Duration::from_secs(30);

/// Tenant with its key and its queued tasks.
struct Tenant {
    name: &'static str,
    key: String,
    tasks: Vec<String>,
}

impl Tenant {
    async fn new(rest: &Rest, name: &'static str) -> Self {
        rest.store.add_tenant(Acting::Store, name.parse().unwrap()).await.unwrap().unwrap();
        let key = format!("Bearer {}", rest.key(name, Scope::Admin, None).await);
        let tenant = Self { name, key, tasks: Vec::new() };
        let made = tenant.ask(rest, Method::POST, "/v1/functions?name=echo", guests::echo()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        tenant
    }

    async fn ask(&self, rest: &Rest, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        rest.send(method, path, &[("authorization", &self.key)], body).await
    }

    async fn submit(&mut self, rest: &Rest, bytes: usize) -> Answer {
        let answer = self.ask(rest, Method::POST, "/v1/functions/echo/tasks", vec![b'x'; bytes]).await;
        if answer.status == StatusCode::ACCEPTED {
            self.tasks.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
        answer
    }

    /// Does with the first tasks what needs no more room: one is read, run and purged, another is cancelled.
    async fn goes_on(&mut self, rest: &Rest) {
        let leased = rest.lease_of(&self.name.parse().unwrap(), 1).await;
        rest.report(&leased[0], returned("out")).await;
        let id = leased[0].task.id.to_string();
        self.tasks.retain(|task| *task != id);
        let task = format!("/v1/tasks/{id}");
        let result = self.ask(rest, Method::GET, &format!("{task}/result"), Body::empty()).await;
        assert_eq!((result.status, result.text()), (StatusCode::OK, "out"));
        let purged = self.ask(rest, Method::DELETE, &format!("{task}?purge=true"), Body::empty()).await;
        assert_eq!(purged.status, StatusCode::NO_CONTENT, "{:?}", purged.body);
        let second = format!("/v1/tasks/{}", self.tasks.remove(0));
        let cancelled = self.ask(rest, Method::DELETE, &second, Body::empty()).await;
        assert!(cancelled.status.is_success(), "{:?}", cancelled.body);
        let key = self.ask(rest, Method::POST, "/v1/keys", r#"{"scope":"invoke"}"#).await;
        assert_eq!(key.status, StatusCode::CREATED, "{:?}", key.body);
    }
}

#[track_caller]
fn assert_full(answer: &Answer, words: &str) {
    assert_problem(answer, StatusCode::SERVICE_UNAVAILABLE, "store-full");
    assert_eq!(answer.header("retry-after"), "10");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(words), "{detail}");
}

async fn ready(rest: &Rest) -> Value {
    let ready = rest.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    ready.json()["warnings"].clone()
}

/// Lets the room be watched until `/readyz` has these warnings.
async fn watched(rest: &Rest, warnings: &[&str]) {
    let (expected, stop) = (json!(warnings), CancellationToken::new());
    let watch = store_room::watch(rest.quotas.clone(), rest.metrics.clone(), rest.readiness.clone(), stop.clone());
    let watch = tokio::spawn(watch);
    eventually("the warnings", SOON, || async { (ready(rest).await == expected).then_some(()) }).await.unwrap();
    stop.cancel();
    watch.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fills_the_store_is_refused_and_others_go_on() {
    let home = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(home.path(), DISK_BYTES).unwrap();
    let rest = Rest::with_store_in(home.path());
    let (mut large, mut big, mut small) =
        (Tenant::new(&rest, "large").await, Tenant::new(&rest, "big").await, Tenant::new(&rest, "small").await);
    for tenant in [&large, &big, &small] {
        let quotas = serde_json::from_value(json!({"stored_bytes": DISK_BYTES / 2})).unwrap();
        let name = tenant.name.parse().unwrap();
        assert!(rest.store.set_quotas(Acting::Store, &name, quotas).await.unwrap().unwrap());
    }
    rest.quotas.refresh().await.unwrap();
    for _ in 0..4 {
        assert_eq!(small.submit(&rest, 10).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(ready(&rest).await, json!([]));

    // Two tenants fill the store to its mark, each within its quota.
    let mut count = 0;
    while !fusebox_core::room::is_nearly_full(&rest.quotas.refresh_room().await.unwrap()) {
        for tenant in [&mut large, &mut big] {
            assert_eq!(tenant.submit(&rest, MIB).await.status, StatusCode::ACCEPTED);
        }
        count += 2;
        assert!(count < TASKS_MAX);
    }
    watched(&rest, &["store-full"]).await;
    let metrics = rest.metrics.exposition(&[]).unwrap();
    assert!(metrics.contains("fusebox_store_full 1\n"), "{metrics}");
    for tenant in [&mut large, &mut big] {
        assert_full(&tenant.submit(&rest, MIB).await, "its fair share");
        assert_full(&tenant.ask(&rest, Method::POST, "/v1/functions?name=more", guests::echo()).await, "fair share");
        let config = "/v1/functions/echo/config/NAME";
        assert_full(&tenant.ask(&rest, Method::PUT, config, "value").await, "fair share");
        tenant.goes_on(&rest).await;
    }
    assert_eq!(small.submit(&rest, MIB).await.status, StatusCode::ACCEPTED, "it stores less than its share");
    let metrics = rest.metrics.exposition(&[]).unwrap();
    assert!(metrics.contains("fusebox_store_full_refusals_total 6\n"), "{metrics}");

    // Another program takes the rest of the disk.
    disk.fill().unwrap();
    let mut refused = small.submit(&rest, MIB).await;
    for _ in 0..TASKS_MAX {
        if refused.status != StatusCode::ACCEPTED {
            break;
        }
        refused = small.submit(&rest, MIB).await;
    }
    assert_full(&refused, "the store is full");
    for tenant in [&mut large, &mut small] {
        tenant.goes_on(&rest).await;
    }

    disk.free().unwrap();
    for task in large.tasks.clone() {
        let cancelled = large.ask(&rest, Method::DELETE, &format!("/v1/tasks/{task}"), Body::empty()).await;
        assert!(cancelled.status.is_success(), "{:?}", cancelled.body);
    }
    rest.quotas.refresh_room().await.unwrap();
    for tenant in [&mut large, &mut big, &mut small] {
        assert_eq!(tenant.submit(&rest, 10).await.status, StatusCode::ACCEPTED);
    }
    watched(&rest, &[]).await;
}
