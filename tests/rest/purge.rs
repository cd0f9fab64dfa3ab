//! Deletion of ended tasks on request.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::time::Millis;
use fusebox_system::clock::Clock;
use serde_json::json;

use crate::{
    hand::{returned, trapped},
    support::{Answer, Rest, Slots, assert_problem, set_quotas},
};

async fn delete(rest: &Rest, task: &str, query: &str) -> Answer {
    rest.send(Method::DELETE, &format!("/v1/tasks/{task}{query}"), &[], Body::empty()).await
}

#[tokio::test]
async fn an_ended_task_is_deleted_only_by_a_purge() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for verdict in [returned("out"), trapped()] {
        let task = rest.submit("x").await;
        rest.report(&rest.lease(1).await[0], verdict).await;
        for query in ["", "?purge=false"] {
            let refused = delete(&rest, &task, query).await;
            assert_problem(&refused, StatusCode::CONFLICT, "task-ended");
            assert!(refused.text().contains("purge=true"), "{}", refused.text());
        }
        let purged = delete(&rest, &task, "?purge=true").await;
        assert_eq!((purged.status, purged.text()), (StatusCode::NO_CONTENT, ""));
        for path in ["", "/result", "/logs"] {
            let gone = rest.get(&format!("/v1/tasks/{task}{path}")).await;
            assert_problem(&gone, StatusCode::NOT_FOUND, "task-not-found");
        }
        assert_problem(&delete(&rest, &task, "?purge=true").await, StatusCode::NOT_FOUND, "task-not-found");
    }
    for list in ["/v1/tasks", "/v1/dead-letters"] {
        assert_eq!(rest.get(list).await.json()["items"], json!([]));
    }
}

#[tokio::test]
async fn an_unfinished_task_is_not_purged() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let task = rest.submit("x").await;
    let refused = delete(&rest, &task, "?purge=true").await;
    assert_problem(&refused, StatusCode::CONFLICT, "task-not-ended");
    assert_eq!(refused.json()["task_status"], "QUEUED");
    assert!(refused.text().contains("cancel it first"), "{}", refused.text());
    assert_eq!(delete(&rest, &task, "").await.json()["error"]["code"], "cancelled");
    assert_eq!(delete(&rest, &task, "?purge=true").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_query_that_was_meant_otherwise_deletes_nothing() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let task = rest.submit("x").await;
    for query in ["?purge=yes", "?purged=true", "?force=true"] {
        assert_problem(&delete(&rest, &task, query).await, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    }
    assert_eq!(rest.get(&format!("/v1/tasks/{task}")).await.json()["status"], "QUEUED");
}

#[tokio::test]
async fn a_task_is_kept_for_the_time_that_was_set_when_it_was_accepted() {
    let clock = Clock::manual(Millis(1_700_000_000_000));
    let rest = Rest::with_clock(clock.clone()).with_echo().await;
    set_quotas(&rest, json!({"keep_results_s": 60, "keep_failed_s": 120})).await;
    let result = rest.submit("x").await;
    // Tasks of one millisecond are leased in the order of their ids, which is random.
    clock.advance(1);
    let failed = rest.submit("y").await;
    clock.advance(1);
    set_quotas(&rest, json!({"keep_results_s": 3_600, "keep_failed_s": 3_600})).await;
    let later = rest.submit("z").await;
    for verdict in [returned("out"), trapped(), returned("out")] {
        rest.report(&rest.lease(1).await[0], verdict).await;
    }
    let mut left = vec![later, failed, result];
    for _ in 0..2 {
        clock.advance(60_000);
        rest.store.tick().await.unwrap();
        let gone = rest.get(&format!("/v1/tasks/{}", left.pop().unwrap())).await;
        assert_problem(&gone, StatusCode::NOT_FOUND, "task-not-found");
        assert_eq!(rest.get("/v1/tasks").await.json()["items"].as_array().unwrap().len(), left.len());
    }
}

#[tokio::test]
async fn a_retention_beyond_the_hosts_or_too_short_is_refused_by_name() {
    let rest = Rest::new(Slots::Echo);
    for (field, kept_s) in [("keep_results_s", 59), ("keep_results_s", 86_401), ("keep_failed_s", 604_801)] {
        let quotas = json!({ field: kept_s }).to_string();
        let refused = rest.send(Method::PUT, "/v1/tenants/default/quotas", &[], quotas).await;
        assert_problem(&refused, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
        assert_eq!((&refused.json()["field"], &refused.json()["min"]), (&json!(field), &json!(60)));
    }
    let shown = rest.get("/v1/tenants/default/quotas").await.json();
    assert_eq!((&shown["may"]["keep_results_s"], &shown["may"]["keep_failed_s"]), (&json!(86_400), &json!(604_800)));
}
