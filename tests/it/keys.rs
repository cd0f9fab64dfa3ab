//! API keys and tenants on real hosts: the first key closes a running host, every node refuses a revoked key, no secret
//! appears in a log, an error or the store, and administrative actions are logged.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Answer, Client, Program, eventually, guests, redis::RedisServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{stderr, stdout};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `fusebox` with a key; each argument is a word of `line`.
fn fusebox(key: &str, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_clear().args(line.split(' ')).stdin(Stdio::null());
    if !key.is_empty() {
        command.env("FUSEBOX_API_KEY", key);
    }
    command.output().unwrap()
}

/// Returns the key printed by a command.
fn printed(output: &Output) -> String {
    let key = stdout(output).trim().to_owned();
    assert!(key.starts_with("fb_") && key.len() == 84, "a key, and nothing else");
    key
}

/// Creates the first key in a store.
fn first_key(store: &str) -> String {
    printed(&fusebox("", &format!("keys create --store {store} --scope admin --name operator")))
}

/// Starts a server whose log is written to a file.
fn logged(args: &[&str], log: &Path) -> (Program, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_clear().args(args).args(["--log-format", "json"]).stderr(File::create(log).unwrap());
    let program = Program::start(command, "http://").unwrap();
    let url = program.word("http://").unwrap();
    (program, url)
}

fn up(home: &TempDir, level: &str) -> (Program, String) {
    let store = home.path().join("store").display().to_string();
    logged(&["up", "--listen", "127.0.0.1:0", "--store", &store, "--log", level], &home.path().join("log"))
}

async fn with_key(client: &Client, method: Method, path: &str, key: &str, body: impl Into<Vec<u8>>) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    client.send(method, path, &headers, body).await.unwrap()
}

async fn status(client: &Client, key: &str) -> StatusCode {
    with_key(client, Method::GET, "/v1/functions", key, []).await.status
}

fn secret(key: &str) -> &str {
    key.rsplit('_').next().unwrap()
}

/// Returns the events of the audit log for administrative actions: action, tenant, actor, outcome.
fn audited(log: &str) -> Vec<(String, String, String, String)> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["target"] == "audit")
        .map(|event| (text(&event, "act"), text(&event, "tenant"), text(&event, "by_key"), text(&event, "outcome")))
        .collect()
}

/// Rotates the deploy key and then revokes it; returns the new one.
fn rotates_and_revokes(run: &dyn Fn(&str, &str) -> Output, admin: &str, deploy: &str) -> String {
    let keys: Value = serde_json::from_str(&stdout(&run(admin, "keys list --output json"))).unwrap();
    assert_eq!(
        (&keys[0]["name"], &keys[0]["status"], &keys[1]["scope"]),
        (&json!("owner"), &json!("good"), &json!("deploy"))
    );
    let id = keys[1]["id"].as_str().unwrap();
    let rotated = printed(&run(admin, &format!("keys rotate {id} --grace 1h")));
    for key in [deploy, &rotated] {
        assert_eq!(stdout(&run(key, "invoke echo --data both")), "both");
    }
    assert!(stdout(&run(admin, &format!("keys revoke {id}"))).contains("revoked"));
    assert!(stderr(&run(deploy, "functions")).contains("unauthorized: "));
    assert!(stderr(&run(admin, &format!("keys rotate {id}"))).contains("key-ended: "));
    rotated
}

