//! Authorization is checked when an action is performed, not only when it is requested: if a key ends or the first key
//! is created between a request's head and the end of its body, every route that takes a body refuses it.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
    response::Response,
};
use bytes::Bytes;
use fusebox::rest::server;
use fusebox_harness::guests;
use fusebox_store::{PageRequest, Scope};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    hand::returned,
    support::{Answer, Rest, Slots, assert_problem, table},
    world::World,
};

/// Maximum wait for events that are expected soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request whose head has been read and whose body is outstanding.
struct Held {
    body: mpsc::UnboundedSender<Bytes>,
    answering: JoinHandle<Response>,
}

impl Held {
    /// Sends a head, and returns when the host waits for the body.
    async fn send(rest: &Rest, method: &Method, path: &str, key: Option<&str>) -> Self {
        let (body, mut pieces) = mpsc::unbounded_channel::<Bytes>();
        let (asked, waits) = tokio::sync::oneshot::channel::<()>();
        let mut asked = Some(asked);
        let pieces = futures_util::stream::poll_fn(move |context| {
            // A server that polls the body has read the head.
            drop(asked.take());
            pieces.poll_recv(context).map(|piece| piece.map(Ok::<_, std::io::Error>))
        });
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(Body::from_stream(pieces)).unwrap();
        let router = rest.router();
        let answering = tokio::spawn(async move { router.oneshot(request).await.unwrap() });
        // The sender is dropped and never used.
        let _ = tokio::time::timeout(PATIENCE, waits).await.unwrap();
        Self { body, answering }
    }

