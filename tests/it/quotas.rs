//! Quotas of concurrent runs, and the independence of one tenant's waiting time from another tenant's flood.

use std::{process::Command, time::Duration};

use fusebox_core::limits::RECORD_BYTES;
use fusebox_harness::{Answer, Client, Server, eventually, guests};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::{fusebox, stdout},
    options, server,
};

/// Maximum wait for events that are expected soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Small, so that a run that burns all of it is short.
const FUEL: u64 = 1_000_000;

async fn set(client: &Client, quotas: &Value) {
    let body = quotas.to_string().into_bytes();
    let set = client.send(Method::PUT, "/v1/tenants/default/quotas", &[], body).await.unwrap();
    assert_eq!(set.status, StatusCode::OK, "{set}");
}

#[tokio::test]
async fn fuel_that_runs_lose_is_missing_until_time_brings_it_back() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("echo", &format!("&fuel={FUEL}"), &guests::echo()).await.unwrap();
    client.register("spin", &format!("&fuel={FUEL}"), &guests::spin()).await.unwrap();
    set(&client, &json!({"fuel_per_minute": 5 * FUEL})).await;
    for _ in 0..30 {
        let answer = client.post("/v1/functions/echo/invoke", "x").await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "what a normal run leaves comes back: {answer}");
    }
    let mut refused: Option<Answer> = None;
    for _ in 0..10 {
        let answer = client.post("/v1/functions/spin/invoke", "x").await.unwrap();
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.code(), "out-of-fuel", "{answer}");
    }
    let refused = refused.expect("runs that burn all of their fuel use it up");
    assert_eq!(refused.code(), "fuel-quota");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait) && refused.header("ratelimit-limit") == (5 * FUEL).to_string(), "{refused}");
    // A task is not refused but waits for fuel.
    let mut tasks = Vec::new();
    for _ in 0..12 {
        tasks.push(client.submit("spin", b"x").await.unwrap());
    }
    let first = client.ended(&tasks[0]).await.unwrap();
    assert_eq!(first["error"]["code"], "out-of-fuel", "{first}");
    assert_eq!(client.task(&tasks[11]).await.unwrap()["status"], "QUEUED", "12 of them are more than 2 minutes' worth");
    set(&client, &json!({})).await;
    for task in &tasks {
        assert_eq!(client.ended(task).await.unwrap()["status"], "FAILED");
    }
}

#[tokio::test]
async fn no_more_tasks_run_than_a_tenant_may_have() {
    let (server, _home) = server(&["--slots", "4"]);
    let client = server.client();
    client.register("slow", "", &guests::slow_echo()).await.unwrap();
    set(&client, &json!({"running_tasks": 1})).await;
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(client.submit("slow", b"x").await.unwrap());
    }
    let done = eventually("the end of every task", PATIENCE, || {
        let (client, all) = (client.clone(), tasks.len());
        async move {
            let page = client.get("/v1/tasks").await.unwrap().json().unwrap();
            let rows = page["items"].as_array().unwrap();
            let of = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
            assert!(of("RUNNING") <= 1, "{page}");
            (of("COMPLETED") == all).then_some(())
        }
    });
    done.await.unwrap();
}

#[tokio::test]
async fn what_is_stored_is_shown_bounded_and_given_back() {
    let (server, _home) = server(&[]);
    let (client, run) = (server.client(), |line: &str| stdout(&fusebox(server.url(), line)));
    client.register("echo", "", &guests::echo()).await.unwrap();
    let used = || {
        let shown: Value = serde_json::from_str(&run("tenants show default --output json")).unwrap();
        shown["used"]["stored_bytes"].as_u64().unwrap()
    };
    let before = used();
    let set = run(&format!("tenants set default --stored-bytes {}", before + RECORD_BYTES + 5));
    let shown = set.lines().find(|line| line.starts_with("stored-bytes")).expect("the quota has a row");
    assert!(shown.ends_with("set") && shown.contains(&fusebox_ui::count(before)), "{set}");
    let task = client.submit("echo", b"hello").await.unwrap();
    client.ended(&task).await.unwrap();
    assert_eq!(used(), before + RECORD_BYTES + 5, "its output");
    let refused = client.post("/v1/functions/echo/tasks", "x").await.unwrap();
    assert_eq!((refused.status, &*refused.code()), (StatusCode::TOO_MANY_REQUESTS, "storage-quota"), "{refused}");
    run(&format!("tasks purge {task}"));
    assert_eq!(used(), before);
    client.submit("echo", b"hello").await.unwrap();
}

