//! Uploads of modules that another tenant has uploaded before do not reveal it.

use axum::http::{Method, StatusCode};
use fusebox_harness::guests;

use crate::support::{Rest, Slots};

#[tokio::test]
async fn another_tenants_upload_of_the_same_bytes_shows_in_no_answer() {
    let rest = Rest::new(Slots::Echo);
    let upload = async |name: &str, key: &str| {
        let headers = [("authorization", key)];
        let path = format!("/v1/functions?name={name}");
        let answer = rest.send(Method::POST, &path, &headers, guests::echo()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer.json()["compile_ms"].as_u64().unwrap()
    };
    let key = async |tenant: &str, headers: &[(&str, &str)]| {
        let body = format!(r#"{{"name":"k","scope":"admin","tenant":"{tenant}"}}"#);
        let made = rest.send(Method::POST, "/v1/keys", headers, body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        format!("Bearer {}", made.json()["key"].as_str().unwrap())
    };
    assert_eq!(rest.post("/v1/tenants", r#"{"name":"acme"}"#).await.status, StatusCode::CREATED);
    let operator = key("default", &[]).await;
    let acme = key("acme", &[("authorization", operator.as_str())]).await;
    let first = upload("one", &operator).await;
    // A compile child takes at least a few milliseconds to start.
    assert!(first > 0);
    let started = std::time::Instant::now();
    let other = upload("theirs", &acme).await;
    // The recorded time, as if it were compiled again. It is less than the first upload's, which includes that upload's
    // wait for its turn.
    assert!(other > 0, "the artifact must not seem to be there");
    assert!(started.elapsed().as_millis() >= u128::from(other), "the answer must wait as long as it says");
    assert_eq!(upload("again", &acme).await, 0, "its own bytes are there");
    assert_eq!(upload("one", &operator).await, 0);
}
