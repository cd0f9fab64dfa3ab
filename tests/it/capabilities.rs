//! Granted capabilities: configuration, secrets and a namespace, in every mode and on both stores.

use std::process::{Command, Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use fusebox_core::{
    capability::{self, HostCall, HttpRequest, KvKey, Refusal},
    dispatch::Mode,
    id::{LeaseToken, WorkerId},
    name::TenantId,
    wire::{self, AttemptId, AttemptReport, End, FromDispatcher, FromWorker, HeldAttempt, Join},
};
use fusebox_harness::{Client, Program, guests, redis::RedisServer};
use fusebox_link::{Direct, Link, connect};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::server;

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

/// Tests every capability of a function; `client` uses REST, regardless of where runs take place.
async fn a_function_keeps_its_own(client: &Client) {
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    client.register("other", ALL, &guests::keeper()).await.unwrap();
    set(client, "/v1/functions/keeper/config/CITY", "Trondheim").await;
    set(client, "/v1/functions/keeper/secrets/KEY", SECRET).await;
    assert_eq!(ask(client, "keeper", "cCITY").await, (9, b"Trondheim".to_vec()));
    assert_eq!(ask(client, "keeper", "sKEY").await, (28, SECRET.as_bytes().to_vec()));
    assert_eq!(ask(client, "keeper", "cKEY").await, (-1, Vec::new()), "a secret is no configuration");
    let (revision, _) = ask(client, "keeper", "pkvalue").await;
    assert!(revision >= 1);
    let kept = [&revision.to_le_bytes()[..], b"value"].concat();
    assert_eq!(ask(client, "keeper", "gk").await, (13, kept));
    for question in ["cCITY", "sKEY", "gk"] {
        assert_eq!(ask(client, "other", question).await, (-1, Vec::new()), "{question} is another function's");
    }
    assert_eq!(ask(client, "keeper", "dk").await.0, 1);
    assert_eq!(ask(client, "keeper", "dk").await.0, 0);
    assert_eq!(ask(client, "keeper", "gk").await.0, -1);
    let refused = client.register("keeper", "&grants=kv", &guests::keeper()).await.unwrap_err().to_string();
    assert!(refused.contains("grant-required") && refused.contains("config,secrets"), "{refused}");
}

/// Increments the same number in many concurrent tasks.
async fn no_increment_is_lost(client: &Client, tasks: usize) {
    join_all((0..tasks).map(|_| ask(client, "keeper", "i"))).await;
    let (_, kept) = ask(client, "keeper", "gn").await;
    assert_eq!(kept[8..], (tasks as u64).to_le_bytes(), "each of them counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_the_hosts_process_are_answered() {
    let (server, home) = server(&[]);
    let client = server.client();
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    set(&client, "/v1/functions/keeper/secrets/KEY", SECRET).await;
    for file in files(&home) {
        let bytes = std::fs::read(&file).unwrap();
        let is_there = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!is_there, "{}: the secret can be read", file.display());
    }
    a_function_keeps_its_own(&client).await;
    no_increment_is_lost(&client, 100).await;
    let invoked = client.post("/v1/functions/keeper/invoke", "cCITY").await.unwrap();
    assert_eq!(&invoked.body[8..], b"Trondheim", "the short path is answered too");
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
    a_function_keeps_its_own(&client).await;
    no_increment_is_lost(&client, 50).await;
}

async fn workers_of_other_processes_are_answered(mode: &str) {
    let (server, home) = server(&["-m", mode, "-p", "0"]);
    let url = server.program().word("tcp://").unwrap();
    let mut worker = Command::new(BINARY);
    worker.args([&format!("{mode}-worker"), "4", &url, "--log", "warn", "--data"]).arg(home.path().join("worker"));
    let _worker = Program::start(worker, "Joined").unwrap();
    let client = server.client();
    a_function_keeps_its_own(&client).await;
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
    home: TempDir,
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
    Cluster { client, _parts: parts, _redis: redis, home }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_around_redis_are_answered_in_every_mode() {
    for mode in ["local", "push", "pull"] {
        let cluster = cluster(mode, true);
        a_function_keeps_its_own(&cluster.client).await;
        no_increment_is_lost(&cluster.client, 30).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_secrets_are_refused_and_the_way_to_one_is_told() {
    let cluster = cluster("local", false);
    let client = &cluster.client;
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    let answer = client.send(Method::PUT, "/v1/functions/keeper/secrets/KEY", &[], SECRET).await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{answer}");
    let detail = answer.json().unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("openssl rand -hex 32") && detail.contains("--secrets-key"), "{detail}");
    set(client, "/v1/functions/keeper/config/CITY", "Trondheim").await;
    assert_eq!(ask(client, "keeper", "cCITY").await.0, 9);
    let bad = Command::new(BINARY).args(["serve", "--secrets-key"]).arg(cluster.home.path()).output().unwrap();
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("openssl rand -hex 32"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_deploys_with_grants_and_sets_what_runs_are_told() {
    let (server, home) = server(&[]);
    let wasm = home.path().join("keeper.wasm");
    std::fs::write(&wasm, guests::keeper()).unwrap();
    let run = |args: &[&str], stdin: &str| {
        let mut command = Command::new(BINARY);
        command.args(args).args(["--url", server.url()]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let file = wasm.to_str().unwrap();
    let (ended, said) = run(&["deploy", file, "--grant", "kv"], "");
    assert!(!ended && said.contains("--grant config --grant secrets"), "{said}");
    let (ended, said) = run(&["deploy", file, "--grant", "kv", "--grant", "config", "--grant", "secrets"], "");
    assert!(ended && said.contains("Granted: config, secrets, kv"), "{said}");
    let more =
        ["deploy", file, "--grant", "kv", "--grant", "config", "--grant", "secrets", "--grant", "http=a.example.com"];
    let (ended, said) = run(&more, "");
    assert!(ended && said.contains("New since the version before: http=a.example.com"), "{said}");
    assert!(run(&["functions", "keeper"], "").1.contains("config,secrets,kv,http=a.example.com"));

    assert!(run(&["config", "set", "keeper", "CITY=Oslo", "EMPTY="], "").0);
    assert!(run(&["secrets", "set", "keeper", "KEY"], "hunter2\n").0);
    let client = server.client();
    assert_eq!(ask(&client, "keeper", "cCITY").await, (4, b"Oslo".to_vec()));
    assert_eq!(ask(&client, "keeper", "cEMPTY").await, (0, Vec::new()));
    assert_eq!(ask(&client, "keeper", "sKEY").await, (7, b"hunter2".to_vec()));
    assert!(run(&["config", "list", "keeper"], "").1.contains("Oslo"));
    let (_, listed) = run(&["secrets", "list", "keeper"], "");
    assert!(listed.contains("KEY") && !listed.contains("hunter2"), "{listed}");
    assert!(run(&["config", "unset", "keeper", "CITY"], "").0 && run(&["secrets", "unset", "keeper", "KEY"], "").0);
    assert_eq!(ask(&client, "keeper", "sKEY").await.0, -1);

    // Deleting the last version of a function deletes all of its data.
    ask(&client, "keeper", "pkvalue").await;
    assert!(run(&["functions", "keeper", "--delete"], "").0);
    client.register("keeper", ALL, &guests::keeper()).await.unwrap();
    assert_eq!(ask(&client, "keeper", "gk").await.0, -1);
    assert_eq!(ask(&client, "keeper", "cEMPTY").await.0, -1);
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
            match wire::decode(&bytes).unwrap() {
                FromDispatcher::Assign(batch) => return batch[0].held,
                FromDispatcher::AssignExtra(assignment) => return assignment.held,
                _ => {}
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

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_told_only_what_the_attempts_that_it_holds_are_granted() {
    let (server, _home) = server(&["-m", "push", "-p", "0"]);
    let client = server.client();
    client.register("granted", "&grants=kv", &guests::echo()).await.unwrap();
    set(&client, "/v1/functions/granted/secrets/KEY", SECRET).await;
    set(&client, "/v1/functions/granted/config/CITY", "Trondheim").await;
    let mut liar = Liar::join(&server.program().word("tcp://").unwrap()).await;
    client.submit("granted", b"").await.unwrap();
    let held = liar.assigned().await;
    let get = || HostCall::KvGet(KvKey::try_from(Bytes::from_static(b"key")).unwrap());
    assert_eq!(liar.ask(1, held, get()).await, Err(Refusal::Absent), "this is granted");
    for (number, call) in
        [(2, HostCall::Secret("KEY".parse().unwrap())), (3, HostCall::Config("CITY".parse().unwrap()))]
    {
        assert_eq!(liar.ask(number, held, call).await, Err(Refusal::Refused));
    }
    let request = HttpRequest::try_from(Bytes::from_static(b"GET http://127.0.0.1/\n\n")).unwrap();
    assert_eq!(
        liar.ask(4, held, HostCall::Http(request)).await,
        Err(Refusal::Refused),
        "a dispatcher sends no requests"
    );
    let forged = HeldAttempt { token: LeaseToken([7; 16]), ..held };
    let later = HeldAttempt { id: AttemptId { attempt: held.id.attempt + 1, ..held.id }, ..held };
    for (number, claimed) in [(5, forged), (6, later)] {
        assert_eq!(liar.ask(number, claimed, get()).await, Err(Refusal::Refused));
    }
    let report = AttemptReport { held, cpu_us: 1, end: End::Interrupted };
    liar.say(&FromWorker::Reports(vec![report]));
    assert_eq!(liar.ask(7, held, get()).await, Err(Refusal::Refused), "the attempt is over");
}