/// Creates a key of a tenant in the store of a host that is not running yet.
pub(crate) fn key(home: &TempDir, tenant: &str) -> String {
    let run = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        let output = command.env_clear().args(line.split(' ')).arg("--store").arg(home.path().join("store")).output();
        output.unwrap()
    };
    if tenant != "default" {
        assert!(run(&format!("tenants create {tenant}")).status.success());
    }
    let made = run(&format!("keys create --tenant {tenant} --scope admin --output json"));
    let made: Value = serde_json::from_slice(&made.stdout).expect("a key is made");
    format!("Bearer {}", made["key"].as_str().unwrap())
}

pub(crate) async fn ask(client: &Client, key: &str, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let headers = [("authorization", key), ("content-type", "application/json")];
    client.send(method, path, &headers, body).await.unwrap()
}

/// Returns the number of queued and running tasks of all tenants.
async fn backlog(client: &Client, operator: &str) -> u64 {
    let metrics = ask(client, operator, Method::GET, "/metrics", []).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let of = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    };
    of("fusebox_tasks_ready") + of("fusebox_tasks_running")
}

#[tokio::test]
async fn five_thousand_waiting_tasks_leave_another_tenants_place_near_the_front() {
    const FLOOD: usize = 5_000;
    const STEADY: usize = 50;
    let home = tempfile::tempdir().unwrap();
    let (operator, flooding, steady) = (key(&home, "default"), key(&home, "flooding"), key(&home, "steady"));
    let server = Server::start(options(&home, &["--slots", "2"])).unwrap();
    let client = server.client();
    for key in [&flooding, &steady] {
        let made = ask(&client, key, Method::POST, "/v1/functions?name=echo", guests::echo()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made}");
    }
    let batch = |count: usize| json!(vec![json!({"text": "x"}); count]).to_string();
    let path = "/v1/functions/echo/tasks/batch";
    assert_eq!(ask(&client, &flooding, Method::POST, path, batch(FLOOD)).await.status, StatusCode::OK);
    let rows = ask(&client, &steady, Method::POST, path, batch(STEADY)).await.json().unwrap();
    let before = backlog(&client, &operator).await;
    assert!(before > 2_000, "{before} are left: too few to show anything");
    for row in rows["items"].as_array().unwrap() {
        let task = format!("/v1/tasks/{}", row["task"].as_str().unwrap());
        let headers = [("authorization", steady.as_str()), ("prefer", "wait=50")];
        let ended = client.send(Method::GET, &task, &headers, []).await.unwrap().json().unwrap();
        assert_eq!(ended["status"], "COMPLETED", "{ended}");
    }
    let ended = before.saturating_sub(backlog(&client, &operator).await);
    // Both are served alternately, in addition to earlier leases: the flood has completed about as many tasks as the
    // other tenant.
    assert!(ended < 1_000, "{ended} tasks ended before the other tenant's {STEADY} had");
}

#[test]
fn a_little_overload_is_refused_well_and_loses_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    let args = "bench overload --seconds 2 --factor 20 --queue 50 --output json";
    let ran = command.args(args.split(' ')).output().unwrap();
    // Its speed beside other tests is irrelevant; the test checks for outcomes that must never occur.
    let report: Value = serde_json::from_slice(&ran.stdout).expect("a report");
    for outcome in ["once", "many"] {
        let outcome = &report[outcome];
        for never in ["lost", "refused_without_retry_after", "broken"] {
            assert_eq!(outcome[never], 0, "{never}: {outcome}");
        }
        assert!(outcome["accepted"].as_u64() > Some(0) && outcome["resident_bytes"].as_u64() > Some(0), "{outcome}");
    }
    assert!(report["goodput_ratio"].is_number(), "{report}");
}
