//! Network faults on the link between a dispatcher and a worker: the worker's tasks still end exactly once, other
//! workers are not delayed, and the worker resumes once the link is restored.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    process::Command,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{
    Client, Program, guests,
    namespace::Namespace,
    proxy::{Faults, Proxy},
    redis::RedisServer,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "a-token-that-only-this-test-knows";
/// Maximum duration of a test: a few leases that expire, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(200);
const BATCH: u32 = 60;

/// A cluster with one node of each kind, and one worker that is not subject to faults.
struct Cluster {
    client: Client,
    workers: SocketAddr,
    mode: &'static str,
    /// Id of the worker that is not subject to faults.
    steady: String,
    /// In the order in which they may end.
    _steady: Program,
    _dispatcher: Program,
    _rest: Program,
    _redis: RedisServer,
    home: TempDir,
}

/// Starts `fusebox` until it prints a line that contains `ready`; each argument is a word of `line`.
fn fusebox(line: &str, data: &Path, ready: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(line.split(' ')).args(["--log", "error", "--data"]).arg(data);
    Program::start(command, ready).unwrap()
}

impl Cluster {
    /// Starts the cluster; `more` holds further arguments of the dispatcher.
    async fn start(mode: &'static str, more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = |name: &str| home.path().join(name);
        let redis = RedisServer::start(&[]).unwrap();
        let store = redis.url();
        let rest = fusebox(&format!("serve --listen 127.0.0.1:0 --store {store}"), &data("rest"), "http://");
        let url = rest.word("http://").unwrap();
        let line = format!("dispatcher -m {mode} -p 0 --join-token {TOKEN} --store {store}{more}");
        let dispatcher = fusebox(&line, &data("dispatcher"), "tcp://");
        let workers = dispatcher.word("tcp://").unwrap().trim_start_matches("tcp://").parse().unwrap();
        let client = Client::new(url);
        client.register("slow-echo", "", &guests::slow_echo()).await.unwrap();
        let steady = worker(mode, workers, &data("steady"));
        let id = client.submit("slow-echo", b"whose?").await.unwrap();
        let id = client.ended(&id).await.unwrap()["receipt"]["worker"].as_str().unwrap().to_owned();
        Self {
            client,
            workers,
            mode,
            steady: id,
            _steady: steady,
            _dispatcher: dispatcher,
            _rest: rest,
            _redis: redis,
            home,
        }
    }

    /// Starts another worker, which reaches the dispatcher at `address`.
    fn worker(&self, name: &str, address: SocketAddr) -> Program {
        worker(self.mode, address, &self.home.path().join(name))
    }

    /// Submits tasks with unique inputs; returns the input of each task by id.
    async fn submit(&self, what: &str) -> BTreeMap<String, String> {
        let mut tasks = BTreeMap::new();
        for n in 0..BATCH {
            let input = format!("{what} {n}");
            let id = self.client.submit("slow-echo", input.as_bytes()).await.unwrap();
            assert_eq!(tasks.insert(id, input), None, "an id is given once");
        }
        tasks
    }

    /// Waits until all have ended with their own results; returns the records by id.
    async fn ended(&self, tasks: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
        let mut records = BTreeMap::new();
        for (id, input) in tasks {
            let task = self.client.ended(id).await.unwrap();
            assert_eq!(
                (&task["status"], &task["result"]),
                (&json!("COMPLETED"), &json!(BASE64.encode(input))),
                "{task}"
            );
            records.insert(id.clone(), task);
        }
        records
    }

    /// Returns the number of tasks that the steady worker completed before the first retried task ended.
    fn ended_meanwhile(&self, records: &BTreeMap<String, Value>) -> usize {
        let ended_at = |task: &&Value| task["ended_at"].as_str().unwrap().to_owned();
        let first = records.values().filter(|task| is_retried(task)).map(|task| ended_at(&task)).min().unwrap();
        let steady = records.values().filter(|task| worker_of(task).as_ref() == Some(&self.steady));
        steady.filter(|task| ended_at(task) < first).count()
    }

    /// Checks that ended tasks do not change.
    async fn stay(&self, records: &BTreeMap<String, Value>) {
        for (id, before) in records {
            let now = self.client.ended(id).await.unwrap();
            assert_eq!((&now["receipt"], &now["ended_at"]), (&before["receipt"], &before["ended_at"]), "{id}");
        }
    }

