//! Requests with the same idempotency key lead to the same task, regardless of their number and timing.

use axum::http::{Method, StatusCode};
use fusebox_harness::guests;

use crate::{
    hand::returned,
    support::{Answer, Rest, Slots, assert_problem},
};

const PATH: &str = "/v1/functions/echo/tasks";

async fn keyed(rest: &Rest, path: &str, key: &str, body: &'static str) -> Answer {
    rest.send(Method::POST, path, &[("idempotency-key", key)], body).await
}

#[tokio::test]
async fn a_request_sent_again_leads_to_the_same_task() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let first = keyed(&rest, &format!("{PATH}?delay_ms=50"), "order-7", "x").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::ACCEPTED, ""));
    let id = first.json()["id"].clone();
    let again = keyed(&rest, &format!("{PATH}?delay_ms=50"), "order-7", "x").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!((&again.json()["id"], again.header("location")), (&id, first.header("location")));
    let other = keyed(&rest, &format!("{PATH}?delay_ms=50"), "order-8", "x").await;
    assert_ne!(other.json()["id"], id);
    assert_eq!(rest.get("/v1/tasks").await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn it_is_the_same_task_after_its_end_and_a_new_version_of_its_function() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = keyed(&rest, PATH, "k", "x").await.json()["id"].clone();
    rest.run(returned("y")).await;
    rest.post("/v1/functions?name=echo", guests::fail()).await;
    let headers = [("idempotency-key", "k"), ("prefer", "wait=5")];
    let again = rest.send(Method::POST, PATH, &headers, "x").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::OK, "true"));
    let task = again.json();
    assert_eq!((&task["id"], &task["status"], &task["result"]), (&id, &"COMPLETED".into(), &"eQ==".into()));
}

#[tokio::test]
async fn another_request_with_the_key_is_a_conflict() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    rest.post("/v1/functions?name=other", guests::echo()).await;
    keyed(&rest, PATH, "k", "x").await;
    for (path, body) in [
        (PATH, "y"),
        ("/v1/functions/echo/tasks?priority=high", "x"),
        ("/v1/functions/echo/tasks?delay_ms=1", "x"),
        ("/v1/functions/echo/tasks?wall_ms=1", "x"),
        ("/v1/functions/other/tasks", "x"),
    ] {
        let answer = keyed(&rest, path, "k", body).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "idempotency-conflict");
    }
    assert_eq!(rest.lease(10).await.len(), 1);
}

#[tokio::test]
async fn requests_at_the_same_time_make_one_task() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let send = || keyed(&rest, PATH, "k", "x");
    let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
    let answers = [a, b, c, d];
    let new = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(new, 1);
    assert!(answers.iter().all(|answer| answer.json()["id"] == answers[0].json()["id"]));
    assert!(rest.get("/metrics").await.text().contains("fusebox_tasks_accepted_total 1\n"));
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let long = "k".repeat(256);
    for key in ["", "two words", "é", &long] {
        let answer = rest.send(Method::POST, PATH, &[("idempotency-key", key)], "x").await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "invalid-request");
    }
    let longest = "k".repeat(255);
    assert_eq!(keyed(&rest, PATH, &longest, "x").await.status, StatusCode::ACCEPTED);
}
