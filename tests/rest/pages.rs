//! Every list is paged, and no row is lost or repeated between two pages.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_harness::guests;
use serde_json::{Value, json};

use crate::{
    hand::trapped,
    support::{Rest, Slots},
};

/// Reads a list in pages of two; returns a field of each row.
async fn all(rest: &Rest, path: &str, field: &str) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), None::<String>);
    loop {
        let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        let answer = rest.get(&format!("{path}?limit=2{cursor}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        let page = answer.json();
        let rows = page["items"].as_array().unwrap();
        assert!(rows.len() <= 2, "{path}: {page}");
        found.extend(rows.iter().map(|row| row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned)));
        match &page["next"] {
            Value::String(cursor) => next = Some(cursor.clone()),
            Value::Null => return found,
            other => panic!("{path}: {other}"),
        }
    }
}

#[tokio::test]
async fn every_list_is_paged() {
    let rest = Rest::new(Slots::Echo);
    for _ in 0..5 {
        assert_eq!(rest.post("/v1/functions?name=f", guests::echo()).await.status, StatusCode::CREATED);
    }
    for name in ["a", "b", "c", "d"] {
        let made = rest.post("/v1/tenants", json!({"name": name}).to_string()).await;
        assert_eq!(made.status, StatusCode::CREATED);
        for kind in ["config", "secrets"] {
            let path = format!("/v1/functions/f/{kind}/{name}");
            assert_eq!(rest.send(Method::PUT, &path, &[], Body::from("x")).await.status, StatusCode::NO_CONTENT);
        }
    }
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let task = rest.post("/v1/functions/f/tasks", "x").await.json();
        tasks.insert(0, task["id"].as_str().unwrap().to_owned());
        rest.run(trapped()).await;
    }
    assert_eq!(all(&rest, "/v1/functions/f/versions", "version").await, ["5", "4", "3", "2", "1"]);
    assert_eq!(all(&rest, "/v1/functions", "version").await, ["5"]);
    assert_eq!(all(&rest, "/v1/tenants", "name").await, ["a", "b", "c", "d", "default"]);
    for kind in ["config", "secrets"] {
        assert_eq!(all(&rest, &format!("/v1/functions/f/{kind}"), "name").await, ["a", "b", "c", "d"]);
    }
    assert_eq!(all(&rest, "/v1/workers", "id").await, [""; 0]);
    for path in ["/v1/tasks", "/v1/dead-letters"] {
        assert_eq!(all(&rest, path, "id").await.len(), tasks.len(), "{path}");
    }
}

#[tokio::test]
async fn keys_are_paged_by_age() {
    let (rest, world) = crate::world::World::new().await;
    let list = async |query: &str| {
        let headers = [("authorization", &*format!("Bearer {}", world.admin))];
        rest.send(Method::GET, &format!("/v1/keys{query}"), &headers, Body::empty()).await.json()
    };
    let whole = list("").await;
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("?limit=4{next}")).await;
        found.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(whole["items"].as_array().unwrap(), &found);
    assert!(found.len() > 4, "it took two pages");
}
