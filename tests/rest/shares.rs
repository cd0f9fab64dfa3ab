//! One tenant's use of a node's limited resources leaves room for other tenants, the operator and health checks. A node
//! that closes answers its waiting requests at once.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use fusebox::rest::room::RoomBounds;
use fusebox_core::time::Millis;
use fusebox_harness::eventually;
use fusebox_store::{Acting, Scope};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use crate::support::{Answer, Rest, Slots, assert_problem};

const PATIENCE: Duration = Duration::from_secs(30);
/// A quarter of each is small enough for a test to fill.
const SMALL: RoomBounds =
    RoomBounds { body_bytes: 16 << 20, upload_bytes: 16 << 20, streams: 16, waits: 16, awaited: 1_600, batches: 16 };
const QUARTER: usize = 4;
/// A quarter of the room for bodies.
const QUARTER_BYTES: usize = 4 << 20;

/// A host with keys: a tenant that takes all it can, another one, and the operator.
struct Host {
    rest: Rest,
    greedy: String,
    other: String,
    operator: String,
}

impl Host {
    async fn new() -> Self {
        let rest = Rest::with_room(SMALL);
        for name in ["greedy", "other"] {
            rest.store.add_tenant(Acting::Store, name.parse().unwrap()).await.unwrap().unwrap();
        }
        let key = async |tenant: &str| format!("Bearer {}", rest.key(tenant, Scope::Admin, None).await);
        let (greedy, other, operator) = (key("greedy").await, key("other").await, key("default").await);
        let host = Self { rest, greedy, other, operator };
        for key in [&host.greedy, &host.other, &host.operator] {
            let echo = fusebox_harness::guests::echo();
            let registered = host.ask(key, Method::POST, "/v1/functions?name=echo", &[], echo).await;
            assert_eq!(registered.status, StatusCode::CREATED, "{:?}", registered.body);
        }
        host
    }

    async fn ask(
        &self,
        key: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let headers: Vec<_> = headers.iter().copied().chain([("authorization", key)]).collect();
        self.rest.send(method, path, &headers, body).await
    }

    /// Submits a task that nothing runs.
    async fn task(&self, key: &str) -> String {
        let task = self.ask(key, Method::POST, "/v1/functions/echo/tasks", &[], "x").await;
        task.json()["id"].as_str().unwrap().to_owned()
    }

    /// Checks that a tenant within its share is served, and that health checks need no room.
    async fn others_are_served(&self, path: impl Fn(&str) -> String, wait: &str) {
        for key in [&self.other, &self.operator] {
            let task = self.task(key).await;
            let answer = self.ask(key, Method::GET, &path(&task), &[("prefer", wait)], Body::empty()).await;
            assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!(self.rest.get(path).await.status, StatusCode::OK);
        }
    }
}

/// Sends requests in the background, as many as a quarter has room for.
fn fill<F: Future + Send + 'static>(ask: impl Fn() -> F) -> JoinSet<()> {
    let mut asked = JoinSet::new();
    for _ in 0..QUARTER {
        let asking = ask();
        asked.spawn(async move { drop(asking.await) });
    }
    asked
}

#[tokio::test]
async fn waits_of_one_tenant_leave_others_theirs() {
    let host = std::sync::Arc::new(Host::new().await);
    let path = format!("/v1/tasks/{}", host.task(&host.greedy).await);
    let asked = fill(|| {
        let (host, path) = (host.clone(), path.clone());
        async move { host.ask(&host.greedy, Method::GET, &path, &[("prefer", "wait=50")], Body::empty()).await }
    });
    let refused = || async {
        let refused = host.ask(&host.greedy, Method::GET, &path, &[("prefer", "wait=0")], Body::empty()).await;
        (refused.status == StatusCode::SERVICE_UNAVAILABLE).then_some(refused)
    };
    assert_problem(
        &eventually("a full share", PATIENCE, refused).await.unwrap(),
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
    );
    let unwaited = host.ask(&host.greedy, Method::GET, &path, &[], Body::empty()).await;
    assert_eq!(unwaited.status, StatusCode::OK, "who does not wait needs no room");
    let before = host.ask(&host.greedy, Method::GET, "/v1/tasks", &[], Body::empty()).await.json();
    let submit = host.ask(&host.greedy, Method::POST, "/v1/functions/echo/tasks", &[("prefer", "wait=0")], "x").await;
    assert_eq!(submit.status, StatusCode::SERVICE_UNAVAILABLE);
    let after = host.ask(&host.greedy, Method::GET, "/v1/tasks", &[], Body::empty()).await.json();
    assert_eq!(before, after, "what is refused is not accepted");
    host.others_are_served(|task| format!("/v1/tasks/{task}"), "wait=0").await;
    drop(asked);
}

#[tokio::test]
async fn tasks_that_one_tenant_waits_for_at_a_time_are_bounded_too() {
    let host = Host::new().await;
    let ids: Vec<String> = (0..500).map(|_| fusebox_system::random::task_id(Millis(1)).to_string()).collect();
    let ask = async |key: &str, until: &str| {
        let body = serde_json::json!({"tasks": ids, "for": until}).to_string();
        host.ask(key, Method::POST, "/v1/tasks/wait", &[("prefer", "wait=0")], body).await.status
    };
    assert_eq!(ask(&host.greedy, "any").await, StatusCode::SERVICE_UNAVAILABLE, "more than a quarter");
    assert_eq!(ask(&host.greedy, "all").await, StatusCode::OK, "one at a time");
}

