//! Main functionality over REST: register, invoke, submit, wait, collect.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::guests;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server;

#[tokio::test]
async fn a_function_is_invoked_and_its_receipt_is_in_a_header() {
    let (server, _home) = server(&[]);
    let client = server.client();
    let function = client.register("echo", "", &guests::echo()).await.unwrap();
    assert_eq!((function["version"].as_u64(), function["abi"].as_str()), (Some(1), Some("core")));

    let answer = client.post("/v1/functions/echo/invoke", "hello").await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"hello".as_slice()));
    let receipt: Value = serde_json::from_str(answer.header("fusebox-receipt")).unwrap();
    assert!(receipt["fuel"].as_u64().unwrap() > 0, "{receipt}");
    assert_eq!(receipt["output_bytes"].as_u64(), Some(5), "{receipt}");
    assert_eq!(receipt["memory_bytes"].as_u64(), Some(131_072), "{receipt}");
}

#[tokio::test]
async fn a_large_input_comes_back_whole_by_invoke_and_by_task() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("echo", "&output_bytes=4000000", &guests::echo()).await.unwrap();
    let input: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();

    let answer = client.post("/v1/functions/echo/invoke", input.clone()).await.unwrap();
    assert!(answer.body == input, "{}", answer.status);

    let id = client.submit("echo", &input).await.unwrap();
    let task = client.ended(&id).await.unwrap();
    assert_eq!(task["status"], "COMPLETED", "{}", task["error"]);
    let result = client.get(&format!("/v1/tasks/{id}/result")).await.unwrap();
    assert!(result.body == input, "{}", result.status);
}

#[tokio::test]
async fn a_task_is_accepted_runs_and_keeps_its_result() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();

    let accepted = client.post("/v1/functions/echo/tasks", "work").await.unwrap();
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    let id = accepted.json().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), format!("/v1/tasks/{id}"));

    let task = client.ended(&id).await.unwrap();
    assert_eq!((task["status"].as_str(), task["attempt"].as_u64()), (Some("COMPLETED"), Some(1)), "{task}");
    assert!(task["receipt"]["fuel"].as_u64().unwrap() > 0, "{task}");
    assert!(task["receipt"]["worker"].is_string(), "{task}");
    let result = client.get(&format!("/v1/tasks/{id}/result")).await.unwrap();
    assert_eq!((result.status, result.body.as_slice()), (StatusCode::OK, b"work".as_slice()));
    let listed = client.get("/v1/tasks").await.unwrap().json().unwrap();
    assert_eq!(listed["items"][0]["id"], json!(id), "{listed}");
}

#[tokio::test]
async fn waiting_with_prefer_answers_the_result_at_once() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let path = "/v1/functions/echo/tasks";
    let answer = client.send(Method::POST, path, &[("prefer", "wait=20")], "now").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    assert_eq!(answer.header("preference-applied"), "wait=20");
    assert_eq!(answer.json().unwrap()["result"], json!(BASE64.encode("now")));
}

#[tokio::test]
async fn a_thousand_tasks_all_end_with_their_own_result() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let submit = |n: u32| {
        let client = client.clone();
        tokio::spawn(async move { (n, client.submit("echo", format!("task {n}").as_bytes()).await.unwrap()) })
    };
    let submitted: Vec<_> = (0..1_000).map(submit).collect();
    for accepted in submitted {
        let (n, id) = accepted.await.unwrap();
        let task = client.ended(&id).await.unwrap();
        assert_eq!(task["result"], json!(BASE64.encode(format!("task {n}"))), "{task}");
    }
    let metrics = client.get("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("fusebox_"), "{metrics}");
}

#[tokio::test]
async fn versions_are_immutable_and_the_name_resolves_to_the_newest() {
    let (server, _home) = server(&[]);
    let client = server.client();
    let first = client.register("f", "", &guests::echo()).await.unwrap();
    let second = client.register("f", "", &guests::fail()).await.unwrap();
    assert_eq!(second["version"], 2);
    assert_ne!(first["id"], second["id"]);

    let by_name = client.post("/v1/functions/f/invoke", "x").await.unwrap();
    assert_eq!((by_name.status, by_name.code().as_str()), (StatusCode::FAILED_DEPENDENCY, "guest-error"));
    let old = format!("/v1/functions/{}/invoke", first["id"].as_str().unwrap());
    assert_eq!(client.post(&old, "x").await.unwrap().body, b"x");

    let deleted = client.send(Method::DELETE, "/v1/functions/f", &[], []).await.unwrap();
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(client.post(&old, "x").await.unwrap().code(), "function-not-found");
}

#[tokio::test]
async fn clients_of_the_python_platform_find_their_routes() {
    let (server, _home) = server(&[]);
    let client = server.client();
    // Format of Python's base64.encodebytes: a line break every 76 characters and one at the end.
    let mime = |bytes: &[u8]| {
        let text = BASE64.encode(bytes);
        let lines: Vec<&str> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join("\n") + "\n"
    };
    let body = json!({"name": "<lambda>", "payload": mime(&guests::echo())});
    let registered = client.post_json("/register_function", &body).await.unwrap();
    assert_eq!(registered.status, StatusCode::OK, "{registered}");
    let function = registered.json().unwrap()["function_id"].clone();

    let input = b"a parameter payload that is long enough to need more than one line of base64 text".as_slice();
    let body = json!({"function_id": function, "payload": mime(input)});
    let accepted = client.post_json("/execute_function", &body).await.unwrap();
    assert_eq!(accepted.status, StatusCode::OK, "{accepted}");
    let id = accepted.json().unwrap()["task_id"].as_str().unwrap().to_owned();

    client.ended(&id).await.unwrap();
    let status = client.get(&format!("/status/{id}")).await.unwrap().json().unwrap();
    assert_eq!(status, json!({"task_id": id, "status": "COMPLETED"}));
    let result = client.get(&format!("/result/{id}")).await.unwrap().json().unwrap();
    assert_eq!(result, json!({"task_id": id, "status": "COMPLETED", "result": BASE64.encode(input)}));
}

#[tokio::test]
async fn a_task_has_a_priority_a_delay_and_limits_of_its_own() {
    let (server, _home) = server(&["-w", "1"]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    client.register("spin", "&fuel=300000000000&wall_ms=60000", &guests::spin()).await.unwrap();
    let submit = |function: &'static str, query: &'static str| {
        let client = client.clone();
        async move {
            let answer = client.post(&format!("/v1/functions/{function}/tasks?{query}"), "x").await.unwrap();
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
            answer.json().unwrap()["id"].as_str().unwrap().to_owned()
        }
    };
    let cut = client.ended(&submit("spin", "wall_ms=50").await).await.unwrap();
    assert_eq!(cut["error"]["code"], "deadline-exceeded", "{cut}");

    let delayed = client.ended(&submit("echo", "delay_ms=400&priority=high").await).await.unwrap();
    assert_eq!((&delayed["status"], &delayed["priority"]), (&json!("COMPLETED"), &json!("high")), "{delayed}");
    assert!(delayed["receipt"]["queue_us"].as_u64().unwrap() >= 400_000, "{delayed}");
}
