//! Grants, configuration and secrets: refusals with their reasons, and secrets that can never be read back.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::limits::{SETTING_VALUE_BYTES_MAX, SETTINGS_MAX};
use fusebox_harness::guests;
use serde_json::json;

use crate::support::{Answer, Rest, Slots, assert_problem};

async fn put(rest: &Rest, path: &str, value: impl Into<Body>) -> Answer {
    rest.send(Method::PUT, path, &[], value).await
}

async fn delete(rest: &Rest, path: &str) -> Answer {
    rest.send(Method::DELETE, path, &[], Body::empty()).await
}

#[tokio::test]
async fn what_a_module_needs_it_must_be_granted() {
    let rest = Rest::new(Slots::Echo);
    let refused = rest.post("/v1/functions?name=keeper", guests::keeper()).await;
    assert_problem(&refused, StatusCode::BAD_REQUEST, "grant-required");
    assert_eq!(refused.json()["missing"], json!(["config", "secrets", "kv"]));
    assert_eq!(refused.json().get("new"), None, "it is the first version");
    let seed = json!({"name": "keeper", "payload": fusebox::rest::body::to_base64(&guests::keeper())});
    assert_problem(&rest.post_json("/register_function", seed).await, StatusCode::BAD_REQUEST, "grant-required");

    let plain = rest.post("/v1/functions?name=keeper", guests::echo()).await.json();
    assert_eq!(plain["grants"], json!([]));
    let some = rest.post("/v1/functions?name=keeper&grants=kv", guests::keeper()).await.json();
    assert_eq!((&some["missing"], &some["new"]), (&json!(["config", "secrets"]), &json!(["config", "secrets", "kv"])));
    assert!(some["detail"].as_str().unwrap().contains("new since version 1"), "{some}");
    let all = rest.post("/v1/functions?name=keeper&grants=config,secrets,kv", guests::keeper()).await;
    assert_eq!(all.status, StatusCode::CREATED, "{:?}", all.body);
    assert_eq!(all.json()["new_grants"], json!(["config", "secrets", "kv"]));
    let next = rest.post("/v1/functions?name=keeper&grants=kv,http=*.b.org,config,secrets", guests::keeper()).await;
    assert_eq!(next.json()["new_grants"], json!(["http=*.b.org"]));
    let shown = rest.get("/v1/functions/keeper").await.json();
    assert_eq!(shown["grants"], json!(["config", "secrets", "kv", "http=*.b.org"]));
    for bad in ["root", "http", "http=*", "http=a%20b"] {
        let answer = rest.post(&format!("/v1/functions?name=keeper&grants={bad}"), guests::keeper()).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "invalid-request");
    }
    // Mail, a shell, a name server, files.
    for port in [25, 22, 53, 2_049] {
        let path = format!("/v1/functions?name=keeper&grants=kv,http=a.example.com:{port}");
        let answer = rest.post(&path, guests::keeper()).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("port {port}")), "{:?}", answer.body);
    }
}

#[tokio::test]
async fn configuration_is_set_read_listed_and_unset() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.get("/v1/functions/echo").await.json()["id"].as_str().unwrap().to_owned();
    let path = "/v1/functions/echo/config/CITY";
    assert_problem(&rest.get(path).await, StatusCode::NOT_FOUND, "setting-not-found");
    assert_eq!(put(&rest, path, "Tromsø").await.status, StatusCode::NO_CONTENT);
    assert_eq!(put(&rest, &format!("/v1/functions/{id}/config/B"), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(rest.get(path).await.text(), "Tromsø");
    let listed = rest.get("/v1/functions/echo/config").await.json();
    assert_eq!(listed["items"], json!([{"name": "B", "value": ""}, {"name": "CITY", "value": "Tromsø"}]));
    assert_eq!(delete(&rest, path).await.status, StatusCode::NO_CONTENT);
    assert_problem(&delete(&rest, path).await, StatusCode::NOT_FOUND, "setting-not-found");
}

#[tokio::test]
async fn a_setting_out_of_bounds_is_refused() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for kind in ["config", "secrets"] {
        let at = |name: &str| format!("/v1/functions/echo/{kind}/{name}");
        assert_problem(&put(&rest, &at("a%20b"), "x").await, StatusCode::BAD_REQUEST, "invalid-name");
        assert_problem(&put(&rest, &at(&"x".repeat(129)), "x").await, StatusCode::BAD_REQUEST, "invalid-name");
        let large = vec![b'x'; SETTING_VALUE_BYTES_MAX];
        assert_eq!(put(&rest, &at("LARGE"), large.clone()).await.status, StatusCode::NO_CONTENT);
        let larger = [&large[..], b"x"].concat();
        assert_problem(&put(&rest, &at("LARGE"), larger).await, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
        for n in 1..SETTINGS_MAX {
            assert_eq!(put(&rest, &at(&format!("N{n}")), "x").await.status, StatusCode::NO_CONTENT);
        }
        assert_problem(&put(&rest, &at("MORE"), "x").await, StatusCode::TOO_MANY_REQUESTS, "setting-quota");
        let nowhere = format!("/v1/functions/nobody/{kind}/NAME");
        assert_problem(&put(&rest, &nowhere, "x").await, StatusCode::NOT_FOUND, "function-not-found");
        assert_problem(&delete(&rest, &nowhere).await, StatusCode::NOT_FOUND, "function-not-found");
    }
    let no_text = put(&rest, "/v1/functions/echo/config/NAME", &b"\xff"[..]).await;
    assert_problem(&no_text, StatusCode::BAD_REQUEST, "invalid-request");
}

#[tokio::test]
async fn a_secret_is_never_read_back() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let path = "/v1/functions/echo/secrets/KEY";
    assert_eq!(put(&rest, path, "hunter2").await.status, StatusCode::NO_CONTENT);
    assert_problem(&rest.get(path).await, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed");
    let listed = rest.get("/v1/functions/echo/secrets").await;
    assert_eq!(listed.json()["items"], json!([{"name": "KEY"}]));
    for path in ["/v1/functions/echo", "/v1/functions", "/v1/functions/echo/config", "/v1/functions/echo/config/KEY"] {
        assert!(!rest.get(path).await.text().contains("hunter2"), "{path}");
    }
    assert_eq!(delete(&rest, path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rest.get("/v1/functions/echo/secrets").await.json()["items"], json!([]));
}

#[tokio::test]
async fn settings_go_with_the_last_version_of_their_function() {
    let rest = Rest::new(Slots::Echo).with_echo().await.with_echo().await;
    put(&rest, "/v1/functions/echo/config/NAME", "x").await;
    put(&rest, "/v1/functions/echo/secrets/NAME", "x").await;
    let newest = rest.get("/v1/functions/echo").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(delete(&rest, &format!("/v1/functions/{newest}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rest.get("/v1/functions/echo/config/NAME").await.text(), "x", "a version is left");
    assert_eq!(delete(&rest, "/v1/functions/echo").await.status, StatusCode::NO_CONTENT);
    let rest = rest.with_echo().await;
    for kind in ["config", "secrets"] {
        assert_eq!(rest.get(&format!("/v1/functions/echo/{kind}")).await.json()["items"], json!([]));
    }
}
