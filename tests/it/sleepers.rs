//! Long runs of one tenant beside short ones of another: a tenant that occupies every slot still leaves one for the
//! next.

use fusebox_harness::{Answer, Client, Server, guests};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    modes::worker,
    options,
    quotas::{ask, key},
};

/// Maximum wait for events that are expected soon, on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Wall time limit of a sleeper's run in milliseconds, at which it is ended.
const SLEEP_MS: u32 = 2_000;

/// A host with two slots and two tenants: one that sleeps, and another one.
struct Two {
    server: Server,
    home: TempDir,
    sleeper: String,
    other: String,
}

async fn two(more: &[&str]) -> Two {
    let home = tempfile::tempdir().unwrap();
    let (sleeper, other) = (key(&home, "sleeper"), key(&home, "other"));
    let server = Server::start(options(&home, &[&["--slots", "2"], more].concat())).unwrap();
    let client = server.client();
    let sleep = format!("/v1/functions?name=sleep&wall_ms={SLEEP_MS}");
    let made = ask(&client, &sleeper, Method::POST, &sleep, guests::sleep_an_hour()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    let made = ask(&client, &other, Method::POST, "/v1/functions?name=echo", guests::echo()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    Two { server, home, sleeper, other }
}

async fn invokes_of_another_tenant_are_answered(more: &[&str]) {
    /// As many as may wait and run, and some that are refused.
    const CROWD: usize = 256 + 2 + 22;
    let Two { server, home: _home, sleeper, other } = two(more).await;
    let base = server.client().base().to_owned();
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel::<Answer>();
    for _ in 0..CROWD {
        let (client, sleeper, answered) = (Client::new(base.clone()), sleeper.clone(), answered.clone());
        tokio::spawn(async move {
            let answer = ask(&client, &sleeper, Method::POST, "/v1/functions/sleep/invoke", []).await;
            let _ = answered.send(answer);
        });
    }
    let refused = answers.recv().await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "running-quota"));
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit-limit")), ("1", "256"), "{refused}");
    for _ in 0..5 {
        let answer = ask(&server.client(), &other, Method::POST, "/v1/functions/echo/invoke", "soon").await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"soon"[..]), "{answer}");
    }
    let mut ran = 0;
    while let Ok(answer) = answers.try_recv() {
        ran += usize::from(answer.status == StatusCode::FAILED_DEPENDENCY);
    }
    assert!(ran < CROWD / 4, "{ran} of the sleeper's runs had ended before the other tenant's");
}

#[tokio::test(flavor = "multi_thread")]
async fn invokes_beside_a_crowd_of_sleepers_are_answered() {
    invokes_of_another_tenant_are_answered(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invokes_beside_a_crowd_of_sleepers_are_answered_by_processes_of_their_own() {
    invokes_of_another_tenant_are_answered(&["--isolate", "process"]).await;
}

/// Submits tasks of a tenant in one batch; returns their paths.
async fn submit(client: &Client, key: &str, function: &str, count: usize) -> Vec<String> {
    let batch = json!(vec![json!({"text": "x"}); count]).to_string();
    let path = format!("/v1/functions/{function}/tasks/batch");
    let rows = ask(client, key, Method::POST, &path, batch).await.json().unwrap();
    let rows = rows["items"].as_array().unwrap();
    rows.iter().map(|row| format!("/v1/tasks/{}", row["task"].as_str().unwrap())).collect()
}

async fn tasks_of_another_tenant_end(two: &Two) {
    const SLEEPERS: usize = 40;
    let client = two.server.client();
    let sleepers = submit(&client, &two.sleeper, "sleep", SLEEPERS).await;
    fusebox_harness::eventually("the sleepers' start", PATIENCE, || async {
        let first = ask(&client, &two.sleeper, Method::GET, &sleepers[0], []).await.json().ok()?;
        (first["status"] == "RUNNING").then_some(())
    })
    .await
    .unwrap();
    for task in submit(&client, &two.other, "echo", 10).await {
        let headers = [("authorization", two.other.as_str()), ("prefer", "wait=50")];
        let ended = client.send(Method::GET, &task, &headers, []).await.unwrap().json().unwrap();
        assert_eq!(ended["status"], "COMPLETED", "{ended}");
    }
    // Tasks that wait at a worker are RUNNING, since they are leased, so the test counts ended ones.
    let mut ended = 0;
    for task in &sleepers {
        let task = ask(&client, &two.sleeper, Method::GET, task, []).await.json().unwrap();
        ended += usize::from(task["status"] != "QUEUED" && task["status"] != "RUNNING");
    }
    assert!(ended < SLEEPERS / 4, "{ended} of {SLEEPERS} sleepers had ended before the other tenant's tasks");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_beside_a_crowd_of_sleepers_end() {
    tasks_of_another_tenant_end(&two(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_beside_a_crowd_of_sleepers_end_in_processes_of_their_own() {
    tasks_of_another_tenant_end(&two(&["--isolate", "process"]).await).await;
}

async fn tasks_of_another_tenant_end_on_a_worker(mode: &str) {
    let two = two(&["-m", mode, "-p", "0", "--join-token", "correct horse battery"]).await;
    let url = two.server.program().word("tcp://").unwrap();
    let _worker = worker(mode, 2, &url, &two.home, &["--join-token", "correct horse battery"]);
    tasks_of_another_tenant_end(&two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_beside_a_crowd_of_sleepers_end_on_a_push_worker() {
    tasks_of_another_tenant_end_on_a_worker("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_beside_a_crowd_of_sleepers_end_on_a_pull_worker() {
    tasks_of_another_tenant_end_on_a_worker("pull").await;
}
