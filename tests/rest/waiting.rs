//! A queued task, its function and its tenant say why nothing runs, and so do the metrics.

use fusebox_core::id::DispatcherId;
use fusebox_store::{Mode, WorkerInfo};
use fusebox_system::{clock::Clock, random};
use serde_json::{Value, json};

use crate::support::{Rest, Slots, set_quotas};

/// Announces a worker with two slots, of which some are in use.
async fn with_worker(rest: &Rest, running: u32) {
    let now = Clock::System.now();
    let worker = WorkerInfo {
        id: random::worker_id(now),
        mode: Mode::Push,
        name: "host-7".to_owned(),
        version: "0.1.0".to_owned(),
        slots: 2,
        running,
        ended: 0,
        joined_at: now,
        seen_at: now,
        draining: false,
    };
    rest.store.announce(DispatcherId::new(now, random::bytes()), vec![worker], 60_000).await.unwrap();
}

/// Returns why the task waits, in its own words and in the listing's, and checks that function, tenant and metrics agree.
async fn waits(rest: &Rest, id: &str) -> Value {
    let task = rest.get(&format!("/v1/tasks/{id}")).await.json();
    let waits = task["waiting_for"].clone();
    let listed = rest.get("/v1/tasks?status=QUEUED").await.json();
    // The time until which it waits is computed anew for each request.
    for part in ["code", "message"] {
        assert_eq!(listed["items"][0]["waiting_for"][part], waits[part]);
    }
    for path in ["/v1/functions/echo", "/v1/tenants/default"] {
        let of = rest.get(path).await.json();
        assert_eq!(of["waiting_for"]["code"], waits["code"], "{path}: {of}");
    }
    let metrics = rest.get("/metrics").await;
    let line = format!("fusebox_tasks_waiting{{reason=\"{}\"}} 1", waits["code"].as_str().unwrap());
    assert!(metrics.text().lines().any(|one| one == line), "{line}: {}", metrics.text());
    waits
}

async fn queued(submission: &str) -> (Rest, String) {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let task = rest.post(&format!("/v1/functions/echo/tasks{submission}"), "x").await.json();
    assert_eq!(task["status"], "QUEUED");
    (rest, task["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_task_without_a_worker_waits_for_one() {
    let (rest, id) = queued("").await;
    let none = waits(&rest, &id).await;
    assert_eq!(none["code"], "no-worker");
    assert!(none["message"].as_str().unwrap().contains("no dispatcher is running"), "{none}");
}

#[tokio::test]
async fn a_delayed_task_waits_until_its_time() {
    let (rest, id) = queued("?delay_ms=3600000").await;
    with_worker(&rest, 0).await;
    let delayed = waits(&rest, &id).await;
    assert!(delayed["code"] == "delayed" && delayed["until"].is_string(), "{delayed}");
}

#[tokio::test]
async fn a_task_waits_for_a_slot_or_starts() {
    for (running, code) in [(2, "fair-share"), (1, "starting")] {
        let (rest, id) = queued("").await;
        with_worker(&rest, running).await;
        assert_eq!(waits(&rest, &id).await["code"], code);
    }
}

#[tokio::test]
async fn a_task_waits_for_what_its_tenant_may_use() {
    let (rest, _) = queued("").await;
    rest.lease(1).await;
    let second = rest.submit("x").await;
    set_quotas(&rest, json!({"running_tasks": 1})).await;
    with_worker(&rest, 1).await;
    assert_eq!(waits(&rest, &second).await["code"], "running-bound");

    let (rest, id) = queued("").await;
    set_quotas(&rest, json!({"fuel_per_minute": 1_000})).await;
    with_worker(&rest, 0).await;
    let tenant = "default".parse().unwrap();
    assert_eq!(rest.store.draw_fuel(&tenant, 1_000, 1_000).await.unwrap(), 1_000);
    let empty = waits(&rest, &id).await;
    assert!(empty["code"] == "fuel-tank-empty" && empty["until"].is_string(), "{empty}");
}

#[tokio::test]
async fn what_does_not_wait_says_nothing() {
    let (rest, id) = queued("").await;
    rest.lease(1).await;
    for path in [&*format!("/v1/tasks/{id}"), "/v1/functions/echo", "/v1/tenants/default"] {
        assert_eq!(rest.get(path).await.json().get("waiting_for"), None, "{path}");
    }
    assert!(rest.get("/metrics").await.text().contains("fusebox_tasks_waiting{reason=\"no-worker\"} 0"));
}
