//! Common behaviour of routes: other tenants' tasks look absent, and the Python platform's responses have exactly its
//! fields. Also the list of workers.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::{id::DispatcherId, time::Millis};
use fusebox_store::{Mode, WorkerInfo};
use fusebox_system::{clock::Clock, random};
use serde_json::{Value, json};

use crate::{
    hand::returned,
    support::{Rest, Slots, assert_problem},
};

#[tokio::test]
async fn another_tenants_task_looks_absent_on_every_route() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.foreign_task().await;
    for (method, path) in [
        (Method::GET, format!("/v1/tasks/{id}")),
        (Method::DELETE, format!("/v1/tasks/{id}")),
        (Method::GET, format!("/v1/tasks/{id}/result")),
        (Method::GET, format!("/v1/tasks/{id}/logs")),
        (Method::GET, format!("/v1/tasks/{id}/events")),
        (Method::POST, format!("/v1/tasks/{id}/retry")),
        (Method::GET, format!("/status/{id}")),
        (Method::GET, format!("/result/{id}")),
    ] {
        let answer = rest.send(method, &path, &[("prefer", "wait=50")], Body::empty()).await;
        assert_problem(&answer, StatusCode::NOT_FOUND, "task-not-found");
    }
    let rows = rest.post_json("/v1/dead-letters/replay", json!({"tasks": [id.to_string()]})).await.json();
    assert_eq!(rows["items"][0]["error"]["code"], "task-not-found");
    for path in ["/v1/tasks", "/v1/dead-letters"] {
        assert_eq!(rest.get(path).await.json()["items"], json!([]));
    }
}

#[tokio::test]
async fn the_python_platforms_answers_have_their_fields_and_no_others() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let fields = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let function = rest.get("/v1/functions/echo").await.json()["id"].clone();
    let executed = rest.post_json("/execute_function", json!({"function_id": function, "payload": "eA==\n"})).await;
    assert_eq!((executed.status, fields(&executed.json())), (StatusCode::OK, vec!["task_id".to_owned()]));
    let id = executed.json()["task_id"].as_str().unwrap().to_owned();
    let status = rest.get(&format!("/status/{id}")).await.json();
    assert_eq!(status, json!({"task_id": id, "status": "QUEUED"}));
    rest.run(returned("y")).await;
    let result = rest.get(&format!("/result/{id}")).await.json();
    assert_eq!(result, json!({"task_id": id, "status": "COMPLETED", "result": "eQ=="}));
}

#[tokio::test]
async fn workers_are_listed_as_their_dispatchers_announce_them() {
    let rest = Rest::new(Slots::Echo);
    assert_eq!(rest.get("/v1/workers").await.json(), json!({"items": [], "next": null}));
    let worker = WorkerInfo {
        id: random::worker_id(Millis(1)),
        mode: Mode::Pull,
        name: "host-7".to_owned(),
        version: "0.1.0".to_owned(),
        slots: 4,
        running: 1,
        ended: 12,
        joined_at: Millis(1_000),
        seen_at: Millis(2_500),
        draining: true,
    };
    let dispatcher = DispatcherId::new(Clock::System.now(), random::bytes());
    rest.store.announce(dispatcher, vec![worker.clone()], 60_000).await.unwrap();
    let expected = json!({
        "id": worker.id.to_string(), "mode": "pull", "name": "host-7", "version": "0.1.0", "slots": 4, "running": 1,
        "ended": 12, "joined_at": "1970-01-01T00:00:01.000Z", "seen_at": "1970-01-01T00:00:02.500Z", "draining": true
    });
    assert_eq!(rest.get("/v1/workers").await.json()["items"], json!([expected]));
}
