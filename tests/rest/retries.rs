//! Retries of failed tasks: individually, and as dead letters.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_harness::guests;
use serde_json::{Value, json};

use crate::{
    hand::{returned, trapped},
    support::{Answer, Rest, Slots, assert_problem, set_quotas},
};

const REPLAY: &str = "/v1/dead-letters/replay";

async fn retry(rest: &Rest, id: &str) -> Answer {
    rest.post(&format!("/v1/tasks/{id}/retry"), "").await
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_retry_is_a_new_task_with_what_the_old_one_had() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let path = "/v1/functions/echo/tasks?priority=high&wall_ms=77";
    let old = rest.post(path, "input").await.json()["id"].clone();
    rest.run(trapped()).await;
    rest.post("/v1/functions?name=echo", guests::fail()).await;
    let answer = retry(&rest, old.as_str().unwrap()).await;
    let new = answer.json();
    assert_eq!((answer.status, &new["status"], &new["retry_of"]), (StatusCode::ACCEPTED, &"QUEUED".into(), &old));
    assert_eq!(answer.header("location"), format!("/v1/tasks/{}", new["id"].as_str().unwrap()));
    let leased = rest.lease(1).await.remove(0);
    assert_eq!(
        (leased.invocation.input.as_ref(), leased.task.limits.wall_ms, &new["priority"]),
        (&b"input"[..], 77, &"high".into())
    );
    assert_eq!(leased.task.function.to_string(), new["function_id"], "the version it had, not the newest");
    assert_ne!(retry(&rest, old.as_str().unwrap()).await.json()["id"], new["id"], "each retry is another task");
    let old = rest.get(&format!("/v1/tasks/{}", old.as_str().unwrap())).await.json();
    assert_eq!((&old["status"], &old["retry_of"]), (&"FAILED".into(), &Value::Null));
}

#[tokio::test]
async fn a_retry_sent_again_with_its_key_is_the_same_task() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let key = [("idempotency-key", "k")];
    let old = rest.send(Method::POST, "/v1/functions/echo/tasks", &key, "x").await.json()["id"].clone();
    rest.run(trapped()).await;
    let path = format!("/v1/tasks/{}/retry", old.as_str().unwrap());
    let conflict = rest.send(Method::POST, &path, &key, "").await;
    assert_problem(&conflict, StatusCode::UNPROCESSABLE_ENTITY, "idempotency-conflict");
    let key = [("idempotency-key", "l"), ("prefer", "wait=0")];
    let first = rest.send(Method::POST, &path, &key, "").await;
    rest.run(returned("y")).await;
    let again = rest.send(Method::POST, &path, &key, "").await;
    assert_eq!((first.status, again.status), (StatusCode::ACCEPTED, StatusCode::OK));
    assert_eq!(
        (first.json()["id"].clone(), again.header("idempotency-replayed")),
        (again.json()["id"].clone(), "true")
    );
}

#[tokio::test]
async fn what_cannot_be_tried_again_is_told_so() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let waiting = rest.submit("x").await;
    assert_problem(&retry(&rest, &waiting).await, StatusCode::CONFLICT, "task-not-failed");
    rest.send(Method::DELETE, &format!("/v1/tasks/{waiting}"), &[], Body::empty()).await;
    assert_problem(&retry(&rest, &waiting).await, StatusCode::CONFLICT, "input-gone");
    let completed = rest.submit("x").await;
    rest.run(returned("")).await;
    assert_problem(&retry(&rest, &completed).await, StatusCode::CONFLICT, "task-not-failed");
    assert_problem(&retry(&rest, "7").await, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    let failed = rest.submit("x").await;
    rest.run(trapped()).await;
    rest.send(Method::DELETE, "/v1/functions/echo", &[], Body::empty()).await;
    assert_problem(&retry(&rest, &failed).await, StatusCode::NOT_FOUND, "function-not-found");
    let absent = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    assert_problem(&retry(&rest, absent).await, StatusCode::NOT_FOUND, "task-not-found");

    let asked = json!({"tasks": [failed, completed, waiting, absent]});
    let rows = rest.post_json(REPLAY, asked).await.json();
    let codes: Vec<_> = rows["items"].as_array().unwrap().iter().map(|row| row["error"]["code"].clone()).collect();
    assert_eq!(codes, ["function-not-found", "task-not-failed", "input-gone", "task-not-found"]);
}

