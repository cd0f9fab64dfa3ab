//! Tags of tasks in every kind of submission; filters of the listing and their counts; what a task says of its attempts.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::limits::TAGS_MAX;
use fusebox_store::{Acting, Scope, Verdict};
use serde_json::{Value, json};

use crate::{
    hand::{returned, trapped},
    support::{Rest, Slots, assert_problem},
    world::World,
};

const TASKS: &str = "/v1/functions/echo/tasks";

async fn submit(rest: &Rest, tags: &str) -> String {
    let answer = rest.send(Method::POST, TASKS, &[("fusebox-tags", tags)], "x").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Returns the ids that a listing has.
async fn ids(rest: &Rest, query: &str) -> Vec<String> {
    let answer = rest.get(&format!("/v1/tasks?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {:?}", answer.body);
    let page = answer.json();
    assert_eq!(page["next"], Value::Null, "{query}");
    page["items"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_task_has_the_tags_of_its_submission() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = submit(&rest, "env=prod, order=7").await;
    let task = rest.get(&format!("/v1/tasks/{id}")).await.json();
    assert_eq!(task["tags"], json!({"env": "prod", "order": "7"}));
    assert_eq!(ids(&rest, "tag=env%3Dprod&tag=order%3D7").await, [id.as_str()]);
    assert_eq!(ids(&rest, "tag=env%3Dtest").await, [""; 0]);

    let items = json!([{"text": "a", "tags": {"order": "8"}}, {"text": "b"}, {"text": "c", "tags": {"env": "test"}}]);
    let headers = [("content-type", "application/json"), ("fusebox-tags", "env=batch")];
    let rows = rest.send(Method::POST, "/v1/functions/echo/tasks/batch", &headers, items.to_string()).await.json();
    assert_eq!((&rows["accepted"], &rows["items"][2]["error"]["code"]), (&2.into(), &"invalid-tags".into()));
    let first = rest.get(&format!("/v1/tasks/{}", rows["items"][0]["task"].as_str().unwrap())).await.json();
    assert_eq!(first["tags"], json!({"env": "batch", "order": "8"}));
    assert_eq!(ids(&rest, "tag=env%3Dbatch").await.len(), 2);

    let headers = [("prefer", "respond-async"), ("fusebox-tags", "via=http")];
    let later = rest.send(Method::POST, "/fn/echo/", &headers, "x").await;
    assert_eq!((later.status, &later.json()["tags"]), (StatusCode::ACCEPTED, &json!({"via": "http"})));

    let plain = rest.submit("x").await;
    assert_eq!(rest.get(&format!("/v1/tasks/{plain}")).await.json().get("tags"), None);
}

#[tokio::test]
async fn a_retry_has_the_tags_and_a_key_with_other_tags_is_a_conflict() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = submit(&rest, "env=prod").await;
    rest.run(trapped()).await;
    let retry = rest.post(&format!("/v1/tasks/{id}/retry"), Body::empty()).await.json();
    assert_eq!((&retry["tags"], &retry["retry_of"]), (&json!({"env": "prod"}), &id.clone().into()));
    assert_eq!(ids(&rest, &format!("retry_of={id}")).await, [retry["id"].as_str().unwrap()]);
    let send =
        async |tags| rest.send(Method::POST, TASKS, &[("idempotency-key", "k"), ("fusebox-tags", tags)], "x").await;
    let first = send("a=1,b=2").await.json();
    assert_eq!(send("b=2, a=1").await.json()["id"], first["id"], "their order is of no meaning");
    assert_problem(&send("a=1").await, StatusCode::UNPROCESSABLE_ENTITY, "idempotency-conflict");
}

#[tokio::test]
async fn a_wrong_tag_is_refused_with_its_place_and_an_example() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let many = (0..=TAGS_MAX).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    for (tags, words) in [
        ("env", "tag 1: \"env\" is no tag: write key=value, such as env=prod"),
        ("a=1, b c=2", "tag 2: the key \"b c\""),
        ("a=1,a=2", "tag 2: the tag a is given twice"),
        ("a=b c", "tag 1: the value of the tag a"),
        (&many, "at most 16 tags, and these are 17"),
    ] {
        for (path, body) in [(TASKS, "x"), ("/v1/functions/echo/tasks/batch", "[]"), ("/fn/echo/", "x")] {
            let headers = [("fusebox-tags", tags), ("prefer", "respond-async")];
            let refused = rest.send(Method::POST, path, &headers, body).await;
            assert_problem(&refused, StatusCode::UNPROCESSABLE_ENTITY, "invalid-tags");
            assert!(refused.json()["detail"].as_str().unwrap().contains(words), "{}", refused.text());
        }
    }
    assert_eq!(ids(&rest, "").await, [""; 0], "nothing was accepted");
}

#[tokio::test]
async fn tasks_are_listed_and_counted_by_a_filter() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    assert_eq!(
        rest.post("/v1/functions?name=other", fusebox_harness::guests::echo()).await.status,
        StatusCode::CREATED
    );
    let mut tasks = Vec::new();
    for name in ["echo", "echo", "echo", "other"] {
        let task = rest.post(&format!("/v1/functions/{name}/tasks"), "x").await.json();
        tasks.push(task["id"].as_str().unwrap().to_owned());
    }
    rest.run(returned("y")).await;
    rest.run(trapped()).await;
    let worker = rest.lease(1).await[0].task.worker().unwrap();
    let [first, second, third, other] = <[String; 4]>::try_from(tasks).unwrap();
    for (query, expected) in [
        ("status=COMPLETED".to_owned(), vec![&first]),
        ("status=failed&code=trap".to_owned(), vec![&second]),
        ("status=RUNNING".to_owned(), vec![&third]),
        (format!("worker={worker}"), vec![&third]),
        ("status=QUEUED".to_owned(), vec![&other]),
        ("function=other".to_owned(), vec![&other]),
        ("function=echo&version=1&order=oldest".to_owned(), vec![&first, &second, &third]),
        ("function=echo&since=1h".to_owned(), vec![&third, &second, &first]),
        ("until=1h".to_owned(), vec![]),
        ("since=2100-01-01T00:00:00Z".to_owned(), vec![]),
        ("tenant=default&status=QUEUED".to_owned(), vec![&other]),
    ] {
        assert_eq!(ids(&rest, &query).await.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let stats = async |query: &str| {
        let stats = rest.get(&format!("/v1/tasks/stats?{query}")).await.json();
        assert_eq!((&stats["complete"], &stats["next"]), (&true.into(), &Value::Null));
        (stats["groups"].clone(), stats["total"].clone())
    };
    let (groups, total) = stats("").await;
    assert_eq!((groups.as_array().unwrap().len(), total), (4, 4.into()));
    let (groups, _) = stats("by=function").await;
    assert_eq!(groups, json!([{"key": "echo", "tasks": 3}, {"key": "other", "tasks": 1}]));
    let (groups, total) = stats("by=code&status=FAILED").await;
    assert_eq!((groups, total), (json!([{"key": "trap", "tasks": 1}]), 1.into()));
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_its_place_and_an_example() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for (query, words) in [
        ("status=DONE", "status=FAILED"),
        ("code=oops", "code=out-of-fuel"),
        ("worker=w", "\"w\" is not a UUID"),
        ("retry_of=w", "retry_of=0190"),
        ("since=soon", "since=2026-01-31T12:00:00Z or since=1h"),
        ("until=12", "until=1h"),
        ("tag=env", "env=prod"),
        ("version=1", "function=hello&version=3"),
        ("function=echo&version=x", "version=3"),
        ("order=up", "order=oldest"),
        ("status=FAILED&status=QUEUED", "given twice"),
    ] {
        let refused = rest.get(&format!("/v1/tasks?{query}")).await;
        assert_problem(&refused, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
        let problem = refused.json();
        assert!(problem["detail"].as_str().unwrap().contains(words), "{query}: {problem}");
        assert!(query.contains(problem["parameter"].as_str().unwrap()), "{query}: {problem}");
    }
    assert_problem(
        &rest.get("/v1/tasks/stats?by=day").await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "unprocessable-request",
    );
    for query in ["function=none", "function=echo&version=2"] {
        assert_problem(&rest.get(&format!("/v1/tasks?{query}")).await, StatusCode::NOT_FOUND, "function-not-found");
    }
    for tenant in ["nobody", "No%20body"] {
        let refused = rest.get(&format!("/v1/tasks?tenant={tenant}")).await;
        assert_problem(&refused, StatusCode::NOT_FOUND, "tenant-not-found");
    }
}

#[tokio::test]
async fn only_an_operator_names_another_tenant() {
    let (rest, world) = World::new().await;
    let send = async |key: &str, path: &str| {
        rest.send(Method::GET, path, &[("authorization", &format!("Bearer {key}"))], Body::empty()).await
    };
    for path in ["/v1/tasks?tenant=acme", "/v1/tasks/stats?tenant=acme"] {
        for key in [&world.others, &world.operators_deploy] {
            assert_problem(&send(key, path).await, StatusCode::NOT_FOUND, "tenant-not-found");
        }
        assert_eq!(send(&world.invoke, path).await.status, StatusCode::OK, "its own");
    }
    let listed = send(&world.operator, "/v1/tasks?tenant=acme").await.json();
    assert_eq!(listed["items"][0]["id"], world.task.as_str());
    let key = rest.key("other", Scope::Invoke, None).await;
    assert_eq!(send(&key, "/v1/tasks").await.json()["items"], json!([]));
    assert!(rest.store.add_tenant(Acting::Store, "third".parse().unwrap()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_task_says_what_happened_to_it() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.submit("x").await;
    let read = async || rest.get(&format!("/v1/tasks/{id}")).await.json();
    let told = |task: &Value| -> Vec<(String, Value, Value)> {
        let events = task["timeline"].as_array().unwrap().iter();
        events
            .map(|one| (one["event"].as_str().unwrap().to_owned(), one["attempt"].clone(), one["why"].clone()))
            .collect()
    };
    let none = Value::Null;
    let accepted = || ("accepted".to_owned(), none.clone(), none.clone());
    let queued = read().await;
    assert_eq!((told(&queued), queued.get("worker"), queued.get("started_at")), (vec![accepted()], None, None));
    let leased = rest.lease(1).await.remove(0);
    let started = |attempt: u32| ("started".to_owned(), attempt.into(), none.clone());
    let running = read().await;
    assert_eq!(told(&running), [accepted(), started(1)]);
    let worker = leased.task.worker().unwrap().to_string();
    assert_eq!(
        (running["worker"].as_str(), running["timeline"][1]["worker"].as_str()),
        (Some(&*worker), Some(&*worker))
    );
    assert!(running["started_at"].is_string() && running["timeline"][1]["dispatcher"].is_string());
    rest.report(&leased, Verdict::Retry { delay_ms: 0 }).await;
    let ended = |attempt: Value, why: &str| ("ended".to_owned(), attempt, Value::from(why));
    assert_eq!(told(&read().await), [accepted(), started(1), ended(1.into(), "lost")]);
    rest.run(trapped()).await;
    let failed = read().await;
    assert_eq!(told(&failed)[3..], [started(2), ended(2.into(), "trap")]);
    assert_eq!(rest.get("/v1/tasks").await.json()["items"][0].get("timeline"), None, "not in listings");
    let id = rest.submit("x").await;
    let cancelled = rest.send(Method::DELETE, &format!("/v1/tasks/{id}"), &[], Body::empty()).await.json();
    assert_eq!(told(&cancelled), [accepted(), ended(none.clone(), "cancelled")]);
}
