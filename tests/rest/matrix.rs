//! Every route of the router's table with every kind of caller. A route that is missing here fails the test.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox::tenancy::{ApiKey, Needs};
use fusebox_store::Scope;
use serde_json::{Value, json};

use crate::{
    support::{Answer, Rest, assert_problem, table},
    world::{CANARY, World},
};

/// Expected response to another tenant's caller.
enum Other {
    /// 404, identical to the response for absent items.
    Absent,
    /// 200 with this code in its row.
    Row(&'static str),
    /// Its own data.
    Own,
    /// 403: requires the operator.
    Refused,
    /// The same response as everyone.
    Open,
}

/// Returns the body for a route.
type Make = fn(&World) -> Vec<u8>;

/// A route: a body that it accepts, the expected response to another tenant, and the status for an authorized caller.
type Row = (&'static str, &'static str, Make, Other, u16);

fn nothing(_: &World) -> Vec<u8> {
    Vec::new()
}

fn canary(_: &World) -> Vec<u8> {
    CANARY.into()
}

fn wasm(_: &World) -> Vec<u8> {
    fusebox_harness::guests::echo()
}

fn seed_function(_: &World) -> Vec<u8> {
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.encode(fusebox_harness::guests::echo());
    json!({"name": "theirs", "payload": payload}).to_string().into()
}

fn seed_task(world: &World) -> Vec<u8> {
    json!({"function_id": world.function, "payload": ""}).to_string().into()
}

fn tasks(world: &World) -> Vec<u8> {
    json!({"tasks": [world.task]}).to_string().into()
}

fn queued(_: &World) -> Vec<u8> {
    br#"{"status":"QUEUED"}"#.to_vec()
}

fn batch(world: &World) -> Vec<u8> {
    json!([{"function": world.function}]).to_string().into()
}

/// Rows that delete something come last.
const ROWS: &[Row] = &[
    ("POST", "/register_function", seed_function, Other::Own, 200),
    ("POST", "/execute_function", seed_task, Other::Absent, 200),
    ("GET", "/status/{task}", nothing, Other::Absent, 200),
    ("GET", "/result/{task}", nothing, Other::Absent, 200),
    ("POST", "/v1/functions", wasm, Other::Own, 201),
    ("GET", "/v1/functions", nothing, Other::Own, 200),
    ("GET", "/v1/functions/{function}", nothing, Other::Absent, 200),
    ("GET", "/v1/functions/{function}/versions", nothing, Other::Absent, 200),
    ("PUT", "/v1/functions/{function}/config/{setting}", canary, Other::Absent, 204),
    ("GET", "/v1/functions/{function}/config/{setting}", nothing, Other::Absent, 200),
    ("GET", "/v1/functions/{function}/config", nothing, Other::Absent, 200),
    ("PUT", "/v1/functions/{function}/secrets/{setting}", canary, Other::Absent, 204),
    ("GET", "/v1/functions/{function}/secrets", nothing, Other::Absent, 200),
    ("POST", "/v1/functions/{function}/invoke", nothing, Other::Absent, 200),
    ("GET", "/fn/{function}", nothing, Other::Absent, 200),
    ("POST", "/fn/{function}", nothing, Other::Absent, 200),
    ("PUT", "/fn/{function}", nothing, Other::Absent, 200),
    ("PATCH", "/fn/{function}", nothing, Other::Absent, 200),
    ("DELETE", "/fn/{function}", nothing, Other::Absent, 200),
    ("OPTIONS", "/fn/{function}", nothing, Other::Absent, 200),
    ("GET", "/fn/{function}/", nothing, Other::Absent, 200),
    ("POST", "/fn/{function}/", nothing, Other::Absent, 200),
    ("PUT", "/fn/{function}/", nothing, Other::Absent, 200),
    ("PATCH", "/fn/{function}/", nothing, Other::Absent, 200),
    ("DELETE", "/fn/{function}/", nothing, Other::Absent, 200),
    ("OPTIONS", "/fn/{function}/", nothing, Other::Absent, 200),
    ("GET", "/fn/{function}/{*path}", nothing, Other::Absent, 200),
    ("POST", "/fn/{function}/{*path}", nothing, Other::Absent, 200),
    ("PUT", "/fn/{function}/{*path}", nothing, Other::Absent, 200),
    ("PATCH", "/fn/{function}/{*path}", nothing, Other::Absent, 200),
    ("DELETE", "/fn/{function}/{*path}", nothing, Other::Absent, 200),
    ("OPTIONS", "/fn/{function}/{*path}", nothing, Other::Absent, 200),
    ("POST", "/v1/functions/{function}/tasks", nothing, Other::Absent, 202),
    ("POST", "/v1/functions/{function}/tasks/batch", batch, Other::Absent, 200),
    ("POST", "/v1/tasks/batch", batch, Other::Row("function-not-found"), 200),
    ("POST", "/v1/tasks/wait", tasks, Other::Row("\"missing\":[\""), 200),
    ("GET", "/v1/tasks", nothing, Other::Own, 200),
    ("GET", "/v1/tasks/stats", nothing, Other::Own, 200),
    ("GET", "/v1/tasks/{task}", nothing, Other::Absent, 200),
    ("GET", "/v1/tasks/{task}/result", nothing, Other::Absent, 424),
    ("GET", "/v1/tasks/{task}/logs", nothing, Other::Absent, 200),
    ("GET", "/v1/tasks/{task}/events", nothing, Other::Absent, 200),
    ("POST", "/v1/tasks/{task}/retry", nothing, Other::Absent, 202),
    ("POST", "/v1/tasks/cancel", queued, Other::Own, 202),
    ("POST", "/v1/tasks/retry", queued, Other::Own, 202),
    ("POST", "/v1/tasks/delete", queued, Other::Own, 202),
    ("GET", "/v1/jobs", nothing, Other::Own, 200),
    ("GET", "/v1/jobs/{job}", nothing, Other::Absent, 200),
    ("DELETE", "/v1/jobs/{job}", nothing, Other::Absent, 200),
    ("GET", "/v1/dead-letters", nothing, Other::Own, 200),
    ("POST", "/v1/dead-letters/replay", tasks, Other::Row("task-not-found"), 200),
    ("POST", "/v1/keys", |_| br#"{"scope":"invoke"}"#.to_vec(), Other::Own, 201),
    ("GET", "/v1/keys", nothing, Other::Own, 200),
    ("POST", "/v1/keys/{key}/rotate", |_| b"{}".to_vec(), Other::Absent, 201),
    ("POST", "/v1/tenants", |_| br#"{"name":"fresh"}"#.to_vec(), Other::Refused, 201),
    ("GET", "/v1/tenants", nothing, Other::Refused, 200),
    ("GET", "/v1/tenants/{tenant}", nothing, Other::Refused, 200),
    ("GET", "/v1/workers", nothing, Other::Refused, 200),
    ("GET", "/metrics", nothing, Other::Refused, 200),
    ("GET", "/healthz", nothing, Other::Open, 200),
    ("GET", "/readyz", nothing, Other::Open, 200),
    ("DELETE", "/v1/tasks/{task}", nothing, Other::Absent, 409),
    ("DELETE", "/v1/functions/{function}/config/{setting}", nothing, Other::Absent, 204),
    ("DELETE", "/v1/functions/{function}/secrets/{setting}", nothing, Other::Absent, 204),
    ("DELETE", "/v1/functions/{function}", nothing, Other::Absent, 204),
    ("DELETE", "/v1/keys/{key}", nothing, Other::Absent, 200),
    ("GET", "/v1/tenants/{tenant}/quotas", nothing, Other::Refused, 200),
    ("PUT", "/v1/tenants/{tenant}/quotas", |_| b"{}".to_vec(), Other::Refused, 200),
    ("DELETE", "/v1/tenants/{tenant}", nothing, Other::Refused, 200),
];

/// Returns the routes of the table that are missing here.
fn unsaid(table: &[(Method, String, Needs)]) -> Vec<String> {
    let said = |method: &Method, path: &str| ROWS.iter().any(|row| row.0 == method.as_str() && row.1 == path);
    table.iter().filter(|row| !said(&row.0, &row.1)).map(|(method, path, _)| format!("{method} {path}")).collect()
}

fn needs(row: &Row) -> Needs {
    let table = table();
    let found = table.iter().find(|(method, path, _)| method.as_str() == row.0 && path == row.1);
    found.unwrap_or_else(|| panic!("{} {} is no route any more: take its row out", row.0, row.1)).2
}

/// Sends a row's request with a key.
async fn send(rest: &Rest, world: &World, row: &Row, key: Option<&str>) -> Answer {
    let (method, path, make, ..) = row;
    let query = if (*method, *path) == ("POST", "/v1/functions") { "?name=theirs" } else { "" };
    let path = format!("{}{query}", world.fill(path));
    let authorization = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("content-type", "application/json"), ("x-request-id", "matrix")];
    headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
    rest.send(method.parse().unwrap(), &path, &headers, Body::from(make(world))).await
}

#[test]
fn no_route_is_without_a_row() {
    let mut table = table();
    assert_eq!(unsaid(&table), Vec::<String>::new(), "say in tests/rest/matrix.rs who may use it");
    for row in ROWS {
        needs(row);
    }
    table.push((Method::GET, "/v1/planted".to_owned(), Needs::Operator));
    table.push((Method::PUT, "/v1/functions".to_owned(), Needs::Nothing));
    assert_eq!(unsaid(&table), ["GET /v1/planted", "PUT /v1/functions"]);
}

#[tokio::test]
async fn who_has_no_good_key_is_refused_everywhere() {
    let (rest, world) = World::new().await;
    let bad = [
        ("none", None),
        ("empty", Some(String::new())),
        ("malformed", Some("fb_no_key".to_owned())),
        ("unknown", Some(ApiKey::random().reveal())),
        ("another one's secret", Some(world.mixed())),
        ("revoked", Some(world.revoked.clone())),
        ("expired", Some(world.expired.clone())),
    ];
    for row in ROWS {
        for (kind, key) in &bad {
            let answer = send(&rest, &world, row, key.as_deref()).await;
            if needs(row) == Needs::Nothing {
                assert_eq!(answer.status, StatusCode::OK, "{kind} {} {}", row.0, row.1);
                continue;
            }
            assert_problem(&answer, StatusCode::UNAUTHORIZED, "unauthorized");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Bearer realm=\"fusebox\""), "{kind} {} {}: {challenge}", row.0, row.1);
            // At an endpoint, credentials that are none of ours are the function's to judge.
            let is_ours = key.as_ref().is_some_and(|key| needs(row) != Needs::Endpoint || !key.is_empty());
            assert_eq!(challenge.contains("invalid_token"), is_ours, "{kind}");
        }
    }
    world.is_untouched(&rest).await;
}