    /// Waits until `count` workers other than the steady one have run a task submitted from now on.
    async fn until_others_work(&self, count: usize) {
        let mut others = BTreeSet::new();
        for batch in 0.. {
            let records = self.ended(&self.submit(&format!("batch {batch}")).await).await;
            others.extend(records.values().filter_map(worker_of).filter(|worker| *worker != self.steady));
            if others.len() >= count {
                return;
            }
            assert!(batch < 30, "{} of {count} workers work again", others.len());
        }
    }
}

fn worker(mode: &str, address: SocketAddr, data: &Path) -> Program {
    fusebox(&format!("{mode}-worker 2 tcp://{address} --join-token {TOKEN}"), data, "Joined")
}

fn is_retried(task: &Value) -> bool {
    task["attempt"].as_u64() > Some(1)
}

fn worker_of(task: &Value) -> Option<String> {
    task["receipt"]["worker"].as_str().map(str::to_owned)
}

/// Places a worker behind each fault, all at the same time.
async fn tasks_end_once_behind_every_fault(mode: &'static str) {
    let cluster = Cluster::start(mode, "").await;
    let faults = [
        ("slow", Faults::delayed(Duration::from_millis(40))),
        ("sliced", Faults::sliced()),
        ("black-hole", Faults::black_hole()),
        ("deaf-worker", Faults::deaf_client()),
        ("deaf-dispatcher", Faults::deaf_target()),
        ("reset", Faults::refusing()),
    ];
    let links: Vec<_> = faults
        .into_iter()
        .map(|(name, faults)| {
            let proxy = Proxy::start(cluster.workers).unwrap();
            let worker = cluster.worker(name, proxy.address());
            (proxy, worker, faults)
        })
        .collect();
    cluster.until_others_work(links.len()).await;

    let before = cluster.submit("on the way").await;
    for (proxy, _, faults) in &links {
        proxy.set(*faults);
        if faults.refuse {
            proxy.reset();
        }
    }
    let during = cluster.submit("behind faults").await;
    let mut records = cluster.ended(&before).await;
    assert!(records.values().any(is_retried), "the faults met no run");
    records.extend(cluster.ended(&during).await);
    let meanwhile = cluster.ended_meanwhile(&records);
    assert!(meanwhile >= 5, "the steady worker ended {meanwhile} tasks while others were cut off");

    links.iter().for_each(|(proxy, ..)| proxy.heal());
    cluster.until_others_work(links.len()).await;
    // Late reports of the disconnected workers have arrived by now and changed nothing.
    cluster.stay(&records).await;
}

#[tokio::test]
async fn tasks_end_once_behind_every_fault_of_a_push_workers_link() {
    tokio::time::timeout(PATIENCE, tasks_end_once_behind_every_fault("push")).await.unwrap();
}

#[tokio::test]
async fn tasks_end_once_behind_every_fault_of_a_pull_workers_link() {
    tokio::time::timeout(PATIENCE, tasks_end_once_behind_every_fault("pull")).await.unwrap();
}

/// Packets are dropped by the kernel rather than delayed by a proxy.
#[tokio::test]
async fn a_worker_whose_cable_is_pulled_loses_its_tasks_and_works_again_later() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return println!("NOT CHECKED: {why:#}"),
    };
    let cluster = Cluster::start("push", " --bind 0.0.0.0").await;
    let address = SocketAddr::new(namespace.host().into(), cluster.workers.port());
    let data = cluster.home.path().join("inside").display().to_string();
    let line = format!("push-worker 2 tcp://{address} --join-token {TOKEN} --log error --data {data}");
    let mut command = namespace.command(env!("CARGO_BIN_EXE_fusebox"));
    command.args(line.split(' '));
    let _inside = Program::start(command, "Joined").unwrap();
    cluster.until_others_work(1).await;

    let tasks = cluster.submit("on the way").await;
    namespace.cut().unwrap();
    let records = cluster.ended(&tasks).await;
    assert!(records.values().any(is_retried), "the cut met no run");
    namespace.heal().unwrap();
    cluster.until_others_work(1).await;
    cluster.stay(&records).await;
}
