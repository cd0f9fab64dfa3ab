//! Quotas set by the operator and reached by requests; each refusal is a 429 that states when to retry.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::time::Millis;
use fusebox_harness::guests;
use fusebox_system::clock::Clock;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::support::{Answer, Rest, Slots, assert_problem, set_quotas as set};

#[track_caller]
fn assert_refused(answer: &Answer, code: &str, limit: &str, reset_s: &str) {
    assert_problem(answer, StatusCode::TOO_MANY_REQUESTS, code);
    assert_eq!(answer.header("retry-after"), reset_s);
    assert_eq!(answer.header("ratelimit-limit"), limit);
    assert_eq!((answer.header("ratelimit-remaining"), answer.header("ratelimit-reset")), ("0", reset_s));
}

#[tokio::test]
async fn quotas_are_shown_with_their_defaults_and_replaced_when_set() {
    let rest = Rest::new(Slots::Echo);
    let made = rest.post("/v1/tenants", r#"{"name":"acme"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let path = "/v1/tenants/acme/quotas";
    let shown = rest.get(path).await.json();
    assert_eq!((&shown["set"]["functions"], &shown["may"]["functions"]), (&Value::Null, &json!(1_000)));
    let put = |body: Value| rest.send(Method::PUT, path, &[], body.to_string());
    let set = put(json!({"functions": 7, "requests_per_second": 9})).await.json();
    assert_eq!((&set["may"]["functions"], &set["may"]["requests_per_second"]), (&json!(7), &json!(9)));
    put(json!({"functions": 8, "requests_per_second": null})).await;
    let shown = rest.get(path).await.json();
    assert_eq!((&shown["set"]["functions"], &shown["set"]["requests_per_second"]), (&json!(8), &Value::Null));
    let own = rest.get("/v1/tenants/default/quotas").await.json();
    assert_eq!(own["may"]["requests_per_second"], Value::Null, "the operator is not slowed down");
    assert_problem(&rest.get("/v1/tenants/nobody/quotas").await, StatusCode::NOT_FOUND, "tenant-not-found");
    let above = put(json!({"queued_tasks": 5_000_000})).await;
    assert_problem(&above, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    assert_eq!((&above.json()["field"], &above.json()["max"]), (&json!("queued_tasks"), &json!(1_000_000)));
    assert_eq!(rest.get(path).await.json(), shown, "what is refused sets nothing");
    let wrong = put(json!({"request_per_second": 9})).await;
    assert_problem(&wrong, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
}

#[tokio::test]
async fn requests_above_the_rate_are_refused_until_time_has_passed() {
    let clock = Clock::manual(Millis(1_700_000_000_000));
    let rest = Rest::with_clock(clock.clone());
    set(&rest, json!({"requests_per_second": 2})).await;
    for _ in 0..2 {
        assert_eq!(rest.get("/v1/tasks").await.status, StatusCode::OK);
    }
    assert_refused(&rest.get("/v1/tasks").await, "rate-limited", "2", "1");
    assert_eq!(rest.get("/healthz").await.status, StatusCode::OK, "whether it lives may always be asked");
    clock.advance(500);
    assert_eq!(rest.get("/v1/tasks").await.status, StatusCode::OK);
    assert_refused(&rest.get("/v1/tasks").await, "rate-limited", "2", "1");
}

#[tokio::test]
async fn whatever_is_answered_spends_the_tenants_rate() {
    let clock = Clock::manual(Millis(1_700_000_000_000));
    let rest = Rest::with_clock(clock.clone());
    assert_eq!(rest.post("/v1/tenants", r#"{"name":"acme"}"#).await.status, StatusCode::CREATED);
    let rates = rest.send(Method::PUT, "/v1/tenants/acme/quotas", &[], r#"{"requests_per_second":1}"#).await;
    assert_eq!(rates.status, StatusCode::OK);
    let made = rest.post_json("/v1/keys", json!({"name": "root", "scope": "admin"})).await.json();
    let root = format!("Bearer {}", made["key"].as_str().unwrap());
    let body = json!({"tenant": "acme", "name": "k", "scope": "invoke"}).to_string();
    let made = rest.send(Method::POST, "/v1/keys", &[("authorization", &root)], body).await.json();
    let key = format!("Bearer {}", made["key"].as_str().unwrap());
    let id = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    for (method, path, status) in [
        (Method::GET, "/v1/tenants".to_owned(), StatusCode::FORBIDDEN),
        (Method::POST, "/v1/functions?name=f".to_owned(), StatusCode::FORBIDDEN),
        (Method::GET, format!("/v1/tasks/{id}"), StatusCode::NOT_FOUND),
        (Method::GET, "/v9".to_owned(), StatusCode::NOT_FOUND),
        (Method::PATCH, "/v1/tasks".to_owned(), StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/v1/tasks?limt=5".to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
        (Method::POST, "/v1/tasks/batch".to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        clock.advance(1_000);
        let ask = || async { rest.send(method.clone(), &path, &[("authorization", &key)], "{").await };
        assert_eq!(ask().await.status, status, "{method} {path}");
        assert_refused(&ask().await, "rate-limited", "1", "1");
    }
}

#[tokio::test]
async fn no_more_tasks_wait_than_may_in_whichever_way_they_come() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    set(&rest, json!({"queued_tasks": 2})).await;
    for _ in 0..2 {
        assert_eq!(rest.post("/v1/functions/echo/tasks", "x").await.status, StatusCode::ACCEPTED);
    }
    assert_refused(&rest.post("/v1/functions/echo/tasks", "x").await, "queue-full", "2", "1");
    let rows = rest.post_json("/v1/functions/echo/tasks/batch", json!([{"input": "eA=="}])).await.json();
    assert!(rows.to_string().contains("queue-full"), "{rows}");
    set(&rest, json!({})).await;
    assert_eq!(rest.post("/v1/functions/echo/tasks", "x").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn functions_are_bounded_in_number() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    set(&rest, json!({"functions": 1})).await;
    assert_refused(&rest.post("/v1/functions?name=two", guests::echo()).await, "function-quota", "1", "60");
    rest.send(Method::DELETE, "/v1/functions/echo", &[], Body::empty()).await;
    assert_eq!(rest.post("/v1/functions?name=two", guests::echo()).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn invokes_under_way_are_bounded() {
    let rest = Rest::new(Slots::Stuck).with_echo().await;
    set(&rest, json!({"running_tasks": 1})).await;
    let invoke = || Box::pin(rest.post("/v1/functions/echo/invoke", "x"));
    let mut first = invoke();
    let under_way = async {
        loop {
            assert!((&mut first).now_or_never().is_none(), "it is stuck");
            // It is counted once it has found its function.
            if let Some(refused) = invoke().now_or_never() {
                return refused;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_refused(&under_way.await, "running-quota", "1", "1");
    drop(first);
    assert!(invoke().now_or_never().is_none(), "there is room again");
}
