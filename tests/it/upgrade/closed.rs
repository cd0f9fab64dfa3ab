//! Joining after the first key exists, and while a token is replaced.

use std::{path::Path, process::Command};

use fusebox_harness::{Client, Program, eventually, guests, redis::RedisServer};
use serde_json::json;

use super::{PATIENCE, fusebox, logged};

const OLD: &str = "a-token-that-goes-away-soon";
const NEW: &str = "a-token-that-takes-its-place";

/// A run continues in a worker without a token while the first key is created.
async fn the_first_key_closes_the_port(client: Client, url: &str, mode: &str, home: &Path, host_log: &Path) {
    client.register("sleep", "&wall_ms=300000", &guests::sleep_an_hour()).await.unwrap();
    let line = format!("{mode}-worker 1 {url}");
    let (mut worker, log) = fusebox(&line, home, "worker", "Joined");
    let task = client.submit("sleep", b"").await.unwrap();
    eventually("the run", PATIENCE, || async { (client.task(&task).await.ok()?["status"] == "RUNNING").then_some(()) })
        .await
        .unwrap();
    let key = client.post_json("/v1/keys", &json!({"name": "first", "scope": "admin"})).await.unwrap().json().unwrap();
    let key = format!("Bearer {}", key["key"].as_str().unwrap());
    let auth = [("authorization", key.as_str())];
    for log in [&log, host_log] {
        assert!(logged(log, "openssl rand -hex 32").await.contains("--join-token"));
    }
    // Not consumed, and without waiting for a silence, since the worker was not silent.
    eventually("the attempt's return", PATIENCE, || async {
        let answer = client.send(reqwest::Method::GET, &format!("/v1/tasks/{task}"), &auth, []).await.ok()?;
        (answer.json().ok()?["status"] == "QUEUED").then_some(())
    })
    .await
    .unwrap();
    let said = std::fs::read_to_string(host_log).unwrap();
    assert!(said.contains("a worker has left") && !said.contains("silent"), "{said}");
    assert!(worker.exited(std::time::Duration::ZERO).await.is_err(), "the worker goes on trying");
    let (data, log) = (home.join("second"), home.join("second.log"));
    let mut second = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    second.args(line.split(' ')).args(["--data"]).arg(data).stderr(std::fs::File::create(&log).unwrap());
    let mut second = second.spawn().unwrap();
    logged(&log, "openssl rand -hex 32").await;
    second.kill().unwrap();
    second.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_of_a_whole_host_closes_its_workers_port() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("up.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(["up", "-m", "push", "-p", "0", "--listen", "127.0.0.1:0", "--log", "info", "--store"]);
    command.arg(home.path().join("store")).stderr(std::fs::File::create(&log).unwrap());
    let host = Program::start(command, "http://").unwrap();
    let client = Client::new(host.word("http://").unwrap());
    let url = host.word("tcp://").unwrap();
    the_first_key_closes_the_port(client, &url, "push", home.path(), &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_of_a_cluster_closes_its_dispatchers_ports() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let store = redis.url();
    let (rest, _) = fusebox(&format!("serve --listen 127.0.0.1:0 --store {store}"), home.path(), "rest", "http://");
    let client = Client::new(rest.word("http://").unwrap());
    let line = format!("dispatcher -m pull -p 0 --store {store}");
    let (dispatcher, log) = fusebox(&line, home.path(), "dispatcher", "tcp://");
    let url = dispatcher.word("tcp://").unwrap();
    the_first_key_closes_the_port(client, &url, "pull", home.path(), &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_the_change_of_its_token_and_keeps_its_run() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let store = redis.url();
    let (rest, _) = fusebox(&format!("serve --listen 127.0.0.1:0 --store {store}"), home.path(), "rest", "http://");
    let client = Client::new(rest.word("http://").unwrap());
    client.register("sleep", "&wall_ms=300000", &guests::sleep_an_hour()).await.unwrap();
    let line = |port: &str, tokens: &str| format!("dispatcher -m push -p {port} --store {store}{tokens}");
    let tokens = format!(" --join-token {OLD}");
    let (mut dispatcher, _) = fusebox(&line("0", &tokens), home.path(), "first", "tcp://");
    let url = dispatcher.word("tcp://").unwrap();
    let port = url.rsplit(':').next().unwrap().to_owned();
    let (worker, log) = fusebox(&format!("push-worker 1 {url} --join-token {OLD}"), home.path(), "worker", "Joined");
    let task = client.submit("sleep", b"").await.unwrap();
    eventually("the run", PATIENCE, || async { (client.task(&task).await.ok()?["status"] == "RUNNING").then_some(()) })
        .await
        .unwrap();
    // A dispatcher that accepts only the new token rejects this worker.
    dispatcher.kill().unwrap();
    let tokens = format!(" --join-token {NEW}");
    let (mut dispatcher, _) = fusebox(&line(&port, &tokens), home.path(), "second", "tcp://");
    logged(&log, "refuses this join token").await;
    dispatcher.kill().unwrap();
    // With both tokens the worker returns with its run, which a cancellation still reaches.
    let tokens = format!(" --join-token {NEW} --join-token {OLD}");
    let (_dispatcher, _) = fusebox(&line(&port, &tokens), home.path(), "third", "tcp://");
    worker.said("Joined").unwrap();
    let cancelled = client.send(reqwest::Method::DELETE, &format!("/v1/tasks/{task}"), &[], []).await.unwrap();
    assert_eq!(cancelled.json().unwrap()["error"]["code"], "cancelled");
    client.register("echo", "", &guests::echo()).await.unwrap();
    let next = client.submit("echo", b"next").await.unwrap();
    assert_eq!(client.ended(&next).await.unwrap()["status"], "COMPLETED", "its one slot is free again");
}
