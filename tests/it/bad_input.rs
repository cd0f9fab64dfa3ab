//! Invalid modules are refused with a code and a message within 15 seconds, and other requests are unaffected.

use std::time::{Duration, Instant};

use fusebox_harness::guests;
use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server;

#[tokio::test]
async fn what_is_no_function_is_refused_with_the_reason() {
    let (server, _home) = server(&[]);
    let client = server.client();
    let truncated = &guests::echo()[..40];
    let component = b"\0asm\x0d\0\x01\0";
    let unknown_import = guests::wasm(
        r#"(module (import "env" "system" (func)) (memory (export "memory") 1)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 0))
            (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))"#,
    );
    let cases: [(&str, &[u8], &str); 7] = [
        ("empty", b"", "invalid-module"),
        ("text", b"(module)", "unsupported-module"),
        ("garbage", b"\x7fELF and so on", "unsupported-module"),
        ("truncated", truncated, "invalid-module"),
        ("component", component, "invalid-module"),
        ("unknown import", &unknown_import, "unknown-import"),
        ("no abi", &guests::wasm("(module)"), "invalid-module"),
    ];
    for (name, bytes, code) in cases {
        let answer = client.post("/v1/functions?name=f", bytes).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {answer}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json().unwrap();
        assert_eq!(problem["code"], code, "{name}: {problem}");
        assert!(problem["type"].as_str().unwrap().ends_with(code), "{problem}");
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    }
}

#[tokio::test]
async fn a_compile_bomb_is_refused_while_others_are_served() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let blocks = "(block (local.set 0 (i32.add (i32.const 1) (local.get 0))))".repeat(100_000);
    let bomb = guests::wasm(&format!(
        r#"(module (memory (export "memory") 1)
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 0))
            (func (export "fusebox_handle") (param i32 i32) (result i32) {blocks} (i32.const 0)))"#
    ));
    let started = Instant::now();
    let upload = {
        let client = client.clone();
        tokio::spawn(async move { client.post("/v1/functions?name=bomb", bomb).await.unwrap() })
    };
    while !upload.is_finished() {
        let answer = client.post("/v1/functions/echo/invoke", "still here").await.unwrap();
        assert_eq!(answer.body, b"still here");
    }
    let answer = upload.await.unwrap();
    assert!(answer.status.is_client_error(), "{answer}");
    assert!(matches!(answer.code().as_str(), "module-too-complex" | "compile-limit"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn bad_requests_get_a_problem_and_leave_nothing_behind() {
    let (server, _home) = server(&["--max-module", "1MiB"]);
    let client = server.client();
    let unknown = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    let cases = [
        (client.get("/status/not-a-uuid").await, 422),
        (client.get(&format!("/status/{unknown}")).await, 404),
        (client.get(&format!("/v1/tasks/{unknown}")).await, 404),
        (client.post("/v1/functions/none/invoke", "x").await, 404),
        (client.post_json("/execute_function", &json!({"payload": ""})).await, 422),
        (client.post_json("/execute_function", &json!({"function_id": unknown, "payload": ""})).await, 404),
        (client.post_json("/register_function", &json!({"name": "f", "payload": "***"})).await, 400),
        (client.post_json("/register_function", &json!({"name": "", "payload": "AGFzbQ=="})).await, 400),
        (client.post("/v1/functions?name=f", vec![0; 2 << 20]).await, 413),
        (client.get("/nowhere").await, 404),
    ];
    for (number, (answer, status)) in cases.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.status.as_u16(), status, "case {number}: {answer}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "case {number}");
        assert!(!answer.json().unwrap()["detail"].as_str().unwrap().is_empty(), "case {number}: {answer}");
    }
    assert_eq!(client.get("/v1/functions").await.unwrap().json().unwrap()["items"], json!([]));
    assert_eq!(client.get("/v1/tasks").await.unwrap().json().unwrap()["items"], json!([]));
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off_and_others_are_served() {
    let (server, _home) = server(&[]);
    let address = server.url().strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(b"POST /v1/functions HTTP/1.1\r\nHost: loc").await.unwrap();
        slow.push(connection);
    }
    assert_eq!(server.client().get("/readyz").await.unwrap().status, StatusCode::OK);
    for mut connection in slow {
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(30), connection.read_to_end(&mut answer));
        closed.await.expect("the connection is closed").unwrap();
    }
}

#[tokio::test]
async fn what_is_no_http_and_headers_without_bound_are_refused() {
    let (server, _home) = server(&[]);
    let address = server.url().strip_prefix("http://").unwrap();
    let endless = format!("GET / HTTP/1.1\r\nHost: localhost\r\nx: {}", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    for bytes in ["\x16\x03\x01\x02\0 no http at all\r\n\r\n", &endless, &many] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        // The host may close the connection before everything is sent.
        let _ = connection.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(30), connection.read_to_end(&mut answer));
        let _ = closed.await.expect("the connection is closed");
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.client().get("/readyz").await.unwrap().status, StatusCode::OK);
}