    /// Sends the body and returns the response.
    async fn finish(self, body: Bytes) -> Answer {
        self.body.send(body).unwrap();
        drop(self.body);
        let (parts, body) = tokio::time::timeout(PATIENCE, self.answering).await.unwrap().unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// Returns a valid body for each route that takes one.
fn body_of(path: &str) -> Option<Bytes> {
    let json = |value: Value| Some(Bytes::from(value.to_string()));
    match path {
        "/register_function" => json(json!({"name": "f", "payload": "AGFzbQEAAAA="})),
        "/execute_function" => json(json!({"function_id": "0190d5a0-7b1a-7c3e-8f00-0123456789ab", "payload": "eA=="})),
        "/v1/functions" => Some(guests::echo().into()),
        "/v1/functions/{function}/tasks" | "/v1/functions/{function}/invoke" => Some(Bytes::from_static(b"x")),
        "/fn/{function}" | "/fn/{function}/" | "/fn/{function}/{*path}" => Some(Bytes::from_static(b"x")),
        "/v1/functions/{function}/config/{setting}" | "/v1/functions/{function}/secrets/{setting}" => {
            Some(Bytes::from_static(b"a value"))
        }
        "/v1/functions/{function}/tasks/batch" => json(json!([{"text": "x"}])),
        "/v1/tasks/batch" => json(json!([{"text": "x", "function": "canary-of-acme"}])),
        "/v1/tasks/wait" => json(json!({"tasks": []})),
        "/v1/tasks/cancel" | "/v1/tasks/retry" | "/v1/tasks/delete" => json(json!({"function": "canary-of-acme"})),
        "/v1/dead-letters/replay" => json(json!({"all": true})),
        "/v1/keys" => json(json!({"scope": "admin"})),
        "/v1/keys/{key}/rotate" => json(json!({})),
        "/v1/tenants" => json(json!({"name": "new"})),
        "/v1/tenants/{tenant}/quotas" => json(json!({"functions": 1})),
        _ => None,
    }
}

/// Returns everything stored about tenants, keys, functions, tasks and jobs, except for what these tests change themselves.
async fn kept(rest: &Rest) -> String {
    let page = PageRequest { cursor: None, rows: 1_000 };
    let tenants = rest.store.tenants().await.unwrap();
    let mut kept = format!("{tenants:?}");
    for tenant in tenants {
        let keys = rest.store.keys(&tenant.id).await.unwrap();
        let keys: Vec<_> = keys.iter().map(|key| (key.id, key.expires_at)).collect();
        let functions = rest.store.functions(&tenant.id, &page).await.unwrap().items;
        let tasks = rest.store.tasks(&tenant.id, &page).await.unwrap().items;
        let jobs = rest.store.jobs(&tenant.id).await.unwrap();
        kept += &format!("{keys:?} {functions:?} {tasks:?} {jobs:?}");
    }
    kept
}

#[tokio::test]
async fn no_act_is_done_whose_key_ended_while_its_body_came() {
    let (rest, world) = World::new().await;
    let with_body = |method: &Method| matches!(*method, Method::POST | Method::PUT);
    for (method, path, _) in table().into_iter().filter(|(method, ..)| with_body(method)) {
        let Some(body) = body_of(&path) else {
            assert_eq!(path, "/v1/tasks/{task}/retry", "put in a body for {path}");
            continue;
        };
        let tenant = if path.starts_with("/v1/tenants") { "default" } else { "acme" };
        let key = rest.key(tenant, Scope::Admin, None).await;
        let filled = world.fill(&path);
        let filled = if path == "/v1/functions" { format!("{filled}?name=f") } else { filled };
        let held = Held::send(&rest, &method, &filled, Some(&key)).await;
        rest.revoke(&key).await;
        let before = kept(&rest).await;
        let answer = held.finish(body).await;
        assert_problem(&answer, StatusCode::UNAUTHORIZED, "unauthorized");
        assert_eq!(kept(&rest).await, before, "{method} {path} did something");
    }
}

#[tokio::test]
async fn a_keyless_act_is_not_done_once_there_is_a_key() {
    for (path, body) in [
        ("/v1/keys", json!({"scope": "admin"}).to_string().into()),
        ("/v1/tenants", json!({"name": "new"}).to_string().into()),
        ("/v1/functions?name=f", Bytes::from(guests::echo())),
    ] {
        let rest = Rest::new(Slots::Echo);
        let held = Held::send(&rest, &Method::POST, path, None).await;
        let first = rest.post("/v1/keys", r#"{"scope": "admin"}"#).await;
        assert_eq!(first.status, StatusCode::CREATED, "{:?}", first.body);
        let before = kept(&rest).await;
        assert_problem(&held.finish(body).await, StatusCode::UNAUTHORIZED, "unauthorized");
        assert_eq!(kept(&rest).await, before, "{path} did something");
    }
}

#[tokio::test]
async fn a_held_back_body_makes_no_key_over_a_socket() {
    let (rest, world) = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(server::serve(listener, None, rest.router(), server::Bounds::default(), stop.cancelled_owned()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = r#"{"scope": "admin"}"#;
    let head = format!(
        "POST /v1/keys HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        world.admin,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The host requests the body once it has admitted the head.
    let mut said = [0; 25];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&said));
    rest.revoke(&world.admin).await;
    let before = rest.store.keys(&"acme".parse().unwrap()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(rest.store.keys(&"acme".parse().unwrap()).await.unwrap(), before);
}

#[tokio::test]
async fn who_waits_with_a_key_that_ends_is_told_no_result() {
    let (rest, world) = World::new().await;
    let submit = world.fill("/v1/functions/{function}/tasks");
    let headers = |key: &str| [("authorization", format!("Bearer {key}")), ("prefer", "wait=50".to_owned())];
    let send = async |method: Method, path: &str, key: &str, body: &'static str| {
        let headers = headers(key);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        rest.send(method, path, &headers, body).await
    };
    let task =
        rest.send(Method::POST, &submit, &[("authorization", &format!("Bearer {}", world.deploy))], "x").await.json();
    let (id, of) = (task["id"].as_str().unwrap(), "acme".parse().unwrap());
    let body: &'static str = format!(r#"{{"tasks": ["{id}"]}}"#).leak();
    let any: &'static str = format!(r#"{{"tasks": ["{id}"], "for": "any"}}"#).leak();
    let (get, result) = (format!("/v1/tasks/{id}"), format!("/v1/tasks/{id}/result"));
    let waits = async {
        tokio::join!(
            send(Method::GET, &get, &world.invoke, ""),
            send(Method::GET, &result, &world.invoke, ""),
            send(Method::POST, "/v1/tasks/wait", &world.invoke, body),
            send(Method::POST, "/v1/tasks/wait", &world.invoke, any)
        )
    };
    let ends = async {
        // Waiters poll from time to time, so it does not matter whether they wait already.
        tokio::task::yield_now().await;
        rest.revoke(&world.invoke).await;
        let leased = rest.lease_of(&of, 1).await;
        rest.report(&leased[0], returned("a secret output")).await;
    };
    let ((get, result, all, any), ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(waits, ends) }).await.unwrap();
    for answer in [get, result, all, any] {
        assert_problem(&answer, StatusCode::UNAUTHORIZED, "unauthorized");
    }
}
