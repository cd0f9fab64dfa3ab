//! Requests are understood as intended, or refused: parameters, headers, encodings and names.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use flate2::{Compression, write::GzEncoder};
use fusebox_core::limits::MODULE_BYTES_MAX;
use fusebox_harness::guests;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write as _;

use crate::support::{Rest, Slots, assert_problem, routes, table};

#[tokio::test]
async fn a_parameter_that_a_route_does_not_know_is_refused_on_every_route() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    // The query of an endpoint is the function's.
    let open = |path: &str| matches!(path, "/healthz" | "/readyz") || path.starts_with("/fn/");
    for (method, path) in routes().into_iter().filter(|(_, path)| !open(path)) {
        let answer = rest.send(method.clone(), &format!("{path}?zzz=1"), &[], Body::empty()).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
        assert_eq!(answer.json()["parameter"], "zzz", "{method} {path}");
    }
    assert!(table().len() > 30);
    for (method, path, nearest) in [
        (Method::POST, "/v1/functions/echo/tasks?dealy_ms=86400000", "delay_ms"),
        (Method::POST, "/v1/functions/echo/tasks?wall=5", "wall_ms"),
        (Method::POST, "/v1/functions?name=two&grant=kv", "grants"),
        (Method::GET, "/v1/tasks?Limit=5", "limit"),
        (Method::GET, "/v1/dead-letters?limit=5&functoin=echo", "function"),
    ] {
        let answer = rest.send(method, path, &[], guests::echo()).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
        assert_eq!(answer.json()["nearest"], nearest, "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(nearest));
    }
    let status = rest.get("/v1/tasks?state=FAILED").await;
    assert_problem(&status, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    assert_eq!(rest.get("/v1/tasks").await.json()["items"], serde_json::json!([]), "nothing of it was run");
}

#[tokio::test]
async fn two_values_where_one_decides_are_refused_and_the_same_twice_is_not() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let path = "/v1/functions/echo/tasks";
    for name in ["host", "idempotency-key"] {
        let two = [(name, "localhost"), (name, "127.0.0.1")];
        let refused = rest.send(Method::POST, path, &two, "x").await;
        assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-request");
        assert_eq!(refused.json()["header"], name);
        let same = [(name, "localhost"), (name, "localhost")];
        assert_eq!(rest.send(Method::POST, path, &same, "x").await.status, StatusCode::ACCEPTED, "{name}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_unless_it_is_a_module() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for (method, path, body) in [
        (Method::POST, "/v1/functions/echo/invoke", "x"),
        (Method::POST, "/v1/functions/echo/tasks", "x"),
        (Method::POST, "/v1/functions/echo/tasks/batch", "[]"),
        (Method::POST, "/register_function", "{}"),
        (Method::PUT, "/v1/functions/echo/config/NAME", "x"),
        (Method::POST, "/v1/keys", "{}"),
    ] {
        let refused = rest.send(method.clone(), path, &[("content-encoding", "gzip")], body).await;
        assert_problem(&refused, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding");
        assert_eq!(refused.header("accept-encoding"), "identity");
        let plain = rest.send(method, path, &[("content-encoding", "identity")], body).await;
        assert_ne!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    let other = rest.send(Method::POST, "/v1/functions?name=f", &[("content-encoding", "br")], "x").await;
    assert_problem(&other, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding");
    assert_eq!(other.header("accept-encoding"), "gzip, zstd");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_module_is_the_module_and_a_bomb_stops_at_its_bound() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let plain = rest.get("/v1/functions/echo").await.json()["module"].clone();
    let zeros = vec![0; usize::try_from(MODULE_BYTES_MAX).unwrap() + 1];
    let wasm = guests::echo();
    let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    for (coding, module, bomb) in [("gzip", gzip(&wasm), gzip(&zeros)), ("ZSTD", zstd(&wasm), zstd(&zeros))] {
        let register = |body: Vec<u8>| async {
            rest.send(Method::POST, "/v1/functions?name=f", &[("content-encoding", coding)], body).await
        };
        let made = register(module.clone()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{coding}: {:?}", made.body);
        assert_eq!(made.json()["module"], plain, "{coding}");
        assert!(bomb.len() < 1 << 20);
        assert_problem(&register(bomb).await, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
        assert_problem(
            &register(module[..module.len() / 2].to_vec()).await,
            StatusCode::BAD_REQUEST,
            "invalid-request",
        );
    }
}

#[tokio::test]
async fn a_name_that_no_url_can_carry_is_refused() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for name in [".", ".."] {
        let refused = rest.post(&format!("/v1/functions?name={name}"), guests::echo()).await;
        assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-name");
        let payload = "AGFzbQEAAAA=";
        let seed = rest.post_json("/register_function", serde_json::json!({"name": name, "payload": payload})).await;
        assert_problem(&seed, StatusCode::BAD_REQUEST, "invalid-name");
    }
    let odd = rest.post("/v1/functions?name=...", guests::echo()).await;
    assert_eq!(odd.status, StatusCode::CREATED);
    assert_eq!(rest.get("/v1/functions/...").await.json()["name"], "...");
}
