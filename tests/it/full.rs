//! Servers with a Redis that reaches its `maxmemory`, and a host with a full disk: what stores more is refused with the
//! reason, everything else goes on, and there is no restart.

use std::{
    fs::{self, File},
    process::Command,
    time::Duration,
};

use fusebox_harness::{Client, Program, Server, eventually, guests, redis::RedisServer, small_disk::SmallDisk};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::options;

/// Maximum wait for a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a process; its log goes to a file.
fn start(home: &TempDir, args: &[&str], redis: &RedisServer, ready: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_remove("FUSEBOX_STORE").args(args).args(["--store", &redis.url(), "--data"]);
    command.arg(home.path().join("data")).stderr(File::create(log(home, args[0])).unwrap());
    Program::start(command, ready).unwrap()
}

fn log(home: &TempDir, name: &str) -> std::path::PathBuf {
    home.path().join(format!("{name}.log"))
}

/// Waits until `/readyz` has these warnings.
async fn warns(client: &Client, warnings: &[&str]) {
    let expected = json!(warnings);
    let warned = || async {
        let ready = client.get("/readyz").await.ok()?;
        assert_eq!(ready.status, StatusCode::OK, "{ready}");
        (ready.json().ok()?["warnings"] == expected).then_some(())
    };
    eventually("the warnings", PATIENCE, warned).await.unwrap();
}

async fn refused_as_full(client: &Client) {
    let refused = || async {
        let answer = client.post("/v1/functions/echo/tasks", "x").await.unwrap();
        (answer.status != StatusCode::ACCEPTED).then_some(answer)
    };
    let refused = eventually("a refusal", PATIENCE, refused).await.unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "store-full".to_owned()));
    assert_eq!(refused.header("retry-after"), "10");
}

async fn accepted_again(client: &Client) -> String {
    let accepted = || async { client.submit("echo", b"x").await.ok() };
    eventually("room", PATIENCE, accepted).await.unwrap()
}

#[tokio::test]
async fn a_redis_at_its_maxmemory_refuses_what_stores_more_and_everything_else_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let serve = start(&home, &args, &redis, "listening");
    let client = Client::new(serve.word("http://").unwrap());
    let admin = Client::new(serve.said("Health and metrics").unwrap().split_whitespace().last().unwrap());
    client.register("echo", "", &guests::echo()).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(client.submit("echo", b"hello").await.unwrap());
    }
    warns(&client, &[]).await;

    redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap();
    refused_as_full(&client).await;
    for client in [&client, &admin] {
        warns(client, &["store-full"]).await;
    }
    let metrics = admin.get("/metrics").await.unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body);
    assert!(metrics.contains("fusebox_store_full 1\n"), "{metrics}");
    assert!(metrics.contains("fusebox_store_room_bytes 1048576\n"), "{metrics}");

    // Even a dispatcher that starts now runs what was accepted, and an operator makes a tenant.
    let _dispatcher = start(&home, &["dispatcher", "-m", "local", "-w", "2"], &redis, "is running");
    for task in &tasks {
        assert_eq!(client.ended(task).await.unwrap()["status"], "COMPLETED");
        let result = client.get(&format!("/v1/tasks/{task}/result")).await.unwrap();
        assert_eq!(&result.body[..], b"hello");
    }
    let made = client.post_json("/v1/tenants", &json!({"name": "acme"})).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    refused_as_full(&client).await;
    let said = fs::read_to_string(log(&home, "serve")).unwrap();
    assert!(said.contains("the store is nearly full"), "{said}");

    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    let task = accepted_again(&client).await;
    assert_eq!(client.ended(&task).await.unwrap()["status"], "COMPLETED");
    warns(&client, &[]).await;
}

/// Size of a disk that holds a host's data.
const DISK_BYTES: u64 = 64 << 20;

#[tokio::test]
async fn a_full_disk_refuses_what_stores_more_and_everything_else_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(home.path(), DISK_BYTES).unwrap();
    let server = Server::start(options(&home, &[])).unwrap();
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    client.register("slow", "", &guests::slow_echo()).await.unwrap();
    let running = client.submit("slow", b"hello").await.unwrap();
    disk.fill().unwrap();
    refused_as_full(&client).await;
    warns(&client, &["store-full"]).await;
    assert_eq!(client.ended(&running).await.unwrap()["status"], "COMPLETED");
    let invoked = client.post("/v1/functions/echo/invoke", "x").await.unwrap();
    assert_eq!(invoked.status, StatusCode::OK, "it stores nothing: {invoked}");
    let made = client.post_json("/v1/tenants", &json!({"name": "acme"})).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
    disk.free().unwrap();
    let task = accepted_again(&client).await;
    assert_eq!(client.ended(&task).await.unwrap()["status"], "COMPLETED");
    warns(&client, &[]).await;
    drop(server);
}
