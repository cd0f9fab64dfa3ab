//! Deletion of ended tasks on request.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};

use crate::{
    hand::{returned, trapped},
    support::{Answer, Rest, Slots, assert_problem},
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
        assert_eq!(rest.get(list).await.json()["items"], serde_json::json!([]));
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
