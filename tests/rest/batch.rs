//! Many tasks in one request: each item has its own result, and the batch has limits.

use std::fmt::Write as _;

use axum::http::{Method, StatusCode};
use fusebox_core::limits::{BATCH_BODY_BYTES_MAX, BATCH_ITEMS_MAX};
use serde_json::{Value, json};

use crate::support::{Answer, Rest, Slots, assert_problem, set_quotas};

const PATH: &str = "/v1/functions/echo/tasks/batch";
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

fn codes(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let code = |row: &Value| match row["status"].as_str().unwrap() {
        "accepted" if row["replayed"] == true => "replayed".to_owned(),
        "accepted" => "accepted".to_owned(),
        _ => row["error"]["code"].as_str().unwrap().to_owned(),
    };
    answer.json()["items"].as_array().unwrap().iter().map(code).collect()
}

#[tokio::test]
async fn each_item_has_its_own_fate_and_the_others_run_in_order() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let answer = rest
        .post_json(
            PATH,
            json!([
                {"text": "a"}, {"input": "*"}, {"text": "b", "function": "none"}, {"json": {"c": 1}},
                {"text": "d", "limits": {"wall_ms": 5_001}}, {"txt": "e"}, {"delay_ms": 604_800_001}, 7,
                {"text": "f", "limits": {"wall_ms": 10}}, {"text": "g", "priority": "high"}
            ]),
        )
        .await;
    let expected = [
        "accepted",
        "invalid-base64",
        "function-not-found",
        "accepted",
        "invalid-limits",
        "unprocessable-request",
        "invalid-request",
        "unprocessable-request",
        "accepted",
        "accepted",
    ];
    assert_eq!(codes(&answer), expected);
    assert_eq!((&answer.json()["accepted"], &answer.json()["refused"]), (&4.into(), &6.into()));
    let leased = rest.lease(10).await;
    let inputs: Vec<_> = leased.iter().map(|leased| leased.invocation.input.clone()).collect();
    assert_eq!(inputs, ["g", "a", "{\"c\":1}", "f"]);
    assert_eq!(leased[3].task.limits.wall_ms, 10);
    assert_eq!(leased[0].task.id.to_string(), answer.json()["items"][9]["task"]);
}

#[tokio::test]
async fn a_broken_line_is_no_other_lines_error() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let body = b"{\"text\":\"a\"}\n{\"text\":\"b\n\n{\"text\":\"\xff\"}\r\n{\"text\":\"c\"}".to_vec();
    let answer = rest.send(Method::POST, PATH, &[LINES], body.clone()).await;
    assert_eq!(codes(&answer), ["accepted", "unprocessable-request", "unprocessable-request", "accepted"]);

    let headers = [LINES, ("accept", "application/x-ndjson")];
    let answer = rest.send(Method::POST, PATH, &headers, body).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    let rows: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!((&rows[0]["status"], &rows[1]["status"]), (&"accepted".into(), &"refused".into()));
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_and_utf_16_is_refused_with_a_sentence() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let json = ("content-type", "application/json");
    for (kind, body) in [(LINES, "\u{feff}{\"text\":\"a\"}\r\n"), (json, "\u{feff}[{\"text\":\"a\"}]")] {
        let answer = rest.send(Method::POST, PATH, &[kind], body.as_bytes().to_vec()).await;
        assert_eq!(codes(&answer), ["accepted"], "{body:?}");
    }
    let utf16: Vec<u8> = "[{}]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (path, kind) in [(PATH, LINES), (PATH, json), ("/v1/tasks/wait", json)] {
        for body in [utf16.clone(), [&b"\xff\xfe"[..], &utf16].concat()] {
            let answer = rest.send(Method::POST, path, &[kind], body).await;
            let problem = answer.json();
            assert_eq!(problem["code"], "unprocessable-request", "{path}");
            assert!(problem["detail"].as_str().unwrap().contains("UTF-16"), "{problem}");
        }
    }
}

#[tokio::test]
async fn a_batch_for_any_function_names_one_in_each_item() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let items = json!([{"function": "echo", "text": "a"}, {"text": "b"}, {"function": "none"}]);
    let answer = rest.post_json("/v1/tasks/batch", items).await;
    assert_eq!(codes(&answer), ["accepted", "unprocessable-request", "function-not-found"]);
    let missing = rest.post_json("/v1/functions/none/tasks/batch", json!([])).await;
    assert_problem(&missing, StatusCode::NOT_FOUND, "function-not-found");
    assert_eq!(codes(&rest.post_json(PATH, json!([])).await), Vec::<String>::new());
}

#[tokio::test]
async fn ten_thousand_items_are_one_batch_and_one_more_is_too_many() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let mut lines = String::new();
    for n in 0..BATCH_ITEMS_MAX {
        writeln!(lines, "{{\"text\":\"{n}\"}}").unwrap();
    }
    let answer = rest.send(Method::POST, PATH, &[LINES], lines.clone()).await;
    assert_eq!(answer.json()["accepted"], BATCH_ITEMS_MAX);
    let inputs: Vec<_> = rest.lease(200).await.into_iter().map(|leased| leased.invocation.input).collect();
    let expected: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(inputs, expected, "the items run in their order");

    lines.push_str("{}");
    let zeros = format!("[{}0]", "0,".repeat(1_000_000));
    for (headers, body) in [(&[LINES][..], lines), (&[], zeros)] {
        let answer = rest.send(Method::POST, PATH, headers, body).await;
        assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
        assert_eq!(answer.json()["max_items"], BATCH_ITEMS_MAX);
    }
    for body in ["", "{}", "[1", "nonsense"] {
        assert_problem(&rest.post(PATH, body).await, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    }
    let length = (BATCH_BODY_BYTES_MAX + 1).to_string();
    let answer = rest.send(Method::POST, PATH, &[("content-length", &length)], "").await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_refused_and_the_rest_is_not() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    set_quotas(&rest, json!({"queued_tasks": 2})).await;
    let answer = rest.post_json(PATH, json!([{}, {}, {}])).await;
    assert_eq!(codes(&answer), ["accepted", "accepted", "queue-full"]);
}

#[tokio::test]
async fn a_batch_sent_again_leads_to_the_same_tasks() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let send = |items: Value| {
        let rest = &rest;
        async move { rest.send(Method::POST, PATH, &[("idempotency-key", "k")], items.to_string()).await }
    };
    let first = send(json!([{"text": "a"}, {"text": "a"}, 7])).await;
    assert_eq!(codes(&first), ["accepted", "accepted", "unprocessable-request"]);
    let again = send(json!([{"text": "a"}, {"text": "b"}, {"text": "c"}])).await;
    assert_eq!(codes(&again), ["replayed", "idempotency-conflict", "accepted"]);
    assert_eq!(again.json()["items"][0]["task"], first.json()["items"][0]["task"]);
}

#[tokio::test]
async fn items_have_keys_of_their_own_and_meet_in_one_batch_too() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let single = rest.send(Method::POST, "/v1/functions/echo/tasks", &[("idempotency-key", "k")], "x").await;
    let item = |key: &str, text: &str| json!({"text": text, "idempotency_key": key});
    let items = json!([item("k", "x"), item("l", "x"), item("l", "x"), item("l", "y"), item("", "x")]);
    let answer = rest.post_json(PATH, items).await;
    assert_eq!(codes(&answer), ["replayed", "accepted", "replayed", "idempotency-conflict", "invalid-request"]);
    assert_eq!(answer.json()["items"][0]["task"], single.json()["id"]);
    assert_eq!(rest.lease(10).await.len(), 2);
}