/// Tests the actions permitted to a deploy key.
fn deploys_and_sets(run: &dyn Fn(&str, &str) -> Output, deploy: &str, home: &TempDir) {
    let module = home.path().join("echo.wasm");
    fs::write(&module, guests::echo()).unwrap();
    stdout(&run(deploy, &format!("deploy {} --name echo", module.display())));
    assert_eq!(stdout(&run(deploy, "invoke echo --data mine")), "mine");
    assert_eq!(stdout(&run(deploy, "invoke echo --data mine --task")), "mine");
    stdout(&run(deploy, "config set echo MODE=canary-of-config"));
    stdout(&run(deploy, "config unset echo MODE"));
    stdout(&run(deploy, "secrets set echo TOKEN"));
    assert!(stderr(&run(deploy, "secrets unset echo OTHER")).contains("setting-not-found: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_one_process_with_keys_from_end_to_end() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store").display().to_string();
    let refused = fusebox("", &format!("up --listen 0.0.0.0:0 --store {store}"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("fusebox keys create --store"), "{}", stderr(&refused));

    let operator = first_key(&store);
    // The lowest log level still contains administrative actions, and the highest contains no secret.
    let (host, url) = up(&home, "trace");
    let run = |key: &str, line: &str| fusebox(key, &format!("{line} --url {url}"));
    let locked = fusebox(&operator, &format!("keys list --store {store}"));
    assert!(stderr(&locked).contains("leave --store out"), "{}", stderr(&locked));
    for line in ["functions", "tasks", "workers", "keys list", "tenants list", "invoke echo --data x"] {
        let output = run("", line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(
            stderr(&output).contains("unauthorized: ") && stderr(&output).contains("fusebox keys create"),
            "{line}"
        );
    }

    assert!(stdout(&run(&operator, "tenants create acme")).contains("acme is there"));
    let admin = printed(&run(&operator, "keys create --tenant acme --scope admin --name owner"));
    let deploy = printed(&run(&admin, "keys create --scope deploy --life 90d"));
    deploys_and_sets(&run, &deploy, &home);
    assert!(stderr(&run(&operator, "invoke echo --data x")).contains("function-not-found"));
    assert!(stderr(&run(&deploy, "keys list")).contains("forbidden: "));
    assert!(stderr(&run(&admin, "tenants list")).contains("forbidden: "));
    assert!(stderr(&run(&admin, "keys list --tenant default")).contains("tenant-not-found: "));

    let rotated = rotates_and_revokes(&run, &admin, &deploy);
    assert!(stdout(&run(&operator, "tenants delete acme")).contains("gone"));
    assert!(stderr(&run(&rotated, "functions")).contains("unauthorized: "));
    assert!(stderr(&run(&operator, "tenants create acme")).contains("tenant-exists: "));

    drop(host);
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    let database = fs::read(home.path().join("store").join("db").join("store.redb")).unwrap();
    for key in [&admin, &deploy, &rotated] {
        assert!(!log.contains(secret(key)), "a secret is in the log");
        assert!(!database.windows(64).any(|bytes| bytes == secret(key).as_bytes()), "a secret is in the store");
    }
    assert!(!log.contains("canary-of-config"), "a configuration value is in the log");
    let acts = audited(&log);
    let [operator_id, deploy_id] = [&operator, &deploy].map(|key| key.split('_').nth(1).unwrap());
    for (act, by, outcome) in [
        ("tenant-created", operator_id, "ok"),
        ("key-created", operator_id, "ok"),
        ("function-registered", deploy_id, "ok"),
        ("config-set", deploy_id, "ok"),
        ("config-unset", deploy_id, "ok"),
        ("secret-set", deploy_id, "ok"),
        ("secret-unset", deploy_id, "setting-not-found"),
        ("key-rotated", admin.split('_').nth(1).unwrap(), "ok"),
        ("key-rotated", admin.split('_').nth(1).unwrap(), "key-ended"),
        ("key-revoked", admin.split('_').nth(1).unwrap(), "ok"),
        // One denial of each tenant is logged per second: the first, whichever key it concerns.
        ("denied", deploy_id, "forbidden"),
        ("tenant-deleted", operator_id, "ok"),
        ("tenant-created", operator_id, "tenant-exists"),
    ] {
        assert!(acts.iter().any(|(was, _, who, came)| was == act && who == by && came == outcome), "{act}: {acts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_host_was_given_is_in_no_log_and_no_dump() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store").display().to_string();
    let key = first_key(&store);
    let (host, url) = up(&home, "trace");
    let client = Client::new(&url);
    assert_eq!(status(&client, &key).await, StatusCode::OK);
    assert_eq!(status(&client, &key.replace("fb_", "fb_0")).await, StatusCode::UNAUTHORIZED);
    let made = with_key(&client, Method::POST, "/v1/tenants", &key, r#"{"name":"acme"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let path = home.path().join("log");
    let is_written = || async { fs::read_to_string(&path).ok().filter(|log| log.contains("tenant-created")) };
    let log = eventually("the log", PATIENCE, is_written).await.unwrap();
    drop(host);
    assert!(!log.contains(secret(&key)), "a secret is in the log");
    for line in
        ["functions --dump-config", "invoke echo --data x --log trace", "invoke --help", "keys list --log trace"]
    {
        let output = fusebox(&key, &format!("{line} --url http://127.0.0.1:1"));
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert!(!told.contains(secret(&key)), "{line}");
    }
    let dump = stdout(&fusebox(&key, "functions --dump-config"));
    assert!(dump.contains("# api-key is set by the environment"), "{dump}");
}

/// Two REST nodes on one Redis.
struct Nodes {
    nodes: Vec<(Program, Client)>,
    redis: RedisServer,
    home: TempDir,
}

impl Nodes {
    fn new() -> Self {
        let (redis, home) = (RedisServer::start(&[]).unwrap(), tempfile::tempdir().unwrap());
        let mut nodes = Self { nodes: Vec::new(), redis, home };
        for number in 0..2 {
            let (data, log) =
                (nodes.home.path().join(format!("data{number}")), nodes.home.path().join(format!("{number}")));
            let data = data.display().to_string();
            let args =
                ["serve", "--listen", "127.0.0.1:0", "--store", &nodes.redis.url(), "--data", &data, "--log", "warn"];
            let (program, url) = logged(&args, &log);
            nodes.nodes.push((program, Client::new(url)));
        }
        nodes
    }

    fn client(&self, number: usize) -> &Client {
        &self.nodes[number].1
    }

    /// Returns the time until a node answers a key with the expected status.
    async fn answers(&self, number: usize, key: &str, expected: StatusCode) -> Duration {
        let from = Instant::now();
        let answered = || async { (status(self.client(number), key).await == expected).then_some(()) };
        eventually("the node's answer", PATIENCE, answered).await.unwrap();
        from.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_hears_of_the_first_key_and_of_revoked_ones() {
    let cluster = Nodes::new();
    for number in 0..2 {
        assert_eq!(cluster.client(number).get("/v1/functions").await.unwrap().status, StatusCode::OK);
        let foreign = cluster.client(number).send(Method::GET, "/v1/functions", &[("host", "evil.example")], []).await;
        assert_eq!(foreign.unwrap().code(), "foreign-origin");
    }
    let operator = first_key(&cluster.redis.url());
    for number in 0..2 {
        let took = cluster.answers(number, "none", StatusCode::UNAUTHORIZED).await;
        println!("node {number} wanted a key {took:?} after the first was made");
        assert_eq!(status(cluster.client(number), &operator).await, StatusCode::OK);
        let foreign = cluster.client(number).send(Method::GET, "/healthz", &[("host", "evil.example")], []).await;
        assert_eq!(foreign.unwrap().status, StatusCode::OK, "keys protect the host, whatever it is called");
    }

    let (one, other) = (cluster.client(0), cluster.client(1));
    let body = r#"{"scope":"deploy","name":"ci"}"#;
    let made = with_key(one, Method::POST, "/v1/keys", &operator, body).await.json().unwrap();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(status(other, key).await, StatusCode::OK, "a new key is good everywhere at once");
    let revoked = with_key(one, Method::DELETE, &format!("/v1/keys/{id}"), &operator, []).await;
    assert_eq!(revoked.json().unwrap()["status"], "revoked");
    assert_eq!(status(one, key).await, StatusCode::UNAUTHORIZED, "at once where it was revoked");
    let took = cluster.answers(1, key, StatusCode::UNAUTHORIZED).await;
    println!("the other node refused a revoked key after {took:?}");

    // Without a notification, it takes at most the time for which a key is trusted.
    let made = with_key(one, Method::POST, "/v1/keys", &operator, body).await.json().unwrap();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(status(one, key).await, StatusCode::OK);
    cluster.redis.command(&["HSET", &format!("fusebox:key:{id}"), "revoked_at", "1"]).unwrap();
    let took = cluster.answers(0, key, StatusCode::UNAUTHORIZED).await;
    println!("a node that was not told refused a revoked key after {took:?}");

    let mut dump = String::new();
    for name in cluster.redis.command(&["KEYS", "fusebox:key*"]).unwrap().lines() {
        let kind = if name.contains(":key:") { "HGETALL" } else { "TYPE" };
        dump.push_str(&cluster.redis.command(&[kind, name]).unwrap());
    }
    assert!(dump.contains("operator") && !dump.contains(secret(&operator)) && !dump.contains(secret(key)), "{dump}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_platforms_routes_work_with_a_key_in_its_own_tenant() {
    let cluster = Nodes::new();
    let operator = first_key(&cluster.redis.url());
    let run = |line: &str| fusebox("", &format!("{line} --store {}", cluster.redis.url()));
    stdout(&run("tenants create acme"));
    let key = printed(&run("keys create --tenant acme --scope deploy"));
    let (one, other) = (cluster.client(0), cluster.client(1));
    let register = json!({"name": "echo", "payload": BASE64.encode(guests::echo())}).to_string();
    let function = with_key(one, Method::POST, "/register_function", &key, register).await.json().unwrap();
    let execute = json!({"function_id": function["function_id"], "payload": BASE64.encode("x")}).to_string();
    let foreign = with_key(one, Method::POST, "/execute_function", &operator, execute.clone()).await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, "function-not-found".to_owned()));
    let task = with_key(other, Method::POST, "/execute_function", &key, execute).await.json().unwrap();
    let id = task["task_id"].as_str().unwrap();
    let path = format!("/status/{id}");
    assert_eq!(with_key(one, Method::GET, &path, &key, []).await.json().unwrap()["status"], "QUEUED");
    assert_eq!(with_key(one, Method::GET, &path, &operator, []).await.status, StatusCode::NOT_FOUND);
    assert_eq!(one.get(&path).await.unwrap().status, StatusCode::UNAUTHORIZED);
    let listed = stdout(&run("tenants list --output json"));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("acme"), &json!("default")));
}
