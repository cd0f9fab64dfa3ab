//! Setups of versions and starts of runs: arguments, environment, export.

use axum::http::{Method, StatusCode};
use fusebox_harness::guests;
use serde_json::json;

use crate::{
    hand::returned,
    support::{Rest, Slots, assert_problem},
};

#[tokio::test]
async fn a_version_shows_the_setup_that_it_was_registered_with() {
    let rest = Rest::new(Slots::Echo);
    let path = "/v1/functions?name=tool&arg=-v&arg=in%20put&arg=&env=LEVEL%3D3&env=PATH%3Da%3Db&export=run&public=true&content_type=image/png";
    let made = rest.send(Method::POST, path, &[], guests::echo()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let shown = rest.get("/v1/functions/tool").await.json();
    for view in [made.json(), shown] {
        assert_eq!(view["args"], json!(["-v", "in put", ""]));
        assert_eq!((&view["env"], &view["export"]), (&json!(["LEVEL=3", "PATH=a=b"]), &json!("run")));
        assert_eq!((&view["public"], &view["content_type"]), (&json!(true), &json!("image/png")));
    }
    let plain = rest.send(Method::POST, "/v1/functions?name=plain", &[], guests::echo()).await.json();
    assert!(
        ["args", "env", "files", "export", "public", "content_type"].iter().all(|field| plain.get(field).is_none()),
        "{plain}"
    );
}

#[tokio::test]
async fn a_setup_that_cannot_be_is_refused_and_nothing_is_registered() {
    let rest = Rest::new(Slots::Echo);
    let large = format!("arg={}", "x".repeat(33_000));
    for (query, status, code) in [
        ("env=NAME", StatusCode::BAD_REQUEST, "invalid-setup"),
        ("env=A%3D1&env=A%3D2", StatusCode::BAD_REQUEST, "invalid-setup"),
        ("arg=a%00b", StatusCode::BAD_REQUEST, "invalid-setup"),
        (&large, StatusCode::BAD_REQUEST, "invalid-setup"),
        ("export=", StatusCode::BAD_REQUEST, "invalid-setup"),
        ("export=a&export=b", StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("content_type=png", StatusCode::BAD_REQUEST, "invalid-setup"),
        ("content_type=a/b%0d%0aset-cookie:%20x", StatusCode::BAD_REQUEST, "invalid-setup"),
        ("content_type=a/b&content_type=a/b", StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("public=yes", StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("args=a", StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
    ] {
        let path = format!("/v1/functions?name=tool&{query}");
        let refused = rest.send(Method::POST, &path, &[], guests::echo()).await;
        assert_problem(&refused, status, code);
    }
    assert_eq!(rest.get("/v1/functions").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_task_keeps_its_arguments_and_its_key_covers_them() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let submit = async |query: &str| {
        let path = format!("/v1/functions/echo/tasks?{query}");
        rest.send(Method::POST, &path, &[("idempotency-key", "k")], "x").await
    };
    let task = submit("arg=a&arg=b&export=run").await;
    assert_eq!(task.status, StatusCode::ACCEPTED, "{:?}", task.body);
    let id = task.json()["id"].as_str().unwrap().to_owned();
    let shown = rest.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!((&shown["args"], &shown["export"]), (&json!(["a", "b"]), &json!("run")));
    assert_eq!(submit("arg=a&arg=b&export=run").await.json()["id"], id);
    assert_problem(&submit("arg=a&arg=c&export=run").await, StatusCode::UNPROCESSABLE_ENTITY, "idempotency-conflict");
    let batch = r#"[{"text":"x","args":["a"]},{"text":"x","args":["\u0000"]},{"text":"x","argv":[]}]"#;
    let rows = rest.post("/v1/functions/echo/tasks/batch", batch).await.json();
    let codes: Vec<_> = (0..3).map(|row| rows["items"][row]["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(null), json!("invalid-setup"), json!("unprocessable-request")]);
    let refused = rest.send(Method::POST, "/v1/functions/echo/invoke?arg=%00", &[], "x").await;
    assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-setup");
}

#[tokio::test]
async fn an_answer_has_the_content_type_that_its_version_states() {
    let rest = Rest::new(Slots::Echo);
    for (query, expected) in [("", "application/octet-stream"), ("&content_type=image/svg%2Bxml", "image/svg+xml")] {
        let made = rest.send(Method::POST, &format!("/v1/functions?name=f{query}"), &[], guests::echo()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let invoked = rest.post("/v1/functions/f/invoke", "<svg/>").await;
        assert_eq!((invoked.status, invoked.header("content-type")), (StatusCode::OK, expected));
        assert!(invoked.header("content-security-policy").contains("sandbox"));
        let task = rest.post("/v1/functions/f/tasks", "<svg/>").await.json();
        rest.run(returned("<svg/>")).await;
        let path = format!("/v1/tasks/{}/result", task["id"].as_str().unwrap());
        let result = rest.get(&path).await;
        assert_eq!((result.status, result.header("content-type")), (StatusCode::OK, expected), "{query}");
        assert_eq!(&result.body[..], b"<svg/>");
        // What such a function returns to an HTTP request is bytes, too, to which the host adds a content type.
        let (own, expected) = ("200\ncontent-type: a/b\n\n<svg/>", if query.is_empty() { "a/b" } else { expected });
        let served = rest.send(Method::POST, "/fn/f/", &[], own).await;
        assert_eq!((served.status, served.header("content-type")), (StatusCode::OK, expected));
        let later = rest.send(Method::POST, "/fn/f/", &[("prefer", "respond-async")], "x").await;
        rest.run(returned(own)).await;
        let result = rest.get(&format!("{}/result", later.header("location"))).await;
        assert_eq!((result.status, result.header("content-type")), (StatusCode::OK, expected), "{query}");
    }
}
