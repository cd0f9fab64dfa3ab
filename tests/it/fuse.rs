//! Hostile guests end as FAILED with their own code, both as invokes and as tasks, and the host keeps running.

use std::time::Duration;

use fusebox_harness::{Client, eventually, guests};
use reqwest::{Method, StatusCode};

use crate::server;

const PATIENCE: Duration = Duration::from_secs(60);

/// Returns guests with the limits of their registration and their required codes.
fn hostile() -> Vec<(&'static str, &'static str, Vec<u8>, &'static str)> {
    vec![
        ("spin", "&fuel=1000000", guests::spin(), "out-of-fuel"),
        ("spin-cpu", "&cpu_ms=50", guests::spin(), "out-of-cpu"),
        ("spin-long", "&fuel=300000000000&wall_ms=100", guests::spin(), "deadline-exceeded"),
        ("spin-at-start", "&fuel=300000000000&wall_ms=100", guests::spin_at_start(), "deadline-exceeded"),
        ("sleep", "&wall_ms=100", guests::sleep_an_hour(), "deadline-exceeded"),
        ("trap", "", guests::trap(), "trap"),
        ("recurse", "", guests::recurse(), "stack-overflow"),
        ("eat-memory", "&memory_bytes=8388608", guests::eat_memory(), "out-of-memory"),
        ("claim-4-gib", "", guests::claim_4_gib(), "output-too-large"),
        ("claim-outside", "", guests::claim_outside(), "bad-pointer"),
        ("log-flood", "", guests::log_flood(), "log-flood"),
        ("fail", "", guests::fail(), "guest-error"),
    ]
}

/// Slots as separate processes, completely jailed.
const ISOLATED: &[&str] = &["--isolate", "process", "--jail", "require"];

#[tokio::test]
async fn each_way_a_run_can_end_badly_has_its_own_code() {
    each_way_a_run_can_end_badly(&[]).await;
}

#[tokio::test]
async fn each_way_has_its_own_code_in_a_process_of_its_own_too() {
    each_way_a_run_can_end_badly(ISOLATED).await;
}

async fn each_way_a_run_can_end_badly(args: &[&str]) {
    let (server, _home) = server(args);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    for (name, query, wasm, code) in hostile() {
        client.register(name, query, &wasm).await.unwrap();
        let answer = client.post(&format!("/v1/functions/{name}/invoke"), "x").await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FAILED_DEPENDENCY, code), "{name}: {answer}");

        let id = client.submit(name, b"x").await.unwrap();
        let task = client.ended(&id).await.unwrap();
        assert_eq!(task["status"], "FAILED", "{name}: {task}");
        assert_eq!(task["error"]["code"], code, "{name}: {task}");
        assert_eq!(task["attempt"], 1, "{name}: guest faults are not retried: {task}");
        assert_still_up(&client).await;
    }
}

#[tokio::test]
async fn a_trap_shows_the_functions_it_went_through() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("recurse", "", &guests::recurse()).await.unwrap();
    let answer = client.post("/v1/functions/recurse/invoke", "").await.unwrap().json().unwrap();
    let backtrace = answer["backtrace"].as_array().unwrap();
    assert!(!backtrace.is_empty() && backtrace.len() <= 16, "{answer}");
    assert!(backtrace[0].as_str().unwrap().contains("deep"), "{answer}");
}

/// Registers a function that runs for long, and cancels a task of it while it runs; returns the task's id.
async fn cancelled(client: &Client, name: &str, wasm: &[u8]) -> String {
    client.register(name, "&fuel=300000000000&wall_ms=300000", wasm).await.unwrap();
    let id = client.submit(name, b"").await.unwrap();
    eventually("the task to run", PATIENCE, || async {
        (client.task(&id).await.ok()?["status"] == "RUNNING").then_some(())
    })
    .await
    .unwrap();
    let answer = client.send(Method::DELETE, &format!("/v1/tasks/{id}"), &[], []).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    id
}

async fn a_running_task_is_cancelled(args: &[&str]) {
    let (server, _home) = server(args);
    let client = server.client();
    for (name, wasm) in [("spin", guests::spin()), ("sleep", guests::sleep_an_hour())] {
        let id = cancelled(&client, name, &wasm).await;
        let task = client.ended(&id).await.unwrap();
        assert_eq!(task["error"]["code"], "cancelled", "{task}");
    }
}

#[tokio::test]
async fn a_running_task_is_cancelled_in_a_loop_and_in_a_wait() {
    a_running_task_is_cancelled(&[]).await;
}

#[tokio::test]
async fn a_running_task_is_cancelled_in_a_process_of_its_own_too() {
    a_running_task_is_cancelled(ISOLATED).await;
}

#[tokio::test]
async fn a_cancelled_task_is_counted_and_not_cancelled_again() {
    let (server, _home) = server(&[]);
    let client = server.client();
    let id = cancelled(&client, "sleep", &guests::sleep_an_hour()).await;
    client.ended(&id).await.unwrap();
    let again = client.send(Method::DELETE, &format!("/v1/tasks/{id}"), &[], []).await.unwrap();
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "task-ended"), "{again}");
    let metrics = String::from_utf8(client.get("/metrics").await.unwrap().body).unwrap();
    assert!(metrics.contains(r#"fusebox_tasks_ended_total{status="FAILED",code="cancelled"} 1"#), "{metrics}");
}

/// The guests would occupy the only slot for 300 s.
async fn the_slot_of_a_cancelled_task_is_free(args: &[&str]) {
    let (server, _home) = server(&[&["-w", "1"], args].concat());
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    for (name, wasm) in [("spin", guests::spin()), ("sleep", guests::sleep_an_hour())] {
        cancelled(&client, name, &wasm).await;
        let next = client.submit("echo", b"next").await.unwrap();
        assert_eq!(client.ended(&next).await.unwrap()["status"], "COMPLETED", "after {name}");
    }
}

#[tokio::test]
async fn the_slot_of_a_cancelled_task_is_free_on_a_thread() {
    the_slot_of_a_cancelled_task_is_free(&[]).await;
}

#[tokio::test]
async fn the_slot_of_a_cancelled_task_is_free_in_a_process_of_its_own() {
    the_slot_of_a_cancelled_task_is_free(ISOLATED).await;
}

#[tokio::test]
async fn a_flood_of_spinning_invokes_leaves_rest_responsive_and_is_bounded() {
    let (server, _home) = server(&["-w", "1"]);
    let client = server.client();
    client.register("spin", "&fuel=300000000000&wall_ms=200", &guests::spin()).await.unwrap();
    let spin = |_| {
        let client = client.clone();
        tokio::spawn(async move { client.post("/v1/functions/spin/invoke", "").await.unwrap().status })
    };
    let spinning: Vec<_> = (0..8).map(spin).collect();
    for _ in 0..20 {
        assert_still_up(&client).await;
    }
    for answer in spinning {
        let status = answer.await.unwrap();
        assert!(matches!(status, StatusCode::FAILED_DEPENDENCY | StatusCode::SERVICE_UNAVAILABLE), "{status}");
    }
}

async fn assert_still_up(client: &Client) {
    assert_eq!(client.get("/healthz").await.unwrap().status, StatusCode::OK);
}