#[tokio::test]
async fn a_scope_that_is_too_narrow_is_refused_everywhere() {
    let (rest, world) = World::new().await;
    for row in ROWS {
        let narrow: &[&str] = match needs(row) {
            Needs::Nothing | Needs::Endpoint | Needs::Scope(Scope::Invoke) => &[],
            Needs::Scope(Scope::Deploy) => &[&world.invoke],
            Needs::Scope(Scope::Admin) => &[&world.invoke, &world.deploy],
            Needs::Operator => &[&world.invoke, &world.deploy, &world.admin, &world.operators_deploy],
        };
        for key in narrow {
            assert_problem(&send(&rest, &world, row, Some(key)).await, StatusCode::FORBIDDEN, "forbidden");
        }
    }
    world.is_untouched(&rest).await;
}

#[tokio::test]
async fn another_tenants_records_look_absent_everywhere() {
    let (rest, world) = World::new().await;
    let absent = world.absent();
    for row in ROWS {
        let answer = send(&rest, &world, row, Some(&world.others)).await;
        let what = format!("{} {}: {} {:?}", row.0, row.1, answer.status, answer.body);
        match row.3 {
            Other::Absent => {
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
                let nowhere = send(&rest, &absent, row, Some(&world.others)).await;
                assert_eq!(answer.status, nowhere.status, "{what}");
                assert_eq!(answer.headers, nowhere.headers, "{what}");
                assert_eq!(world.blank(&answer), absent.blank(&nowhere), "{what}");
            }
            Other::Row(word) => assert!(answer.status == StatusCode::OK && answer.text().contains(word), "{what}"),
            Other::Own => assert!(answer.status.is_success(), "{what}"),
            Other::Refused => assert_problem(&answer, StatusCode::FORBIDDEN, "forbidden"),
            Other::Open => assert_eq!(answer.status, StatusCode::OK, "{what}"),
        }
        assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY), "{what}");
    }
    let keys =
        rest.send(Method::GET, "/v1/keys?tenant=acme", &[("authorization", &world.bearer())], Body::empty()).await;
    assert_problem(&keys, StatusCode::NOT_FOUND, "tenant-not-found");
    world.is_untouched(&rest).await;
}

