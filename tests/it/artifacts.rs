//! Compilation for workers: a worker with a join token receives compiled modules, others compile for themselves.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, Program, eventually, guests, redis::RedisServer};
use serde_json::Value;
use tempfile::TempDir;

use crate::server;

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-that-only-this-test-knows";

/// A process with its own directory and a readable log.
struct Part {
    program: Program,
    data: PathBuf,
    log: PathBuf,
}

impl Part {
    /// Starts a process until it prints a line that contains `ready`; each argument is a word of `line`.
    fn start(line: &str, home: &Path, name: &str, ready: &str) -> Self {
        let (data, log) = (home.join(name), home.join(format!("{name}.log")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command.args(line.split(' ')).args(["--log", "info", "--log-format", "json", "--data"]).arg(&data);
        command.stderr(File::create(&log).unwrap());
        Self { program: Program::start(command, ready).unwrap(), data, log }
    }

    /// Returns its log events with this message.
    fn logged(&self, message: &str) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(message))).collect()
    }

    /// Returns the form in which it received its only module.
    async fn form(&self) -> String {
        let here = eventually("a module", PATIENCE, || async { self.logged("a module is here").pop() }).await.unwrap();
        assert_eq!(self.logged("a module is fetched").len(), 1, "it asked for nothing else");
        assert_eq!(self.artifacts(), 1);
        here["form"].as_str().unwrap().to_owned()
    }

    fn artifacts(&self) -> usize {
        // A worker has a directory of a different name.
        let dirs = ["artifacts", "worker-artifacts"].map(|name| self.data.join(name));
        let files = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|kind| kind == "cwasm")).count()
    }
}

/// Runs `count` tasks concurrently.
async fn echoes(client: &Client, count: usize) {
    let mut tasks = Vec::new();
    for _ in 0..count {
        tasks.push(client.submit("echo", b"compiled?").await.unwrap());
    }
    for task in tasks {
        let ended = client.ended(&task).await.unwrap();
        assert_eq!(ended["result"], BASE64.encode("compiled?"), "{ended}");
    }
}

/// Returns the form in which a new worker received the module of its first task from a host on the embedded store.
async fn form_in(mode: &str, token: &str) -> String {
    let (server, _home) = server(&format!("-m {mode} -p 0{token}").split(' ').collect::<Vec<_>>());
    let url = server.program().word("tcp://").unwrap();
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let worker = Part::start(&format!("{mode}-worker 1 {url}{token}"), home.path(), "worker", "Joined");
    assert_eq!(worker.artifacts(), 0, "it is fresh");
    echoes(&server.client(), 1).await;
    worker.form().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_token_is_given_what_the_host_has_compiled() {
    for mode in ["push", "pull"] {
        assert_eq!(form_in(mode, &format!(" --join-token {TOKEN}")).await, "artifact", "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_token_compiles_for_itself() {
    for mode in ["push", "pull"] {
        assert_eq!(form_in(mode, "").await, "wasm", "{mode}");
    }
}

/// The dispatcher shares no directory with the REST node.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_compiles_once_for_all_its_workers() {
    let home: TempDir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let store = redis.url();
    let rest = Part::start(&format!("serve --listen 127.0.0.1:0 --store {store}"), home.path(), "rest", "http://");
    let client = Client::new(rest.program.word("http://").unwrap());
    // Slow enough that the first worker does not run all of them.
    client.register("echo", "", &guests::slow_echo()).await.unwrap();
    let line = format!("dispatcher -m push -p 0 --join-token {TOKEN} --store {store}");
    let dispatcher = Part::start(&line, home.path(), "dispatcher", "tcp://");
    let url = dispatcher.program.word("tcp://").unwrap();
    let line = format!("push-worker 1 {url} --join-token {TOKEN}");
    let workers = ["first", "second"].map(|name| Part::start(&line, home.path(), name, "Joined"));
    echoes(&client, 8).await;
    for worker in &workers {
        assert_eq!(worker.form().await, "artifact");
    }
    assert_eq!(dispatcher.artifacts(), 1);
    assert_eq!(dispatcher.logged("a module is compiled again").len(), 1, "one compile is enough for both");
}
