//! REST nodes, dispatchers and workers as separate processes around a real Redis.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{
    Client, Program, eventually, guests,
    proxy::{Faults, Proxy, Way},
    redis::RedisServer,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LONG: &str = "&wall_ms=300000&fuel=300000000000";

/// Minimum remaining time of a lease of 10 s that is renewed every third of it.
const LEASE_LEFT: Duration = Duration::from_secs(6);

/// A Redis and the processes around it, which end before it does.
pub(crate) struct Cluster {
    parts: Vec<Program>,
    redis: RedisServer,
    home: TempDir,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { parts: Vec::new(), redis: RedisServer::start(&[]).unwrap(), home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str], data: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command.args(args).args(["--log", "warn", "--data"]).arg(self.home.path().join(data));
        command
    }

    pub(crate) fn rest(&mut self) -> Client {
        Client::new(self.rest_with(&[]))
    }

    /// Starts a REST node with further arguments; returns its URL.
    pub(crate) fn rest_with(&mut self, more: &[&str]) -> String {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--store", &self.redis.url()], "rest");
        command.env_remove("FUSEBOX_STORE").args(more);
        let node = Program::start(command, "http://").unwrap();
        let url = node.word("http://").unwrap();
        self.parts.push(node);
        url
    }

    pub(crate) fn dispatcher(&self, mode: &str, port: &str) -> (Program, String) {
        let args = ["dispatcher", "-m", mode, "-p", port, "-w", "2", "--store", &self.redis.url()];
        let dispatcher = Program::start(self.command(&args, "rest"), "Dispatcher").unwrap();
        let url = if mode == "local" { String::new() } else { dispatcher.word("tcp://").unwrap() };
        (dispatcher, url)
    }

    pub(crate) fn worker(&self, mode: &str, url: &str) -> Program {
        let args = [&format!("{mode}-worker"), "2", url];
        Program::start(self.command(&args, "worker"), "Joined").unwrap()
    }
}

fn output_of(task: &Value) -> Vec<u8> {
    BASE64.decode(task["result"].as_str().unwrap()).unwrap()
}

async fn reaches(client: &Client, task: &str, status: &str) {
    eventually("the task's state", PATIENCE, || async {
        let found = client.task(task).await.ok()?;
        (found["status"] == status).then_some(())
    })
    .await
    .unwrap();
}

