//! Granted capabilities: configuration, secrets and a namespace, in every mode and on both stores.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use fusebox_core::{
    capability::{self, HostCall, HttpRequest, KvKey, Refusal},
    dispatch::Mode,
    id::{LeaseToken, WorkerId},
    name::TenantId,
    wire::{self, AttemptId, AttemptReport, End, FromDispatcher, FromWorker, HeldAttempt, Join},
};
use fusebox_harness::{Client, Program, Server, guests, redis::RedisServer};
use fusebox_link::{Direct, Link, connect};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::server;

mod typed;

const BINARY: &str = env!("CARGO_BIN_EXE_fusebox");
const ALL: &str = "&grants=config,secrets,kv";
const SECRET: &str = "correct horse battery staple";

/// Runs a task that makes a host call; returns the result and the kept answer.
async fn ask(client: &Client, function: &str, question: &str) -> (i64, Vec<u8>) {
    let task = client.submit(function, question.as_bytes()).await.unwrap();
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["status"], "COMPLETED", "{question}: {ended}");
    let output = BASE64.decode(ended["result"].as_str().unwrap()).unwrap();
    let (number, kept) = output.split_at(8);
    (i64::from_le_bytes(number.try_into().unwrap()), kept.to_vec())
}

async fn set(client: &Client, path: &str, value: &str) {
    let answer = client.send(Method::PUT, path, &[], value).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}: {answer}");
}

/// Tests the capabilities of functions; `client` uses REST, regardless of where runs take place.
async fn functions_use_what_they_are_granted(client: &Client) {
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    client.register("other", ALL, &guests::keeper()).await.unwrap();
    settings_are_read(client).await;
    settings_are_environment_variables(client).await;
    a_value_is_kept_until_it_is_deleted(client).await;
    other_functions_see_nothing_of_it(client).await;
}

async fn settings_are_read(client: &Client) {
    set(client, "/v1/functions/keeper/config/CITY", "Trondheim").await;
    set(client, "/v1/functions/keeper/secrets/KEY", SECRET).await;
    assert_eq!(ask(client, "keeper", "cCITY").await, (9, b"Trondheim".to_vec()));
    assert_eq!(ask(client, "keeper", "sKEY").await, (28, SECRET.as_bytes().to_vec()));
    assert_eq!(ask(client, "keeper", "cKEY").await, (-1, Vec::new()), "a secret is no configuration");
}

async fn settings_are_environment_variables(client: &Client) {
    for (name, grants, expected) in
        [("shown", "&grants=config", "LEVEL=3\0CITY=Trondheim\0"), ("hidden", "", "LEVEL=3\0")]
    {
        client.register(name, &format!("{grants}&env=LEVEL%3D3"), &guests::environment()).await.unwrap();
        set(client, &format!("/v1/functions/{name}/config/CITY"), "Trondheim").await;
        set(client, &format!("/v1/functions/{name}/config/LEVEL"), "9").await;
        let task = client.submit(name, b"").await.unwrap();
        let ended = client.ended(&task).await.unwrap();
        assert_eq!(ended["result"], BASE64.encode(expected), "{name}: {ended}");
    }
}

async fn a_value_is_kept_until_it_is_deleted(client: &Client) {
    let (revision, _) = ask(client, "keeper", "pkvalue").await;
    assert!(revision >= 1);
    let kept = [&revision.to_le_bytes()[..], b"value"].concat();
    assert_eq!(ask(client, "keeper", "gk").await, (13, kept));
    let listed = |key: &str| [&[0; 4], &u32::try_from(key.len()).unwrap().to_le_bytes()[..], key.as_bytes()].concat();
    assert_eq!(ask(client, "keeper", "kk").await.1, listed("k"));
    assert_eq!(ask(client, "keeper", "kother").await, (4, vec![0; 4]));
    for deleted in [1, 0] {
        assert_eq!(ask(client, "keeper", "dk").await.0, deleted);
    }
    assert_eq!(ask(client, "keeper", "gk").await.0, -1);
}

async fn other_functions_see_nothing_of_it(client: &Client) {
    ask(client, "keeper", "pkvalue").await;
    for question in ["cCITY", "sKEY", "gk"] {
        assert_eq!(ask(client, "other", question).await, (-1, Vec::new()), "{question}");
    }
}

