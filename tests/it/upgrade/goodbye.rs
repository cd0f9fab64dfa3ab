//! Orderly ends: no process is considered silent, and workers move to dispatchers that have work.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, eventually, guests, redis::RedisServer};
use serde_json::json;

use super::{PATIENCE, fusebox, logged};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drained_is_not_missed() {
    let home = tempfile::tempdir().unwrap();
    let up = format!("up -m push -p 0 --listen 127.0.0.1:0 --store {}", home.path().join("store").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    let log = home.path().join("up.log");
    command.args(up.split(' ')).args(["--log", "info"]).stderr(std::fs::File::create(&log).unwrap());
    let host = fusebox_harness::Program::start(command, "http://").unwrap();
    let client = Client::new(host.word("http://").unwrap());
    let url = host.word("tcp://").unwrap();
    let (mut worker, _) = fusebox(&format!("push-worker 2 {url}"), home.path(), "worker", "Joined");
    client.register("echo", "", &guests::echo()).await.unwrap();
    let task = client.submit("echo", b"in").await.unwrap();
    client.ended(&task).await.unwrap();
    worker.terminate().unwrap();
    assert!(worker.exited(PATIENCE).await.unwrap().success());
    // From then on the dispatcher has no record of it that could become silent.
    let said = logged(&log, "a worker has left").await;
    assert!(!said.contains("silent"), "{said}");
    eventually("nobody works here", PATIENCE, || async {
        let workers = client.get("/v1/workers").await.ok()?.json().ok()?;
        workers["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_a_dispatcher_that_drains_joins_the_other_one_quietly() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let store = redis.url();
    let (rest, _) = fusebox(&format!("serve --listen 127.0.0.1:0 --store {store}"), home.path(), "rest", "http://");
    let client = Client::new(rest.word("http://").unwrap());
    client.register("echo", "", &guests::echo()).await.unwrap();
    let line = format!("dispatcher -m pull -p 0 --store {store}");
    let (mut first, first_log) = fusebox(&line, home.path(), "first", "tcp://");
    let (second, _) = fusebox(&line, home.path(), "second", "tcp://");
    let [one, two] = [&first, &second].map(|dispatcher| dispatcher.word("tcp://").unwrap());
    // Nothing listens at the last address, and a name is an alias of one of the others.
    let urls = format!("{one} {} tcp://127.0.0.1:1", two.replace("127.0.0.1", "localhost"));
    let (worker, worker_log) = fusebox(&format!("pull-worker 1 {urls}"), home.path(), "worker", "Joined");
    assert_eq!(worker.ready(), format!("Joined {one}"));
    first.terminate().unwrap();
    assert!(first.exited(PATIENCE).await.unwrap().success());
    worker.said("Joined tcp://localhost").unwrap();
    let task = client.submit("echo", b"in").await.unwrap();
    assert_eq!(client.ended(&task).await.unwrap()["result"], json!(BASE64.encode("in")));
    let said = std::fs::read_to_string(first_log).unwrap();
    assert!(said.contains("drained") && !said.contains("silent"), "{said}");
    let said = std::fs::read_to_string(worker_log).unwrap();
    assert!(said.contains("has drained") && !said.contains("broken"), "{said}");
}
