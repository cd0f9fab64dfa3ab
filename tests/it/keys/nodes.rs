//! API keys on two REST nodes around one Redis: each learns of the first key and of revoked ones.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, Program, eventually, guests, redis::RedisServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, first_key, fusebox, logged, printed, secret, status, with_key};
use crate::cli::stdout;

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

    /// Waits until a node answers a key with the expected status.
    async fn answers(&self, number: usize, key: &str, expected: StatusCode) {
        let answered = || async { (status(self.client(number), key).await == expected).then_some(()) };
        eventually("the node's answer", PATIENCE, answered).await.unwrap();
    }

    /// Creates a deploy key on the first node; returns it with its id.
    async fn key(&self, operator: &str) -> (String, String) {
        let body = r#"{"scope":"deploy","name":"ci"}"#;
        let made = with_key(self.client(0), Method::POST, "/v1/keys", operator, body).await.json().unwrap();
        let [key, id] = ["key", "id"].map(|name| made[name].as_str().unwrap().to_owned());
        (key, id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_closes_every_node() {
    let cluster = Nodes::new();
    for number in 0..2 {
        assert_eq!(cluster.client(number).get("/v1/functions").await.unwrap().status, StatusCode::OK);
    }
    let operator = first_key(&cluster.redis.url());
    for number in 0..2 {
        cluster.answers(number, "none", StatusCode::UNAUTHORIZED).await;
        assert_eq!(status(cluster.client(number), &operator).await, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_of_a_host_are_refused_until_keys_protect_it() {
    let cluster = Nodes::new();
    let foreign =
        async |path| cluster.client(0).send(Method::GET, path, &[("host", "evil.example")], []).await.unwrap();
    assert_eq!(foreign("/v1/functions").await.code(), "foreign-origin");
    first_key(&cluster.redis.url());
    cluster.answers(0, "none", StatusCode::UNAUTHORIZED).await;
    assert_eq!(foreign("/healthz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_good_on_every_node_at_once_and_a_revoked_one_soon_on_none() {
    let cluster = Nodes::new();
    let operator = first_key(&cluster.redis.url());
    let (key, id) = cluster.key(&operator).await;
    assert_eq!(status(cluster.client(1), &key).await, StatusCode::OK);
    let revoked = with_key(cluster.client(0), Method::DELETE, &format!("/v1/keys/{id}"), &operator, []).await;
    assert_eq!(revoked.json().unwrap()["status"], "revoked");
    assert_eq!(status(cluster.client(0), &key).await, StatusCode::UNAUTHORIZED, "at once where it was revoked");
    cluster.answers(1, &key, StatusCode::UNAUTHORIZED).await;
}

/// It takes at most the time for which a key is trusted.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_notification_refuses_a_revoked_key_as_well() {
    let cluster = Nodes::new();
    let (key, id) = cluster.key(&first_key(&cluster.redis.url())).await;
    assert_eq!(status(cluster.client(0), &key).await, StatusCode::OK);
    cluster.redis.command(&["HSET", &format!("fusebox:key:{id}"), "revoked_at", "1"]).unwrap();
    cluster.answers(0, &key, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_key_is_in_redis() {
    let cluster = Nodes::new();
    let operator = first_key(&cluster.redis.url());
    let (key, _) = cluster.key(&operator).await;
    let mut dump = String::new();
    for name in cluster.redis.command(&["KEYS", "fusebox:key*"]).unwrap().lines() {
        let kind = if name.contains(":key:") { "HGETALL" } else { "TYPE" };
        dump.push_str(&cluster.redis.command(&[kind, name]).unwrap());
    }
    assert!(dump.contains("operator") && !dump.contains(secret(&operator)) && !dump.contains(secret(&key)), "{dump}");
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
