//! Modules with much code are compiled after their registration, within the tenant's compile time.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use fusebox::modules::Place;
use fusebox_core::{
    error::ErrorCode,
    function::{Abi, Grants, RunLimits},
    id::FunctionId,
    limits::COMPILE_STARTS_MAX,
    name::TenantId,
    outcome::Failure,
    quota::UNLIMITED,
    setup::Setup,
};
use fusebox_harness::guests;
use fusebox_store::{NewFunction, Registered};
use fusebox_system::random;
use serde_json::{Value, json};

use crate::support::{Answer, Rest, Slots, assert_problem, set_quotas};

/// More code than is compiled at once.
const MUCH: usize = 4_000_000;
const WAIT: [(&str, &str); 1] = [("prefer", "wait=50")];

/// Takes the tenant's turn to compile, until it is dropped.
fn busy(rest: &Rest) -> Place {
    rest.modules.enter(TenantId::default_tenant()).unwrap()
}

/// Registers a version that is compiled once the tenant's turn is free.
async fn begin(rest: &Rest, mark: u8) -> Value {
    let answer = rest.post("/v1/functions?name=f", guests::large_code(MUCH, mark)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    let view = answer.json();
    assert_eq!(answer.header("location"), format!("/v1/functions/{}", id(&view)));
    assert_eq!(
        (&view["state"], &view["error"], &view["compile_ms"]),
        (&json!("compiling"), &Value::Null, &Value::Null)
    );
    view
}

fn id(view: &Value) -> &str {
    view["id"].as_str().unwrap()
}

async fn waited(rest: &Rest, function: &str) -> Answer {
    rest.send(Method::GET, &format!("/v1/functions/{function}"), &WAIT, "").await
}

async fn settle(rest: &Rest, view: &Value) {
    let failure = Failure::new(ErrorCode::CompileLimit, "it takes too long: split it");
    rest.store.settle(id(view).parse::<FunctionId>().unwrap(), Some(failure)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_module_with_much_code_is_answered_before_it_is_compiled() {
    let rest = Rest::new(Slots::Echo);
    let turn = busy(&rest);
    let view = begin(&rest, 1).await;
    assert_eq!(rest.get("/v1/functions/f").await.json(), view, "there is no other version");
    for path in ["/v1/functions/f/invoke", "/v1/functions/f/tasks", "/v1/functions/f/tasks/batch"] {
        let refused = rest.post(path, "[]").await;
        assert_problem(&refused, StatusCode::CONFLICT, "function-compiling");
        assert!(refused.json()["detail"].as_str().unwrap().contains(id(&view)), "it says what to do");
    }
    let rows = rest.post("/v1/tasks/batch", r#"[{"function": "f", "text": ""}]"#).await.json();
    assert!(rows.to_string().contains("function-compiling"), "{rows}");
    let still = rest.send(Method::GET, &format!("/v1/functions/{}", id(&view)), &[("prefer", "wait=0")], "").await;
    assert_eq!(still.json()["state"], "compiling");
    drop(turn);
    let ready = waited(&rest, id(&view)).await;
    assert_eq!((ready.json()["state"].as_str(), ready.header("preference-applied")), (Some("ready"), "wait=50"));
    assert_eq!(rest.post("/v1/functions/f/invoke", "x").await.status, StatusCode::OK);
    let again = rest.post("/v1/functions?name=f", guests::large_code(MUCH, 1)).await;
    assert_eq!((again.status, &again.json()["compile_ms"]), (StatusCode::CREATED, &json!(0)), "its artifact is there");
    let waits = rest.send(Method::POST, "/v1/functions?name=f", &WAIT, guests::large_code(MUCH, 2)).await;
    assert_eq!((waits.status, &waits.json()["state"]), (StatusCode::CREATED, &json!("ready")));
}

#[tokio::test]
async fn a_failed_version_is_shown_and_deleted_and_replaces_none() {
    let rest = Rest::new(Slots::Echo);
    rest.post("/v1/functions?name=f", guests::echo()).await;
    let turn = busy(&rest);
    let view = begin(&rest, 1).await;
    settle(&rest, &view).await;
    let failed = waited(&rest, id(&view)).await.json();
    let error = json!({"code": "compile-limit", "message": "it takes too long: split it"});
    assert_eq!((&failed["state"], &failed["error"]), (&json!("failed"), &error));
    assert_eq!(rest.get("/v1/functions/f").await.json()["version"], 1);
    assert_eq!(rest.post("/v1/functions/f/invoke", "x").await.status, StatusCode::OK);
    let path = format!("/v1/functions/{}", id(&view));
    assert_problem(&rest.post(&format!("{path}/invoke"), "x").await, StatusCode::CONFLICT, "function-failed");
    let listed = rest.get("/v1/functions/f/versions").await.json();
    let states: Vec<_> = listed["items"].as_array().unwrap().iter().map(|version| &version["state"]).collect();
    assert_eq!(states, ["failed", "ready"]);
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        assert_eq!(rest.send(Method::DELETE, &path, &[], "").await.status, expected);
    }
    // A client that waits has the reason at once.
    let (answer, ()) =
        tokio::join!(rest.send(Method::POST, "/v1/functions?name=f", &WAIT, guests::large_code(MUCH, 2)), async {
            let new = loop {
                let versions = rest.get("/v1/functions/f/versions").await.json();
                if versions["items"][0]["state"] == "compiling" {
                    break versions["items"][0].clone();
                }
                tokio::task::yield_now().await;
            };
            settle(&rest, &new).await;
        });
    assert_problem(&answer, StatusCode::BAD_REQUEST, "compile-limit");
    assert!(answer.json()["version"].is_string(), "it names the version that failed");
    drop(turn);
}

/// Registers a version as a node does that is lost in the same moment.
async fn lost(rest: &Rest, mark: u8) -> FunctionId {
    let wasm = guests::large_code(MUCH, mark);
    let new = NewFunction {
        id: random::function_id(rest.store.now().await.unwrap()),
        tenant: TenantId::default_tenant(),
        name: "f".parse().unwrap(),
        module: fusebox_sandbox::digest(&wasm),
        abi: Abi::Command,
        limits: RunLimits::default(),
        grants: Grants::default(),
        setup: Setup::default(),
        files: Bytes::new(),
        versions_max: UNLIMITED,
        stored_max: UNLIMITED,
    };
    let id = new.id;
    assert!(matches!(rest.store.register_compiling(new, wasm.into(), 0).await.unwrap(), Registered::Version(_)));
    id
}

#[tokio::test]
async fn another_node_takes_over_until_it_is_clear_that_the_module_is_to_blame() {
    let rest = Rest::new(Slots::Echo);
    let (first, second) = (lost(&rest, 1).await, lost(&rest, 2).await);
    for _ in 1..COMPILE_STARTS_MAX {
        rest.store.hold_compile(first, 60_000).await.unwrap();
        assert_eq!(rest.store.take_compiles(9, 0).await.unwrap().len(), 1, "the second is lost with its node again");
    }
    rest.store.hold_compile(first, 0).await.unwrap();
    let node = tokio::spawn(rest.compilations.clone().follow(rest.closing.clone()));
    assert_eq!(waited(&rest, &first.to_string()).await.json()["state"], "ready");
    let failed = waited(&rest, &second.to_string()).await.json();
    assert_eq!((&failed["state"], &failed["error"]["code"]), (&json!("failed"), &json!("compile-limit")));
    assert!(failed["error"]["message"].as_str().unwrap().contains("deploy it again"));
    rest.closing.cancel();
    tokio::time::timeout(Duration::from_secs(60), node).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tenant_whose_compile_time_is_used_up_waits_for_more() {
    let rest = Rest::new(Slots::Echo);
    let shown = async || rest.get("/v1/tenants/default/quotas").await.json();
    assert_eq!(shown().await["may"]["compile_s_per_hour"], Value::Null, "the operator's own tenant has no bound");
    set_quotas(&rest, json!({"compile_s_per_hour": 3_600})).await;
    let made = rest.send(Method::POST, "/v1/functions?name=f", &WAIT, guests::large_code(MUCH, 1)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let quotas = shown().await;
    assert!(quotas["used"]["compile_s_per_hour"].as_u64().is_some_and(|used| used > 0), "{quotas}");
    rest.store.charge_compile(&TenantId::default_tenant(), 3_600_000, 3_600_000).await.unwrap();
    let refused = rest.post("/v1/functions?name=f", guests::fail()).await;
    assert_problem(&refused, StatusCode::TOO_MANY_REQUESTS, "compile-quota");
    assert_eq!(refused.header("ratelimit-limit"), "3600");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|wait_s| (1..=10).contains(&wait_s)));
    let again = rest.post("/v1/functions?name=g", guests::large_code(MUCH, 1)).await;
    assert_eq!(again.status, StatusCode::CREATED, "what is there costs nothing");
}