#[tokio::test]
async fn dead_letters_are_listed_by_function_and_in_pages() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    rest.post("/v1/functions?name=other", guests::echo()).await;
    let mine = rest.submit("x").await;
    rest.run(trapped()).await;
    let other = rest.post("/v1/functions/other/tasks", "x").await.json();
    rest.run(trapped()).await;
    rest.submit("x").await;
    rest.run(returned("")).await;
    let other_id = other["id"].as_str().unwrap();
    assert_eq!(ids(&rest.get("/v1/dead-letters").await.json()), [other_id, &mine]);
    assert_eq!(ids(&rest.get("/v1/dead-letters?function=other").await.json()), [other_id]);
    let by_id = format!("/v1/dead-letters?function={}", other["function_id"].as_str().unwrap());
    assert_eq!(ids(&rest.get(&by_id).await.json()), [other_id]);
    let page = rest.get("/v1/dead-letters?limit=1").await.json();
    let next = format!("/v1/dead-letters?limit=1&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(ids(&rest.get(&next).await.json()), [&mine]);
    assert_problem(&rest.get("/v1/dead-letters?function=none").await, StatusCode::NOT_FOUND, "function-not-found");
}

#[tokio::test]
async fn a_dead_letter_is_replayed_once_and_what_fails_again_is_another() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let letter = rest.submit("x").await;
    rest.run(trapped()).await;
    let first = rest.post_json(REPLAY, json!({"tasks": [letter]})).await.json();
    let row = &first["items"][0];
    assert_eq!(
        (&row["status"], &row["retry_of"], row.get("replayed")),
        (&"accepted".into(), &letter.as_str().into(), None)
    );
    let again = rest.post_json(REPLAY, json!({"all": true})).await.json();
    assert_eq!((&again["items"][0]["task"], &again["items"][0]["replayed"]), (&row["task"], &true.into()));
    assert_eq!(ids(&rest.get("/v1/dead-letters").await.json()), [&letter], "it stays listed");

    rest.run(trapped()).await;
    let listed = rest.get("/v1/dead-letters").await.json();
    assert_eq!(ids(&listed), [row["task"].as_str().unwrap(), &letter]);
    assert_eq!(listed["items"][0]["retry_of"], letter.as_str());
    let all = rest.post_json(REPLAY, json!({"all": true})).await.json();
    assert_eq!((&all["accepted"], all["items"][0].get("replayed")), (&2.into(), None));
    assert_eq!(rest.lease(10).await.len(), 1);
}

#[tokio::test]
async fn large_letters_are_replayed_in_groups_and_a_full_queue_refuses_the_rest() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    set_quotas(&rest, json!({"queued_tasks": 3})).await;
    for _ in 0..4 {
        rest.post("/v1/functions/echo/tasks", vec![7; 3 << 20]).await;
        rest.run(trapped()).await;
    }
    let rows = rest.post_json(REPLAY, json!({"all": true})).await.json();
    assert_eq!((&rows["accepted"], &rows["items"][3]["error"]["code"]), (&3.into(), &"queue-full".into()));
    let leased = rest.lease(10).await;
    assert!(leased.len() == 3 && leased.iter().all(|leased| leased.invocation.input.len() == 3 << 20));
}

#[tokio::test]
async fn a_replay_says_which() {
    let rest = Rest::new(Slots::Echo);
    let id = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    for body in [json!({}), json!({"all": false}), json!({"all": true, "tasks": [id]}), json!({"tasks": ["7"]})] {
        assert_problem(&rest.post_json(REPLAY, body).await, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    }
    let many = rest.post_json(REPLAY, json!({"tasks": vec![id; 1_001]})).await;
    assert_problem(&many, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
}
