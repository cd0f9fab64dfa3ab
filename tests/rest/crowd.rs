//! Connections of one tenant leave room for other tenants, and health checks and the operator are served while all
//! other connections are in use.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use fusebox::rest::server::Bounds;
use fusebox_store::{Acting, Scope};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::connections::{Served, serve};

const PATIENCE: Duration = Duration::from_secs(30);
/// A quarter is 2, the reserve is 1.
const BOUNDS: Bounds =
    Bounds { connections: 8, trusted: &[], headers: PATIENCE, keep_alive: PATIENCE, stall: PATIENCE };
const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A node with keys.
struct Node {
    served: Served,
    operator: String,
    keys: [String; 5],
}

impl Node {
    async fn new() -> Self {
        let served = serve(BOUNDS, None).await;
        for name in TENANTS {
            served.rest.store.add_tenant(Acting::Store, name.parse().unwrap()).await.unwrap().unwrap();
        }
        let operator = served.rest.key("default", Scope::Admin, None).await;
        let mut keys = [const { String::new() }; 5];
        for (key, name) in keys.iter_mut().zip(TENANTS) {
            *key = served.rest.key(name, Scope::Admin, None).await;
        }
        Self { served, operator, keys }
    }

    /// Opens a stream of a task's events, which does not end as long as nothing runs the task.
    async fn events(&self, key: &str) -> String {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let echo = fusebox_harness::guests::echo();
        let registered = self.served.rest.send(Method::POST, "/v1/functions?name=echo", &headers, echo).await;
        assert_eq!(registered.status, StatusCode::CREATED, "{:?}", registered.body);
        let task = self.served.rest.send(Method::POST, "/v1/functions/echo/tasks", &headers, "x").await;
        format!("/v1/tasks/{}/events", task.json()["id"].as_str().unwrap())
    }

    /// Opens a connection, and returns it with the head of the response to its first request.
    async fn asks(&self, path: &str, key: &str) -> (TcpStream, String) {
        let mut stream = self.served.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {key}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        let answer = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap();
        (stream, String::from_utf8(head).unwrap())
    }

    async fn status(&self, path: &str, key: &str) -> String {
        let (_, head) = self.asks(path, key).await;
        head.split(' ').nth(1).unwrap().to_owned()
    }
}

#[tokio::test]
async fn idle_connections_of_one_tenant_give_way_to_its_next_ones() {
    let node = Node::new().await;
    let [greedy, other, ..] = &node.keys;
    let (mut kept, head) = node.asks("/v1/tasks", other).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut open = Vec::new();
    for _ in 0..8 {
        let (stream, head) = node.asks("/v1/tasks", greedy).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        open.push(stream);
    }
    for stream in &mut open[..6] {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    }
    kept.write_all(format!("GET /v1/tasks HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {other}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut again = vec![0; 512];
    let mut said = String::new();
    while !said.contains("HTTP/1.1 200") {
        let length = tokio::time::timeout(PATIENCE, kept.read(&mut again)).await.unwrap().unwrap();
        assert!(length > 0, "another tenant's idle connection was closed: {said}");
        said.push_str(&String::from_utf8_lossy(&again[..length]));
    }
}

#[tokio::test]
async fn where_every_connection_is_in_use_health_and_the_operator_are_answered() {
    let node = Node::new().await;
    let mut open = Vec::new();
    for key in &node.keys[..4] {
        let path = node.events(key).await;
        for _ in 0..2 {
            let (stream, head) = node.asks(&path, key).await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            open.push(stream);
        }
        if open.len() < 8 {
            assert_eq!(node.status(&path, key).await, "503", "a tenant has a quarter");
        }
    }
    let (_, refused) = node.asks("/v1/tasks", &node.keys[4]).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("connection: close"), "{refused}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(node.status(path, "").await, "200", "{path}");
    }
    assert_eq!(node.status("/metrics", &node.operator).await, "200");
    open.truncate(4);
    let served = || async { (node.status("/v1/tasks", &node.keys[4]).await == "200").then_some(()) };
    fusebox_harness::eventually("room for another tenant", PATIENCE, served).await.unwrap();
}
