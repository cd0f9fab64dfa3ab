//! Deletion of tenants.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::{name::TenantId, quota::Quotas, time::Millis};
use fusebox_store::{Acting, FunctionRef, NewTask, TaskRequest};
use fusebox_system::random;
use serde_json::{Value, json};

use crate::{
    support::{Answer, Rest, assert_problem},
    world::World,
};

async fn send(rest: &Rest, method: Method, path: &str, key: &str) -> Answer {
    rest.send(method, path, &[("authorization", &*format!("Bearer {key}"))], Body::empty()).await
}

#[tokio::test]
async fn a_tenant_is_deleted_with_all_it_has_and_says_what_went() {
    let (rest, world) = World::new().await;
    let path = "/v1/tenants/acme";
    let shown = send(&rest, Method::GET, path, &world.operator).await.json();
    let created_at = &shown["created_at"];
    assert_eq!(
        shown,
        json!({"name": "acme", "created_at": created_at, "functions": 1, "keys": 6, "queued_tasks": 0, "running_tasks": 0})
    );
    let deleted = send(&rest, Method::DELETE, path, &world.operator).await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text());
    let expected =
        json!({"name": "acme", "done": true, "tasks": 1, "functions": 1, "values": 0, "settings": 0, "keys": 6});
    assert_eq!(deleted.json(), expected);
    for key in [&world.admin, &world.deploy, &world.invoke] {
        let refused = send(&rest, Method::GET, "/v1/functions", key).await;
        assert_problem(&refused, StatusCode::UNAUTHORIZED, "unauthorized");
    }
    for method in [Method::GET, Method::DELETE] {
        assert_problem(&send(&rest, method, path, &world.operator).await, StatusCode::NOT_FOUND, "tenant-not-found");
    }
    let tenants = send(&rest, Method::GET, "/v1/tenants", &world.operator).await.json();
    let names: Vec<_> = tenants["items"].as_array().unwrap().iter().map(|tenant| &tenant["name"]).collect();
    assert_eq!(names, ["default", "other"]);
    let bearer = format!("Bearer {}", world.operator);
    let again = rest.send(Method::POST, "/v1/tenants", &[("authorization", &bearer)], r#"{"name":"acme"}"#).await;
    assert_problem(&again, StatusCode::CONFLICT, "tenant-exists");
}

#[tokio::test]
async fn a_tenant_that_is_being_deleted_is_listed_so_and_a_request_goes_on() {
    let (rest, world) = World::new().await;
    let acme: TenantId = "acme".parse().unwrap();
    let id = FunctionRef::Id(world.function.parse().unwrap());
    let function = rest.store.function(&acme, &id).await.unwrap().unwrap();
    let task = |_| -> NewTask {
        TaskRequest::new(&function, "x".into()).into_task(random::task_id(Millis(0)), 1, &Quotas::OPERATOR)
    };
    rest.store.accept((0..600).map(task).collect()).await.unwrap();
    // As if the process that deletes it had ended after the first part.
    assert_eq!(rest.store.delete_tenant(Acting::Store, &acme).await.unwrap(), Ok(true));
    let part = rest.store.clear_tenant(&acme).await.unwrap();
    assert!(!part.is_done);
    let shown = send(&rest, Method::GET, "/v1/tenants/acme", &world.operator).await.json();
    assert_eq!((&shown["deleting"], &shown["queued_tasks"]), (&json!(true), &json!(600 - part.tasks)));
    let tenants = send(&rest, Method::GET, "/v1/tenants", &world.operator).await.json();
    let deleting: Vec<_> = tenants["items"].as_array().unwrap().iter().map(|tenant| &tenant["deleting"]).collect();
    assert_eq!(deleting, [&json!(true), &Value::Null, &Value::Null]);
    let rest_of_it = send(&rest, Method::DELETE, "/v1/tenants/acme", &world.operator).await.json();
    // The world's own task, which has ended, goes as well.
    assert_eq!((&rest_of_it["done"], &rest_of_it["tasks"]), (&json!(true), &json!(601 - part.tasks)));
}