#[tokio::test]
async fn who_may_use_a_route_uses_it() {
    let (rest, world) = World::new().await;
    for row in ROWS {
        let key = match needs(row) {
            Needs::Nothing => None,
            Needs::Endpoint | Needs::Scope(Scope::Invoke) => Some(&world.invoke),
            Needs::Scope(Scope::Deploy) => Some(&world.deploy),
            Needs::Scope(Scope::Admin) => Some(&world.admin),
            Needs::Operator => Some(&world.operator),
        };
        let answer = send(&rest, &world, row, key.map(String::as_str)).await;
        assert_eq!(answer.status.as_u16(), row.4, "{} {}: {:?}", row.0, row.1, answer.body);
    }
    let revoked = format!("Bearer {}", world.invoke);
    let gone = rest.send(Method::GET, "/v1/tasks", &[("authorization", &revoked)], Body::empty()).await;
    assert_problem(&gone, StatusCode::UNAUTHORIZED, "unauthorized");
}

#[tokio::test]
async fn the_document_says_what_each_route_takes() {
    let document: Value = crate::support::Rest::new(crate::support::Slots::Echo).get("/openapi.json").await.json();
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    for (method, path, needs) in table() {
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        let security = operation["security"].as_array().unwrap();
        let wants_key = security.contains(&json!({"key": []}));
        assert_eq!(security.contains(&json!({})), needs == Needs::Endpoint, "{method} {path}");
        assert_eq!(wants_key, needs != Needs::Nothing, "{method} {path}: {operation}");
        assert_eq!(operation["responses"]["401"].is_object(), wants_key, "{method} {path}");
    }
}
