//! Acts on many tasks: each does what it says to the tasks of its filter and to no others, once, and can be stopped.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_store::JOBS_OPEN_MAX;
use serde_json::{Value, json};

use crate::{
    hand::{returned, trapped},
    support::{Answer, Rest, Slots, assert_problem, set_quotas},
};

async fn begin(rest: &Rest, act: &str, filter: Value) -> Answer {
    rest.post_json(&format!("/v1/tasks/{act}"), filter).await
}

/// Begins an act, performs it, and returns the job.
async fn perform(rest: &Rest, act: &str, filter: Value) -> Value {
    let accepted = begin(rest, act, filter.clone()).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{:?}", accepted.body);
    let job = accepted.json();
    assert_eq!((&job["act"], &job["status"], &job["filter"]), (&act.into(), &"running".into(), &filter));
    let path = accepted.header("location").to_owned();
    assert_eq!(path, format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
    rest.jobs.work().await;
    let job = rest.get(&path).await.json();
    assert!(job["status"] == "done" && job["ended_at"].is_string(), "{job}");
    job
}

async fn count(rest: &Rest, query: &str) -> usize {
    rest.get(&format!("/v1/tasks?limit=1000&{query}")).await.json()["items"].as_array().unwrap().len()
}

/// Submits tasks in one batch, with a tag each.
async fn submit(rest: &Rest, many: usize, tag: &str) {
    let items: Vec<_> = (0..many).map(|_| json!({"text": "x", "tags": {"of": tag}})).collect();
    let rows = rest.post_json("/v1/functions/echo/tasks/batch", Value::Array(items)).await.json();
    assert_eq!(rows["accepted"], many);
}

#[tokio::test]
async fn queued_tasks_of_a_filter_are_cancelled_and_deleted() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    submit(&rest, 450, "a").await;
    submit(&rest, 3, "b").await;
    let job = perform(&rest, "cancel", json!({"tag": ["of=a"]})).await;
    assert_eq!((&job["changed"], &job["skipped"]), (&450.into(), &0.into()));
    assert_eq!((count(&rest, "code=cancelled").await, count(&rest, "status=QUEUED").await), (450, 3));
    let job = perform(&rest, "delete", json!({"function": "echo"})).await;
    assert_eq!((&job["changed"], &job["skipped"]), (&450.into(), &3.into()));
    assert_eq!(count(&rest, "").await, 3);
    let again = perform(&rest, "cancel", json!({"tag": ["of=a"]})).await;
    assert_eq!((&again["changed"], &again["skipped"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn failed_tasks_are_retried_once_and_what_fails_again_is_left() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    submit(&rest, 3, "a").await;
    rest.run(returned("y")).await;
    rest.run(trapped()).await;
    rest.run(trapped()).await;
    let job = perform(&rest, "retry", json!({"function": "echo"})).await;
    assert_eq!((&job["changed"], &job["skipped"]), (&2.into(), &1.into()));
    assert_eq!((count(&rest, "status=QUEUED").await, count(&rest, "tag=of%3Da").await), (2, 5));
    rest.run(trapped()).await;
    rest.run(returned("y")).await;
    // A letter has one replay, which failed, and is a letter of its own.
    let job = perform(&rest, "retry", json!({"code": "trap"})).await;
    assert_eq!((&job["changed"], count(&rest, "status=QUEUED").await), (&3.into(), 1));
}

#[tokio::test]
async fn retries_wait_for_room_in_the_queue() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    submit(&rest, 2, "a").await;
    rest.run(trapped()).await;
    rest.run(trapped()).await;
    set_quotas(&rest, json!({"queued_tasks": 1})).await;
    let path = begin(&rest, "retry", json!({"status": "FAILED"})).await.header("location").to_owned();
    let work = rest.jobs.work();
    let make_room = async {
        while count(&rest, "status=QUEUED").await == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rest.get(&path).await.json()["status"], "running");
        rest.run(returned("y")).await;
    };
    tokio::join!(work, make_room);
    let job = rest.get(&path).await.json();
    assert_eq!((&job["status"], &job["changed"]), (&"done".into(), &2.into()));
    assert_eq!(count(&rest, "status=COMPLETED").await + count(&rest, "status=QUEUED").await, 2);
}

#[tokio::test]
async fn jobs_are_bounded_listed_and_stopped() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    submit(&rest, 1, "a").await;
    let mut paths = Vec::new();
    for _ in 0..JOBS_OPEN_MAX {
        paths.push(begin(&rest, "cancel", json!({"status": "QUEUED"})).await.header("location").to_owned());
    }
    let refused = begin(&rest, "cancel", json!({"status": "QUEUED"})).await;
    assert_problem(&refused, StatusCode::TOO_MANY_REQUESTS, "job-quota");
    let stopped = rest.send(Method::DELETE, &paths[0], &[], Body::empty()).await.json();
    assert_eq!((&stopped["status"], &stopped["changed"]), (&"stopped".into(), &0.into()));
    assert_eq!(begin(&rest, "retry", json!({"status": "FAILED"})).await.status, StatusCode::ACCEPTED);
    let listed = rest.get("/v1/jobs?limit=3").await.json();
    assert_eq!((listed["items"].as_array().unwrap().len(), listed["next"].is_string()), (3, true));
    assert_eq!(count(&rest, "status=QUEUED").await, 1, "nothing was performed yet");
    rest.jobs.work().await;
    let jobs = rest.get("/v1/jobs").await.json();
    let statuses: Vec<_> =
        jobs["items"].as_array().unwrap().iter().map(|job| job["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["stopped", "done", "done", "done", "done"]);
    let changed: u64 = jobs["items"].as_array().unwrap().iter().map(|job| job["changed"].as_u64().unwrap()).sum();
    assert_eq!(changed, 1, "a task is cancelled once");
}

#[tokio::test]
async fn a_wrong_filter_begins_nothing() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for (filter, words) in [
        (json!({}), "names no property"),
        (json!({"tenant": "default"}), "names no property"),
        (json!({"state": "FAILED"}), "unknown field `state`"),
        (json!({"status": "DONE"}), "status=FAILED"),
        (json!({"tag": ["env"]}), "env=prod"),
        (json!({"since": "soon"}), "since=1h"),
    ] {
        for act in ["cancel", "retry", "delete"] {
            let refused = begin(&rest, act, filter.clone()).await;
            assert_problem(&refused, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
            assert!(refused.json()["detail"].as_str().unwrap().contains(words), "{}", refused.text());
        }
    }
    assert_eq!(rest.get("/v1/jobs").await.json()["items"], json!([]));
    let none = "/v1/jobs/0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    assert_problem(&rest.get(none).await, StatusCode::NOT_FOUND, "job-not-found");
    assert_problem(&rest.get("/v1/jobs/7").await, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
}