#[tokio::test]
async fn event_streams_of_one_tenant_leave_others_theirs() {
    let host = Host::new().await;
    let path = format!("/v1/tasks/{}/events", host.task(&host.greedy).await);
    let open = async |key: &str, path: &str| {
        let request = axum::http::Request::get(path).header("authorization", key).body(Body::empty()).unwrap();
        host.rest.open(request).await
    };
    let mut streams = Vec::new();
    for _ in 0..QUARTER {
        streams.push(open(&host.greedy, &path).await);
    }
    assert!(streams.iter().all(|stream| stream.status() == StatusCode::OK));
    assert_eq!(open(&host.greedy, &path).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    for key in [&host.other, &host.operator] {
        let path = format!("/v1/tasks/{}/events", host.task(key).await);
        assert_eq!(open(key, &path).await.status(), StatusCode::OK);
    }
    host.others_are_served(|task| format!("/v1/tasks/{task}"), "wait=0").await;
    streams.pop();
    assert_eq!(open(&host.greedy, &path).await.status(), StatusCode::OK, "one that ends makes room");
}

/// Returns a body that stalls after the given number of bytes.
fn stalls_after(bytes: usize) -> Body {
    let sent = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes]))]);
    Body::from_stream(sent.chain(stream::pending()))
}

#[tokio::test]
async fn a_body_takes_room_as_it_comes_and_leaves_others_theirs() {
    let host = std::sync::Arc::new(Host::new().await);
    let invoke = "/v1/functions/echo/invoke";
    let large = || vec![7; 1 << 20];
    // As many as once sufficed to fill a node: declared with the maximum size, and never sent.
    let mut announced = JoinSet::new();
    for _ in 0..62 {
        let host = host.clone();
        announced.spawn(async move {
            host.ask(&host.greedy, Method::POST, invoke, &[("content-length", "6291456")], stalls_after(1)).await.status
        });
    }
    let answer = host.ask(&host.greedy, Method::POST, invoke, &[], large()).await;
    assert_eq!(answer.status, StatusCode::OK, "what is announced takes no room: {:?}", answer.body);
    let mut sent = fill(|| {
        let host = host.clone();
        async move { host.ask(&host.greedy, Method::POST, invoke, &[], stalls_after(QUARTER_BYTES / QUARTER)).await }
    });
    let refused = || async {
        let refused = host.ask(&host.greedy, Method::POST, invoke, &[], large()).await;
        (refused.status == StatusCode::SERVICE_UNAVAILABLE).then_some(refused)
    };
    assert_problem(
        &eventually("a full share", PATIENCE, refused).await.unwrap(),
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
    );
    assert_eq!(host.ask(&host.greedy, Method::POST, invoke, &[], "small").await.text(), "small");
    for key in [&host.other, &host.operator] {
        assert_eq!(host.ask(key, Method::POST, invoke, &[], large()).await.status, StatusCode::OK);
    }
    sent.shutdown().await;
    assert_eq!(host.ask(&host.greedy, Method::POST, invoke, &[], large()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_node_that_closes_answers_whoever_waits_with_the_task_as_it_is() {
    let rest = std::sync::Arc::new(Rest::new(Slots::Echo).with_echo().await);
    let task = rest.post("/v1/functions/echo/tasks", "x").await.json()["id"].as_str().unwrap().to_owned();
    let mut waits = JoinSet::new();
    let many = |until: &str| serde_json::json!({"tasks": [&task], "for": until}).to_string();
    let asks = [
        (Method::GET, format!("/v1/tasks/{task}"), String::new(), StatusCode::OK),
        (Method::GET, format!("/v1/tasks/{task}/result"), String::new(), StatusCode::CONFLICT),
        (Method::POST, "/v1/functions/echo/tasks".to_owned(), "x".to_owned(), StatusCode::ACCEPTED),
        (Method::POST, "/v1/tasks/wait".to_owned(), many("any"), StatusCode::OK),
        (Method::POST, "/v1/tasks/wait".to_owned(), many("all"), StatusCode::OK),
    ];
    for (method, path, body, expected) in asks {
        let rest = rest.clone();
        waits.spawn(async move {
            let answer = rest.send(method, &path, &[("prefer", "wait=50")], body).await;
            assert_eq!(answer.status, expected, "{path}: {:?}", answer.body);
        });
    }
    let request = axum::http::Request::get(format!("/v1/tasks/{task}/events")).body(Body::empty()).unwrap();
    let events = rest.open(request).await;
    waits.spawn(async move { assert!(events.into_body().collect().await.is_ok(), "a clean end") });
    // The task submitted by one of them exists once they wait.
    let begun = || async { (rest.get("/v1/tasks").await.json()["items"].as_array().unwrap().len() == 2).then_some(()) };
    eventually("requests that wait", PATIENCE, begun).await.unwrap();
    rest.closing.cancel();
    let all = async { while waits.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
}
