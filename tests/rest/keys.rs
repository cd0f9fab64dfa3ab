//! Lifecycle of keys: the first key closes the host, rotated keys stay valid for a grace period, revoked keys end
//! streams as well.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use fusebox::tenancy::ApiKey;
use fusebox_store::Acting;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::{
    support::{Answer, Rest, Slots, assert_problem},
    world::World,
};

async fn send(rest: &Rest, method: Method, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("authorization", &*format!("Bearer {key}"))];
    rest.send(method, path, &headers, body.to_string()).await
}

async fn status(rest: &Rest, key: &str) -> StatusCode {
    send(rest, Method::GET, "/v1/functions", key, &json!(null)).await.status
}

#[tokio::test]
async fn the_first_key_is_the_operators_and_closes_the_host() {
    let rest = Rest::new(Slots::Echo);
    rest.store.add_tenant(Acting::Store, "acme".parse().unwrap()).await.unwrap().unwrap();
    for narrow in [json!({"scope": "deploy"}), json!({"scope": "admin", "tenant": "acme"})] {
        assert_problem(&rest.post_json("/v1/keys", narrow).await, StatusCode::BAD_REQUEST, "invalid-request");
    }
    assert_eq!(rest.get("/v1/workers").await.status, StatusCode::OK);
    let made = rest.post_json("/v1/keys", json!({"scope": "admin", "name": "first"})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert_problem(&rest.get("/v1/workers").await, StatusCode::UNAUTHORIZED, "unauthorized");
    let listed = send(&rest, Method::GET, "/v1/keys", &key, &json!(null)).await.json();
    assert_eq!((&listed["items"][0]["name"], &listed["items"][0]["status"]), (&json!("first"), &json!("good")));
    assert!(!listed.to_string().contains(key.rsplit('_').next().unwrap()), "shown once");
    // A page whose name resolves to this address gains nothing, and its origin is refused as well.
    for header in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let answer = rest.send(Method::GET, "/v1/functions", &[header], Body::empty()).await;
        assert_problem(&answer, StatusCode::UNAUTHORIZED, "unauthorized");
    }
    // Deleting the key does not reopen the host.
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(send(&rest, Method::DELETE, &format!("/v1/keys/{id}"), &key, &json!(null)).await.status, StatusCode::OK);
    assert_eq!(status(&rest, &key).await, StatusCode::UNAUTHORIZED);
    assert_problem(&rest.get("/v1/workers").await, StatusCode::UNAUTHORIZED, "unauthorized");
}

#[tokio::test]
async fn a_rotated_key_stays_good_for_its_grace_and_its_successor_is_like_it() {
    let (rest, world) = World::new().await;
    let body = json!({"scope": "deploy", "name": "ci", "life_ms": 86_400_000});
    let made = send(&rest, Method::POST, "/v1/keys", &world.admin, &body).await.json();
    let old = made["key"].as_str().unwrap();
    let path = format!("/v1/keys/{}/rotate", made["id"].as_str().unwrap());
    let next = send(&rest, Method::POST, &path, &world.admin, &json!({"grace_ms": 3_600_000})).await.json();
    for field in ["tenant", "scope", "name"] {
        assert_eq!(made[field], next[field]);
    }
    assert!(next["expires_at"].is_string() && next["id"] != made["id"]);
    assert_eq!(
        (status(&rest, old).await, status(&rest, next["key"].as_str().unwrap()).await),
        (StatusCode::OK, StatusCode::OK)
    );
    let path = format!("/v1/keys/{}/rotate", next["id"].as_str().unwrap());
    let last = send(&rest, Method::POST, &path, &world.admin, &json!({"grace_ms": 0})).await.json();
    assert_eq!(status(&rest, next["key"].as_str().unwrap()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&rest, last["key"].as_str().unwrap()).await, StatusCode::OK);
    let again = send(&rest, Method::POST, &path, &world.admin, &json!({})).await;
    assert_problem(&again, StatusCode::CONFLICT, "key-ended");
}

#[tokio::test]
async fn the_operator_manages_every_tenants_keys() {
    let (rest, world) = World::new().await;
    let body = json!({"scope": "admin", "tenant": "other"});
    let made = send(&rest, Method::POST, "/v1/keys", &world.operator, &body).await;
    assert_eq!((made.status, &made.json()["tenant"]), (StatusCode::CREATED, &json!("other")));
    let listed = send(&rest, Method::GET, "/v1/keys?tenant=other", &world.operator, &json!(null)).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let refused = send(&rest, Method::POST, "/v1/keys", &world.admin, &body).await;
    assert_problem(&refused, StatusCode::NOT_FOUND, "tenant-not-found");
    let nobody = json!({"scope": "admin", "tenant": "nobody"});
    let refused = send(&rest, Method::POST, "/v1/keys", &world.operator, &nobody).await;
    assert_problem(&refused, StatusCode::NOT_FOUND, "tenant-not-found");
    let long = json!({"scope": "invoke", "name": "x".repeat(129)});
    let refused = send(&rest, Method::POST, "/v1/keys", &world.admin, &long).await;
    assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-name");
    let stays = send(&rest, Method::DELETE, "/v1/tenants/default", &world.operator, &json!(null)).await;
    assert_problem(&stays, StatusCode::CONFLICT, "tenant-stays");
}

#[tokio::test]
async fn a_key_is_revoked_by_the_whole_of_it_and_never_told_again() {
    let (rest, world) = World::new().await;
    let path = format!("/v1/keys/{}", world.invoke);
    let revoked = send(&rest, Method::DELETE, &path, &world.admin, &json!(null)).await;
    assert_eq!(revoked.json()["status"], "revoked", "{:?}", revoked.body);
    assert_eq!(status(&rest, &world.invoke).await, StatusCode::UNAUTHORIZED);
    let absent = ApiKey::random().reveal();
    let answer = send(&rest, Method::DELETE, &format!("/v1/keys/{absent}"), &world.admin, &json!(null)).await;
    assert_problem(&answer, StatusCode::NOT_FOUND, "key-not-found");
    assert!(!answer.text().contains(absent.rsplit('_').next().unwrap()), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let (rest, world) = World::new().await;
    let path = world.fill("/v1/functions/{function}/tasks");
    let task = send(&rest, Method::POST, &path, &world.deploy, &json!(null)).await.json();
    let request = Request::get(format!("/v1/tasks/{}/events", task["id"].as_str().unwrap()))
        .header("authorization", format!("Bearer {}", world.invoke));
    let mut stream = rest.open(request.body(Body::empty()).unwrap()).await.into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("QUEUED"));
    rest.revoke(&world.invoke).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), async { while stream.frame().await.is_some() {} });
    assert!(ended.await.is_ok(), "a revoked key still listens");
}

#[tokio::test]
async fn a_method_or_a_path_that_there_is_none_of_is_said_with_and_without_keys() {
    let (closed, world) = World::new().await;
    let open = Rest::new(Slots::Echo);
    for rest in [&open, &closed] {
        let answer = rest.send(Method::PUT, "/v1/functions", &[], Body::empty()).await;
        assert_problem(&answer, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed");
        let mut allowed: Vec<&str> = answer.header("allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "POST"]);
        assert_problem(&rest.get("/nowhere").await, StatusCode::NOT_FOUND, "route-not-found");
        assert_eq!(rest.get("/openapi.json").await.status, StatusCode::OK);
    }
    let head = async |key: &str| send(&closed, Method::HEAD, "/v1/functions", key, &json!(null)).await.status;
    assert_eq!((head("none").await, head(&world.invoke).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
}