/// Waits until a worker has received an attempt, which happens after its lease.
async fn holds_one(client: &Client) {
    eventually("a worker with an attempt", PATIENCE, || async {
        let workers = client.get("/v1/workers").await.ok()?.json().ok()?;
        (workers["items"][0]["running"] == 1).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_routes_work_in_every_mode() {
    let mut cluster = Cluster::new();
    let client = cluster.rest();
    let register = json!({"name": "echo", "payload": BASE64.encode(guests::echo())});
    let function = client.post_json("/register_function", &register).await.unwrap().json().unwrap();
    for mode in ["local", "push", "pull"] {
        let execute = json!({"function_id": function["function_id"], "payload": BASE64.encode(mode)});
        let task = client.post_json("/execute_function", &execute).await.unwrap().json().unwrap();
        let id = task["task_id"].as_str().unwrap();
        let (_dispatcher, url) = cluster.dispatcher(mode, "0");
        let _worker = (mode != "local").then(|| cluster.worker(mode, &url));
        reaches(&client, id, "COMPLETED").await;
        let result = client.get(&format!("/result/{id}")).await.unwrap().json().unwrap();
        assert_eq!(result, json!({"task_id": id, "status": "COMPLETED", "result": BASE64.encode(mode)}));
        let invoked = client.post("/v1/functions/echo/invoke", mode).await.unwrap();
        assert_eq!((invoked.status, &invoked.body[..]), (StatusCode::OK, mode.as_bytes()), "{invoked}");
    }
    eventually("the invokes' tasks to go", PATIENCE, || async {
        let tasks = client.get("/v1/tasks").await.ok()?.json().ok()?;
        (tasks["items"].as_array()?.len() == 3).then_some(())
    })
    .await
    .unwrap();
}

async fn a_dispatchers_end_costs_no_run(mode: &str) {
    let mut cluster = Cluster::new();
    let client = cluster.rest();
    // Longer than a lease, so the next dispatcher must renew it.
    client.register("sleep", "&wall_ms=12000", &guests::sleep_an_hour()).await.unwrap();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let (mut dispatcher, url) = cluster.dispatcher(mode, "0");
    let worker = cluster.worker(mode, &url);
    let task = client.submit("sleep", b"").await.unwrap();
    holds_one(&client).await;
    dispatcher.kill().unwrap();
    let killed = Instant::now();
    let (_next, _) = cluster.dispatcher(mode, url.rsplit(':').next().unwrap());
    worker.said("Joined").unwrap();
    let away = killed.elapsed();
    let echo = client.submit("echo", b"again").await.unwrap();
    assert_eq!(output_of(&client.ended(&echo).await.unwrap()), b"again");
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["error"]["code"], "deadline-exceeded");
    // On a machine so busy that starting a process takes longer than a lease, only another attempt is guaranteed.
    assert!(ended["attempt"] == 1 || away > LEASE_LEFT, "the worker was away for {away:?}: {ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_dispatchers_end_costs_no_run() {
    a_dispatchers_end_costs_no_run("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_dispatchers_end_costs_no_run() {
    a_dispatchers_end_costs_no_run("pull").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_compiles_what_a_killed_one_has_begun() {
    let mut cluster = Cluster::new();
    let (one, other) = (cluster.rest(), cluster.rest());
    let made = one.post("/v1/functions?name=slow", guests::slow_code(3_300_000)).await.unwrap();
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made}");
    let id = made.json().unwrap()["id"].as_str().unwrap().to_owned();
    let early = other.post("/v1/functions/slow/invoke", "x").await.unwrap();
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "function-compiling".to_owned()));
    cluster.parts.remove(0).kill().unwrap();
    assert_eq!(other.compiled(&id).await.unwrap(), "ready");
    let (_dispatcher, _) = cluster.dispatcher("local", "0");
    let task = other.submit("slow", b"x").await.unwrap();
    assert_eq!(other.ended(&task).await.unwrap()["status"], "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_finds_the_dispatcher_that_holds_the_lease() {
    let mut cluster = Cluster::new();
    let (one, other) = (cluster.rest(), cluster.rest());
    one.register("spin", LONG, &guests::spin()).await.unwrap();
    one.register("echo", "", &guests::echo()).await.unwrap();
    for mode in ["push", "pull"] {
        let (_idle, _) = cluster.dispatcher(mode, "0");
        let (_busy, url) = cluster.dispatcher(mode, "0");
        let _worker = cluster.worker(mode, &url);
        let tasks = [one.submit("spin", b"").await.unwrap(), other.submit("spin", b"").await.unwrap()];
        for task in &tasks {
            reaches(&one, task, "RUNNING").await;
        }
        let echo = one.submit("echo", b"waits").await.unwrap();
        for task in &tasks {
            let cancelled = other.send(Method::DELETE, &format!("/v1/tasks/{task}"), &[], []).await.unwrap();
            assert_eq!(cancelled.status, StatusCode::OK, "{cancelled}");
        }
        // Both slots were spinning, so one is free only if a guest was really stopped.
        assert_eq!(output_of(&one.ended(&echo).await.unwrap()), b"waits", "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_shown_on_every_node_while_they_are_there() {
    let mut cluster = Cluster::new();
    let client = cluster.rest();
    let (_dispatcher, url) = cluster.dispatcher("push", "0");
    let worker = cluster.worker("push", &url);
    let shown = |count: usize| {
        let client = client.clone();
        async move {
            eventually("the list of workers", PATIENCE, || async {
                let workers = client.get("/v1/workers").await.ok()?.json().ok()?;
                (workers["items"].as_array()?.len() == count).then_some(workers)
            })
            .await
            .unwrap()
        }
    };
    let workers = shown(1).await;
    assert_eq!((&workers["items"][0]["mode"], &workers["items"][0]["slots"]), (&json!("push"), &json!(2)));
    drop(worker);
    shown(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_gone_is_said_and_nothing_is_lost() {
    let mut cluster = Cluster::new();
    let client = cluster.rest();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let before = client.submit("echo", b"before").await.unwrap();
    cluster.redis.kill().unwrap();
    for (method, path) in [(Method::POST, "/v1/functions/echo/tasks"), (Method::GET, "/v1/tasks")] {
        let refused = client.send(method, path, &[], b"x").await.unwrap();
        assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable".to_owned()));
        assert!(!refused.header("retry-after").is_empty());
    }
    cluster.redis.restart().unwrap();
    let (_dispatcher, _) = cluster.dispatcher("local", "0");
    eventually("the store", PATIENCE, || async { client.task(&before).await.ok() }).await.unwrap();
    assert_eq!(output_of(&client.ended(&before).await.unwrap()), b"before");
}

fn said(output: &Output) -> String {
    assert_eq!(output.stdout, b"", "what fails says so on stderr alone");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_cannot_start_says_what_to_do() {
    let cluster = Cluster::new();
    let run = |args: &[&str]| cluster.command(args, "none").output().unwrap();
    let nowhere = run(&["dispatcher", "-m", "push", "-p", "0", "--store", "redis://user:secret@127.0.0.1:1"]);
    let text = said(&nowhere);
    assert!(nowhere.status.code() == Some(1) && text.contains("127.0.0.1:1") && !text.contains("secret"), "{text}");
    let directory = run(&["serve", "--store", "some-directory"]);
    assert!(directory.status.code() == Some(2) && said(&directory).contains("fusebox up"), "{}", said(&directory));
    let mode = run(&["dispatcher", "-m", "carrier-pigeon"]);
    assert!(mode.status.code() == Some(2) && said(&mode).contains("[possible values: local, push, pull]"));
    let (_holds, url) = cluster.dispatcher("push", "0");
    let port = url.rsplit(':').next().unwrap();
    let taken = run(&["dispatcher", "-m", "push", "-p", port, "--store", &cluster.redis.url()]);
    assert!(taken.status.code() == Some(1) && said(&taken).contains(port), "{}", said(&taken));
}

/// Answers to lease steps are lost on their way from Redis; the leased tasks still run at once, in their first attempt.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_to_leases_cost_no_attempt() {
    let mut cluster = Cluster::new();
    let client = cluster.rest();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], cluster.redis.port()).into()).unwrap();
    let store = format!("redis://{}", proxy.address());
    let args = ["dispatcher", "-m", "local", "-w", "2", "--store", &store];
    let dispatcher = Program::start(cluster.command(&args, "dispatcher"), "Dispatcher").unwrap();
    cluster.parts.push(dispatcher);
    for round in 0..3 {
        // Answers and hints are delayed so much that the connection is lost while the answer to the lease is in
        // transit.
        let to_client = Way { delay: Duration::from_millis(1_500), ..Way::default() };
        proxy.set(Faults { to_client, ..Faults::default() });
        let id = client.submit("echo", b"in").await.unwrap();
        // Reads without the proxy: the step was performed.
        let leased = || async {
            let leased = cluster.redis.command(&["HEXISTS", "fusebox:leased", &id]).ok()?;
            (leased == "1").then_some(())
        };
        eventually("the task to be leased", PATIENCE, leased).await.unwrap();
        proxy.reset();
        proxy.heal();
        let task = client.ended(&id).await.unwrap();
        assert_eq!((&task["status"], &task["attempt"]), (&json!("COMPLETED"), &json!(1)), "round {round}: {task}");
    }
}