/// Increments the same number in many concurrent tasks.
async fn no_increment_is_lost(client: &Client, tasks: usize) {
    join_all((0..tasks).map(|_| ask(client, "keeper", "i"))).await;
    let (_, kept) = ask(client, "keeper", "gn").await;
    assert_eq!(kept[8..], (tasks as u64).to_le_bytes(), "each of them counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_the_hosts_process_are_answered() {
    let (server, _home) = server(&[]);
    let client = server.client();
    functions_use_what_they_are_granted(&client).await;
    no_increment_is_lost(&client, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_invokes_are_answered_too() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    set(&client, "/v1/functions/keeper/config/CITY", "Trondheim").await;
    let invoked = client.post("/v1/functions/keeper/invoke", "cCITY").await.unwrap();
    assert_eq!(&invoked.body[8..], b"Trondheim");
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_grants_than_a_module_needs_are_refused() {
    let (server, _home) = server(&[]);
    let refused = server.client().register("keeper", "&grants=kv", &guests::keeper()).await.unwrap_err().to_string();
    assert!(refused.contains("grant-required") && refused.contains("config,secrets"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_cannot_be_read_on_disk() {
    let (server, home) = server(&[]);
    let client = server.client();
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    set(&client, "/v1/functions/keeper/secrets/KEY", SECRET).await;
    for file in files(&home) {
        let bytes = std::fs::read(&file).unwrap();
        let is_there = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!is_there, "{}: the secret can be read", file.display());
    }
}

fn files(home: &TempDir) -> Vec<std::path::PathBuf> {
    let (mut dirs, mut files) = (vec![home.path().to_owned()], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_in_processes_of_their_own_are_answered() {
    let (server, _home) = server(&["--isolate", "process"]);
    let client = server.client();
    functions_use_what_they_are_granted(&client).await;
    no_increment_is_lost(&client, 50).await;
}

async fn workers_of_other_processes_are_answered(mode: &str) {
    let (server, home) = server(&["-m", mode, "-p", "0"]);
    let url = server.program().word("tcp://").unwrap();
    let mut worker = Command::new(BINARY);
    worker.args([&format!("{mode}-worker"), "4", &url, "--log", "warn", "--data"]).arg(home.path().join("worker"));
    let _worker = Program::start(worker, "Joined").unwrap();
    let client = server.client();
    functions_use_what_they_are_granted(&client).await;
    no_increment_is_lost(&client, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn push_workers_are_answered() {
    workers_of_other_processes_are_answered("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_workers_are_answered() {
    workers_of_other_processes_are_answered("pull").await;
}

/// A REST node and a dispatcher around Redis, with or without a key for secrets.
struct Cluster {
    client: Client,
    _parts: Vec<Program>,
    _redis: RedisServer,
    _home: TempDir,
}

fn cluster(mode: &str, with_key: bool) -> Cluster {
    let (redis, home) = (RedisServer::start(&[]).unwrap(), tempfile::tempdir().unwrap());
    let key = home.path().join("secrets.key");
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let command = |args: &[&str], has_store: bool, data: &str| {
        let mut command = Command::new(BINARY);
        command.args(args).args(["--log", "warn", "--data"]).arg(home.path().join(data));
        if has_store {
            command.args(["--store", &redis.url()]);
        }
        if has_store && with_key {
            command.arg("--secrets-key").arg(&key);
        }
        command.env_remove("FUSEBOX_SECRETS_KEY");
        command
    };
    let rest = Program::start(command(&["serve", "--listen", "127.0.0.1:0"], true, "rest"), "http://").unwrap();
    let client = Client::new(rest.word("http://").unwrap());
    let dispatcher = command(&["dispatcher", "-m", mode, "-p", "0", "-w", "2"], true, "rest");
    let dispatcher = Program::start(dispatcher, "Dispatcher").unwrap();
    let mut parts = vec![rest];
    if mode != "local" {
        let url = dispatcher.word("tcp://").unwrap();
        let worker = command(&[&format!("{mode}-worker"), "4", &url], false, "worker");
        parts.push(Program::start(worker, "Joined").unwrap());
    }
    parts.push(dispatcher);
    Cluster { client, _parts: parts, _redis: redis, _home: home }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_around_redis_are_answered_in_every_mode() {
    for mode in ["local", "push", "pull"] {
        let cluster = cluster(mode, true);
        functions_use_what_they_are_granted(&cluster.client).await;
        no_increment_is_lost(&cluster.client, 30).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_secrets_are_refused_with_the_way_to_one() {
    let cluster = cluster("local", false);
    let client = &cluster.client;
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    let answer = client.send(Method::PUT, "/v1/functions/keeper/secrets/KEY", &[], SECRET).await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{answer}");
    let detail = answer.json().unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("openssl rand -hex 32") && detail.contains("--secrets-key"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_configuration_is_still_read() {
    let cluster = cluster("local", false);
    cluster.client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    set(&cluster.client, "/v1/functions/keeper/config/CITY", "Trondheim").await;
    assert_eq!(ask(&cluster.client, "keeper", "cCITY").await.0, 9);
}

#[test]
fn a_file_without_a_key_is_refused_with_the_way_to_one() {
    let home = tempfile::tempdir().unwrap();
    let refused = Command::new(BINARY).args(["serve", "--secrets-key"]).arg(home.path()).output().unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("openssl rand -hex 32"));
}

/// A worker that makes calls it is not entitled to.
struct Liar(Link);

impl Liar {
    async fn join(url: &str) -> Self {
        let liar = Self(connect(url, None, &Direct).await.unwrap());
        liar.say(&FromWorker::Join(Join {
            worker: WorkerId::from_bytes([9; 16]),
            mode: Mode::Push,
            name: "liar".to_owned(),
            version: "1".to_owned(),
            slots: 4,
            capacity: 4,
            held: Vec::new(),
        }));
        liar.say(&FromWorker::Credit { slots: 1 });
        liar
    }

    fn say(&self, message: &FromWorker) {
        self.0.sender.send(wire::encode(message).unwrap().into()).unwrap();
    }

    async fn assigned(&mut self) -> HeldAttempt {
        loop {
            let bytes = self.0.receiver.recv().await.expect("the link stays");
            if let FromDispatcher::Run { attempts, .. } = wire::decode(&bytes).unwrap() {
                return attempts[0].held;
            }
        }
    }

    async fn ask(&mut self, number: u64, held: HeldAttempt, call: HostCall) -> Result<capability::HostAnswer, Refusal> {
        self.say(&FromWorker::Call { number, tenant: TenantId::default_tenant(), held, call });
        loop {
            let bytes = self.0.receiver.recv().await.expect("the link stays");
            match wire::decode(&bytes).unwrap() {
                FromDispatcher::Answer { number: of, answer } if of == number => return answer,
                _ => {}
            }
        }
    }
}

fn get() -> HostCall {
    HostCall::KvGet(KvKey::try_from(Bytes::from_static(b"key")).unwrap())
}

/// Starts a host with a function that is granted `kv` alone, and a worker that holds an attempt of it.
async fn held() -> (Server, TempDir, Liar, HeldAttempt) {
    let (server, home) = server(&["-m", "push", "-p", "0"]);
    let client = server.client();
    client.register("granted", "&grants=kv", &guests::echo()).await.unwrap();
    set(&client, "/v1/functions/granted/secrets/KEY", SECRET).await;
    set(&client, "/v1/functions/granted/config/CITY", "Trondheim").await;
    let mut liar = Liar::join(&server.program().word("tcp://").unwrap()).await;
    client.submit("granted", b"").await.unwrap();
    let held = liar.assigned().await;
    (server, home, liar, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_answered_only_what_its_attempts_function_was_granted() {
    let (_server, _home, mut liar, held) = held().await;
    assert_eq!(liar.ask(1, held, get()).await, Err(Refusal::Absent), "this is granted");
    let others = [HostCall::Secret("KEY".parse().unwrap()), HostCall::Config("CITY".parse().unwrap())];
    for (number, call) in (2..).zip(others) {
        assert_eq!(liar.ask(number, held, call).await, Err(Refusal::Refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_sends_no_requests_for_a_worker() {
    let (_server, _home, mut liar, held) = held().await;
    let request = HttpRequest::try_from(Bytes::from_static(b"GET http://127.0.0.1/\n\n")).unwrap();
    assert_eq!(liar.ask(1, held, HostCall::Http(request)).await, Err(Refusal::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_answered_for_no_attempt_that_it_does_not_hold() {
    let (_server, _home, mut liar, held) = held().await;
    let forged = HeldAttempt { token: LeaseToken([7; 16]), ..held };
    let later = HeldAttempt { id: AttemptId { attempt: held.id.attempt + 1, ..held.id }, ..held };
    for (number, claimed) in [(1, forged), (2, later)] {
        assert_eq!(liar.ask(number, claimed, get()).await, Err(Refusal::Refused));
    }
    let report = AttemptReport { held, cpu_us: 1, end: End::Interrupted };
    liar.say(&FromWorker::Reports(vec![report]));
    assert_eq!(liar.ask(3, held, get()).await, Err(Refusal::Refused), "the attempt is over");
}
