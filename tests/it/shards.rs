//! REST node, dispatcher and worker around three Redis servers without a Cluster.

use std::{
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{
    Client, Program, eventually, guests,
    redis::{RedisServer, RedisShards, shards_url},
};
use reqwest::StatusCode;
use tempfile::TempDir;

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(args: &[&str], home: &TempDir, data: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(args).args(["--log", "warn", "--data"]).arg(home.path().join(data));
    command
}

/// A node of each kind around a store over these servers; they end in order.
fn nodes(url: &str, home: &TempDir) -> (Client, [Program; 3]) {
    let rest = command(&["serve", "--listen", "127.0.0.1:0", "--store", url], home, "rest");
    let rest = Program::start(rest, "http://").unwrap();
    let client = Client::new(rest.word("http://").unwrap());
    let dispatcher = command(&["dispatcher", "-m", "push", "-p", "0", "--store", url], home, "rest");
    let dispatcher = Program::start(dispatcher, "Dispatcher").unwrap();
    let worker = command(&["push-worker", "2", &dispatcher.word("tcp://").unwrap()], home, "worker");
    (client, [Program::start(worker, "Joined").unwrap(), dispatcher, rest])
}

/// Returns true if a task's partition is on the second of three servers.
fn is_on_the_second(id: &str) -> bool {
    usize::from_str_radix(&id[id.len() - 1..], 16).unwrap() % 3 == 1
}

async fn ends_with_its_input(client: &Client, id: &str) {
    let task = eventually("the end of the task", PATIENCE, || async { client.ended(id).await.ok() }).await.unwrap();
    assert_eq!(BASE64.decode(task["result"].as_str().unwrap()).unwrap(), b"in", "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_from_every_server_and_outlive_the_loss_of_one() {
    let (mut servers, home) = (RedisShards::start(&["--appendfsync", "always"]).unwrap(), tempfile::tempdir().unwrap());
    let (client, mut parts) = nodes(&servers.url(), &home);
    client.register("echo", "", &guests::echo()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(client.submit("echo", b"in").await.unwrap());
    }
    for id in &ids {
        ends_with_its_input(&client, id).await;
    }
    for server in &servers.0 {
        let tasks = server.command(&["KEYS", "task{*}:*"]).unwrap();
        assert!(ids.iter().any(|id| tasks.contains(id)), "each server has its share");
    }
    assert_eq!(client.post("/v1/functions/echo/invoke", "now").await.unwrap().body, b"now");

    // Nothing takes the tasks that wait meanwhile.
    parts[1].kill().unwrap();
    let mut waiting = Vec::new();
    while !waiting.iter().any(|id: &String| is_on_the_second(id)) || waiting.len() < 10 {
        waiting.push(client.submit("echo", b"in").await.unwrap());
    }
    servers.0[1].kill().unwrap();
    for id in &waiting {
        let found = client.get(&format!("/v1/tasks/{id}")).await.unwrap();
        match is_on_the_second(id) {
            true => {
                assert_eq!(
                    (found.status, found.code().as_str()),
                    (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable")
                );
                assert!(!found.header("retry-after").is_empty(), "{found}");
            }
            false => assert_eq!(found.status, StatusCode::OK, "{found}"),
        }
    }
    servers.0[1].restart().unwrap();
    let args = ["dispatcher", "-m", "local", "-w", "2", "--store", &servers.url()];
    let _next = Program::start(command(&args, &home, "rest"), "Dispatcher").unwrap();
    for id in &waiting {
        ends_with_its_input(&client, id).await;
    }
}

/// Returns the text of a command that fails and says nothing else.
fn refusal(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{told}");
    told
}

#[test]
fn another_order_is_refused_by_every_process_and_doctor_shows_each_server() {
    let (servers, home) = (RedisShards::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let dispatcher = ["dispatcher", "-m", "local", "--store"];
    let run = |args: &[&str], url: &str| command(&[args, &[url]].concat(), &home, "other").output().unwrap();
    let first = command(&[&dispatcher[..], &[&servers.url()]].concat(), &home, "first");
    drop(Program::start(first, "Dispatcher").unwrap());
    let mut ports = servers.0.each_ref().map(RedisServer::port);
    ports.reverse();
    let order = servers.url().split_once("://").unwrap().1.to_owned();
    for args in [&dispatcher[..], &["serve", "--listen", "127.0.0.1:0", "--store"]] {
        let told = refusal(&run(args, &shards_url(&ports)));
        assert!(told.contains(&format!("their order is {order}")), "{told}");
    }
    let told = refusal(&run(&dispatcher, &servers.0[1].url()));
    assert!(told.contains("it is shard 2 of 3") && told.contains("use redis+shard://"), "{told}");
    let doctor = |url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command.args(["doctor", "--listen", "127.0.0.1:0", "--output", "json"]).env("FUSEBOX_STORE", url);
        String::from_utf8_lossy(&command.current_dir(home.path()).output().unwrap().stdout).into_owned()
    };
    let shown = doctor(&servers.url());
    assert!(ports.iter().all(|port| shown.contains(&format!(" at 127.0.0.1:{port}"))), "{shown}");
    servers.0[2].command(&["DEL", "fusebox:shard"]).unwrap();
    let shown = doctor(&servers.url());
    assert!(
        shown.contains(&format!("127.0.0.1:{}", servers.0[2].port())) && shown.contains("SET fusebox:shard"),
        "{shown}"
    );
}
