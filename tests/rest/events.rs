//! Changes of a task as server-sent events.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fusebox_core::limits::EVENT_STREAMS_MAX;
use fusebox_store::Verdict;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::{
    hand::{returned, trapped},
    support::{Rest, Slots, assert_problem},
};

/// An open stream.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    async fn of(rest: &Rest, task: &str) -> Self {
        let request = Request::get(format!("/v1/tasks/{task}/events")).body(Body::empty()).unwrap();
        let answer = rest.open(request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    /// Returns the name, id and data of the next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.unwrap_or_default().trim().to_owned()
                };
                let found = (field("event"), field("id"), serde_json::from_str(&field("data")).unwrap());
                self.text = rest.to_owned();
                return Some(found);
            }
            let frame = self.body.frame().await?.unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// Returns the id of the next event, which identifies the state.
    async fn state(&mut self) -> String {
        let (event, id, data) = self.next().await.unwrap();
        assert_eq!(event, "status");
        assert!(id.ends_with(data["status"].as_str().unwrap()), "{id}: {data}");
        id
    }
}

#[tokio::test]
async fn each_change_is_told_until_the_end() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.submit("x").await;
    let mut events = Events::of(&rest, &id).await;
    assert_eq!(events.state().await, "0-QUEUED");
    let leased = rest.lease(1).await;
    assert_eq!(events.state().await, "1-RUNNING");
    rest.report(&leased[0], Verdict::Release).await;
    assert_eq!(events.state().await, "1-QUEUED");
    let leased = rest.lease(1).await;
    assert_eq!(events.state().await, "2-RUNNING");
    rest.report(&leased[0], returned("y")).await;
    let (_, state, task) = events.next().await.unwrap();
    assert_eq!(
        (state.as_str(), &task["id"], &task["receipt"]["attempt"]),
        ("2-COMPLETED", &id.as_str().into(), &0.into())
    );
    assert_eq!(events.next().await, None);
    let mut late = Events::of(&rest, &id).await;
    assert_eq!(late.state().await, "2-COMPLETED");
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn who_comes_back_is_told_nothing_twice() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.submit("x").await;
    let back = |last: &'static str| {
        Request::get(format!("/v1/tasks/{id}/events")).header("last-event-id", last).body(Body::empty()).unwrap()
    };
    let answer = rest.open(back("0-QUEUED")).await;
    let mut events = Events { body: answer.into_body(), text: String::new() };
    rest.run(trapped()).await;
    let mut state = events.state().await;
    if state == "1-RUNNING" {
        state = events.state().await;
    }
    assert_eq!(state, "1-FAILED");
    assert_eq!(rest.open(back("1-FAILED")).await.status(), StatusCode::NO_CONTENT);
    let answer = rest.open(back("nonsense")).await;
    assert_eq!(Events { body: answer.into_body(), text: String::new() }.state().await, "1-FAILED");
}

#[tokio::test]
async fn a_drain_ends_every_stream() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.submit("x").await;
    let mut events = Events::of(&rest, &id).await;
    assert_eq!(events.state().await, "0-QUEUED");
    rest.closing.cancel();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn open_streams_have_a_bound() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.submit("x").await;
    let mut open = Vec::new();
    // A sixteenth of the streams is reserved for the operator.
    for _ in 0..EVENT_STREAMS_MAX - EVENT_STREAMS_MAX / 16 {
        open.push(Events::of(&rest, &id).await);
    }
    let path = format!("/v1/tasks/{id}/events");
    assert_problem(&rest.get(&path).await, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
    open.pop();
    Events::of(&rest, &id).await;
    for path in ["/v1/tasks/0190d5a0-7b1a-7c3e-8f00-0123456789ab/events", "/v1/tasks/7/events"] {
        assert!(rest.get(path).await.status.is_client_error());
    }
}
