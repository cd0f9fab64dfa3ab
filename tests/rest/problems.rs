//! Each error is an `application/problem+json` with its own code, a message, and `Retry-After` if a retry can succeed.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};

use crate::support::{Rest, Slots, assert_problem, routes};

#[tokio::test]
async fn every_route_refuses_a_web_page_and_a_foreign_host() {
    let rest = Rest::new(Slots::Echo);
    for (method, path) in routes() {
        for header in [("origin", "https://evil.example"), ("host", "evil.example"), ("origin", "null")] {
            let answer = rest.send(method.clone(), &path, &[header], Body::empty()).await;
            assert_problem(&answer, StatusCode::FORBIDDEN, "foreign-origin");
        }
    }
}

#[tokio::test]
async fn an_array_is_no_object_with_its_fields_in_order() {
    let rest = Rest::new(Slots::Echo);
    for (method, path) in [(Method::POST, "/v1/tenants"), (Method::PUT, "/v1/tenants/default/quotas")] {
        let json = [("content-type", "application/json")];
        let answer = rest.send(method, path, &json, r#" ["acme", null]"#).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    }
}

#[tokio::test]
async fn every_route_answers_503_where_the_store_does_not() {
    let rest = Rest::without_store();
    for (method, path) in routes() {
        let (path, body) = match path.as_str() {
            "/healthz" => continue,
            "/v1/functions" if method == Method::POST => {
                ("/v1/functions?name=f".to_owned(), fusebox_harness::guests::echo())
            }
            "/execute_function" => {
                (path, br#"{"function_id":"0190d5a0-7b1a-7c3e-8f00-0123456789ab","payload":""}"#.to_vec())
            }
            "/register_function" => {
                use base64::Engine as _;
                let wasm = base64::engine::general_purpose::STANDARD.encode(fusebox_harness::guests::echo());
                (path, format!(r#"{{"name":"f","payload":"{wasm}"}}"#).into_bytes())
            }
            "/v1/tasks/batch" => (path, br#"[{"function":"f"}]"#.to_vec()),
            "/v1/tasks/wait" => (path, br#"{"tasks":["0190d5a0-7b1a-7c3e-8f00-0123456789ab"]}"#.to_vec()),
            "/v1/tasks/cancel" | "/v1/tasks/retry" | "/v1/tasks/delete" => (path, br#"{"status":"FAILED"}"#.to_vec()),
            "/v1/dead-letters/replay" => (path, br#"{"all":true}"#.to_vec()),
            "/v1/keys" if method == Method::POST => (path, br#"{"scope":"admin"}"#.to_vec()),
            "/v1/tenants" if method == Method::POST => (path, br#"{"name":"acme"}"#.to_vec()),
            "/v1/tenants/acme/quotas" if method == Method::PUT => (path, b"{}".to_vec()),
            "/v1/keys/0123456789abcdef/rotate" => (path, b"{}".to_vec()),
            _ => (path, Vec::new()),
        };
        let answer = rest.send(method.clone(), &path, &[], body).await;
        assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "store-unavailable");
    }
}

#[tokio::test]
async fn busy_slots_and_a_host_that_ends_are_503_and_a_broken_one_tells_no_secrets() {
    for (slots, status, code) in [
        (Slots::Busy, StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        (Slots::Ending, StatusCode::SERVICE_UNAVAILABLE, "shutting-down"),
        (Slots::Broken, StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    ] {
        let answer = Rest::new(slots).with_echo().await.post("/v1/functions/echo/invoke", "x").await;
        assert_problem(&answer, status, code);
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
}

#[tokio::test]
async fn a_draining_host_is_alive_but_not_ready() {
    let rest = Rest::new(Slots::Echo);
    assert_eq!(rest.get("/readyz").await.status, StatusCode::OK);
    rest.readiness.draining();
    assert_problem(&rest.get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE, "shutting-down");
    assert_eq!(rest.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_so() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let (unprocessable, bad) = (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST);
    for (path, status, code) in [
        ("/v1/functions", unprocessable, "unprocessable-request"),
        ("/v1/functions?name=f&wall_ms=soon", unprocessable, "unprocessable-request"),
        ("/v1/functions?name=f&wall_ms=999999999", bad, "invalid-limits"),
        ("/v1/functions?name=f&fuel=0", bad, "invalid-limits"),
        ("/v1/functions?name=", bad, "invalid-name"),
        ("/v1/functions?name=0190d5a0-7b1a-7c3e-8f00-0123456789ab", bad, "invalid-name"),
        ("/v1/functions?name=f", bad, "invalid-module"),
        ("/v1/functions/none/invoke", StatusCode::NOT_FOUND, "function-not-found"),
        ("/v1/functions/none/tasks", StatusCode::NOT_FOUND, "function-not-found"),
        ("/v1/functions/echo/tasks?priority=urgent", unprocessable, "unprocessable-request"),
        ("/v1/functions/echo/tasks?delay_ms=-1", unprocessable, "unprocessable-request"),
        ("/v1/functions/echo/tasks?delay_ms=604800001", bad, "invalid-request"),
        ("/v1/functions/echo/tasks?wall_ms=5001", bad, "invalid-limits"),
        ("/v1/functions/echo/tasks?fuel=0", bad, "invalid-limits"),
        ("/nowhere", StatusCode::NOT_FOUND, "route-not-found"),
        ("/healthz", StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
        ("/register_function", unprocessable, "unprocessable-request"),
    ] {
        assert_problem(&rest.post(path, "").await, status, code);
    }
    for (path, status, code) in [
        ("/v1/functions?limit=many", unprocessable, "unprocessable-request"),
        ("/v1/tasks?limit=-1", unprocessable, "unprocessable-request"),
        ("/v1/tasks/7", unprocessable, "unprocessable-request"),
        ("/status/7", unprocessable, "unprocessable-request"),
        ("/result/0190d5a0-7b1a-7c3e-8f00-0123456789ab", StatusCode::NOT_FOUND, "task-not-found"),
        ("/v1/functions/none", StatusCode::NOT_FOUND, "function-not-found"),
        ("/v1/functions/%FF", bad, "invalid-request"),
    ] {
        assert_problem(&rest.get(path).await, status, code);
    }
}

#[tokio::test]
async fn a_result_asked_for_too_early_says_when_to_ask_again() {
    // Nothing leases tasks here, so the task waits.
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.post("/v1/functions/echo/tasks", "x").await.json()["id"].as_str().unwrap().to_owned();
    let early = rest.get(&format!("/v1/tasks/{id}/result")).await;
    assert_problem(&early, StatusCode::CONFLICT, "task-not-ended");
    assert_eq!(early.json()["task_status"], "QUEUED");
    let seed = rest.get(&format!("/result/{id}")).await.json();
    assert_eq!(seed, serde_json::json!({"task_id": id, "status": "QUEUED", "result": ""}));

    let cancelled = rest.send(Method::DELETE, &format!("/v1/tasks/{id}"), &[], Body::empty()).await;
    assert_eq!(cancelled.json()["error"]["code"], "cancelled");
    let seed = rest.get(&format!("/result/{id}")).await.json();
    assert_eq!((&seed["status"], &seed["error"]["code"]), (&"FAILED".into(), &"cancelled".into()), "{seed}");
}
