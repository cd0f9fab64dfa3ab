//! The quota of stored bytes: what counts is shown, what would exceed it is refused with a 429, and the rest goes on.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::limits::{RECORD_BYTES, VALUE_BYTES};
use fusebox_harness::guests;
use fusebox_store::{Acting, Scope};
use serde_json::{Value, json};

use crate::{
    hand::trapped,
    support::{Answer, Rest, Slots, assert_problem, set_quotas},
};

#[track_caller]
fn assert_refused(answer: &Answer, limit: u64) {
    assert_problem(answer, StatusCode::TOO_MANY_REQUESTS, "storage-quota");
    assert_eq!(answer.header("retry-after"), "60");
    assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), (&*limit.to_string(), "0"));
}

/// Returns the bytes that the default tenant stores.
async fn used(rest: &Rest) -> u64 {
    rest.get("/v1/tenants/default/quotas").await.json()["used"]["stored_bytes"].as_u64().unwrap()
}

async fn delete(rest: &Rest, path: &str) -> StatusCode {
    rest.send(Method::DELETE, path, &[], Body::empty()).await.status
}

async fn submit(rest: &Rest, input: impl Into<Body>) -> Answer {
    rest.post("/v1/functions/echo/tasks", input).await
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_would_exceed_the_quota_is_refused_until_something_is_deleted() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let before = used(&rest).await;
    let most = RECORD_BYTES + guests::echo().len() as u64;
    assert!(RECORD_BYTES < before && before <= most, "a module counts as it is stored: {before}");
    let input = "x".repeat(500);
    let limit = before + RECORD_BYTES + 500;
    let set = set_quotas(&rest, json!({"stored_bytes": limit})).await.json();
    assert_eq!((&set["may"]["stored_bytes"], &set["used"]["stored_bytes"]), (&json!(limit), &json!(before)));
    let task = id(&submit(&rest, input).await);
    assert_eq!(used(&rest).await, limit);

    assert_refused(&submit(&rest, "").await, limit);
    let rows = rest.post_json("/v1/functions/echo/tasks/batch", json!([{"input": ""}])).await.json();
    assert_eq!(rows["items"][0]["error"]["code"], "storage-quota", "{rows}");
    assert_refused(&rest.post("/v1/functions?name=other", guests::echo()).await, limit);
    let config = "/v1/functions/echo/config/NAME";
    assert_refused(&rest.send(Method::PUT, config, &[], "value").await, limit);
    assert_eq!(used(&rest).await, limit);
    assert_eq!(rest.post("/v1/functions/echo/invoke", "x").await.status, StatusCode::OK, "it stores nothing");

    assert_eq!(delete(&rest, &format!("/v1/tasks/{task}")).await, StatusCode::OK);
    assert!(used(&rest).await < limit, "a cancelled task has no input");
    assert_eq!(delete(&rest, &format!("/v1/tasks/{task}?purge=true")).await, StatusCode::NO_CONTENT);
    assert_eq!(used(&rest).await, before);
    assert_eq!(rest.send(Method::PUT, config, &[], "value").await.status, StatusCode::NO_CONTENT);
    assert_eq!(used(&rest).await, before + VALUE_BYTES + 4 + 5);
    assert_eq!(delete(&rest, "/v1/functions/echo").await, StatusCode::NO_CONTENT);
    assert_eq!(used(&rest).await, 0);
}

#[tokio::test]
async fn an_end_is_saved_beyond_the_quota_and_a_retry_of_it_is_refused() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let limit = used(&rest).await + RECORD_BYTES + 5;
    set_quotas(&rest, json!({"stored_bytes": limit})).await;
    let task = id(&submit(&rest, "hello").await);
    rest.run(trapped()).await;
    assert_eq!(rest.get(&format!("/v1/tasks/{task}")).await.json()["status"], "FAILED");
    assert!(used(&rest).await > limit, "the failure is kept with the input");
    assert_refused(&rest.post(&format!("/v1/tasks/{task}/retry"), "").await, limit);
    let rows = rest.post_json("/v1/dead-letters/replay", json!({"all": true})).await.json();
    assert_eq!(rows["items"][0]["error"]["code"], "storage-quota", "{rows}");
}

#[tokio::test]
async fn no_more_than_half_of_the_store_is_one_tenants() {
    let rest = Rest::new(Slots::Echo);
    let room = fusebox_core::room::total_bytes(&rest.store.room().await.unwrap());
    let may = |shown: Value| shown["may"]["stored_bytes"].as_u64().unwrap();
    let own = set_quotas(&rest, json!({"stored_bytes": room})).await.json();
    assert_eq!((may(own.clone()), &own["set"]["stored_bytes"]), (room / 2, &json!(room)));
    assert_eq!(may(set_quotas(&rest, json!({})).await.json()), room / 2);
    rest.post("/v1/tenants", r#"{"name":"acme"}"#).await;
    assert_eq!(may(rest.get("/v1/tenants/acme/quotas").await.json()), room / 10);
}

#[tokio::test]
async fn what_one_tenant_stores_bounds_no_other() {
    let rest = Rest::new(Slots::Echo);
    for name in ["full", "other"] {
        rest.store.add_tenant(Acting::Store, name.parse().unwrap()).await.unwrap().unwrap();
    }
    let key = async |tenant: &str| format!("Bearer {}", rest.key(tenant, Scope::Admin, None).await);
    let (full, other, operator) = (key("full").await, key("other").await, key("default").await);
    let ask = async |key: &str, method: Method, path: &str, body: Body| {
        rest.send(method, path, &[("authorization", key)], body).await
    };
    for key in [&full, &other] {
        let made = ask(key, Method::POST, "/v1/functions?name=echo", guests::echo().into()).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    let quotas = |name: &str| format!("/v1/tenants/{name}/quotas");
    ask(&operator, Method::PUT, &quotas("full"), r#"{"stored_bytes": 1}"#.into()).await;
    let submit = async |key: &str| ask(key, Method::POST, "/v1/functions/echo/tasks", "x".into()).await;
    assert_refused(&submit(&full).await, 1);
    assert_eq!(submit(&other).await.status, StatusCode::ACCEPTED);
    let used = async |name: &str| {
        ask(&operator, Method::GET, &quotas(name), Body::empty()).await.json()["used"]["stored_bytes"].clone()
    };
    let module = used("full").await.as_u64().unwrap();
    let most = RECORD_BYTES + guests::echo().len() as u64;
    assert!(RECORD_BYTES < module && module <= most, "a module counts as it is stored: {module}");
    assert_eq!(used("other").await, json!(module + RECORD_BYTES + 1));
    assert_eq!(used("default").await, json!(0));
}
